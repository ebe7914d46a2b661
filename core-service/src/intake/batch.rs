//! What one transaction of the intake writes, and what comes of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use jetstream::event::{Operation, Position};
use uuid::Uuid;

use super::derive::Candidate;
use super::mirror::{MirrorChange, MirrorKind};
use super::payload::Payload;
use super::record::WhRecord;
use crate::domain::did::Did;

/// The right to read the network, which one process of an installation has at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) id: Uuid,
    /// Counts the holders. Who has an older one writes nothing.
    pub(crate) epoch: i64,
}

/// Whether this process may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LeaseReport {
    /// It may, from there on.
    Held { epoch: i64, start: StoredStart },
    /// Another process reads.
    Elsewhere,
}

/// Where reading goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StoredStart {
    /// No event was read yet: at this time, in microseconds since 1970.
    Time(i64),
    At(Position),
}

/// Some of the stream, in its order.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    /// `None`: an operator's command, which reads no stream.
    pub(crate) holder: Option<Holder>,
    /// The last event, whose consequences and those of all before it are stored with this batch; none where
    /// nothing was read.
    pub(crate) position: Option<Position>,
    pub(crate) changes: Vec<Change>,
    pub(crate) syncs: Vec<Sync>,
    pub(crate) gaps: Vec<Gap>,
    pub(crate) unreadable: Vec<UnreadableFrame>,
}

impl Batch {
    pub(crate) fn new(holder: Option<Holder>) -> Self {
        Self {
            holder,
            position: None,
            changes: Vec::new(),
            syncs: Vec::new(),
            gaps: Vec::new(),
            unreadable: Vec::new(),
        }
    }
}

/// The revision at which the stream sends a whole repository once more.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Sync {
    pub(crate) did: String,
    pub(crate) rev: String,
}

/// A part of the stream that was not there any more. Times are microseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) host: String,
    pub(crate) from_us: i64,
    pub(crate) to_us: Option<i64>,
}

/// A frame that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnreadableFrame {
    pub(crate) hash: [u8; 32],
    pub(crate) reason: String,
}

/// What follows from an event, or from what was looked up.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// A wh record was written or deleted.
    Record(RecordChange),
    /// All wh records of an owner, as they were listed.
    Listed(ListedRecords),
    /// Records of the mirror, as they are now.
    Mirror(Vec<MirrorChange>),
    /// All that is mirrored of somebody has been listed, of a repository that had this revision before.
    Mirrored {
        did: Did,
        kind: MirrorKind,
        rev: String,
    },
    /// What is mirrored of these is not followed any more, or has a gap.
    Unmirrored(Vec<(Did, MirrorKind)>),
    Account(AccountChange),
    /// Perhaps an event of a streamer.
    Streamer(Box<Candidate>),
    /// An event of a wh record.
    Matched(RecordEvent),
    /// What a record refers to now, of what webhooks are told of.
    References(References),
    /// Why records are not read, of all that are not.
    Withheld(Vec<Withheld>),
    /// An operator's command has changed records: whoever reads looks at all of them anew.
    Reread,
    /// The gaps before this time, in microseconds since 1970, have been looked over.
    Healed {
        before_us: i64,
    },
}

impl Change {
    /// About the bytes of the payload that is stored for it.
    pub(crate) fn payload_bytes(&self) -> usize {
        match self {
            Self::Streamer(candidate) => candidate.text_bytes(),
            Self::Matched(event) => event.payload.len(),
            _ => 0,
        }
    }
}

/// A wh record as it is now.
#[derive(Debug, Clone)]
pub(crate) struct RecordChange {
    pub(crate) owner: Did,
    pub(crate) rkey: String,
    pub(crate) rev: String,
    /// When the stream had it, in microseconds since 1970; of one that was listed, the time of the stream
    /// then. None before a first event was read.
    pub(crate) time_us: Option<i64>,
    pub(crate) found: Found,
}

/// What became of a wh record.
#[derive(Debug, Clone)]
pub(crate) enum Found {
    Valid(Box<WhRecord>),
    /// Why it is no webhook, for its owner.
    Invalid(String),
    Deleted,
}

/// The wh records of an owner.
#[derive(Debug, Clone)]
pub(crate) struct ListedRecords {
    pub(crate) owner: Did,
    /// The revision of the repository before they were listed: what the stream said since then wins.
    pub(crate) rev: String,
    /// Record keys and records, some or all. None is [`Found::Deleted`].
    pub(crate) records: Vec<(String, Found)>,
    /// All record keys, with the last of them: the others are deleted then.
    pub(crate) all: Option<Vec<String>>,
}

/// An account's status has changed.
#[derive(Debug, Clone)]
pub(crate) struct AccountChange {
    pub(crate) did: Did,
    /// `None`: it is active.
    pub(crate) status: Option<String>,
    pub(crate) time_us: i64,
}

/// The status of an account that is gone.
pub(crate) const DELETED_ACCOUNT: &str = "deleted";

/// What a wh record is told of one commit.
#[derive(Debug, Clone)]
pub(crate) struct RecordEvent {
    pub(crate) id: Uuid,
    /// The row of the wh record.
    pub(crate) webhook: Uuid,
    pub(crate) operation: Operation,
    /// The body of its delivery, which it shares with the other events of the commit.
    pub(crate) payload: Arc<Payload>,
    pub(crate) time_us: i64,
}

/// A record of some repository: DID, collection, record key.
pub(crate) type RecordOf = (String, String, String);

/// What a record refers to.
#[derive(Debug, Clone)]
pub(crate) struct References {
    pub(crate) did: String,
    pub(crate) collection: String,
    pub(crate) rkey: String,
    /// The at-uris. None: the record is gone, or refers to nothing.
    pub(crate) targets: Vec<String>,
}

/// A wh record that can't be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Withheld {
    pub(crate) webhook: Uuid,
    /// `over_limit` or `invalid`.
    pub(crate) state: &'static str,
    /// For its owner.
    pub(crate) reason: String,
}

/// What came of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Written {
    /// Nothing was written: another process reads.
    LeaseLost,
    Stored(Stored),
}

/// What a batch stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Owners whose wh records changed, so that others may be wanted.
    pub(crate) changed_owners: BTreeSet<Did>,
    /// Owners whose accounts are active once more.
    pub(crate) resumed: Vec<Did>,
    /// Types of the events that were stored with a delivery.
    pub(crate) events: Vec<&'static str>,
    /// Why events were stored without one.
    pub(crate) skipped: Vec<&'static str>,
}

impl Stored {
    /// Adds what another batch stored.
    pub(crate) fn add(&mut self, other: Self) {
        let Self { changed_owners, resumed, events, skipped } = other;
        self.changed_owners.extend(changed_owners);
        self.resumed.extend(resumed);
        self.events.extend(events);
        self.skipped.extend(skipped);
    }
}
