//! Lexicon defaults as values of proto fields.

use prost_reflect::Value;

use super::shape::Shape;
use crate::lexicon::schema::{Boolean, Integer, Schema, Text, Type};
use crate::transcode::datetime;

/// The default of `schema`, if it has one. `Err` says what is wrong with it, as the end of a sentence.
pub(super) fn value(schema: &Schema, shape: &Shape) -> Result<Option<Value>, &'static str> {
    match (&schema.kind, shape) {
        (Type::String(text), Shape::Text) => {
            Ok(string(text)?.map(|default| Value::String(default.to_owned())))
        }
        (Type::String(text), Shape::Datetime(timestamp)) => {
            let Some(default) = string(text)? else { return Ok(None) };
            let message = datetime::read(default, timestamp).ok_or("is no datetime")?;
            Ok(Some(Value::Message(message)))
        }
        (Type::Integer(integer), Shape::Integer(kind)) => {
            let Some(default) = number(integer)? else { return Ok(None) };
            let value = kind.value(default).ok_or("does not fit the type of the proto field")?;
            Ok(Some(value))
        }
        (Type::Boolean(Boolean { constant, default }), Shape::Boolean) => match (constant, default) {
            (Some(constant), Some(default)) if constant != default => Err("is not the one value there is"),
            _ => Ok(default.map(Value::Bool)),
        },
        _ => Ok(None),
    }
}

fn string(text: &Text) -> Result<Option<&str>, &'static str> {
    let Text {
        format: _,
        min_length,
        max_length,
        min_graphemes: _,
        max_graphemes: _,
        values,
        known_values: _,
        default,
    } = text;
    let Some(default) = default else { return Ok(None) };
    let length = default.len() as u64;
    if min_length.is_some_and(|minimum| length < minimum) {
        return Err("is too short");
    }
    if max_length.is_some_and(|maximum| length > maximum) {
        return Err("is too long");
    }
    if values.as_ref().is_some_and(|values| !values.contains(default)) {
        return Err("is none of the values there are");
    }
    Ok(Some(default))
}

fn number(integer: &Integer) -> Result<Option<i64>, &'static str> {
    let Integer { minimum, maximum, values, default } = integer;
    let Some(default) = *default else { return Ok(None) };
    if minimum.is_some_and(|minimum| default < minimum) {
        return Err("is below the minimum");
    }
    if maximum.is_some_and(|maximum| default > maximum) {
        return Err("is above the maximum");
    }
    if values.as_ref().is_some_and(|values| !values.contains(&default)) {
        return Err("is none of the values there are");
    }
    Ok(Some(default))
}
