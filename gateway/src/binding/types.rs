//! Which types of lexicons and protos can be bound to each other, and their names in problems.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use super::shape::{Integer, Shape};
use crate::lexicon::schema::{Schema, Type};

/// The shape of a scalar, if the two types can be bound.
pub(super) fn scalar(schema: &Schema, kind: &Kind) -> Option<Shape> {
    match (&schema.kind, kind) {
        (Type::String(_), Kind::String) => Some(Shape::Text),
        (Type::String(text), Kind::Message(message)) => {
            let datetime = text.format.as_deref() == Some("datetime") && is_timestamp(message);
            datetime.then(|| Shape::Datetime(message.clone()))
        }
        (Type::Integer(_), kind) => integer(kind).map(Shape::Integer),
        (Type::Boolean(_), Kind::Bool) => Some(Shape::Boolean),
        _ => None,
    }
}

/// The lexicon's name of the proto field `name`: `muteWords` for `mute_words`.
///
/// The descriptor's JSON name is not used, because a proto can set it to anything.
pub(super) fn lower_camel_case(name: &str) -> String {
    let mut camel = String::with_capacity(name.len());
    let mut raise = false;
    for character in name.chars() {
        if character == '_' {
            raise = true;
        } else {
            camel.push(if raise { character.to_ascii_uppercase() } else { character });
            raise = false;
        }
    }
    camel
}

/// Whether `field` is in a oneof. The oneof that the compiler makes for an `optional` field does not count.
pub(super) fn in_oneof(field: &FieldDescriptor) -> bool {
    field.containing_oneof().is_some_and(|oneof| !oneof.is_synthetic())
}

pub(super) fn is_field_mask(kind: &Kind) -> bool {
    let Kind::Message(message) = kind else { return false };
    message.full_name() == "google.protobuf.FieldMask"
        && message.get_field(1).is_some_and(|paths| paths.is_list() && paths.kind() == Kind::String)
}

fn is_timestamp(message: &MessageDescriptor) -> bool {
    let holds = |number, kind| message.get_field(number).is_some_and(|field| field.kind() == kind);
    message.full_name() == "google.protobuf.Timestamp" && holds(1, Kind::Int64) && holds(2, Kind::Int32)
}

fn integer(kind: &Kind) -> Option<Integer> {
    match kind {
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Some(Integer::I32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Some(Integer::I64),
        Kind::Uint32 | Kind::Fixed32 => Some(Integer::U32),
        Kind::Uint64 | Kind::Fixed64 => Some(Integer::U64),
        Kind::Double
        | Kind::Float
        | Kind::Bool
        | Kind::String
        | Kind::Bytes
        | Kind::Message(_)
        | Kind::Enum(_) => None,
    }
}

/// The type as a lexicon calls it: `string (datetime)`.
pub(super) fn lexicon_name(schema: &Schema) -> String {
    match &schema.kind {
        Type::Object(_) => "object".to_owned(),
        Type::Array(_) => "array".to_owned(),
        Type::String(text) => match &text.format {
            Some(format) => format!("string ({format})"),
            None => "string".to_owned(),
        },
        Type::Integer(_) => "integer".to_owned(),
        Type::Boolean(_) => "boolean".to_owned(),
        Type::Ref(reference) => reference.to_string(),
        Type::Unsupported(kind) => (*kind).to_owned(),
    }
}

/// The type as a proto calls it: `repeated int32`.
pub(super) fn proto_name(field: &FieldDescriptor) -> String {
    let kind = match field.kind() {
        Kind::Message(_) if field.is_map() => return "map".to_owned(),
        Kind::Message(message) if field.is_group() => format!("group {}", message.full_name()),
        Kind::Message(message) => message.full_name().to_owned(),
        Kind::Enum(values) => format!("enum {}", values.full_name()),
        scalar => format!("{scalar:?}").to_lowercase(),
    };
    if field.is_list() { format!("repeated {kind}") } else { kind }
}
