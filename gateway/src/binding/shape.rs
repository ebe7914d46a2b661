//! Bound objects: they drive the decoder and the encoder, with the descriptors of their messages and fields.

use prost_reflect::{FieldDescriptor, MessageDescriptor, Value};

/// A lexicon object and its message.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) descriptor: MessageDescriptor,
    /// In the lexicon's order.
    pub(crate) fields: Vec<Field>,
}

impl Object {
    /// The index in `fields` of the field that the lexicon calls `name`.
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| *field.name == *name)
    }
}

/// The id of an object within a method. Objects refer to each other and to themselves by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ObjectId(usize);

impl ObjectId {
    /// The id of the object that is pushed to `objects` next.
    pub(super) fn next(objects: &[Option<Object>]) -> Self {
        Self(objects.len())
    }

    pub(super) fn put(self, objects: &mut [Option<Object>], object: Object) {
        objects[self.0] = Some(object);
    }

    pub(super) fn of(self, objects: &[Object]) -> &Object {
        &objects[self.0]
    }
}

/// A lexicon field and its proto field.
#[derive(Debug)]
pub(crate) struct Field {
    /// The lexicon's name.
    pub(crate) name: Box<str>,
    pub(crate) descriptor: FieldDescriptor,
    pub(crate) required: bool,
    pub(crate) shape: Shape,
    /// The value of the field in a request that does not set it.
    pub(crate) default: Option<Value>,
}

/// The type of a value in the lexicon and in the proto.
#[derive(Debug)]
pub(crate) enum Shape {
    Text,
    /// A lexicon integer in one of the proto's integer types.
    Integer(Integer),
    Boolean,
    /// RFC 3339 text in a `google.protobuf.Timestamp`, whose descriptor this is.
    Datetime(MessageDescriptor),
    Object(ObjectId),
    List(Box<Shape>),
}

/// How a message holds an integer in memory. The proto's type says how it is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Integer {
    I32,
    I64,
    U32,
    U64,
}

impl Integer {
    /// `number` as a value of this type; `None` if it is out of range.
    pub(crate) fn value(self, number: i64) -> Option<Value> {
        match self {
            Self::I32 => number.try_into().ok().map(Value::I32),
            Self::I64 => Some(Value::I64(number)),
            Self::U32 => number.try_into().ok().map(Value::U32),
            Self::U64 => number.try_into().ok().map(Value::U64),
        }
    }
}
