//! A lexicon's default, as the proto field that will hold it.

use super::shape::Shape;
use crate::lexicon::schema::{Boolean, Integer, Schema, Text};
use crate::transcode::datetime;
use crate::transcode::wire::Slot;

/// The field `number` with the default of `schema`, as it is on the wire, if there is one; `Err` says what is wrong with
/// it, as the end of a sentence.
pub(super) fn encoded(
    schema: &Schema,
    shape: &Shape,
    number: u32,
) -> Result<Option<Box<[u8]>>, &'static str> {
    let mut bytes = Vec::new();
    let slot = Slot::new(number, &mut bytes);
    match (schema, shape) {
        (Schema::String(text), Shape::Text) => {
            let Some(default) = string(text)? else { return Ok(None) };
            slot.delimited(default.as_bytes());
        }
        (Schema::String(text), Shape::Datetime) => {
            let Some(default) = string(text)? else { return Ok(None) };
            slot.delimited(&datetime::read(default).ok_or("is no datetime")?);
        }
        (Schema::Integer(integer), Shape::Integer(kind)) => {
            let Some(default) = number_of(integer)? else { return Ok(None) };
            slot.integer(*kind, default).map_err(|_| "does not fit the type of the proto field")?;
        }
        (Schema::Boolean(Boolean { constant, default }), Shape::Boolean) => {
            let Some(default) = *default else { return Ok(None) };
            if constant.is_some_and(|constant| constant != default) {
                return Err("is not the one value there is");
            }
            slot.boolean(default);
        }
        _ => return Ok(None),
    }
    Ok(Some(bytes.into()))
}

fn string(text: &Text) -> Result<Option<&str>, &'static str> {
    let Text { format: _, min_length, max_length, values, default } = text;
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

fn number_of(integer: &Integer) -> Result<Option<i64>, &'static str> {
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
