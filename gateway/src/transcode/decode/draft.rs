//! A message while its fields come in.

use bytes::Bytes;
use prost::Message as _;
use prost_types::FieldMask;

use super::DecodeError;
use crate::binding::Method;
use crate::binding::shape::Object;
use crate::transcode::path::Path;
use crate::transcode::wire::Slot;

/// A message of which some fields were given.
pub(super) struct Draft<'m> {
    pub(super) object: &'m Object,
    /// Encoded, in the order in which they were given.
    message: Vec<u8>,
    /// Which of the object's fields were given.
    given: Vec<bool>,
}

impl<'m> Draft<'m> {
    pub(super) fn new(object: &'m Object) -> Self {
        Self { object, message: Vec::new(), given: vec![false; object.fields.len()] }
    }

    pub(super) fn is_given(&self, index: usize) -> bool {
        self.given[index]
    }

    /// Where the value of the field at `index` goes, or one more element of that list.
    pub(super) fn give(&mut self, index: usize) -> Slot<'_> {
        self.given[index] = true;
        Slot::new(self.object.fields[index].number, &mut self.message)
    }

    /// Fills in the defaults of absent fields. Afterwards every required field is there.
    pub(super) fn complete(&mut self, path: &Path<'_>) -> Result<(), DecodeError> {
        for (field, given) in self.object.fields.iter().zip(&self.given) {
            match &field.default {
                _ if *given => {}
                Some(default) => self.message.extend_from_slice(default),
                None if field.required => return Err(DecodeError::at(&path.name(&field.name), "required")),
                None => {}
            }
        }
        Ok(())
    }

    /// Puts the message into a field of another.
    pub(super) fn put(&self, slot: Slot<'_>) {
        slot.delimited(&self.message);
    }

    /// The encoded message, as the request of `method`: with the fields that the gateway fills in.
    pub(super) fn into_request(mut self, method: &Method, caller: &str) -> Bytes {
        let request = method.request();
        if let Some(number) = request.caller {
            Slot::new(number, &mut self.message).delimited(caller.as_bytes());
        }
        if let Some(number) = request.presence {
            let fields = self.object.fields.iter().zip(&self.given).filter(|(_, given)| **given);
            let paths = fields.map(|(field, _)| field.proto_name.to_string()).collect();
            Slot::new(number, &mut self.message).delimited(&FieldMask { paths }.encode_to_vec());
        }
        self.message.into()
    }
}
