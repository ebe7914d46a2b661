//! The rules of single fields, and their texts for the caller.

use std::fmt;
use std::str::FromStr;

/// A rule that a value breaks. `Display` names the rule and its limit, never the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Rule {
    #[error("must be at most {max} bytes")]
    AtMostBytes { max: usize },
    #[error("must be {min} to {max} bytes")]
    Bytes { min: usize, max: usize },
    #[error("must be {min} to {max}")]
    Between { min: u32, max: u32 },
    #[error("must have at most {max} entries")]
    AtMostEntries { max: usize },
    #[error("must have at least one entry")]
    NoEntry,
    #[error("must not contain U+0000")]
    Nul,
    #[error("must not be blank")]
    Blank,
    #[error("is required")]
    Required,
    #[error("must be a DID of at most {max} bytes")]
    Did { max: usize },
    #[error("must be a did:plc or did:web of at most {max} bytes")]
    PlcOrWeb { max: usize },
    #[error("must be a time of the years 1 to 9999")]
    Timestamp,
    #[error("must be a record key: 1 to 512 bytes of A-Z a-z 0-9 . _ ~ : - and neither \".\" nor \"..\"")]
    RecordKey,
    #[error("must be {min} to {max} bytes of printable ASCII without space")]
    Token { min: usize, max: usize },
    #[error("must continue after \"whsec_\" with standard base64 of {min} to {max} bytes")]
    TokenKey { min: usize, max: usize },
    #[error("must be one of chat, livestream, follow, mention, stream.received")]
    EventType,
    #[error("must be one of pending, delivered, failed")]
    DeliveryState,
    #[error("must be empty or the name of the publisher whose token the call carries")]
    OwnPublisher,
    #[error(
        "must be an origin such as https://hooks.example.com: http or https, a host, perhaps a port, no path"
    )]
    Origin,
    #[error("must name a secret of the caller")]
    UnknownSecret,
    #[error("must have a field to change")]
    NothingToChange,
}

impl Rule {
    /// This rule, broken by the field at `path`.
    pub(crate) fn at(self, path: impl Into<String>) -> BrokenField {
        BrokenField { path: path.into(), rule: self }
    }
}

/// A field that breaks a rule. `Display` has both: `rewrite[2].from: must be 1 to 100 bytes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BrokenField {
    /// In the request message, or in the file or row that is read.
    pub(crate) path: String,
    pub(crate) rule: Rule,
}

impl fmt::Display for BrokenField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.rule)
    }
}

impl std::error::Error for BrokenField {}

/// Parses the field at `path`, such as `name` or `events[3].publisher`.
///
/// # Errors
///
/// The rule that the text breaks.
pub(crate) fn field<T: FromStr<Err = Rule>>(path: &str, text: &str) -> Result<T, BrokenField> {
    text.parse().map_err(|rule: Rule| rule.at(path))
}

/// Like [`field`], for an optional field. `""` counts as absent.
///
/// # Errors
///
/// The rule that the text breaks.
pub(crate) fn optional_field<T: FromStr<Err = Rule>>(
    path: &str,
    text: Option<&str>,
) -> Result<Option<T>, BrokenField> {
    match text {
        None | Some("") => Ok(None),
        Some(text) => field(path, text).map(Some),
    }
}

/// Checks that `text` has `min` to `max` UTF-8 bytes and no U+0000, which Postgres can't store.
///
/// # Errors
///
/// The rule that the text breaks.
pub(crate) fn storable(text: &str, min: usize, max: usize) -> Result<(), Rule> {
    if text.contains('\0') {
        return Err(Rule::Nul);
    }
    match (text.len(), min) {
        (length, 0) if length > max => Err(Rule::AtMostBytes { max }),
        (length, min) if length < min || length > max => Err(Rule::Bytes { min, max }),
        _ => Ok(()),
    }
}
