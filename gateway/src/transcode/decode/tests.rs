//! Valid and invalid inputs.

mod hostile;
mod params;

use std::sync::{Arc, LazyLock};

use prost_reflect::{DynamicMessage, Value};

use crate::binding::Method;
use crate::binding::fixture::method;
use crate::transcode::decode::json;

const PROTO: &str = r#"
    service Things {
      rpc Put(Request) returns (None) { option (xrpc.v1.method) = { nsid: "com.example.put" }; }
    }
    message Request {
      string who = 1 [(xrpc.v1.role) = CALLER];
      google.protobuf.FieldMask given = 2 [(xrpc.v1.role) = PRESENCE];
      string url = 3;
      repeated string mute_words = 4;
      optional bool active = 5;
      optional int32 small = 6;
      optional int64 large = 7;
      optional uint64 natural = 8;
      google.protobuf.Timestamp at = 9;
      repeated Rule rules = 10;
      Node node = 11;
      optional string colour = 12;
    }
    message Rule { string from = 1; optional int32 weight = 2; }
    message Node { Node next = 1; }
    message None {}
"#;

const LEXICON: &str = r##"{
    "main": {"type": "procedure", "input": {"encoding": "application/json", "schema": {
        "type": "object", "required": ["url", "muteWords"], "properties": {
            "url": {"type": "string", "format": "uri", "maxLength": 10},
            "muteWords": {"type": "array", "items": {"type": "string"}},
            "active": {"type": "boolean", "default": false},
            "small": {"type": "integer", "default": 7, "maximum": 100},
            "large": {"type": "integer"},
            "natural": {"type": "integer"},
            "at": {"type": "string", "format": "datetime"},
            "rules": {"type": "array", "items": {"type": "ref", "ref": "#rule"}},
            "node": {"type": "ref", "ref": "#node"},
            "colour": {"type": "string", "enum": ["red"]}
        }}}},
    "rule": {"type": "object", "required": ["from"], "properties": {
        "from": {"type": "string"}, "weight": {"type": "integer", "default": 3}}},
    "node": {"type": "object", "properties": {"next": {"type": "ref", "ref": "#node"}}}
}"##;

static PUT: LazyLock<Arc<Method>> = LazyLock::new(|| method(&[("com.example.put", LEXICON)], PROTO));

fn decode(body: &[u8]) -> Result<DynamicMessage, String> {
    let request = json(&PUT, body, "did:plc:caller").map_err(|error| error.to_string())?;
    let descriptor = PUT.object(PUT.request().object).descriptor.clone();
    Ok(DynamicMessage::decode(descriptor, request).expect("an encoded request"))
}

fn refusal(body: impl AsRef<[u8]>) -> String {
    let text = decode(body.as_ref()).expect_err("refused");
    assert!(text.len() < 600, "{text}");
    text
}

