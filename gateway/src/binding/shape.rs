//! What drives the decoder and the encoder: a lexicon's objects, with the descriptors of the proto fields that
//! carry them already looked up.

use prost_reflect::{FieldDescriptor, MessageDescriptor, Value};

/// A lexicon object and the message that carries it.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) descriptor: MessageDescriptor,
    /// In the lexicon's order.
    pub(crate) fields: Vec<Field>,
    /// Indexes into `fields`, ordered by name.
    by_name: Vec<usize>,
}

impl Object {
    pub(super) fn new(descriptor: MessageDescriptor, fields: Vec<Field>) -> Self {
        let mut by_name: Vec<usize> = (0..fields.len()).collect();
        by_name.sort_by(|left, right| fields[*left].name.cmp(&fields[*right].name));
        Self { descriptor, fields, by_name }
    }

    /// The index in `fields` of the field that the lexicon calls `name`.
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        let found = self.by_name.binary_search_by(|index| (*self.fields[*index].name).cmp(name)).ok()?;
        Some(self.by_name[found])
    }
}

/// Which of a method's objects. Objects refer to each other, and to themselves, by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ObjectId(usize);

impl ObjectId {
    /// The object that will be the next one in `objects`.
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

/// A lexicon field and the proto field that carries it.
#[derive(Debug)]
pub(crate) struct Field {
    /// As the lexicon calls it.
    pub(crate) name: Box<str>,
    pub(crate) descriptor: FieldDescriptor,
    pub(crate) required: bool,
    /// Whether the proto field knows absent from zero.
    pub(crate) presence: bool,
    pub(crate) shape: Shape,
    /// What an absent field of a request is filled with.
    pub(crate) default: Option<Value>,
}

/// The type of a value, on both sides.
#[derive(Debug)]
pub(crate) enum Shape {
    Text,
    /// A lexicon integer in one of the proto's integer types.
    Integer(Width),
    Boolean,
    /// RFC 3339 text in a `google.protobuf.Timestamp`, whose descriptor this is.
    Datetime(MessageDescriptor),
    Object(ObjectId),
    List(Box<Shape>),
}

/// How a proto field holds an integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Width {
    I32,
    I64,
    U32,
    U64,
}

impl Width {
    /// `number` as a value of this type; `None` when it does not fit.
    pub(crate) fn hold(self, number: i64) -> Option<Value> {
        match self {
            Width::I32 => i32::try_from(number).ok().map(Value::I32),
            Width::I64 => Some(Value::I64(number)),
            Width::U32 => u32::try_from(number).ok().map(Value::U32),
            Width::U64 => u64::try_from(number).ok().map(Value::U64),
        }
    }
}
