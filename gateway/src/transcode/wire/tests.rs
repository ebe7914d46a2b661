//! Against prost-reflect, which makes a tree of a message and knows the format by itself.

use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, Value};
use serde_json::json;

use crate::binding::Method;
use crate::binding::fixture::{descriptors, method};
use crate::transcode::{decode, encode};

/// The integer types of a proto.
const KINDS: [&str; 10] =
    ["int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32", "fixed64", "sfixed32", "sfixed64"];

/// A field `<kind>`, and a list `<kind>_list`, of each integer type; a flag, a text, and a message like this one.
static PROTO: LazyLock<String> = LazyLock::new(|| {
    let fields = KINDS.iter().zip(0..).map(|(kind, number)| {
        let (one, list) = (2 * number + 1, 2 * number + 2);
        format!("optional {kind} {kind} = {one}; repeated {kind} {kind}_list = {list};\n")
    });
    format!(
        r#"
        service Things {{
          rpc Echo(Thing) returns (Thing) {{ option (xrpc.v1.method) = {{ nsid: "com.example.echo" }}; }}
        }}
        message Thing {{
          {}
          optional bool flag = 31;
          repeated bool flag_list = 32;
          optional string text = 33;
          optional Thing child = 34;
          google.protobuf.Timestamp at = 35;
        }}
        "#,
        fields.collect::<String>()
    )
});

static ECHO: LazyLock<Arc<Method>> = LazyLock::new(|| {
    let fields = KINDS.map(|kind| {
        format!(
            r#""{kind}": {{"type": "integer"}}, "{kind}List": {{"type": "array", "items": {{"type": "integer"}}}},"#
        )
    });
    let lexicon = format!(
        r##"{{
        "main": {{"type": "procedure",
            "input": {{"encoding": "application/json", "schema": {{"type": "ref", "ref": "#thing"}}}},
            "output": {{"encoding": "application/json", "schema": {{"type": "ref", "ref": "#thing"}}}}}},
        "thing": {{"type": "object", "properties": {{
            {}
            "flag": {{"type": "boolean"}},
            "flagList": {{"type": "array", "items": {{"type": "boolean"}}}},
            "text": {{"type": "string"}},
            "child": {{"type": "ref", "ref": "#thing"}},
            "at": {{"type": "string", "format": "datetime"}}}}}}
        }}"##,
        fields.concat()
    );
    method(&[("com.example.echo", &lexicon)], &PROTO)
});

static MESSAGES: LazyLock<DescriptorPool> = LazyLock::new(|| descriptors(&PROTO));

fn empty() -> DynamicMessage {
    DynamicMessage::new(MESSAGES.get_message_by_name("made.up.Thing").expect("a thing"))
}

/// What prost-reflect makes of `bytes`.
fn tree(bytes: &[u8]) -> Result<DynamicMessage, prost::DecodeError> {
    let mut tree = empty();
    tree.merge(bytes)?;
    Ok(tree)
}

/// `number` as a value of this integer type, if it is one.
fn integer(kind: &str, number: i64) -> Option<Value> {
    match kind {
        "int32" | "sint32" | "sfixed32" => number.try_into().ok().map(Value::I32),
        "int64" | "sint64" | "sfixed64" => Some(Value::I64(number)),
        "uint32" | "fixed32" => number.try_into().ok().map(Value::U32),
        "uint64" | "fixed64" => number.try_into().ok().map(Value::U64),
        _ => panic!("{kind}"),
    }
}

fn number() -> impl Strategy<Value = i64> {
    prop_oneof![
        any::<i64>(),
        any::<i32>().prop_map(i64::from),
        any::<u32>().prop_map(i64::from),
        -200_i64..200
    ]
}