/// The error for an otherwise valid input with one more field.
fn refusal_of(field: &str) -> String {
    refusal(format!(r#"{{"url": "u", "muteWords": [], {field}}}"#))
}

fn field(message: &DynamicMessage, name: &str) -> Value {
    message.get_field_by_name(name).expect("a field").into_owned()
}

fn strings(texts: &[&str]) -> Value {
    Value::List(texts.iter().map(|text| Value::String((*text).to_owned())).collect())
}

#[test]
fn every_field() {
    let message = decode(
        r#" {"url": "https://example.com/ü\u00e9\ud83d\ude00", "muteWords": ["a", ""], "active": true, "small": -2147483648,
            "large": 9223372036854775807, "natural": 0, "at": "2026-01-02T03:04:05.678+01:00",
            "rules": [{"from": "a", "weight": 1}, {"from": ""}], "node": {"next": {}}, "colour": "green"} "#
            .as_bytes(),
    )
    .expect("decodes");
    assert_eq!(field(&message, "who"), Value::String("did:plc:caller".into()));
    assert_eq!(field(&message, "url"), Value::String("https://example.com/üé😀".into()));
    assert_eq!(field(&message, "mute_words"), strings(&["a", ""]));
    assert_eq!(field(&message, "active"), Value::Bool(true));
    assert_eq!(field(&message, "small"), Value::I32(i32::MIN));
    assert_eq!(field(&message, "large"), Value::I64(i64::MAX));
    assert_eq!(field(&message, "natural"), Value::U64(0));
    assert!(message.has_field_by_name("natural"));
    assert_eq!(field(&message, "colour"), Value::String("green".into()));

    let at = field(&message, "at");
    let at = at.as_message().expect("a timestamp");
    assert_eq!(
        (field(at, "seconds"), field(at, "nanos")),
        (Value::I64(1_767_319_445), Value::I32(678_000_000))
    );

    let rules = field(&message, "rules");
    let weights: Vec<_> = rules
        .as_list()
        .expect("a list")
        .iter()
        .map(|rule| field(rule.as_message().expect("a message"), "weight"))
        .collect();
    assert_eq!(weights, [Value::I32(1), Value::I32(3)]);

    let node = field(&message, "node");
    let next = field(node.as_message().expect("a message"), "next");
    assert!(!next.as_message().expect("a message").has_field_by_name("next"));
}

#[test]
fn absent_fields_are_absent_or_the_default() {
    let message = decode(br#"{"muteWords":[],"url":""}"#).expect("decodes");
    assert!(message.has_field_by_name("active"));
    assert_eq!(field(&message, "active"), Value::Bool(false));
    assert_eq!(field(&message, "small"), Value::I32(7));
    for name in ["large", "natural", "at", "node", "colour", "rules"] {
        assert!(!message.has_field_by_name(name), "{name}");
    }
}

#[test]
fn presence_lists_what_was_given() {
    let message = decode(br#"{"muteWords": [], "rules": [], "url": "u", "other": 1, "active": false}"#)
        .expect("decodes");
    let given = field(&message, "given");
    let paths = field(given.as_message().expect("a mask"), "paths");
    assert_eq!(paths, strings(&["url", "mute_words", "active", "rules"]));
}

#[test]
fn caller_is_never_taken_from_the_input() {
    let message =
        decode(br#"{"url": "u", "muteWords": [], "who": "did:plc:other", "given": 1, "callerDid": "x"}"#)
            .expect("unknown fields are ignored");
    assert_eq!(field(&message, "who"), Value::String("did:plc:caller".into()));
}

#[test]
fn unknown_fields_are_ignored_whatever_they_hold() {
    for unknown in [
        "null",
        "1e400",
        &"9".repeat(400),
        "-0.0",
        r#"{"a": 1, "a": 2, "url": {"url": [[], {}]}}"#,
        r#""\ud83d\ude00""#,
        &format!("{}{}", "[".repeat(99), "]".repeat(99)),
    ] {
        let body =
            format!(r#"{{"x": {unknown}, "url": "u", "Url": {unknown}, "mute_words": 1, "muteWords": []}}"#);
        decode(body.as_bytes()).expect(unknown);
    }
}

#[test]
fn required_fields() {
    assert_eq!(refusal("{}"), "input.url: required");
    assert_eq!(refusal(r#"{"url": "u"}"#), "input.muteWords: required");
    assert_eq!(refusal_of(r#""rules": [{"from": "a"}, {"weight": 1}]"#), "input.rules[1].from: required");
}

#[test]
fn wrong_types_are_named_with_their_path() {
    for (other, name) in [
        ("null", "null"),
        ("true", "boolean"),
        ("1", "integer"),
        ("-1.5", "fraction"),
        ("1e400", "huge"),
        (r#""text""#, "string"),
        ("[]", "array"),
        ("{}", "object"),
    ] {
        if name != "string" {
            assert_eq!(refusal_of(&format!(r#""colour": {other}"#)), "input.colour: expected a string");
            assert_eq!(refusal_of(&format!(r#""at": {other}"#)), "input.at: expected a string");
            assert_eq!(
                refusal(format!(r#"{{"muteWords": ["a", {other}]}}"#)),
                "input.muteWords[1]: expected a string"
            );
        }
        if name != "boolean" {
            assert_eq!(refusal_of(&format!(r#""active": {other}"#)), "input.active: expected a boolean");
        }
        if name != "array" {
            assert_eq!(refusal_of(&format!(r#""rules": {other}"#)), "input.rules: expected an array");
        }
        if name != "object" {
            assert_eq!(refusal_of(&format!(r#""node": {other}"#)), "input.node: expected an object");
            assert_eq!(refusal_of(&format!(r#""rules": [{other}]"#)), "input.rules[0]: expected an object");
            assert_eq!(refusal(other), "input: expected an object", "{other}");
        }
        if !["integer", "fraction", "huge"].contains(&name) {
            assert_eq!(refusal_of(&format!(r#""small": {other}"#)), "input.small: expected an integer");
        }
    }
}

#[test]
fn integers() {
    for (spelling, expected) in [("0", 0), ("-0", 0), ("-1", -1), ("2147483647", i32::MAX)] {
        let body = format!(r#"{{"url": "u", "muteWords": [], "small": {spelling} }}"#);
        let message = decode(body.as_bytes()).expect(spelling);
        assert_eq!(field(&message, "small"), Value::I32(expected));
    }
    for spelling in ["1.0", "0.0", "-0.0", "1e3", "1E0", "1e400", "1e-400"] {
        assert_eq!(
            refusal_of(&format!(r#""small": {spelling}"#)),
            "input.small: expected an integer without fraction or exponent",
            "{spelling}"
        );
    }
    for (name, spelling) in [
        ("small", "2147483648"),
        ("small", "-2147483649"),
        ("large", "9223372036854775808"),
        ("large", "-9223372036854775809"),
        ("natural", "-1"),
        ("natural", "9223372036854775808"),
        ("large", &"9".repeat(400)),
    ] {
        assert_eq!(
            refusal_of(&format!(r#""{name}": {spelling}"#)),
            format!("input.{name}: the integer is out of range"),
            "{spelling}"
        );
    }
}

#[test]
fn datetimes() {
    for text in [
        "yesterday",
        "2026-01-02",
        "2026-01-02 03:04:05Z",
        "2026-02-30T00:00:00Z",
        "2026-01-02T03:04:05",
        "0000-01-01T00:00:00Z",
        "",
    ] {
        assert_eq!(
            refusal_of(&format!(r#""at": "{text}""#)),
            "input.at: expected an RFC 3339 datetime",
            "{text}"
        );
    }
    let nul = refusal_of(r#""at": "2026-01-02T03:04:05Z\u0000""#);
    assert_eq!(nul, "input.at: contains U+0000");
}

#[test]
fn method_without_input() {
    let method = method(
        &[("com.example.ping", r#"{"main": {"type": "procedure"}}"#)],
        r#"
        service Things {
          rpc Ping(Request) returns (None) { option (xrpc.v1.method) = { nsid: "com.example.ping" }; }
        }
        message Request { string who = 1 [(xrpc.v1.role) = CALLER]; }
        message None {}
        "#,
    );
    for body in [&b""[..], b"{}", br#"{"who": 1}"#] {
        let request = json(&method, body, "did:plc:caller").expect("decodes");
        assert_eq!(request, &b"\x0a\x0edid:plc:caller"[..]);
    }
    assert!(json(&method, b"[]", "").is_err());
}
