//! Serializes the response message of an rpc as the JSON that the lexicon promises, driven by the bound
//! shapes.
//!
//! Fields are in the lexicon's order. `false` and `0` are written, and so are required lists that are empty.
//! Optional fields that are absent or empty are left out. A message without a field that the lexicon requires
//! is a fault of the service, not of the client. Fields that the descriptors do not know are ignored.

#[cfg(test)]
mod tests;

use prost_reflect::{DynamicMessage, Value};
use serde::Serialize;
use serde::ser::{Error as _, SerializeMap as _, SerializeSeq as _, Serializer};

use crate::binding::Method;
use crate::binding::shape::{Field, Object, Shape};
use crate::transcode::datetime;
use crate::transcode::path::Path;

/// Why a response is not a valid output of the method: a fault of the service.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EncodeError {
    /// The bytes can't be decoded as the response message.
    #[error("the answer is no message of its type")]
    Message(#[source] prost::DecodeError),
    /// The message is not what the lexicon promises. The text has the path.
    #[error("the answer does not fit the lexicon: {0}")]
    Shape(String),
}

/// The output of `method` as JSON, from the encoded response `message`. Empty if the lexicon declares no
/// output.
pub(crate) fn json(method: &Method, message: &[u8]) -> Result<Vec<u8>, EncodeError> {
    let Some(object) = method.response() else { return Ok(Vec::new()) };
    let message = DynamicMessage::decode(object.descriptor.clone(), message).map_err(EncodeError::Message)?;
    let root = Path::root("output");
    let output = Output { method, path: &root, object, message: &message };
    serde_json::to_vec(&output).map_err(|error| EncodeError::Shape(error.to_string()))
}

struct Output<'a> {
    method: &'a Method,
    path: &'a Path<'a>,
    object: &'a Object,
    message: &'a DynamicMessage,
}

impl Serialize for Output<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { method, path, object, message } = *self;
        let mut map = serializer.serialize_map(None)?;
        for field in &object.fields {
            let Field { name, descriptor, required, shape, default: _ } = field;
            let path = path.name(name);
            if descriptor.supports_presence() && !message.has_field(descriptor) {
                if *required {
                    return Err(S::Error::custom(format!("{path}: required")));
                }
                continue;
            }
            let value = message.get_field(descriptor);
            if *required || !is_empty(&value) {
                map.serialize_entry(name, &OutputValue { method, path: &path, shape, value: &value })?;
            }
        }
        map.end()
    }
}

/// Whether an optional field with this value is left out.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::List(list) => list.is_empty(),
        _ => false,
    }
}

struct OutputValue<'a> {
    method: &'a Method,
    path: &'a Path<'a>,
    shape: &'a Shape,
    value: &'a Value,
}

impl Serialize for OutputValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { method, path, shape, value } = *self;
        match (shape, value) {
            (Shape::Text, Value::String(text)) => serializer.serialize_str(text),
            (Shape::Boolean, Value::Bool(value)) => serializer.serialize_bool(*value),
            (Shape::Integer(_), Value::I32(number)) => serializer.serialize_i32(*number),
            (Shape::Integer(_), Value::U32(number)) => serializer.serialize_u32(*number),
            (Shape::Integer(_), Value::I64(number)) => serializer.serialize_i64(*number),
            // Integers of a lexicon are signed.
            (Shape::Integer(_), Value::U64(number)) => match i64::try_from(*number) {
                Ok(number) => serializer.serialize_i64(number),
                Err(_) => Err(S::Error::custom(format!("{path}: the integer is out of range"))),
            },
            (Shape::Datetime(_), Value::Message(timestamp)) => match datetime::write(timestamp) {
                Some(text) => serializer.serialize_str(&text),
                None => Err(S::Error::custom(format!("{path}: the time is out of range"))),
            },
            (Shape::Object(id), Value::Message(message)) => {
                Output { method, path, object: method.object(*id), message }.serialize(serializer)
            }
            (Shape::List(items), Value::List(values)) => {
                let mut list = serializer.serialize_seq(Some(values.len()))?;
                for (index, value) in values.iter().enumerate() {
                    let path = path.index(index);
                    list.serialize_element(&OutputValue { method, path: &path, shape: items, value })?;
                }
                list.end()
            }
            _ => Err(S::Error::custom(format!("{path}: not of the type that was bound"))),
        }
    }
}
