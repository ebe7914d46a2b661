//! Query strings.

use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use prost_reflect::{DynamicMessage, Value};

use super::{field, strings};
use crate::binding::Method;
use crate::binding::fixture::method;
use crate::transcode::decode::query;

const PROTO: &str = r#"
    service Things {
      rpc List(Request) returns (None) { option (xrpc.v1.method) = { nsid: "com.example.list" }; }
    }
    message Request {
      string who = 1 [(xrpc.v1.role) = CALLER];
      string id = 2;
      optional int32 limit = 3;
      optional bool active = 4;
      google.protobuf.Timestamp since = 5;
      repeated string tags = 6;
      repeated int64 numbers = 7;
    }
    message None {}
    "#;

static LIST: LazyLock<Arc<Method>> = LazyLock::new(|| {
    method(
        &[(
            "com.example.list",
            r#"{"main": {"type": "query", "parameters": {"type": "params", "required": ["id"], "properties": {
                "id": {"type": "string"},
                "limit": {"type": "integer", "default": 50, "minimum": 1, "maximum": 100},
                "active": {"type": "boolean"},
                "since": {"type": "string", "format": "datetime"},
                "tags": {"type": "array", "items": {"type": "string"}},
                "numbers": {"type": "array", "items": {"type": "integer"}}
            }}}}"#,
        )],
        PROTO,
    )
});

fn decode(text: Option<&str>) -> Result<DynamicMessage, String> {
    let request = query(&LIST, text, "did:plc:caller").map_err(|error| error.to_string())?;
    let descriptor = LIST.object(LIST.request().object).descriptor.clone();
    Ok(DynamicMessage::decode(descriptor, request).expect("an encoded request"))
}

fn refusal(query: &str) -> String {
    decode(Some(query)).expect_err(query)
}

#[test]
fn every_parameter() {
    let message = decode(Some(
        "id=a+b%20c%2B%C3%BC%3d%26&limit=-1&&active=true&since=2026-01-02T03:04:05.678Z&tags=x&other=1&other=2&tags=&numbers=1&numbers=-2&who=x",
    ))
    .expect("decodes");
    assert_eq!(field(&message, "who"), Value::String("did:plc:caller".into()));
    assert_eq!(field(&message, "id"), Value::String("a b c+ü=&".into()));
    assert_eq!(field(&message, "limit"), Value::I32(-1));
    assert_eq!(field(&message, "active"), Value::Bool(true));
    assert_eq!(field(&message, "tags"), strings(&["x"]));
    assert_eq!(field(&message, "numbers"), Value::List(vec![Value::I64(1), Value::I64(-2)]));
    let since = field(&message, "since");
    assert_eq!(field(since.as_message().expect("a timestamp"), "seconds"), Value::I64(1_767_323_045));
}

#[test]
fn absent_parameters_are_absent_or_the_default() {
    let message = decode(Some("i%64=a")).expect("decodes");
    assert_eq!(field(&message, "limit"), Value::I32(50));
    for name in ["active", "since", "tags", "numbers"] {
        assert!(!message.has_field_by_name(name), "{name}");
    }
    let empty = decode(Some("id=a&limit=&active&since=&tags=&numbers=&tags=&id=")).expect("decodes");
    assert_eq!(empty, message);
    let given = decode(Some("limit=&limit=2&id=&id=a&limit=")).expect("decodes");
    assert_eq!(field(&given, "limit"), Value::I32(2));
}

#[test]
fn required_parameters() {
    for query in
        [None, Some(""), Some("limit=1"), Some("ID=1"), Some("&"), Some("=id"), Some("id="), Some("id")]
    {
        assert_eq!(decode(query).expect_err("refused"), "params.id: required");
    }
}

#[test]
fn wrong_parameters_are_named() {
    let integer = "params.limit: expected an integer";
    for (query, expected) in [
        ("id=a&id=a", "params.id: given twice"),
        ("id=a&i%64=b", "params.id: given twice"),
        ("id=a%00", "params.id: contains U+0000"),
        ("tags=a&tags=%00", "params.tags: contains U+0000"),
        ("limit=ten", integer),
        ("limit=+1", integer),
        ("limit=%2B1", integer),
        ("limit=-", integer),
        ("limit=%D9%A1", integer),
        ("limit=1.0", "params.limit: expected an integer without fraction or exponent"),
        ("limit=1e1", "params.limit: expected an integer without fraction or exponent"),
        ("limit=01", "params.limit: expected an integer without leading zeros"),
        ("limit=2147483648", "params.limit: the integer is out of range"),
        ("numbers=1&numbers=9223372036854775808", "params.numbers: the integer is out of range"),
        ("active=1", "params.active: expected true or false"),
        ("active=True", "params.active: expected true or false"),
        ("since=now", "params.since: expected an RFC 3339 datetime"),
        ("id=%", "the query string has a % without two hexadecimal digits"),
        ("id=%4", "the query string has a % without two hexadecimal digits"),
        ("id=%4g", "the query string has a % without two hexadecimal digits"),
        ("id=%%41", "the query string has a % without two hexadecimal digits"),
        ("%=a", "the query string has a % without two hexadecimal digits"),
        ("id=%ff", "the query string is not valid UTF-8"),
        ("id=a&other=%ff", "the query string is not valid UTF-8"),
        ("id=%c3&x=%bc", "the query string is not valid UTF-8"),
    ] {
        assert_eq!(refusal(query), expected, "{query}");
    }
}

proptest! {
    #[test]
    fn any_text(query in ".{0,60}") {
        let _ = decode(Some(&query));
    }

    #[test]
    fn any_encoded_bytes(bytes in prop::collection::vec(any::<u8>(), 0..30)) {
        let query = format!("id={}", percent_encoding::percent_encode(&bytes, percent_encoding::NON_ALPHANUMERIC));
        let text = String::from_utf8(bytes).ok().filter(|text| !text.is_empty() && !text.contains('\0'));
        let decoded = decode(Some(&query)).ok().map(|message| field(&message, "id"));
        prop_assert_eq!(decoded, text.map(Value::String));
    }

    #[test]
    fn any_encoded_text(text in "[^\0]{1,30}") {
        let query = format!("id={}", percent_encoding::utf8_percent_encode(&text, percent_encoding::NON_ALPHANUMERIC));
        let message = decode(Some(&query)).expect("decodes");
        prop_assert_eq!(field(&message, "id"), Value::String(text));
    }
}
