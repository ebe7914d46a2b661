//! The OpenAPI document: its references, and what a rule of a lexicon becomes.

use serde_json::{Value, json};

use super::{config, garden};
use crate::binding::{Methods, bind};
use crate::lexicon::Lexicons;
use crate::site::client::Service;
use crate::site::documents::described;
use crate::site::openapi::document;

fn document_of(lexicons: &Lexicons, methods: &Methods) -> Value {
    document(&Service::new(&config(&[])), &described(lexicons, methods))
}

/// Everything that `$ref` leads to.
fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(elements) => elements.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn references_resolve() {
    let embedded = Lexicons::embedded().unwrap();
    let pool = prost_reflect::DescriptorPool::decode(proto::DESCRIPTORS).unwrap();
    let own = (bind(&embedded, &pool).unwrap(), embedded);
    let (lexicons, methods) = garden();
    for (methods, lexicons) in [own, (methods, lexicons)] {
        let document = document_of(&lexicons, &methods);
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(!found.is_empty());
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
        assert_eq!(document["paths"].as_object().unwrap().len(), methods.iter().len());
    }
}

#[test]
fn operations() {
    let (lexicons, methods) = garden();
    let document = document_of(&lexicons, &methods);
    assert_eq!(
        (&document["openapi"], &document["servers"][0]["url"]),
        (&json!("3.1.0"), &json!("http://localhost:8080"))
    );

    let look = &document["paths"]["/xrpc/com.example.garden.look"]["get"];
    assert_eq!(
        look["parameters"][1],
        json!({
            "name": "limit", "in": "query", "required": true,
            "schema": { "type": "integer", "minimum": 3 },
        })
    );
    let row = json!({ "schema": { "$ref": "#/components/schemas/com.example.defs_row" } });
    assert_eq!(look["responses"]["200"]["content"]["application/json"], row);

    let plant = &document["paths"]["/xrpc/com.example.garden.plant"]["post"];
    let properties = &plant["requestBody"]["content"]["application/json"]["schema"]["properties"];
    assert_eq!(
        properties["bed"],
        json!({
            "type": "string", "minLength": 2, "maxLength": 20,
            "description": "\"onload=\"alert(2) (8 to 20 bytes)",
        })
    );
    assert_eq!(properties["when"], json!({ "type": "string", "format": "date-time" }));
    assert_eq!(properties["rows"]["minItems"], 2);
    let names = |status: &str| {
        let schema = &plant["responses"][status]["content"]["application/json"]["schema"];
        schema["properties"]["error"]["enum"].clone()
    };
    assert_eq!(names("400"), json!(["Frozen", "InvalidRequest"]));
    assert_eq!(names("401"), json!(["AuthenticationRequired"]));
    assert_eq!(names("429"), json!(["RateLimitExceeded"]));
    assert_eq!(plant["responses"].get("404"), None);
    assert_eq!(
        document["components"]["schemas"]["com.example.defs_row"]["required"],
        json!(["plant", "below"])
    );
}
