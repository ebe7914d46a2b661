//! A lexicon document as types: what binding reads.
//!
//! Rules that only a value can break (lengths, ranges) are kept as far as a default can break them; the values
//! themselves are the core-service's to judge.

use std::collections::BTreeMap;
use std::fmt;

/// One document.
#[derive(Debug)]
pub(crate) struct Document {
    /// Its NSID.
    pub(crate) id: String,
    /// By name; what the document is about is `main`.
    pub(crate) definitions: BTreeMap<String, Definition>,
}

/// What a name in `defs` stands for.
#[derive(Debug)]
pub(crate) enum Definition {
    Query(Operation),
    Procedure(Operation),
    Schema(Schema),
    /// Known to the language, not to this gateway, by its type: `record`, `subscription` …
    Unserved(&'static str),
}

/// A query or a procedure.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) parameters: Option<Object>,
    /// Procedures only.
    pub(crate) input: Option<Body>,
    pub(crate) output: Option<Body>,
    /// The error names that it declares.
    pub(crate) errors: Vec<String>,
}

/// An input or an output.
#[derive(Debug)]
pub(crate) struct Body {
    /// A media type.
    pub(crate) encoding: String,
    pub(crate) schema: Option<Schema>,
}

/// The type of a value.
#[derive(Debug)]
pub(crate) enum Schema {
    Object(Object),
    Array(Box<Schema>),
    String(Text),
    Integer(Integer),
    Boolean(Boolean),
    Ref(Reference),
    /// Known to the language, not to this gateway, by its type: `union`, `blob` …
    Unserved(&'static str),
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
pub(crate) struct Text {
    /// `datetime`, `uri` …
    pub(crate) format: Option<String>,
    /// In UTF-8 bytes.
    pub(crate) min_length: Option<u64>,
    /// In UTF-8 bytes.
    pub(crate) max_length: Option<u64>,
    /// The only values there are, when the document says so by `enum` or `const`.
    pub(crate) values: Option<Vec<String>>,
    pub(crate) default: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Integer {
    pub(crate) minimum: Option<i64>,
    pub(crate) maximum: Option<i64>,
    /// The only values there are, when the document says so by `enum` or `const`.
    pub(crate) values: Option<Vec<i64>>,
    pub(crate) default: Option<i64>,
}

#[derive(Debug)]
pub(crate) struct Boolean {
    /// The only value there is.
    pub(crate) constant: Option<bool>,
    pub(crate) default: Option<bool>,
}

/// A definition in this or another document.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Reference {
    /// The NSID of the document.
    pub(crate) document: String,
    /// `main`, or what stands behind the `#`.
    pub(crate) definition: String,
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.document, self.definition)
    }
}
