//! Responses that fit the lexicon and responses that do not.

use std::error::Error as _;
use std::sync::{Arc, LazyLock};

use prost::Message as _;
use prost_reflect::{DynamicMessage, Value};
use prost_types::Timestamp;

use super::{EncodeError, json};
use crate::binding::Method;
use crate::binding::fixture::method;

const PROTO: &str = r#"
    service Things {
      rpc Get(None) returns (View) { option (xrpc.v1.method) = { nsid: "com.example.get" }; }
    }
    message View {
      string name = 1;
      repeated string tags = 2;
      google.protobuf.Timestamp at = 3;
      int32 count = 4;
      bool on = 5;
      optional string sure = 6;
      optional uint64 big = 7;
      optional sint64 small = 8;
      optional bool off = 9;
      optional string note = 10;
      repeated google.protobuf.Timestamp times = 11;
      repeated Part parts = 12;
      Part part = 13;
    }
    message Part { google.protobuf.Timestamp at = 1; Part part = 2; }
    message None {}
    "#;

static GET: LazyLock<Arc<Method>> = LazyLock::new(|| {
    method(
        &[(
            "com.example.get",
            r##"{
            "main": {"type": "query", "output": {"encoding": "application/json", "schema": {"type": "ref", "ref": "#view"}}},
            "view": {"type": "object", "required": ["name", "tags", "at", "count", "on", "sure"], "properties": {
                "on": {"type": "boolean"},
                "name": {"type": "string"},
                "tags": {"type": "array", "items": {"type": "string"}},
                "at": {"type": "string", "format": "datetime"},
                "count": {"type": "integer"},
                "sure": {"type": "string"},
                "big": {"type": "integer"},
                "small": {"type": "integer"},
                "off": {"type": "boolean"},
                "note": {"type": "string", "default": "none"},
                "times": {"type": "array", "items": {"type": "string", "format": "datetime"}},
                "parts": {"type": "array", "items": {"type": "ref", "ref": "#part"}},
                "part": {"type": "ref", "ref": "#part"}
            }},
            "part": {"type": "object", "required": ["at"], "properties": {
                "at": {"type": "string", "format": "datetime"}, "part": {"type": "ref", "ref": "#part"}}}
            }"##,
        )],
        PROTO,
    )
});

fn message(name: &str) -> DynamicMessage {
    let descriptors = GET.response().expect("an output").descriptor.parent_pool();
    DynamicMessage::new(descriptors.get_message_by_name(name).expect("a message"))
}

/// A `View` with its required fields, all zero or empty.
fn view() -> DynamicMessage {
    let mut view = message("made.up.View");
    view.set_field_by_name("at", time(0, 0));
    view.set_field_by_name("sure", Value::String(String::new()));
    view
}

fn time(seconds: i64, nanos: i32) -> Value {
    let mut message = message("google.protobuf.Timestamp");
    message.transcode_from(&Timestamp { seconds, nanos }).expect("a timestamp");
    Value::Message(message)
}

fn part(fields: &[(&str, Value)]) -> Value {
    let mut message = message("made.up.Part");
    for (name, value) in fields {
        message.set_field_by_name(name, value.clone());
    }
    Value::Message(message)
}

fn encode(message: &DynamicMessage) -> Result<String, EncodeError> {
    json(&GET, &message.encode_to_vec()).map(|body| String::from_utf8(body).expect("UTF-8"))
}

fn refusal(message: &DynamicMessage) -> String {
    encode(message).expect_err("refused").to_string()
}

#[test]
fn required_fields_are_written_even_when_empty() {
    assert_eq!(
        encode(&view()).expect("fits"),
        r#"{"on":false,"name":"","tags":[],"at":"1970-01-01T00:00:00.000Z","count":0,"sure":""}"#
    );
}

