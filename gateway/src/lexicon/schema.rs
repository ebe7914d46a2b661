//! A lexicon document as types, for binding and for the pages that describe it.
//!
//! Lengths and ranges are kept to check defaults and to be shown. The core-service checks the values of
//! requests.

use std::collections::BTreeMap;
use std::fmt;

/// One document.
#[derive(Debug)]
pub(crate) struct Document {
    /// Its NSID.
    pub(crate) id: String,
    pub(crate) description: Option<String>,
    /// What it was read from, unchanged.
    pub(crate) text: String,
    /// By name. The definition that the document's NSID stands for is `main`.
    pub(crate) definitions: BTreeMap<String, Definition>,
}

/// A definition in `defs`.
#[derive(Debug)]
pub(crate) enum Definition {
    Query(Operation),
    Procedure(Operation),
    Schema(Schema),
    /// A type that the gateway does not support: `record`, `subscription` …
    Unsupported(&'static str),
}

/// A query or a procedure.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) description: Option<String>,
    pub(crate) parameters: Option<Object>,
    /// Procedures only.
    pub(crate) input: Option<Body>,
    pub(crate) output: Option<Body>,
    pub(crate) errors: Vec<DeclaredError>,
}

/// An error that a method declares.
#[derive(Debug)]
pub(crate) struct DeclaredError {
    pub(crate) name: String,
    pub(crate) description: Option<String>,
}

/// An input or an output.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) description: Option<String>,
    /// A media type.
    pub(crate) encoding: String,
    pub(crate) schema: Option<Schema>,
}

/// What a value may be.
#[derive(Debug)]
pub(crate) struct Schema {
    pub(crate) description: Option<String>,
    pub(crate) kind: Type,
}

/// The type of a value.
#[derive(Debug)]
pub(crate) enum Type {
    Object(Object),
    Array(Array),
    String(Text),
    Integer(Integer),
    Boolean(Boolean),
    Ref(Reference),
    /// A type that the gateway does not support: `union`, `blob` …
    Unsupported(&'static str),
}

/// An object, or the parameters of a query.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) required: Vec<String>,
    pub(crate) nullable: Vec<String>,
    /// In the document's order.
    pub(crate) properties: Vec<(String, Schema)>,
}

#[derive(Debug)]
pub(crate) struct Array {
    pub(crate) items: Box<Schema>,
    /// In elements.
    pub(crate) min_length: Option<u64>,
    /// In elements.
    pub(crate) max_length: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct Text {
    /// `datetime`, `uri` …
    pub(crate) format: Option<String>,
    /// In UTF-8 bytes.
    pub(crate) min_length: Option<u64>,
    /// In UTF-8 bytes.
    pub(crate) max_length: Option<u64>,
    pub(crate) min_graphemes: Option<u64>,
    pub(crate) max_graphemes: Option<u64>,
    /// The allowed values, if `enum` or `const` lists them.
    pub(crate) values: Option<Vec<String>>,
    /// Values that are usual; others are allowed.
    pub(crate) known_values: Option<Vec<String>>,
    pub(crate) default: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Integer {
    pub(crate) minimum: Option<i64>,
    pub(crate) maximum: Option<i64>,
    /// The allowed values, if `enum` or `const` lists them.
    pub(crate) values: Option<Vec<i64>>,
    pub(crate) default: Option<i64>,
}

#[derive(Debug)]
pub(crate) struct Boolean {
    /// The only allowed value.
    pub(crate) constant: Option<bool>,
    pub(crate) default: Option<bool>,
}

/// A definition in this or another document.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Reference {
    /// The NSID of the document.
    pub(crate) document: String,
    /// The text after the `#`, or `main`.
    pub(crate) definition: String,
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.document, self.definition)
    }
}
