//! Every integer type of a proto, alone and in a list.

use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use serde_json::json;

use crate::binding::Method;
use crate::binding::fixture::method;
use crate::transcode::{decode, encode};

const TYPES: [&str; 10] =
    ["int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32", "fixed64", "sfixed32", "sfixed64"];

/// A method whose output is its input: a field `<type>` and a list `<type>List` of each type.
static ECHO: LazyLock<Arc<Method>> = LazyLock::new(|| {
    let properties = TYPES.map(|name| {
        format!(
            r#""{name}": {{"type": "integer"}}, "{name}List": {{"type": "array", "items": {{"type": "integer"}}}}"#
        )
    });
    let lexicon = format!(
        r##"{{
        "main": {{"type": "procedure",
            "input": {{"encoding": "application/json", "schema": {{"type": "ref", "ref": "#numbers"}}}},
            "output": {{"encoding": "application/json", "schema": {{"type": "ref", "ref": "#numbers"}}}}}},
        "numbers": {{"type": "object", "properties": {{{}}}}}
        }}"##,
        properties.join(",")
    );
    let fields = TYPES.iter().zip(0..).map(|(name, index)| {
        let (one, list) = (2 * index + 1, 2 * index + 2);
        format!("optional {name} {name} = {one}; repeated {name} {name}_list = {list};\n")
    });
    let proto = format!(
        r#"
        service Things {{
          rpc Echo(Numbers) returns (Numbers) {{ option (xrpc.v1.method) = {{ nsid: "com.example.echo" }}; }}
        }}
        message Numbers {{ {} }}
        "#,
        fields.collect::<String>()
    );
    method(&[("com.example.echo", &lexicon)], &proto)
});

/// Whether `number` is in the range of the type.
fn fits(name: &str, number: i64) -> bool {
    match name {
        "int32" | "sint32" | "sfixed32" => i32::try_from(number).is_ok(),
        "int64" | "sint64" | "sfixed64" => true,
        "uint32" | "fixed32" => u32::try_from(number).is_ok(),
        "uint64" | "fixed64" => number >= 0,
        _ => panic!("{name}"),
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

proptest! {
    #[test]
    fn in_range_come_back_and_others_are_refused(
        name in prop::sample::select(&TYPES[..]),
        numbers in prop::collection::vec(number(), 1..4),
    ) {
        let body = json!({ name: numbers[0], (format!("{name}List")): numbers }).to_string();
        let decoded = decode::json(&ECHO, body.as_bytes(), "did:plc:caller");
        if numbers.iter().all(|number| fits(name, *number)) {
            let output = encode::json(&ECHO, &decoded.expect("in range")).expect("encodes");
            prop_assert_eq!(String::from_utf8(output).expect("UTF-8"), body);
        } else {
            let refused = decoded.expect_err("out of range").to_string();
            prop_assert!(refused.ends_with("the integer is out of range"), "{}", refused);
        }
    }
}