#[test]
fn optional_fields_are_left_out_when_empty() {
    let mut view = view();
    view.set_field_by_name("note", Value::String(String::new()));
    view.set_field_by_name("times", Value::List(Vec::new()));
    let body = encode(&view).expect("fits");
    assert!(body.ends_with(r#""sure":""}"#), "{body}");
}

#[test]
fn every_field_in_the_order_of_the_lexicon() {
    let mut view = view();
    for (name, value) in [
        ("part", part(&[("at", time(1, 0))])),
        ("parts", Value::List(vec![part(&[("at", time(2, 0))]), part(&[("at", time(3, 0))])])),
        ("times", Value::List(vec![time(-1, 999_999_999)])),
        ("note", Value::String("\"\\\n\u{0}\u{7f}é😀</script>".into())),
        ("off", Value::Bool(false)),
        ("small", Value::I64(i64::MIN)),
        ("big", Value::U64(0)),
        ("sure", Value::String("s".into())),
        ("on", Value::Bool(true)),
        ("count", Value::I32(-5)),
        ("tags", Value::List(vec![Value::String(String::new())])),
        ("name", Value::String("n".into())),
    ] {
        view.set_field_by_name(name, value);
    }
    assert_eq!(
        encode(&view).expect("fits"),
        concat!(
            r#"{"on":true,"name":"n","tags":[""],"at":"1970-01-01T00:00:00.000Z","count":-5,"sure":"s","big":0,"#,
            r#""small":-9223372036854775808,"off":false,"note":"\"\\\n\u0000"#,
            "\u{7f}",
            r#"é😀</script>","times":["1969-12-31T23:59:59.999Z"],"#,
            r#""parts":[{"at":"1970-01-01T00:00:02.000Z"},{"at":"1970-01-01T00:00:03.000Z"}],"#,
            r#""part":{"at":"1970-01-01T00:00:01.000Z"}}"#
        )
    );
}

#[test]
fn lexicon_default_is_not_put_into_an_answer() {
    assert!(!encode(&view()).expect("fits").contains("note"));
}

#[test]
fn missing_required_fields() {
    let mut without = view();
    without.clear_field_by_name("at");
    assert_eq!(refusal(&without), "the answer does not fit the lexicon: output.at: required");
    let mut without = view();
    without.clear_field_by_name("sure");
    assert_eq!(refusal(&without), "the answer does not fit the lexicon: output.sure: required");
    let mut without = view();
    without.set_field_by_name("parts", Value::List(vec![part(&[("at", time(0, 0))]), part(&[])]));
    assert_eq!(refusal(&without), "the answer does not fit the lexicon: output.parts[1].at: required");
}

#[test]
fn integer_beyond_a_lexicon() {
    let mut beyond = view();
    beyond.set_field_by_name("big", Value::U64(i64::MAX as u64));
    assert!(encode(&beyond).expect("fits").contains(r#""big":9223372036854775807"#));
    beyond.set_field_by_name("big", Value::U64(i64::MAX as u64 + 1));
    assert_eq!(
        refusal(&beyond),
        "the answer does not fit the lexicon: output.big: the integer is out of range"
    );
}

#[test]
fn time_beyond_a_timestamp() {
    for (seconds, nanos, text) in [
        (-62_135_596_800, 0, "0001-01-01T00:00:00.000Z"),
        (253_402_300_799, 999_999_999, "9999-12-31T23:59:59.999Z"),
        (1_767_323_045, 1_999_999, "2026-01-02T03:04:05.001Z"),
    ] {
        let mut within = view();
        within.set_field_by_name("at", time(seconds, nanos));
        assert!(encode(&within).expect("fits").contains(text), "{text}");
    }
    for (seconds, nanos) in [
        (-62_135_596_801, 0),
        (253_402_300_800, 0),
        (i64::MIN, 0),
        (i64::MAX, 0),
        (0, -1),
        (0, 1_000_000_000),
    ] {
        let mut beyond = view();
        beyond.set_field_by_name("at", time(seconds, nanos));
        assert_eq!(
            refusal(&beyond),
            "the answer does not fit the lexicon: output.at: the time is out of range"
        );
    }
}

#[test]
fn bytes_that_are_no_message() {
    let error = json(&GET, b"\xff").expect_err("refused");
    assert_eq!(error.to_string(), "the answer is no message of its type");
    assert!(error.source().is_some());
}

#[test]
fn messages_that_nest_too_deep() {
    let nested = |messages: usize| {
        let innermost = part(&[("at", time(0, 0))]);
        let part = (2..messages).fold(innermost, |inner, _| part(&[("at", time(0, 0)), ("part", inner)]));
        let mut view = view();
        view.set_field_by_name("part", part);
        encode(&view)
    };
    // prost reads 100 levels below the outermost message, and the Timestamp of the innermost part is one of
    // them.
    assert!(nested(100).is_ok());
    assert!(matches!(nested(101), Err(EncodeError::Message(_))));
}

#[test]
fn unknown_proto_fields_are_ignored() {
    let view = view().encode_to_vec();
    for unknown in [
        &b"\xa0\x06\x01"[..],                        // a varint
        b"\xa1\x06\x01\x02\x03\x04\x05\x06\x07\x08", // 64 bits
        b"\xa2\x06\x03new",                          // bytes
        b"\xa5\x06\x01\x02\x03\x04",                 // 32 bits
        b"\xa3\x06\x08\x01\xa4\x06",                 // a group
    ] {
        let bytes = [unknown, &view, unknown].concat();
        assert_eq!(json(&GET, &bytes).expect("fits"), json(&GET, &view).expect("fits"), "{unknown:?}");
    }
    let unclosed = [b"\xa3\x06\x08\x01\xac\x06", &view[..]].concat();
    assert!(json(&GET, &unclosed).is_err(), "a group that the end of another one closes");
}

#[test]
fn no_output_is_an_empty_body() {
    let method = method(
        &[("com.example.drop", r#"{"main": {"type": "procedure"}}"#)],
        r#"
        service Things {
          rpc Drop(None) returns (None) { option (xrpc.v1.method) = { nsid: "com.example.drop" }; }
        }
        message None {}
        "#,
    );
    assert_eq!(json(&method, b"\x0a\x01a").expect("fits"), b"");
}

#[test]
fn empty_object_is_no_empty_body() {
    let method = method(
        &[(
            "com.example.drop",
            r#"{"main": {"type": "procedure", "output": {"encoding": "application/json", "schema": {"type": "object"}}}}"#,
        )],
        r#"
        service Things {
          rpc Drop(None) returns (None) { option (xrpc.v1.method) = { nsid: "com.example.drop" }; }
        }
        message None {}
        "#,
    );
    assert_eq!(json(&method, b"").expect("fits"), b"{}");
}
