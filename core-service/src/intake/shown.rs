//! Wh records as their owners see them.

use crate::domain::cursor::Cursor;
use crate::domain::webhook_url::WebhookUrl;

/// One page of an owner's records.
#[derive(Debug)]
pub(crate) struct RecordPage {
    pub(crate) records: Vec<ShownRecord>,
    pub(crate) next: Option<Cursor>,
}

/// A wh record.
#[derive(Debug)]
pub(crate) struct ShownRecord {
    /// Its at-uri.
    pub(crate) uri: String,
    pub(crate) state: RecordState,
    /// None where it is active.
    pub(crate) reason: Option<String>,
    /// None where it is invalid.
    pub(crate) url: Option<WebhookUrl>,
    /// The at-uri of its scope, and whether it wants backlinks. None where it is invalid.
    pub(crate) scope: Option<(String, bool)>,
    /// The name of its secret.
    pub(crate) secret: Option<String>,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub(crate) last_triggered_at_ms: Option<i64>,
    /// Deliveries that have failed in a row.
    pub(crate) error_count: i32,
}

/// Whether a record's events are delivered, else why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecordState {
    Active,
    Disabled,
    Invalid,
    OverLimit,
    SecretMissing,
    OwnerInactive,
}

impl RecordState {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Invalid => "invalid",
            Self::OverLimit => "over_limit",
            Self::SecretMissing => "secret_missing",
            Self::OwnerInactive => "owner_inactive",
        }
    }
}
