//! A request message while its fields are being set.

use bytes::Bytes;
use prost::Message as _;
use prost_reflect::{DynamicMessage, Value};

use super::DecodeError;
use crate::binding::Method;
use crate::binding::shape::Object;
use crate::transcode::path::Path;

/// The number of `google.protobuf.FieldMask.paths`.
const FIELD_MASK_PATHS: u32 = 1;

/// A message and the fields of it that the client gave.
pub(super) struct Draft<'m> {
    pub(super) object: &'m Object,
    message: DynamicMessage,
    /// Which of the object's fields were given.
    given: Vec<bool>,
}

impl<'m> Draft<'m> {
    pub(super) fn new(object: &'m Object) -> Self {
        let message = DynamicMessage::new(object.descriptor.clone());
        Self { object, message, given: vec![false; object.fields.len()] }
    }

    pub(super) fn is_given(&self, index: usize) -> bool {
        self.given[index]
    }

    /// Sets the field at `index`.
    pub(super) fn set(&mut self, index: usize, value: Value) {
        self.given[index] = true;
        self.message.set_field(&self.object.fields[index].descriptor, value);
    }

    /// Appends an element to the list at `index`.
    pub(super) fn push(&mut self, index: usize, element: Value) {
        self.given[index] = true;
        let list = self.message.get_field_mut(&self.object.fields[index].descriptor);
        list.as_list_mut().expect("only a repeated field is bound to a list").push(element);
    }

    /// Sets absent fields to their defaults.
    ///
    /// # Errors
    ///
    /// A required field without a default is absent.
    pub(super) fn complete(&mut self, path: &Path<'_>) -> Result<(), DecodeError> {
        for (field, given) in self.object.fields.iter().zip(&self.given) {
            match &field.default {
                _ if *given => {}
                Some(default) => self.message.set_field(&field.descriptor, default.clone()),
                None if field.required => return Err(DecodeError::at(&path.name(&field.name), "required")),
                None => {}
            }
        }
        Ok(())
    }

    /// The message as the value of a field.
    pub(super) fn into_value(self) -> Value {
        Value::Message(self.message)
    }

    /// The message encoded as the request of `method`, with the fields that the gateway fills in.
    pub(super) fn into_request(mut self, method: &Method, caller: &str) -> Bytes {
        let request = method.request();
        if let Some(field) = &request.caller {
            self.message.set_field(field, Value::String(caller.to_owned()));
        }
        if let Some(field) = &request.presence {
            let given = self.object.fields.iter().zip(&self.given).filter(|(_, given)| **given);
            let paths = given.map(|(field, _)| Value::String(field.descriptor.name().to_owned())).collect();
            let mask = self.message.get_field_mut(field).as_message_mut();
            let mask = mask.expect("only a FieldMask is bound to the role PRESENCE");
            mask.set_field_by_number(FIELD_MASK_PATHS, Value::List(paths));
        }
        self.message.encode_to_vec().into()
    }
}
