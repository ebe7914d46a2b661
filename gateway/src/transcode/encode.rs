//! A response message of an rpc, as the JSON that the lexicon promises.
//!
//! One pass from the bytes of a message to those of its JSON, driven by the bound shapes. Fields stand in the lexicon's
//! order. `false` and `0` are written, required lists also when empty; optional fields that are absent or empty are left
//! out. What the lexicon promises and the message lacks is an error of the service, never of the client. Fields that the
//! lexicon does not know are ignored.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::cell::RefCell;

use prost::Message as _;
use prost::encoding::WireType;
use prost_types::Timestamp;
use serde::Serialize;
use serde::ser::{Error as _, SerializeMap as _, SerializeSeq as _, Serializer};

use crate::binding::Method;
use crate::binding::shape::{Field, Object, Shape};
use crate::transcode::datetime;
use crate::transcode::path::Path;
use crate::transcode::wire::{self, Found, WireError};

/// How deep messages may be in each other, as prost has it.
const MAX_DEPTH: usize = 100;

/// Why a response can't be the output of the method: a fault of the service.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EncodeError {
    /// The bytes are no message of the response's type.
    #[error("the answer is no message of its type")]
    Message(#[source] WireError),
    /// The message is not what the lexicon promises; the text says where.
    #[error("the answer does not fit the lexicon: {0}")]
    Shape(String),
}

/// The output of `method`, from the encoded response `message`; nothing when the lexicon declares no output.
pub(crate) fn json(method: &Method, message: &[u8]) -> Result<Vec<u8>, EncodeError> {
    let Some(object) = method.response() else { return Ok(Vec::new()) };
    let context = Context { method, broken: RefCell::new(None) };
    let root = Path::root("output");
    let output = Output { context: &context, path: &root, object, message, depth: 1 };
    serde_json::to_vec(&output).map_err(|error| match context.broken.take() {
        Some(broken) => EncodeError::Message(broken),
        None => EncodeError::Shape(error.to_string()),
    })
}

/// What all parts of one output share.
struct Context<'m> {
    method: &'m Method,
    /// The first bytes that were not what they should be: serde's errors are texts.
    broken: RefCell<Option<WireError>>,
}

impl Context<'_> {
    fn break_off<E: serde::ser::Error>(&self, error: WireError) -> E {
        self.broken.borrow_mut().get_or_insert(error);
        E::custom("no message")
    }
}

struct Output<'a> {
    context: &'a Context<'a>,
    path: &'a Path<'a>,
    object: &'a Object,
    message: &'a [u8],
    depth: usize,
}

impl Serialize for Output<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { context, path, object, message, depth } = *self;
        if depth > MAX_DEPTH {
            return Err(S::Error::custom(format!("{path}: nests deeper than {MAX_DEPTH} messages")));
        }
        let found = wire::fields(object, message).map_err(|error| context.break_off(error))?;
        let mut map = serializer.serialize_map(None)?;
        for (index, field) in object.fields.iter().enumerate() {
            let Field { name, proto_name: _, number: _, required, presence, shape, default: _ } = field;
            let path = path.name(name);
            let values = found.iter().filter(|found| found.field == index).copied();
            let value = value(context.method, shape, values).map_err(|error| context.break_off(error))?;
            let value = match value {
                Some(value) => value,
                None if *presence && *required => {
                    return Err(S::Error::custom(format!("{path}: required")));
                }
                None if *presence => continue,
                None => zero(context.method, shape),
            };
            if *required || !value.is_empty() {
                map.serialize_entry(name, &OutputValue { context, path: &path, value: &value, depth })?;
            }
        }
        map.end()
    }
}

/// A value of a message. It borrows from the message where it can.
enum Value<'a> {
    Text(&'a str),
    Boolean(bool),
    /// `None`: beyond the integers of a lexicon.
    Integer(Option<i64>),
    /// An encoded Timestamp.
    Datetime(Cow<'a, [u8]>),
    /// An encoded message.
    Object(&'a Object, Cow<'a, [u8]>),
    List(Vec<Value<'a>>),
}

impl Value<'_> {
    /// Whether an optional field that holds it is left out.
    fn is_empty(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::List(list) => list.is_empty(),
            Self::Boolean(_) | Self::Integer(_) | Self::Datetime(_) | Self::Object(..) => false,
        }
    }
}

