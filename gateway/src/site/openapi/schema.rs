//! A schema of a lexicon as JSON Schema.

use serde_json::{Map, Value, json};

use crate::lexicon::schema::{Array, Boolean, Integer, Object, Schema, Text, Type};
use crate::site::documents::key;
use crate::site::facts;

/// The most bytes of a character in UTF-8.
const BYTES_OF_CHARACTER: u64 = 4;

/// As JSON Schema (2020-12, which OpenAPI 3.1 has). References lead to the components of the document.
pub(super) fn schema(schema: &Schema) -> Value {
    let mut json = match &schema.kind {
        Type::Object(properties) => object(properties),
        Type::Array(Array { items, min_length, max_length }) => fields([
            ("type", Some(json!("array"))),
            ("items", Some(self::schema(items))),
            ("minItems", min_length.map(Value::from)),
            ("maxItems", max_length.map(Value::from)),
        ]),
        Type::String(text) => string(text),
        Type::Integer(Integer { minimum, maximum, values, default }) => fields([
            ("type", Some(json!("integer"))),
            ("minimum", minimum.map(Value::from)),
            ("maximum", maximum.map(Value::from)),
            ("enum", values.as_ref().map(|values| json!(values))),
            ("default", default.map(Value::from)),
        ]),
        Type::Boolean(Boolean { constant, default }) => fields([
            ("type", Some(json!("boolean"))),
            ("const", constant.map(Value::from)),
            ("default", default.map(Value::from)),
        ]),
        Type::Ref(reference) => {
            fields([("$ref", Some(json!(format!("#/components/schemas/{}", key(reference)))))])
        }
        Type::Unsupported(_) => Map::new(),
    };
    if let Some(description) = description(schema) {
        json.insert("description".to_owned(), json!(description));
    }
    Value::Object(json)
}

fn object(object: &Object) -> Map<String, Value> {
    let properties = object.properties.iter().map(|(name, property)| (name.clone(), schema(property)));
    fields([
        ("type", Some(json!("object"))),
        ("properties", Some(Value::Object(properties.collect()))),
        ("required", (!object.required.is_empty()).then(|| json!(object.required))),
    ])
}

fn string(text: &Text) -> Map<String, Value> {
    let Text {
        format,
        min_length,
        max_length,
        min_graphemes: _,
        max_graphemes: _,
        values,
        known_values,
        default,
    } = text;
    let format = format.as_deref().map(|format| if format == "datetime" { "date-time" } else { format });
    fields([
        ("type", Some(json!("string"))),
        ("format", format.map(Value::from)),
        ("minLength", min_length.map(|bytes| bytes.div_ceil(BYTES_OF_CHARACTER).into())),
        ("maxLength", max_length.map(Value::from)),
        ("enum", values.as_ref().map(|values| json!(values))),
        ("examples", known_values.as_ref().map(|values| json!(values))),
        ("default", default.as_ref().map(|default| json!(default))),
    ])
}

/// The lexicon's, with the rules of a string, which JSON Schema can't tell exactly.
fn description(schema: &Schema) -> Option<String> {
    let mut description = schema.description.clone().unwrap_or_default();
    if let Type::String(_) = schema.kind {
        let facts = facts::of(schema);
        if !facts.is_empty() {
            let separator = if description.is_empty() { "" } else { " " };
            description.push_str(&format!("{separator}({})", facts.join("; ")));
        }
    }
    (!description.is_empty()).then_some(description)
}

fn fields<const N: usize>(fields: [(&str, Option<Value>); N]) -> Map<String, Value> {
    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}
