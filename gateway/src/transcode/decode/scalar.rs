//! Texts into scalars: the rules that JSON and query strings share.

use crate::binding::shape::Integer;
use crate::transcode::datetime;
use crate::transcode::wire::Slot;

/// A rule that a value broke, as the end of a message to the client.
pub(super) type Broken = &'static str;

pub(super) const EXPECTED_BOOLEAN: Broken = "expected a boolean";
pub(super) const EXPECTED_STRING: Broken = "expected a string";

/// Postgres can't store it.
const NUL: char = '\0';

/// A string, which may hold any character but U+0000.
pub(super) fn text(text: &str, slot: Slot<'_>) -> Result<(), Broken> {
    if text.contains(NUL) {
        return Err("contains U+0000");
    }
    slot.delimited(text.as_bytes());
    Ok(())
}

/// A datetime, in a Timestamp.
pub(super) fn datetime(text: &str, slot: Slot<'_>) -> Result<(), Broken> {
    slot.delimited(&datetime::read(text).ok_or("expected an RFC 3339 datetime")?);
    Ok(())
}

/// An integer, from its JSON spelling: decimal, no leading zero, no fraction, no exponent, in the range of the type
/// `integer`.
pub(super) fn integer(text: &str, integer: Integer, slot: Slot<'_>) -> Result<(), Broken> {
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
    let number = text.parse().ok().and_then(|number| slot.integer(integer, number).ok());
    number.ok_or("the integer is out of range")
}