/// What a field without presence holds when nothing was found of it.
fn zero<'a>(method: &'a Method, shape: &Shape) -> Value<'a> {
    match shape {
        Shape::Text => Value::Text(""),
        Shape::Boolean => Value::Boolean(false),
        Shape::Integer(_) => Value::Integer(Some(0)),
        Shape::Datetime => Value::Datetime(Cow::Borrowed(b"")),
        Shape::Object(id) => Value::Object(method.object(*id), Cow::Borrowed(b"")),
        Shape::List(_) => Value::List(Vec::new()),
    }
}

/// What a field holds of which these `values` were found, if there are any. Of several the last one counts, messages are
/// put together.
fn value<'a>(
    method: &'a Method,
    shape: &Shape,
    values: impl Iterator<Item = Found<'a>>,
) -> Result<Option<Value<'a>>, WireError> {
    if let Shape::List(_) = shape {
        let mut elements = Vec::new();
        for found in values {
            found.elements(wire_type(shape), &mut elements)?;
        }
        let list: Result<Vec<_>, _> = elements.into_iter().map(|one| read(method, shape, one)).collect();
        let list = list?;
        return Ok((!list.is_empty()).then_some(Value::List(list)));
    }
    let mut held = None;
    for found in values {
        held = Some(match (held, read(method, shape, found)?) {
            (Some(Value::Datetime(before)), Value::Datetime(next)) => {
                Value::Datetime([before, next].concat().into())
            }
            (Some(Value::Object(object, before)), Value::Object(_, next)) => {
                Value::Object(object, [before, next].concat().into())
            }
            (_, next) => next,
        });
    }
    Ok(held)
}

/// A value, or an element of a list.
fn read<'a>(method: &'a Method, shape: &Shape, found: Found<'a>) -> Result<Value<'a>, WireError> {
    match shape {
        Shape::Text => found.text().map(Value::Text),
        Shape::Boolean => found.boolean().map(Value::Boolean),
        Shape::Integer(integer) => found.integer(*integer).map(Value::Integer),
        Shape::Datetime => found.delimited().map(|message| Value::Datetime(message.into())),
        Shape::Object(id) => {
            found.delimited().map(|message| Value::Object(method.object(*id), message.into()))
        }
        Shape::List(items) => read(method, items, found),
    }
}

/// That of a value, or of an element of a list.
fn wire_type(shape: &Shape) -> WireType {
    match shape {
        Shape::Boolean => WireType::Varint,
        Shape::Integer(integer) => wire::wire_type(*integer),
        Shape::Text | Shape::Datetime | Shape::Object(_) => WireType::LengthDelimited,
        Shape::List(items) => wire_type(items),
    }
}

struct OutputValue<'a> {
    context: &'a Context<'a>,
    path: &'a Path<'a>,
    value: &'a Value<'a>,
    depth: usize,
}

impl Serialize for OutputValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { context, path, value, depth } = *self;
        match value {
            Value::Text(text) => serializer.serialize_str(text),
            Value::Boolean(value) => serializer.serialize_bool(*value),
            Value::Integer(Some(number)) => serializer.serialize_i64(*number),
            Value::Integer(None) => Err(S::Error::custom(format!("{path}: the integer is out of range"))),
            Value::Datetime(message) => {
                let timestamp =
                    Timestamp::decode(&**message).map_err(|error| context.break_off(error.into()))?;
                match datetime::write(timestamp) {
                    Some(text) => serializer.serialize_str(&text),
                    None => Err(S::Error::custom(format!("{path}: the time is out of range"))),
                }
            }
            Value::Object(object, message) => {
                Output { context, path, object, message, depth: depth + 1 }.serialize(serializer)
            }
            Value::List(list) => {
                let mut written = serializer.serialize_seq(Some(list.len()))?;
                for (index, value) in list.iter().enumerate() {
                    written.serialize_element(&OutputValue {
                        context,
                        path: &path.index(index),
                        value,
                        depth,
                    })?;
                }
                written.end()
            }
        }
    }
}
