//! Property tests: documents of random words of the language never panic in the parser or in binding.

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
        // Most values of the language are objects with a type.
        let typed = (object.clone(), prop::sample::select(WORDS.to_vec())).prop_map(|(mut object, word)| {
            object["type"] = word.into();
            object
        });
        prop_oneof![1 => prop::collection::vec(inner, 0..4).prop_map(Value::from), 1 => object, 4 => typed]
    })
}

/// A schema that is nearly always valid.
fn schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        6 => prop::sample::select(WORDS.to_vec()).prop_map(|word| json!({ "type": word })),
        2 => prop::sample::select(vec!["#main", "#a", "com.example.thing#b"]).prop_map(|to| json!({ "type": "ref", "ref": to })),
        1 => Just(json!({ "type": "union", "refs": ["#a"] })),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        let name =
            || prop::sample::select(vec!["main", "items", "a", "type", "other"]).prop_map(str::to_owned);
        let properties = prop::collection::hash_map(name(), inner.clone(), 0..4);
        let object = properties.prop_map(|properties| {
            let required: Vec<_> = properties.keys().take(1).cloned().collect();
            json!({ "type": "object", "required": required, "properties": properties })
        });
        prop_oneof![2 => object, 1 => inner.prop_map(|items| json!({ "type": "array", "items": items }))]
    })
}

/// A method that is nearly always valid.
fn method() -> impl Strategy<Value = Value> {
    let body = || {
        prop::option::of(
            schema().prop_map(|schema| json!({ "encoding": "application/json", "schema": schema })),
        )
    };
    let parameters = prop::option::of(schema().prop_map(|mut schema| {
        schema["type"] = "params".into();
        schema
    }));
    (any::<bool>(), parameters, body(), body()).prop_map(|(query, parameters, input, output)| {
        let mut method = json!({ "type": if query { "query" } else { "procedure" } });
        for (name, part) in
            [("parameters", parameters), ("input", input.filter(|_| !query)), ("output", output)]
        {
            if let Some(part) = part {
                method[name] = part;
            }
        }
        method
    })
}

proptest! {
    #[test]
    fn any_method_is_bound_or_refused(main in method(), a in schema(), b in schema()) {
        let document = json!({ "lexicon": 1, "id": NSID, "defs": { "main": main, "a": a, "b": b } }).to_string();
        if let Ok(lexicons) = Lexicons::from_texts([("it".to_owned(), document)]) {
            let _bound = bind(&lexicons, &RPC);
        }
    }

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
