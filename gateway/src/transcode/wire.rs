//! The wire format of Protocol Buffers (<https://protobuf.dev/programming-guides/encoding/>): fields into bytes, and
//! bytes into the fields of an object.
//!
//! Owns tags, lengths and how an integer is written. A message goes through the gateway without becoming a tree: what is
//! read of JSON is written here at once, and what is read here borrows from the answer.

#[cfg(test)]
mod tests;

use std::num::TryFromIntError;
use std::str::Utf8Error;

use prost::DecodeError;
use prost::encoding::{self, DecodeContext, WireType};

use crate::binding::shape::{Integer, Object};

/// The number of what is packed, and no group.
const UNNUMBERED: u32 = 0;

/// Bytes that are no message, or not of the type that they should be of.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    #[error("the bytes are malformed")]
    Malformed(#[from] DecodeError),
    #[error("a string is not UTF-8")]
    Text(#[from] Utf8Error),
}

/// Where a field's value goes: behind what `message` has so far. A repeated field takes one element after the other.
pub(crate) struct Slot<'a> {
    number: u32,
    message: &'a mut Vec<u8>,
}

impl<'a> Slot<'a> {
    pub(crate) fn new(number: u32, message: &'a mut Vec<u8>) -> Self {
        Self { number, message }
    }

    /// The same, for one of several elements.
    pub(crate) fn next(&mut self) -> Slot<'_> {
        Slot { number: self.number, message: self.message }
    }

    pub(crate) fn boolean(self, value: bool) {
        encoding::bool::encode(self.number, &value, self.message);
    }

    /// # Errors
    ///
    /// The proto's type does not reach to `value`; nothing is written then.
    pub(crate) fn integer(self, integer: Integer, value: i64) -> Result<(), TryFromIntError> {
        let Self { number, message } = self;
        match integer {
            Integer::Int32 => encoding::int32::encode(number, &value.try_into()?, message),
            Integer::Int64 => encoding::int64::encode(number, &value, message),
            Integer::Uint32 => encoding::uint32::encode(number, &value.try_into()?, message),
            Integer::Uint64 => encoding::uint64::encode(number, &value.try_into()?, message),
            Integer::Sint32 => encoding::sint32::encode(number, &value.try_into()?, message),
            Integer::Sint64 => encoding::sint64::encode(number, &value, message),
            Integer::Fixed32 => encoding::fixed32::encode(number, &value.try_into()?, message),
            Integer::Fixed64 => encoding::fixed64::encode(number, &value.try_into()?, message),
            Integer::Sfixed32 => encoding::sfixed32::encode(number, &value.try_into()?, message),
            Integer::Sfixed64 => encoding::sfixed64::encode(number, &value, message),
        }
        Ok(())
    }

    /// A string's bytes, or an encoded message.
    pub(crate) fn delimited(self, value: &[u8]) {
        let Self { number, message } = self;
        encoding::encode_key(number, WireType::LengthDelimited, message);
        encoding::encode_varint(value.len() as u64, message);
        message.extend_from_slice(value);
    }
}

/// A value that was found in a message, not yet read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found<'a> {
    /// Which of the object's fields it belongs to.
    pub(crate) field: usize,
    wire_type: WireType,
    bytes: &'a [u8],
}

/// What `message` has of the fields of `object`, in the order in which it stands there. Other fields are skipped.
pub(crate) fn fields<'a>(object: &Object, mut message: &'a [u8]) -> Result<Vec<Found<'a>>, WireError> {
    let mut found = Vec::with_capacity(object.fields.len());
    while !message.is_empty() {
        let (number, wire_type) = encoding::decode_key(&mut message)?;
        let bytes = skip(number, wire_type, &mut message)?;
        if let Some(field) = object.fields.iter().position(|field| field.number == number) {
            found.push(Found { field, wire_type, bytes });
        }
    }
    Ok(found)
}

