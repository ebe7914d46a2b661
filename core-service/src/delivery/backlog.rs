//! What waits for one webhook, as operators see it.

use uuid::Uuid;

/// The pending deliveries of a webhook. Times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Backlog {
    pub(crate) webhook: Uuid,
    pub(crate) owner: String,
    pub(crate) pending: u32,
    /// When the one is or was due that is due first; the end of its lease, if it is being attempted.
    pub(crate) oldest_due_ms: Option<i64>,
    /// Of the one to be attempted again that is due first.
    pub(crate) last_outcome: Option<String>,
    /// Failed deliveries in a row.
    pub(crate) error_count: u32,
    pub(crate) held_until_ms: Option<i64>,
    pub(crate) paused: bool,
    pub(crate) origin_paused: bool,
}
