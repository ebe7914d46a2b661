//! Decodes query strings into messages.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use prost_reflect::Value;

use super::DecodeError;
use super::draft::Draft;
use super::scalar::{self, Rule};
use crate::binding::shape::Shape;
use crate::transcode::path::Path;

/// Sets the fields that `query` gives (`a=1&b=2`, percent-encoded, `+` for a space). A repeated name gives a
/// list; unknown names and empty values are ignored.
pub(super) fn read(draft: &mut Draft<'_>, query: &str, root: &Path<'_>) -> Result<(), DecodeError> {
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decode(name)?, decode(value)?);
        let Some(index) = draft.object.find(&name).filter(|_| !value.is_empty()) else { continue };
        let field = &draft.object.fields[index];
        let path = root.name(&field.name);
        let error = |rule| DecodeError::at(&path, rule);
        match &field.shape {
            Shape::List(items) => draft.push(index, parameter(items, value).map_err(error)?),
            _ if draft.is_given(index) => return Err(error("given twice")),
            shape => draft.set(index, parameter(shape, value).map_err(error)?),
        }
    }
    Ok(())
}

fn parameter(shape: &Shape, value: String) -> Result<Value, Rule> {
    match shape {
        Shape::Text => scalar::text(value),
        Shape::Integer(integer) => scalar::integer(&value, *integer),
        Shape::Boolean => value.parse().map(Value::Bool).map_err(|_| "expected true or false"),
        Shape::Datetime(timestamp) => scalar::datetime(&value, timestamp),
        Shape::Object(_) | Shape::List(_) => Err("can't be given in a query string"),
    }
}

fn decode(text: &str) -> Result<String, DecodeError> {
    let incomplete = |rest: &str| !matches!(rest.as_bytes(), [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit());
    if text.split('%').skip(1).any(incomplete) {
        return Err(DecodeError::new("the query string has a % without two hexadecimal digits"));
    }
    let text = text.replace('+', " ");
    let decoded = percent_decode_str(&text).decode_utf8().map(Cow::into_owned);
    decoded.map_err(|_| DecodeError::new("the query string is not valid UTF-8"))
}