/// A thing as prost-reflect encodes it.
fn thing() -> impl Strategy<Value = Vec<u8>> {
    let leaf = (
        prop::collection::vec((0..KINDS.len(), number()), 0..6),
        prop::collection::vec((0..KINDS.len(), prop::collection::vec(number(), 0..4)), 0..4),
        prop::option::of(any::<bool>()),
        prop::collection::vec(any::<bool>(), 0..4),
        prop::option::of("[a-z]{0,4}"),
        prop::option::of((0_i64..1_000_000, 0..1_000_000_000)),
    );
    let leaf = leaf.prop_map(|(numbers, lists, flag, flags, text, at)| {
        let mut thing = empty();
        for (kind, number) in numbers {
            if let Some(value) = integer(KINDS[kind], number) {
                thing.set_field_by_name(KINDS[kind], value);
            }
        }
        for (kind, list) in lists {
            let list = list.into_iter().filter_map(|number| integer(KINDS[kind], number)).collect();
            thing.set_field_by_name(&format!("{}_list", KINDS[kind]), Value::List(list));
        }
        thing.set_field_by_name("flag_list", Value::List(flags.into_iter().map(Value::Bool).collect()));
        if let Some(flag) = flag {
            thing.set_field_by_name("flag", Value::Bool(flag));
        }
        if let Some(text) = text {
            thing.set_field_by_name("text", Value::String(text));
        }
        if let Some((seconds, nanos)) = at {
            let timestamp = MESSAGES.get_message_by_name("google.protobuf.Timestamp").expect("known");
            let mut message = DynamicMessage::new(timestamp);
            message.set_field_by_name("seconds", Value::I64(seconds));
            message.set_field_by_name("nanos", Value::I32(nanos));
            thing.set_field_by_name("at", Value::Message(message));
        }
        thing
    });
    let with_child = leaf.prop_recursive(3, 6, 1, |inner| {
        inner.prop_map(|child| {
            let mut thing = child.clone();
            thing.set_field_by_name("child", Value::Message(child));
            thing
        })
    });
    with_child.prop_map(|thing| thing.encode_to_vec())
}

fn output(message: &[u8]) -> Result<String, String> {
    let json = encode::json(&ECHO, message).map_err(|error| error.to_string())?;
    Ok(String::from_utf8(json).expect("UTF-8"))
}

proptest! {
    #[test]
    fn integers_of_every_kind(kind in prop::sample::select(&KINDS[..]), numbers in prop::collection::vec(number(), 1..4)) {
        let body = json!({ kind: numbers[0], (format!("{kind}List")): numbers }).to_string();
        let values: Option<Vec<Value>> = numbers.iter().map(|number| integer(kind, *number)).collect();
        let decoded = decode::json(&ECHO, body.as_bytes(), "did:plc:caller");
        let Some(values) = values else {
            let refused = decoded.expect_err("no integer of the type").to_string();
            prop_assert!(refused.ends_with("the integer is out of range"), "{}", refused);
            return Ok(());
        };
        let request = decoded.expect("integers of the type");
        let tree = tree(&request).expect("a message");
        prop_assert_eq!(&*tree.get_field_by_name(kind).expect("known"), &values[0]);
        let list = Value::List(values);
        prop_assert_eq!(&*tree.get_field_by_name(&format!("{kind}_list")).expect("known"), &list);
        // As it was written, and as prost-reflect writes it: packed.
        prop_assert_eq!(output(&request), Ok(body.clone()));
        prop_assert_eq!(output(&tree.encode_to_vec()), Ok(body));
    }

    /// A message is what all of its pieces are together.
    #[test]
    fn pieces_are_put_together(pieces in prop::collection::vec(thing(), 1..4)) {
        let bytes = pieces.concat();
        let whole = tree(&bytes).expect("a message").encode_to_vec();
        prop_assert_eq!(output(&bytes), output(&whole));
    }

    #[test]
    fn what_prost_reflect_refuses_is_refused(thing in thing(), at in any::<prop::sample::Index>(), bits in 1_u8..) {
        let mut bytes = thing;
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] ^= bits;
        }
        match tree(&bytes) {
            Ok(tree) => prop_assert_eq!(output(&bytes), output(&tree.encode_to_vec())),
            Err(_) => prop_assert!(output(&bytes).is_err()),
        }
    }
}

/// A thing in a thing, so many of them.
fn nested(things: usize) -> Vec<u8> {
    (1..things).fold(Vec::new(), |inner, _| {
        let mut outer = Vec::new();
        super::Slot::new(34, &mut outer).delimited(&inner);
        outer
    })
}

#[test]
fn deep_messages_are_refused() {
    assert!(output(&nested(100)).is_ok());
    assert!(tree(&nested(100)).is_ok());
    let refused = output(&nested(101)).expect_err("too deep");
    assert!(refused.ends_with("nests deeper than 100 messages"), "{refused}");
}

#[test]
fn fields_that_nobody_knows_are_skipped_whatever_they_are() {
    for unknown in [
        &b"\xa0\x06\x01"[..],                        // a varint
        b"\xa1\x06\x01\x02\x03\x04\x05\x06\x07\x08", // 64 bits
        b"\xa2\x06\x03new",                          // bytes
        b"\xa5\x06\x01\x02\x03\x04",                 // 32 bits
        b"\xa3\x06\x08\x01\xa4\x06",                 // a group
    ] {
        let bytes = [unknown, b"\x8a\x02\x01a", unknown].concat();
        assert_eq!(output(&bytes).as_deref(), Ok(r#"{"text":"a"}"#), "{unknown:?}");
    }
    assert!(output(b"\xa3\x06\x08\x01\xac\x06").is_err(), "a group that another one's end ends");
}
