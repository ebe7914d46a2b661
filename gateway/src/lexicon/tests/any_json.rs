//! Documents made of the language's own words in any order: parsed or refused, bound or refused.

use std::sync::LazyLock;

use proptest::prelude::*;
use prost_reflect::DescriptorPool;
use serde_json::{Map, Value, json};

use crate::binding::bind;
use crate::binding::fixture::descriptors;
use crate::lexicon::{Lexicons, parse};

const NSID: &str = "com.example.thing";

static RPC: LazyLock<DescriptorPool> = LazyLock::new(|| {
    descriptors(
        r#"service Things {
          rpc Put(Thing) returns (Thing) { option (xrpc.v1.method) = { nsid: "com.example.thing" }; }
        }
        message Thing { string main = 1; repeated string items = 2; optional int64 a = 3; Thing type = 4; }"#,
    )
});

const KEYS: [&str; 24] = [
    "type",
    "properties",
    "required",
    "nullable",
    "items",
    "ref",
    "refs",
    "input",
    "output",
    "parameters",
    "errors",
    "schema",
    "encoding",
    "name",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "enum",
    "default",
    "format",
    "main",
    "a",
    "record",
];

const WORDS: [&str; 24] = [
    "object",
    "array",
    "string",
    "integer",
    "boolean",
    "ref",
    "union",
    "unknown",
    "blob",
    "bytes",
    "cid-link",
    "token",
    "params",
    "query",
    "procedure",
    "subscription",
    "record",
    "permission-set",
    "#main",
    "#a",
    NSID,
    "application/json",
    "main",
    "a",
];

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        6 => prop::sample::select(WORDS.to_vec()).prop_map(Value::from),
        1 => any::<i8>().prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        let member = (prop::sample::select(KEYS.to_vec()).prop_map(str::to_owned), inner.clone());
        let object =
            prop::collection::vec(member, 0..6).prop_map(|members| Value::Object(Map::from_iter(members)));
        // Most of the language are objects with a type.
        let typed = (object.clone(), prop::sample::select(WORDS.to_vec())).prop_map(|(mut object, word)| {
            object["type"] = word.into();
            object
        });
        prop_oneof![1 => prop::collection::vec(inner, 0..4).prop_map(Value::from), 1 => object, 4 => typed]
    })
}

proptest! {
    #[test]
    fn any_definitions_are_parsed_or_refused(main in json(), other in json(), defs in json()) {
        for defs in [json!({ "main": main, "a": other }), defs] {
            let document = json!({ "lexicon": 1, "id": NSID, "defs": defs }).to_string();
            if parse::document(&document).is_ok() {
                let lexicons = Lexicons::from_texts([("it".to_owned(), document)]).expect("parsed already");
                let _bound = bind(&lexicons, &RPC);
            }
        }
    }

    #[test]
    fn any_json_is_parsed_or_refused(json in json()) {
        prop_assert!(parse::document(&json.to_string()).is_err());
    }
}