impl<'a> Found<'a> {
    pub(crate) fn text(self) -> Result<&'a str, WireError> {
        Ok(str::from_utf8(self.delimited()?)?)
    }

    pub(crate) fn boolean(self) -> Result<bool, WireError> {
        let Self { field: _, wire_type, mut bytes } = self;
        merged(encoding::bool::merge, wire_type, &mut bytes)
    }

    /// `None`: beyond the integers of a lexicon, which are signed.
    pub(crate) fn integer(self, integer: Integer) -> Result<Option<i64>, WireError> {
        let Self { field: _, wire_type, mut bytes } = self;
        let (wire, bytes) = (wire_type, &mut bytes);
        Ok(match integer {
            Integer::Int32 => Some(merged(encoding::int32::merge, wire, bytes)?.into()),
            Integer::Int64 => Some(merged(encoding::int64::merge, wire, bytes)?),
            Integer::Uint32 => Some(merged(encoding::uint32::merge, wire, bytes)?.into()),
            Integer::Uint64 => merged(encoding::uint64::merge, wire, bytes)?.try_into().ok(),
            Integer::Sint32 => Some(merged(encoding::sint32::merge, wire, bytes)?.into()),
            Integer::Sint64 => Some(merged(encoding::sint64::merge, wire, bytes)?),
            Integer::Fixed32 => Some(merged(encoding::fixed32::merge, wire, bytes)?.into()),
            Integer::Fixed64 => merged(encoding::fixed64::merge, wire, bytes)?.try_into().ok(),
            Integer::Sfixed32 => Some(merged(encoding::sfixed32::merge, wire, bytes)?.into()),
            Integer::Sfixed64 => Some(merged(encoding::sfixed64::merge, wire, bytes)?),
        })
    }

    /// Adds what this holds of a list whose elements have the wire type `of_one`: one of them, or where they may be packed
    /// any number.
    pub(crate) fn elements(self, of_one: WireType, list: &mut Vec<Self>) -> Result<(), WireError> {
        if self.wire_type != WireType::LengthDelimited || of_one == WireType::LengthDelimited {
            list.push(self);
            return Ok(());
        }
        let mut packed = self.delimited()?;
        while !packed.is_empty() {
            let bytes = skip(UNNUMBERED, of_one, &mut packed)?;
            list.push(Self { field: self.field, wire_type: of_one, bytes });
        }
        Ok(())
    }

    /// An encoded message, a string's bytes, or what is packed.
    pub(crate) fn delimited(self) -> Result<&'a [u8], WireError> {
        let Self { field: _, wire_type, mut bytes } = self;
        encoding::wire_type::check_wire_type(WireType::LengthDelimited, wire_type)?;
        encoding::decode_varint(&mut bytes)?;
        Ok(bytes)
    }
}

/// How one integer stands on the wire.
pub(crate) fn wire_type(integer: Integer) -> WireType {
    match integer {
        Integer::Int32
        | Integer::Int64
        | Integer::Uint32
        | Integer::Uint64
        | Integer::Sint32
        | Integer::Sint64 => WireType::Varint,
        Integer::Fixed32 | Integer::Sfixed32 => WireType::ThirtyTwoBit,
        Integer::Fixed64 | Integer::Sfixed64 => WireType::SixtyFourBit,
    }
}

/// The value at which `bytes` begins, which is gone from them then. `number` is that of its field, for a group to know its
/// end by.
fn skip<'a>(number: u32, wire_type: WireType, bytes: &mut &'a [u8]) -> Result<&'a [u8], WireError> {
    let from_here = *bytes;
    encoding::skip_field(wire_type, number, bytes, DecodeContext::default())?;
    Ok(&from_here[..from_here.len() - bytes.len()])
}

/// What `merge`, one of prost's functions for a scalar, reads.
fn merged<'a, T: Default>(
    merge: impl FnOnce(WireType, &mut T, &mut &'a [u8], DecodeContext) -> Result<(), DecodeError>,
    wire_type: WireType,
    bytes: &mut &'a [u8],
) -> Result<T, WireError> {
    let mut value = T::default();
    merge(wire_type, &mut value, bytes, DecodeContext::default())?;
    Ok(value)
}
