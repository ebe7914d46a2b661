//! Texts into scalars: the rules that JSON and query strings share.

use prost_reflect::{MessageDescriptor, Value};

use crate::binding::shape::Integer;
use crate::transcode::datetime;

/// A rule that a value broke, as the end of a message to the client.
pub(super) type Broken = &'static str;

/// Postgres can't store it.
const NUL: char = '\0';

/// A string, which may hold any character but U+0000.
pub(super) fn text(text: String) -> Result<Value, Broken> {
    if text.contains(NUL) { Err("contains U+0000") } else { Ok(Value::String(text)) }
}

/// A datetime, as a message that `timestamp` describes.
pub(super) fn datetime(text: &str, timestamp: &MessageDescriptor) -> Result<Value, Broken> {
    datetime::read(text, timestamp).map(Value::Message).ok_or("expected an RFC 3339 datetime")
}

/// An integer, from its JSON spelling: decimal, no leading zero, no fraction, no exponent, in the range of the type
/// `integer`.
pub(super) fn integer(text: &str, integer: Integer) -> Result<Value, Broken> {
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
