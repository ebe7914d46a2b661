//! Parses scalars from text, by the rules that JSON and query strings share.

use prost_reflect::{MessageDescriptor, Value};

use crate::binding::shape::Integer;
use crate::transcode::datetime;

/// The rule that a value breaks, as the end of an error message for the client.
pub(super) type Rule = &'static str;

/// Postgres can't store it in text.
const NUL: char = '\0';

/// A string of any characters but U+0000.
pub(super) fn text(text: String) -> Result<Value, Rule> {
    without_nul(&text)?;
    Ok(Value::String(text))
}

fn without_nul(text: &str) -> Result<(), Rule> {
    if text.contains(NUL) { Err("contains U+0000") } else { Ok(()) }
}

/// A datetime as a Timestamp, whose descriptor is `timestamp`.
pub(super) fn datetime(text: &str, timestamp: &MessageDescriptor) -> Result<Value, Rule> {
    without_nul(text)?;
    datetime::read(text, timestamp).map(Value::Message).ok_or("expected an RFC 3339 datetime")
}

/// An integer in JSON syntax without leading zeros, fraction or exponent, in the range of the type `integer`.
pub(super) fn integer(text: &str, integer: Integer) -> Result<Value, Rule> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.starts_with(|first: char| first.is_ascii_digit()) {
        return Err("expected an integer");
    }
    if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err("expected an integer without fraction or exponent");
    }
    if digits.len() > 1 && digits.starts_with('0') {
        return Err("expected an integer without leading zeros");
    }
    let value = text.parse().ok().and_then(|number| integer.value(number));
    value.ok_or("the integer is out of range")
}
