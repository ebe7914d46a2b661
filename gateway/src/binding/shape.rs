//! What drives the decoder and the encoder: a lexicon's objects, with what they need to know of the proto fields that
//! carry them.

/// A lexicon object and the message that carries it.
#[derive(Debug)]
pub(crate) struct Object {
    /// In the lexicon's order.
    pub(crate) fields: Vec<Field>,
    /// Indexes into `fields`, ordered by name.
    by_name: Vec<usize>,
}

impl Object {
    pub(super) fn new(fields: Vec<Field>) -> Self {
        let mut by_name: Vec<usize> = (0..fields.len()).collect();
        by_name.sort_by(|left, right| fields[*left].name.cmp(&fields[*right].name));
        Self { fields, by_name }
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
    /// What the proto calls the field.
    pub(crate) proto_name: Box<str>,
    /// The number of the proto field.
    pub(crate) number: u32,
    pub(crate) required: bool,
    /// Whether the proto field knows absent from zero.
    pub(crate) presence: bool,
    pub(crate) shape: Shape,
    /// What an absent field of a request is filled with: the field as it is on the wire.
    pub(crate) default: Option<Box<[u8]>>,
}

/// The type of a value, on both sides.
#[derive(Debug)]
pub(crate) enum Shape {
    Text,
    /// A lexicon integer in one of the proto's integer types.
    Integer(Integer),
    Boolean,
    /// RFC 3339 text in a `google.protobuf.Timestamp`.
    Datetime,
    Object(ObjectId),
    List(Box<Shape>),
}

/// The integer types of a proto.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Integer {
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
}
