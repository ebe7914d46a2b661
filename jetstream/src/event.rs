//! What the stream says, the same on both wires.

use std::sync::Arc;

use serde_json::value::RawValue;

/// Which of the two wires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Wire {
    /// `/subscribe`: a cursor is a time.
    V1,
    /// `/xrpc/network.bsky.jetstream.subscribeEvents`: a cursor is a sequence number.
    V2,
}

/// A place in the stream of one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The URL of the host, as it was given.
    pub host: Arc<str>,
    /// The wire on which it was read.
    pub wire: Wire,
    /// What the host counts by: microseconds since 1970 on v1, a sequence number on v2.
    pub cursor: i64,
    /// When the host saw the event, in microseconds since 1970-01-01T00:00:00Z. A time more than 10 minutes
    /// ahead of our clock counts as now.
    pub time_us: i64,
}

/// An event of the stream.
#[derive(Debug, Clone)]
pub struct Event {
    /// Where it stands.
    pub position: Position,
    /// Whose repository or account it is about.
    pub did: String,
    /// What happened.
    pub kind: Kind,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Kind {
    /// A record was created, updated or deleted.
    Commit(Commit),
    /// The handle or the DID document may have changed.
    Identity,
    /// The account's status.
    Account {
        /// Whether it is active.
        active: bool,
        /// Why it is not: `deleted`, `deactivated`, `suspended`, `takendown` …
        status: Option<String>,
    },
    /// v2 only: the host reads the repository anew, and sends each record as a create of this `rev`.
    Sync {
        /// The revision of the repository.
        rev: String,
    },
}

/// One change of one record.
#[derive(Debug, Clone)]
pub struct Commit {
    /// The revision of the repository: a TID.
    pub rev: String,
    /// What was done.
    pub operation: Operation,
    /// The NSID of the collection.
    pub collection: String,
    /// The record key.
    pub rkey: String,
    /// The hash of the record; none of a deleted one.
    pub cid: Option<String>,
    /// The record; none of a deleted one. It may be nested deeper than a JSON parser goes.
    pub record: Option<Box<RawValue>>,
}

/// What was done to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// It is new.
    Create,
    /// It was replaced.
    Update,
    /// It is gone.
    Delete,
}
