//! The bound methods as an OpenAPI 3.1 document, for programs that don't know lexicons.
//!
//! A lexicon counts bytes and graphemes where JSON Schema counts characters. The rules here are never
//! stricter than the lexicon's; the exact ones stand in the descriptions.

mod schema;

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use self::schema::schema;
use super::client::Service;
use super::documents::{Described, key};
use super::example;
use crate::binding::Verb;
use crate::error_name::ErrorName;
use crate::lexicon::schema::{DeclaredError, Object};

const VERSION: &str = "3.1.0";
const JSON: &str = "application/json";

/// The document.
pub(super) fn document(service: &Service, methods: &[Described<'_>]) -> Value {
    let mut paths = Map::new();
    let mut schemas = Map::from_iter([("Error".to_owned(), error_schema())]);
    for method in methods {
        let verb = match method.verb {
            Verb::Query => "get",
            Verb::Procedure => "post",
        };
        paths.insert(format!("/xrpc/{}", method.nsid()), json!({ verb: operation(method) }));
        for (reference, referred) in &method.definitions {
            schemas.entry(key(reference)).or_insert_with(|| schema(referred));
        }
    }
    json!({
        "openapi": VERSION,
        "info": {
            "title": format!("XRPC methods of {}", service.did),
            "version": service.version,
            "description": format!(
                "AT Protocol service auth: a token of the caller's PDS (com.atproto.server.getServiceAuth) \
                 whose lxm is the method and whose aud is one of {}.",
                service.audiences.join(", ")
            ),
        },
        "servers": [{ "url": service.url }],
        "security": [{ "serviceAuth": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "serviceAuth": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" },
            },
        },
    })
}

fn operation(method: &Described<'_>) -> Value {
    let Described { document, verb: _, operation, definitions: _ } = method;
    let mut object = Map::from_iter([
        ("operationId".to_owned(), json!(document.id)),
        ("responses".to_owned(), responses(method)),
    ]);
    let description = operation.description.as_ref().or(document.description.as_ref());
    if let Some(description) = description {
        object.insert("description".to_owned(), json!(description));
    }
    if let Some(family) = document.id.rsplit_once('.').map(|(family, _)| family) {
        object.insert("tags".to_owned(), json!([family]));
    }
    if let Some(parameters) = &operation.parameters {
        object.insert("parameters".to_owned(), self::parameters(parameters));
    }
    if let Some(input) = &operation.input {
        let mut media = media(input.schema.as_ref().map(schema));
        if let Some(example) = example::input(method) {
            media[JSON]["example"] = example;
        }
        object.insert("requestBody".to_owned(), json!({ "required": true, "content": media }));
    }
    Value::Object(object)
}

fn parameters(parameters: &Object) -> Value {
    let one = |(name, parameter): &(String, _)| {
        json!({
            "name": name,
            "in": "query",
            "required": parameters.required.contains(name),
            "schema": schema(parameter),
        })
    };
    parameters.properties.iter().map(one).collect()
}

fn responses(method: &Described<'_>) -> Value {
    let mut responses = Map::new();
    let success = match &method.operation.output {
        Some(output) => {
            json!({ "description": "Success", "content": media(output.schema.as_ref().map(schema)) })
        }
        None => json!({ "description": "Success, without a body" }),
    };
    responses.insert("200".to_owned(), success);
    let declared = &method.operation.errors;
    let shared = ErrorName::ALL.into_iter().filter(|name| *name != ErrorName::NotFound);
    let shared: Vec<_> = shared.map(|name| (name.name(), name.status())).collect();
    let is_declared = |name: &str| declared.iter().any(|error| error.name == name);
    let statuses: BTreeSet<_> = shared.iter().map(|(_, status)| *status).collect();
    for status in statuses {
        let own = declared.iter().filter(|error| ErrorName::declared_status(&error.name) == status);
        let others = shared.iter().filter(|(name, other)| *other == status && !is_declared(name));
        let names: Vec<_> =
            own.clone().map(|error| error.name.as_str()).chain(others.map(|(name, _)| *name)).collect();
        if !names.is_empty() {
            responses.insert(status.as_u16().to_string(), failure(&names, own));
        }
    }
    Value::Object(responses)
}

/// A response with one of these error names.
fn failure<'a>(names: &[&str], described: impl Iterator<Item = &'a DeclaredError>) -> Value {
    let mut description = names.join(", ");
    for DeclaredError { name, description: text } in described {
        if let Some(text) = text {
            description.push_str(&format!("\n\n{name}: {text}"));
        }
    }
    let error = json!({
        "allOf": [{ "$ref": "#/components/schemas/Error" }],
        "properties": { "error": { "enum": names } },
    });
    json!({ "description": description, "content": media(Some(error)) })
}

fn media(schema: Option<Value>) -> Value {
    json!({ JSON: { "schema": schema.unwrap_or(Value::Bool(true)) } })
}

fn error_schema() -> Value {
    json!({
        "type": "object",
        "description": "Every answer but a success",
        "required": ["error", "message"],
        "properties": { "error": { "type": "string" }, "message": { "type": "string" } },
    })
}
