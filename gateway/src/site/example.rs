//! An example of what a method takes: a value that fits a schema, and the curl command that sends it.

use serde_json::{Map, Value, json};

use super::documents::Described;
use crate::binding::Verb;
use crate::lexicon::schema::{Boolean, Integer, Object, Reference, Schema, Text, Type};

/// Objects within each other in an example: one that must contain itself can't be shown whole.
const MAX_DEPTH: usize = 16;
/// The longest text that an example makes up, in bytes.
const MAX_TEXT_BYTES: u64 = 1_024;

/// A command for a shell that calls the method at the `origin`, with a token in `$TOKEN`.
pub(super) fn curl(method: &Described<'_>, origin: &str) -> String {
    let mut url = format!("{origin}/xrpc/{}", method.nsid());
    let mut rest = " \\\n  -H \"Authorization: Bearer $TOKEN\"".to_owned();
    match method.verb {
        Verb::Query => {
            let query = method.operation.parameters.as_ref().map(|object| query(method, object));
            let query = query.unwrap_or_default();
            if !query.is_empty() {
                url = format!("{url}?{query}");
            }
        }
        Verb::Procedure => match input(method) {
            Some(body) => {
                rest.push_str(" \\\n  -H 'Content-Type: application/json'");
                rest.push_str(&format!(" \\\n  -d {}", quoted(&body.to_string())));
            }
            None => rest.push_str(" \\\n  -X POST"),
        },
    }
    format!("curl {}{rest}", quoted(&url))
}

/// An example of the input; `None` if the method takes none.
pub(super) fn input(method: &Described<'_>) -> Option<Value> {
    let schema = method.operation.input.as_ref()?.schema.as_ref()?;
    Some(value(method, schema, 0))
}

/// The text as one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn query(method: &Described<'_>, parameters: &Object) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    let Value::Object(required) = object(method, parameters, 0) else { return String::new() };
    for (name, value) in &required {
        for one in value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice) {
            let text = one.as_str().map_or_else(|| one.to_string(), str::to_owned);
            query.append_pair(name, &text);
        }
    }
    query.finish()
}

fn value(method: &Described<'_>, schema: &Schema, depth: usize) -> Value {
    match &schema.kind {
        Type::Object(properties) => object(method, properties, depth),
        Type::Array(array) => {
            let length = array.min_length.unwrap_or(1).clamp(1, 3);
            (0..length).map(|_| value(method, &array.items, depth + 1)).collect()
        }
        Type::String(text) => json!(string(text)),
        Type::Integer(Integer { minimum, maximum: _, values, default }) => {
            let listed = values.as_ref().and_then(|values| values.first()).copied();
            json!(default.or(listed).or(*minimum).unwrap_or(1))
        }
        Type::Boolean(Boolean { constant, default }) => json!(constant.or(*default).unwrap_or(true)),
        Type::Ref(reference) => referred(method, reference, depth),
        Type::Unsupported(_) => Value::Null,
    }
}

fn referred(method: &Described<'_>, reference: &Reference, depth: usize) -> Value {
    let found = method.definitions.iter().find(|(known, _)| known == reference);
    found.filter(|_| depth < MAX_DEPTH).map_or(Value::Null, |(_, schema)| value(method, schema, depth + 1))
}

/// With what is required alone.
fn object(method: &Described<'_>, object: &Object, depth: usize) -> Value {
    let required = object.properties.iter().filter(|(name, _)| object.required.contains(name));
    let fields = required.map(|(name, schema)| (name.clone(), value(method, schema, depth + 1)));
    Value::Object(fields.collect::<Map<_, _>>())
}

fn string(text: &Text) -> String {
    let listed = text.values.as_ref().or(text.known_values.as_ref()).and_then(|values| values.first());
    if let Some(value) = text.default.as_ref().or(listed) {
        return value.clone();
    }
    let formatted = match text.format.as_deref() {
        Some("at-identifier" | "handle") => "alice.example.com",
        Some("at-uri") => "at://did:plc:ewvi7nxzyoun6zhxrhs64oiz/com.example.record/self",
        Some("cid") => "bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a",
        Some("datetime") => "2026-01-31T12:00:00.000Z",
        Some("did") => "did:plc:ewvi7nxzyoun6zhxrhs64oiz",
        Some("language") => "en",
        Some("nsid") => "com.example.record",
        Some("record-key") => "self",
        Some("tid") => "3jzfcijpj2z2a",
        Some("uri") => "https://example.com/hook",
        _ => "text",
    };
    let mut example = formatted.to_owned();
    if text.format.is_none() {
        let least = text.min_length.unwrap_or_default().max(text.min_graphemes.unwrap_or_default());
        while (example.len() as u64) < least.min(MAX_TEXT_BYTES) {
            example.push('x');
        }
        let most = text.max_length.unwrap_or(u64::MAX).min(text.max_graphemes.unwrap_or(u64::MAX));
        example.truncate(usize::try_from(most).unwrap_or(usize::MAX));
    }
    example
}
