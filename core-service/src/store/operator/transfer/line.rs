//! The format of an export: a line of JSON for each row, between a header and an end with the counts.
//!
//! ```text
//! {"header":{"format":"athook-export","version":3,"athook":"0.1.0"}}
//! {"index_key":{"id":1,"sealed_key":"…"}}
//! {"account":{"did":"did:plc:…","secrets":1,"webhooks":1}}
//! {"secret":{"id":"…","owner_did":"did:plc:…","name":"…","sealed_token":"…",…}}
//! {"webhook":{"id":"…","owner_did":"did:plc:…","sealed_url":"…",…}}
//! {"webhook_state":{"webhook_id":"…","generation":0,"pending":1,…}}
//! {"event":{"id":"…","publisher":"…","idempotency_key":"…","payload":"…",…}}
//! {"delivery":{"id":"…","event_id":"…","webhook_id":"…","state":0,…}}
//! {"attempt":{"delivery_id":"…","number":1,"outcome":"http","status":503,…}}
//! {"host_hold":{"host":"discord.com","held_until_ms":…}}
//! {"paused_origin":{"origin":"…","paused_at_ms":…}}
//! {"intake_row":{"record_webhook":{"id":"…","owner_did":"did:plc:…","rkey":"…",…}}}
//! {"end":{"index_keys":1,"accounts":1,"secrets":1,"webhooks":1,"webhook_states":1,…}}
//! ```
//!
//! The lines come in this order, that of the foreign keys. Without the end line an import takes nothing.
//! Version 1 had no lines of what was delivered, version 2 none of the intake.
//!
//! A row is the serde form of its table's model (`store/table/`): fields have the names of the columns, bytes
//! are standard base64, and a column that is NULL is left out. Unknown fields are refused, so every change of
//! a table is a new [`VERSION`] of the format.

use std::io::{BufRead, Read as _};

use serde::{Deserialize, Serialize};
use serde_json::error::Category;

use super::intake_row::IntakeRow;
use crate::domain::rule::BrokenField;
use crate::store::table::{
    account, attempt, delivery, event, host_hold, index_key, paused_origin, secret, webhook, webhook_state,
};

/// The format's name in the header.
pub(super) const FORMAT: &str = "athook-export";
/// The version that is written, and the newest that is read.
pub(super) const VERSION: u32 = 3;
/// The longest line in bytes, with its newline. A webhook with all fields has less than 200 KiB, a delivery
/// with its body less than 700 KiB.
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
    WebhookState(Box<webhook_state::Model>),
    Event(Box<event::Model>),
    Delivery(Box<delivery::Model>),
    Attempt(attempt::Model),
    HostHold(host_hold::Model),
    PausedOrigin(paused_origin::Model),
    IntakeRow(IntakeRow),
    End(RowCounts),
}

/// The first line. Unknown fields are ignored here, so that a newer version is recognised by its number.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) format: String,
    pub(super) version: u32,
    /// The release of athook that wrote the export.
    pub(super) athook: String,
}

/// The number of rows of each table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RowCounts {
    pub(crate) index_keys: u64,
    pub(crate) accounts: u64,
    pub(crate) secrets: u64,
    pub(crate) webhooks: u64,
    #[serde(default)]
    pub(crate) webhook_states: u64,
    #[serde(default)]
    pub(crate) events: u64,
    #[serde(default)]
    pub(crate) deliveries: u64,
    #[serde(default)]
    pub(crate) attempts: u64,
    #[serde(default)]
    pub(crate) host_holds: u64,
    #[serde(default)]
    pub(crate) paused_origins: u64,
    #[serde(default)]
    pub(crate) intake_rows: u64,
}

impl RowCounts {
    /// The rows of all tables.
    pub(crate) fn total(self) -> u64 {
        let Self {
            index_keys,
            accounts,
            secrets,
            webhooks,
            webhook_states,
            events,
            deliveries,
            attempts,
            host_holds,
            paused_origins,
            intake_rows,
        } = self;
        let configured = index_keys + accounts + secrets + webhooks;
        configured
            + webhook_states
            + events
            + deliveries
            + attempts
            + host_holds
            + paused_origins
            + intake_rows
    }
}

/// What is wrong with a line. `Display` never contains a value of a row.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LineFault {
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

impl From<BrokenField> for LineFault {
    fn from(broken: BrokenField) -> Self {
        Self::Field(broken)
    }
}

/// The input can't be read, ends too early, or has a line that is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LineError {
    #[error("the input can't be read after line {line}")]
    Io {
        line: u64,
        #[source]
        error: std::io::Error,
    },
    #[error("line {line}: {fault}")]
    Refused { line: u64, fault: LineFault },
    #[error("the input ends early, in or after line {line}: it was cut off")]
    CutOff { line: u64 },
}

/// Reads line by line, and counts them.
pub(super) struct LineReader<Source> {
    source: Source,
    line: u64,
    buffer: Vec<u8>,
}

impl<Source: BufRead> LineReader<Source> {
    pub(super) fn new(source: Source) -> Self {
        Self { source, line: 0, buffer: Vec::new() }
    }

    /// The number of the line that was read last; the first is 1.
    pub(super) fn number(&self) -> u64 {
        self.line
    }

    /// Reads the next line; `None` at the end of the input. Blocks.
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
            return Err(self.refuse(LineFault::TooLong));
        }
        match serde_json::from_slice(&self.buffer) {
            Ok(line) => Ok(Some(line)),
            Err(_) if !self.buffer.ends_with(b"\n") => Err(LineError::CutOff { line: self.line }),
            // Without the library's text, which contains values.
            Err(error) if error.classify() == Category::Data => {
                Err(self.refuse(LineFault::Shape { column: error.column() }))
            }
            Err(error) => Err(self.refuse(LineFault::Json { column: error.column() })),
        }
    }

    /// How many bytes the line has that was read last.
    pub(super) fn bytes(&self) -> usize {
        self.buffer.len()
    }

    /// The error that refuses the line read last.
    pub(super) fn refuse(&self, fault: impl Into<LineFault>) -> LineError {
        LineError::Refused { line: self.line, fault: fault.into() }
    }
}
