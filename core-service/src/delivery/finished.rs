//! What one attempt came to, as it is written to the database.

use uuid::Uuid;

use super::outcome::{Outcome, Verdict};

/// The end of a lease. Written only while `lease` is the delivery's lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finished {
    pub(crate) delivery: Uuid,
    pub(crate) webhook: Uuid,
    pub(crate) lease: Uuid,
    pub(crate) ending: Ending,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The attempt was not begun: the delivery is due at once.
    GivenBack,
    /// Nothing was sent, since the secret is missing or does not open.
    NoSecret,
    Attempted(Attempted),
}

/// One row of `attempt`, and what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attempted {
    pub(crate) number: u32,
    /// When it began, in milliseconds since 1970-01-01T00:00:00Z.
    pub(crate) at_ms: i64,
    pub(crate) duration_ms: u32,
    pub(crate) outcome: Outcome,
    pub(crate) status: Option<u16>,
    /// The beginning of the answer's body as text, for the owner.
    pub(crate) response: Option<String>,
    pub(crate) verdict: Verdict,
}
