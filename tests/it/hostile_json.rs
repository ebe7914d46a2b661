//! Bodies that mean harm, one of each kind through the real pair: the answer says what is wrong, and the pair
//! goes on. Every kind is tested beside the decoder (`gateway/src/transcode/decode/tests/hostile.rs`), and
//! the fields of every method in `conformance`.

use std::fmt::Write as _;

use crate::harness::answer::invalid;
use crate::harness::database::Kind;
use crate::harness::stack::{CREATE_SECRET, CREATE_WEBHOOK, Setup};
use crate::harness::table::Table;

/// Bodies of `secret.create`: `Ok` is the name in an answer that succeeds, `Err` the message of
/// `InvalidRequest`, which begins with "the body is not valid " where it is cut short.
fn bodies() -> Vec<(&'static str, Vec<u8>, Result<&'static str, &'static str>)> {
    let nested = |open: &str, close: &str, levels: usize| {
        let (opened, closed) = (open.repeat(levels), close.repeat(levels));
        format!("{{\"name\":\"nested\",\"other\":{opened}{closed}}}").into_bytes()
    };
    let mut many = String::from("{");
    for number in 0..6_000 {
        write!(many, "\"k{number}\":1,").unwrap();
    }
    many.push_str("\"name\":\"many\"}");
    let digits = "9".repeat(40_000);
    let too_deep = Err("the body nests deeper than 100 levels");
    let surrogate = Err("JSON: lone surrogate in hex escape");
    let control = "JSON: control character (\\u0000-\\u001F) found while parsing a string at line 2 column 0";
    let no_string = Err("input.name: expected a string");
    let no_object = Err("input: expected an object");
    vec![
        ("empty", b"".into(), Err("the body is empty: expected a JSON object")),
        ("white space", b" ".into(), Err("the body is empty: expected a JSON object")),
        ("cut off", br#"{"name":"a""#.into(), Err("JSON: EOF while parsing an object at line 1 column 11")),
        ("trailing comma", br#"{"name":"a",}"#.into(), Err("JSON: trailing comma at line 1 column 13")),
        ("trailing text", br#"{"name":"a"} x"#.into(), Err("JSON: trailing characters at line 1 column 14")),
        ("two objects", br#"{"name":"a"}{}"#.into(), Err("JSON: trailing characters at line 1 column 13")),
        ("byte order mark", "\u{feff}{}".into(), Err("JSON: expected value at line 1 column 1")),
        ("line break", b"{\"name\":\"a\nb\"}".into(), Err(control)),
        ("comment", b"// {}\n{}".into(), Err("JSON: expected value at line 1 column 1")),
        ("array", br#"[{"name":"a"}]"#.into(), no_object),
        ("null", b"null".into(), no_object),
        ("string", br#""name""#.into(), no_object),
        ("not UTF-8", b"{\"name\":\"a\xff\"}".into(), Err("UTF-8")),
        ("UTF-16", b"\xff\xfe{\x00}\x00".into(), Err("UTF-8")),
        ("gzip", b"\x1f\x8b\x08".into(), Err("UTF-8")),
        ("zeros", b"\x00\x00\x00\x00".into(), Err("JSON: expected value at line 1 column 1")),
        ("10,000 arrays", b"[".repeat(10_000), too_deep),
        ("10,000 objects", br#"{"a":"#.repeat(10_000), too_deep),
        ("10,000 arrays in a field", nested("[", "", 10_000), too_deep),
        ("101 levels", nested("[", "]", 100), too_deep),
        ("100 levels", nested("[", "]", 99), Ok("nested")),
        ("key twice", br#"{"name":"a","\u006eame":"b"}"#.into(), Err("input.name: given twice")),
        ("ignored key twice", br#"{"name":"twice","other":{"x":1,"x":2}}"#.into(), Ok("twice")),
        ("huge number", format!("{{\"name\":{digits}}}").into(), no_string),
        ("1e400", br#"{"name":1e400}"#.into(), no_string),
        ("ignored number", format!("{{\"name\":\"number\",\"other\":{digits}}}").into(), Ok("number")),
        ("lone surrogate", br#"{"name":"\ud800"}"#.into(), surrogate),
        ("halves swapped", br#"{"name":"\udc00\ud800"}"#.into(), surrogate),
        ("surrogate in a key", br#"{"\ud800":1,"name":"a"}"#.into(), surrogate),
        ("long key", format!("{{\"{}\":1}}", "k".repeat(60_000)).into(), Err("input.name: required")),
        ("6,000 keys", many.into(), Ok("many")),
    ]
}

#[tokio::test]
async fn each_kind() {
    let stack = Setup::on(Kind::Sqlite).core("--probe", "off").start().await;
    let mut table = Table::default();
    for (case, body, expected) in bodies() {
        let answer = stack.call_raw(CREATE_SECRET, body).await;
        match expected {
            Ok(name) => table.check(case, answer.json()["name"].as_str(), Some(name)),
            Err(message) => {
                let cut_short = message.starts_with("JSON") || message.starts_with("UTF-8");
                let start = if cut_short { "the body is not valid " } else { "" };
                table.check(case, answer.whole(), invalid(&format!("{start}{message}")));
            }
        }
    }
    let nested =
        r#"{"url":"https://a.example/","events":["chat"],"rewrite":[{"from":"a","to":"b","to":"c"}]}"#;
    let answer = stack.call_raw(CREATE_WEBHOOK, nested).await;
    table.check("nested key twice", answer.whole(), invalid("input.rewrite[0].to: given twice"));
    table.finish();
    stack.create_secret("after").await.ok();
}
