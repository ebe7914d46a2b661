//! Malformed and hostile bodies.

use proptest::prelude::*;

use super::{PUT, decode, refusal, refusal_of};
use crate::transcode::decode::json;

#[test]
fn body_without_content() {
    for body in ["", " ", "\r\n\t "] {
        assert_eq!(refusal(body), "the body is empty: expected a JSON object");
    }
}

#[test]
fn broken_json() {
    for body in [
        "{",
        "}",
        "nul",
        r#"{"url"}"#,
        r#"{"url": }"#,
        r#"{"url": "u""#,
        r#"{"url": "u",}"#,
        r#"{"url": "u", "muteWords": ["a",]}"#,
        r#"{url: "u"}"#,
        r#"{'url': 'u'}"#,
        r#"{1: 2}"#,
        r#"{"url": "u", "muteWords": []} {}"#,
        r#"{"url": "u", "muteWords": []},"#,
        r#"{"url": "a
b"}"#,
        r#"{"url": "\x"}"#,
        r#"{"url": "\u12"}"#,
        r#"{"url": 'u'}"#,
        r#"{"other": 01, "url": "u"}"#,
        r#"{"other": +1, "url": "u"}"#,
        r#"{"other": NaN, "url": "u"}"#,
        r#"{"other": [1}, "url": "u"}"#,
        r#"{"small": 01}"#,
        r#"{"small": 1.}"#,
        r#"{"small": -}"#,
        "{\"url\": \"u\", \"muteWords\": []}\0",
        "\u{feff}{}",
        "{/* */}",
    ] {
        let text = refusal(body);
        assert!(text.starts_with("the body is not valid JSON: "), "{body}: {text}");
    }
}

#[test]
fn lone_surrogates() {
    for escape in [r"\ud83d", r"\ude00", r"\ud83d\ud83d", r"\ud83dx"] {
        for body in [
            format!(r#"{{"url": "{escape}"}}"#),
            format!(r#"{{"{escape}": 1}}"#),
            format!(r#"{{"other": ["{escape}"]}}"#),
        ] {
            assert_eq!(refusal(&body), "the body is not valid JSON: lone surrogate in hex escape", "{body}");
        }
    }
}

#[test]
fn invalid_utf8() {
    for body in
        [&b"\xff"[..], b"{\"url\": \"\xc3\"}", b"{\"other\": \"\xed\xa0\xbd\"}", b"{\"url\": \"\xc0\x80\"}"]
    {
        assert_eq!(refusal(body), "the body is not valid UTF-8");
    }
}

#[test]
fn nul_in_a_string() {
    assert_eq!(refusal(r#"{"url": "a\u0000b"}"#), "input.url: contains U+0000");
    assert_eq!(refusal(r#"{"muteWords": ["\u0000"]}"#), "input.muteWords[0]: contains U+0000");
    assert_eq!(refusal_of(r#""rules": [{"from": "\u0000"}]"#), "input.rules[0].from: contains U+0000");
    for unknown in [r#""x": "\u0000""#, r#""x": {"y": ["\u0000"]}"#, r#""x\u0000": 1"#] {
        assert_eq!(refusal_of(unknown), "the body contains U+0000 in a string");
    }
    assert!(refusal("{\"url\": \"\0\"}").starts_with("the body is not valid JSON: control character"));
}

#[test]
fn keys_given_twice() {
    assert_eq!(refusal(r#"{"url": "a", "url": "a"}"#), "input.url: given twice");
    assert_eq!(refusal(r#"{"url": "a", "\u0075rl": "b"}"#), "input.url: given twice");
    assert_eq!(refusal(r#"{"muteWords": [], "muteWords": []}"#), "input.muteWords: given twice");
    assert_eq!(refusal(r#"{"other": 1, "url": "u", "other": 2}"#), "input.other: given twice");
    assert_eq!(refusal(r#"{"other": 1, "othe\u0072": 2}"#), "input.other: given twice");
    assert_eq!(
        refusal_of(r#""rules": [{"from": "a"}, {"from": "a", "weight": 1, "weight": 1}]"#),
        "input.rules[1].weight: given twice"
    );
    let long = "k".repeat(20_000);
    assert_eq!(
        refusal(format!(r#"{{"{long}": 1, "{long}": 2}}"#)),
        format!("input.{}…: given twice", "k".repeat(48))
    );
}

#[test]
fn nesting_without_end() {
    let too_deep = "the body nests deeper than 100 levels";
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}"), (r#"[{"a":"#, "}]")] {
        for name in ["url", "muteWords", "node", "other"] {
            let levels = 10_000;
            let body = format!(r#"{{"{name}": {}0{}}}"#, open.repeat(levels), close.repeat(levels));
            assert_eq!(refusal(&body), too_deep);
            assert_eq!(refusal(&body[..body.len() / 2]), too_deep);
        }
    }
    assert_eq!(refusal("[".repeat(100_000)), too_deep);
}

#[test]
fn recursive_objects_up_to_the_limit() {
    let node = |levels: usize| {
        let (open, close) = (r#"{"next": "#.repeat(levels), "}".repeat(levels));
        format!(r#"{{"url": "u", "muteWords": [], "node": {open}{{}}{close}}}"#)
    };
    // The root, `node`, and the levels below it. `decode` also reads the encoded message back.
    decode(node(98).as_bytes()).expect("100 levels");
    assert_eq!(refusal(node(99)), "the body nests deeper than 100 levels");
    let wrong = node(90).replace("{}", r#"{"next": 1}"#);
    let text = refusal(wrong);
    assert!(text.starts_with("input.node.next.next.") && text.ends_with("…: expected an object"), "{text}");
}

#[test]
fn values_are_never_repeated() {
    let secret = "hunter2";
    for body in [
        format!(r#"{{"url": {{"{secret}": 1}}}}"#),
        format!(r#"{{"muteWords": "{secret}"}}"#),
        format!(r#"{{"active": "{secret}"}}"#),
        format!(r#"{{"small": "{secret}"}}"#),
        format!(r#"{{"at": "{secret}"}}"#),
        format!(r#"{{"node": "{secret}"}}"#),
        format!(r#"{{"url": "{secret}\u0000"}}"#),
        format!(r#"{{"url": "{secret}"#),
        format!(r#""{secret}""#),
        format!(r#"{{"url": {secret}}}"#),
    ] {
        assert!(!refusal(&body).contains(secret), "{body}");
    }
}

fn fragment() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("{".to_owned()),
        Just("}".to_owned()),
        Just("[".to_owned()),
        Just("]".to_owned()),
        Just(",".to_owned()),
        Just(":".to_owned()),
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just(r#""url":"#.to_owned()),
        Just(r#""muteWords":["#.to_owned()),
        Just(r#""rules":[{"#.to_owned()),
        Just(r#""node":{"next":"#.to_owned()),
        "\"[a-z\\\\u0-9]{0,8}\"",
        "-?[0-9]{1,25}(\\.[0-9]+)?(e[0-9]{1,4})?",
        ".{0,4}",
    ]
}

proptest! {
    #[test]
    fn any_bytes(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let refused = json(&PUT, &body, "did:plc:caller");
        prop_assert!(refused.is_err());
    }

    #[test]
    fn anything_like_json(fragments in prop::collection::vec(fragment(), 0..30)) {
        let body = format!("{{{}", fragments.concat());
        if let Err(error) = json(&PUT, body.as_bytes(), "did:plc:caller") {
            prop_assert!(error.to_string().len() < 600);
        }
    }
}
