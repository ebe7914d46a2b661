//! Property tests: valid JSON comes back unchanged through a method whose output is its input.

mod integers;

use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::binding::Method;
use crate::binding::fixture::method;
use crate::transcode::{decode, encode};

static ECHO: LazyLock<Arc<Method>> = LazyLock::new(|| {
    method(
        &[(
            "com.example.echo",
            r##"{
            "main": {"type": "procedure",
                "input": {"encoding": "application/json", "schema": {"type": "ref", "ref": "#thing"}},
                "output": {"encoding": "application/json", "schema": {"type": "ref", "ref": "#thing"}}},
            "thing": {"type": "object", "required": ["text", "list", "int", "flag", "at"], "properties": {
                "text": {"type": "string"},
                "list": {"type": "array", "items": {"type": "string"}},
                "int": {"type": "integer"},
                "flag": {"type": "boolean"},
                "at": {"type": "string", "format": "datetime"},
                "moreText": {"type": "string"},
                "moreList": {"type": "array", "items": {"type": "integer"}},
                "moreInt": {"type": "integer"},
                "moreFlag": {"type": "boolean"},
                "child": {"type": "ref", "ref": "#thing"},
                "children": {"type": "array", "items": {"type": "ref", "ref": "#thing"}}}}
            }"##,
        )],
        r#"
        service Things {
          rpc Echo(Thing) returns (Thing) { option (xrpc.v1.method) = { nsid: "com.example.echo" }; }
        }
        message Thing {
          string text = 1;
          repeated string list = 2;
          int64 int = 3;
          bool flag = 4;
          google.protobuf.Timestamp at = 5;
          optional string more_text = 6;
          repeated sint32 more_list = 7;
          optional uint32 more_int = 8;
          optional bool more_flag = 9;
          Thing child = 10;
          repeated Thing children = 11;
        }
        "#,
    )
});

/// Any string without U+0000.
fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(any::<char>().prop_filter("U+0000", |character| *character != '\0'), 0..12)
        .prop_map(String::from_iter)
}

fn instant() -> impl Strategy<Value = String> {
    (1..10_000, 1..13, 1..29, 0..24, 0..60, 0..60, 0..1000).prop_map(
        |(year, month, day, hour, minute, second, millisecond)| {
            format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z")
        },
    )
}

fn leaf() -> impl Strategy<Value = Value> {
    let required = (text(), prop::collection::vec(text(), 0..3), any::<i64>(), any::<bool>(), instant());
    let optional = (
        prop::option::of(text().prop_filter("left out", |text| !text.is_empty())),
        prop::option::of(prop::collection::vec(any::<i32>(), 1..3)),
        prop::option::of(any::<u32>()),
        prop::option::of(any::<bool>()),
    );
    (required, optional).prop_map(
        |((text, list, int, flag, at), (more_text, more_list, more_int, more_flag))| {
            let mut thing = json!({"text": text, "list": list, "int": int, "flag": flag, "at": at});
            for (name, value) in [
                ("moreText", more_text.map(Value::from)),
                ("moreList", more_list.map(Value::from)),
                ("moreInt", more_int.map(Value::from)),
                ("moreFlag", more_flag.map(Value::from)),
            ] {
                if let Some(value) = value {
                    thing[name] = value;
                }
            }
            thing
        },
    )
}

fn thing() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(3, 12, 3, |inner| {
        let child = prop::option::of(inner.clone());
        (leaf(), child, prop::collection::vec(inner, 0..3)).prop_map(|(mut thing, child, children)| {
            if let Some(child) = child {
                thing["child"] = child;
            }
            if !children.is_empty() {
                thing["children"] = Value::Array(children);
            }
            thing
        })
    })
}

/// The name of a field that is no object.
fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "text", "list", "int", "flag", "at", "moreText", "moreList", "moreInt", "moreFlag",
    ])
}

/// A value of any type.
fn value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i8>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        instant().prop_map(Value::from),
    ];
    let list = prop::collection::vec(scalar.clone(), 0..3).prop_map(Value::from);
    prop_oneof![scalar.clone(), list, scalar.prop_map(|inner| json!({ "text": inner }))]
}

fn echo(body: &[u8]) -> Vec<u8> {
    let request = decode::json(&ECHO, body, "did:plc:caller").expect("decodes");
    encode::json(&ECHO, &request).expect("encodes")
}

proptest! {
    #[test]
    fn what_goes_in_comes_out(thing in thing()) {
        let body = serde_json::to_vec(&thing).expect("JSON");
        let back: Value = serde_json::from_slice(&echo(&body)).expect("JSON");
        prop_assert_eq!(back, thing);
    }

    #[test]
    fn what_is_accepted_comes_out(mut thing in thing(), name in name(), value in value()) {
        thing[name] = value;
        let body = serde_json::to_vec(&thing).expect("JSON");
        if let Ok(request) = decode::json(&ECHO, &body, "did:plc:caller") {
            let back: Value = serde_json::from_slice(&encode::json(&ECHO, &request).expect("encodes")).expect("JSON");
            // A time can come back in another format, and an empty optional string or list is left out.
            let comes_back = |member: &Value| name != "at" && *member != "" && *member != json!([]);
            if comes_back(&thing[name]) {
                prop_assert_eq!(&back[name], &thing[name], "{}", name);
            }
            let again: Value = serde_json::from_slice(&echo(back.to_string().as_bytes())).expect("JSON");
            prop_assert_eq!(again, back);
        }
    }

    #[test]
    fn unknown_fields_change_nothing(mut thing in thing(), name in "[A-Z]{3}", other in thing()) {
        let body = serde_json::to_vec(&thing).expect("JSON");
        thing[name] = Value::Object(Map::from_iter([("inner".to_owned(), other)]));
        let with_more = serde_json::to_vec(&thing).expect("JSON");
        prop_assert_eq!(echo(&with_more), echo(&body));
    }

    #[test]
    fn any_message_encodes_or_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        if let Ok(body) = encode::json(&ECHO, &bytes) {
            serde_json::from_slice::<Value>(&body).expect("JSON");
        }
    }
}
