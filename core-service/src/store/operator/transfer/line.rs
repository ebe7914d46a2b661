//! The format of an export: a line of JSON for each row, between a header and an end with the counts.
//!
//! ```text
//! {"header":{"format":"athook-export","version":1,"athook":"0.1.0"}}
//! {"index_key":{"id":1,"sealed_key":"…"}}
//! {"account":{"did":"did:plc:…","secrets":1,"webhooks":1}}
//! {"secret":{"id":"…","owner_did":"did:plc:…","name":"…","sealed_token":"…",…}}
//! {"webhook":{"id":"…","owner_did":"did:plc:…","sealed_url":"…",…}}
//! {"end":{"index_keys":1,"accounts":1,"secrets":1,"webhooks":1}}
//! ```
//!
//! The lines come in this order. Fields are named after the columns; bytes are standard base64; what is NULL is
//! left out. A field that is unknown is refused: a change of the format is a new version.

use std::io::{BufRead, Read as _};

use serde::{Deserialize, Serialize};
use serde_json::error::Category;

use crate::domain::rule::BrokenField;
use crate::store::table::{account, index_key, secret, webhook};

/// What a header says first.
pub(super) const FORMAT: &str = "athook-export";
/// The version of the format that is written, and the newest that is read.
pub(super) const VERSION: u32 = 1;
/// The longest line, in bytes with its end. A webhook with everything in it has less than 200 KiB.
const MAX_LINE_BYTES: u64 = 1024 * 1024;

/// One line.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    Header(Header),
    IndexKey(index_key::Model),
    Account(account::Model),
    Secret(secret::Model),
    Webhook(Box<webhook::Model>),
    End(Totals),
}

/// The first line. Read without regard to other fields, so that a newer version can be told.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) format: String,
    pub(super) version: u32,
    /// The release that wrote it.
    pub(super) athook: String,
}

/// How many rows of each table there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Totals {
    pub(crate) index_keys: u64,
    pub(crate) accounts: u64,
    pub(crate) secrets: u64,
    pub(crate) webhooks: u64,
}

impl Totals {
    /// Of all tables.
    pub(crate) fn rows(self) -> u64 {
        let Self { index_keys, accounts, secrets, webhooks } = self;
        index_keys + accounts + secrets + webhooks
    }
}

/// What is wrong with a line. `Display` says no value: it may be a sealed one.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Wrong {
    #[error("it is longer than {MAX_LINE_BYTES} bytes")]
    TooLong,
    #[error("broken JSON at column {column}")]
    Json { column: usize },
    #[error("before column {column} a field is unknown, missing, given twice or of the wrong type")]
    Shape { column: usize },
    #[error("not the header of an athook export")]
    NoHeader,
    #[error(
        "version {version} of the format, written by athook {athook}; this release reads up to {VERSION}: use the newer one"
    )]
    NewerVersion { version: u32, athook: String },
    #[error("{0}")]
    Field(BrokenField),
    #[error("{field}: must be {what}")]
    Column { field: &'static str, what: &'static str },
    #[error("it comes after lines that it should come before")]
    Order,
    #[error("the counts are not those of the lines before it")]
    Counts,
    #[error("it comes after the end")]
    AfterEnd,
}

impl From<BrokenField> for Wrong {
    fn from(broken: BrokenField) -> Self {
        Self::Field(broken)
    }
}

/// Input that ends too early, can't be read, or has a wrong line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LineError {
    #[error("the input can't be read after line {line}")]
    Io {
        line: u64,
        #[source]
        error: std::io::Error,
    },
    #[error("line {line}: {wrong}")]
    Wrong { line: u64, wrong: Wrong },
    #[error("the input ends early, in or after line {line}: it was cut off")]
    CutOff { line: u64 },
}

/// Reads line by line, and counts.
pub(super) struct Lines<Source> {
    source: Source,
    line: u64,
    buffer: Vec<u8>,
}

impl<Source: BufRead> Lines<Source> {
    pub(super) fn new(source: Source) -> Self {
        Self { source, line: 0, buffer: Vec::new() }
    }

    /// The number of the line that was read last; the first is 1.
    pub(super) fn number(&self) -> u64 {
        self.line
    }

    /// The next line; `None` at the end of the input. Blocks until there is one.
    ///
    /// # Errors
    ///
    /// The input can't be read; the line is too long, broken, or cut off.
    pub(super) fn next(&mut self) -> Result<Option<Line>, LineError> {
        self.buffer.clear();
        let mut limited = (&mut self.source).take(MAX_LINE_BYTES + 1);
        if let Err(error) = limited.read_until(b'\n', &mut self.buffer) {
            return Err(LineError::Io { line: self.line, error });
        }
        if self.buffer.is_empty() {
            return Ok(None);
        }
        self.line += 1;
        if self.buffer.len() as u64 > MAX_LINE_BYTES {
            return Err(self.wrong(Wrong::TooLong));
        }
        match serde_json::from_slice(&self.buffer) {
            Ok(line) => Ok(Some(line)),
            Err(_) if !self.buffer.ends_with(b"\n") => Err(LineError::CutOff { line: self.line }),
            // Without the library's text, which has values in it.
            Err(error) if error.classify() == Category::Data => {
                Err(self.wrong(Wrong::Shape { column: error.column() }))
            }
            Err(error) => Err(self.wrong(Wrong::Json { column: error.column() })),
        }
    }

    /// The error that the line read last is wrong in this way.
    pub(super) fn wrong(&self, wrong: impl Into<Wrong>) -> LineError {
        LineError::Wrong { line: self.line, wrong: wrong.into() }
    }
}
