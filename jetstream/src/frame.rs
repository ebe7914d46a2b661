//! One frame of either wire → what it says. Pure.
//!
//! The record stays the text it was: it may be nested deeper than a JSON parser goes, and most records
//! interest nobody. What a caller stores as a key (DID, collection, record key, revision, CID) is checked.

use std::sync::Arc;

use ring::digest::{SHA256, digest};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::event::{Commit, Event, Kind, Operation, Position, Wire};
use crate::syntax;

/// The largest frame, in bytes, decoded. A larger one is skipped as unreadable.
pub const MAX_FRAME_BYTES: usize = 4 << 20;

/// Below it the cursor of a v2 host is a sequence number, from it on a time in microseconds since 1970.
pub const SEQUENCES_END: i64 = 1_000_000_000_000_000;

/// The latest time that an event may have: the year 5138. Sums of times stay in range.
const LATEST_TIME_US: i64 = 100_000_000_000_000_000;

/// What a frame says.
#[derive(Debug, Clone)]
pub enum Frame {
    /// An event.
    Event(Event),
    /// v2's advice about the stream: its name, such as `OutdatedCursor`.
    Info(String),
    /// v2's last frame: the error's name.
    Error(String),
    /// A kind of frame that this client doesn't know. Not an error.
    Unknown,
    /// A frame that can't be read.
    Unreadable(Unreadable),
}

/// A frame that can't be read. It is skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Where it stands, if that much could be read.
    pub position: Option<Position>,
    /// The SHA-256 of the frame.
    pub hash: [u8; 32],
    /// What is wrong with it, without a word of it.
    pub reason: &'static str,
}

/// Reads a frame of `host`.
#[must_use]
pub fn parse(wire: Wire, host: &Arc<str>, frame: &[u8]) -> Frame {
    if frame.len() > MAX_FRAME_BYTES {
        return unreadable(frame, None, "larger than 4 MiB");
    }
    let read = match wire {
        Wire::V1 => serde_json::from_slice(frame).map(|read: V1| read.frame(host)),
        Wire::V2 => serde_json::from_slice(frame).map(|read: V2| read.frame(host)),
    };
    match read {
        Ok(Ok(read)) => read,
        Ok(Err(broken)) => unreadable(frame, broken.position, broken.reason),
        Err(_) => without_details(wire, host, frame),
    }
}

/// Says that a frame can't be read.
pub(crate) fn unreadable(frame: &[u8], position: Option<Position>, reason: &'static str) -> Frame {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, frame).as_ref());
    Frame::Unreadable(Unreadable { position, hash, reason })
}

/// A frame whose details have the wrong types: where it stands, or whether its kind is one we know at all.
fn without_details(wire: Wire, host: &Arc<str>, frame: &[u8]) -> Frame {
    let (unknown, position) = match wire {
        Wire::V1 => match serde_json::from_slice::<V1Place>(frame) {
            Ok(place) => (
                place.kind == Some(V1Kind::Unknown),
                v1_position(host, place.time_us.and_then(Number::whole)).ok(),
            ),
            Err(_) => return unreadable(frame, None, "not an object of JSON"),
        },
        Wire::V2 => match serde_json::from_slice::<V2Place>(frame) {
            Ok(V2Place { kind, payload }) => {
                let unknown = kind == V2Kind::Unknown
                    || payload.as_ref().is_some_and(|p| p.kind == PayloadKind::Unknown);
                let position = payload.and_then(|payload| {
                    let seq = payload.seq.and_then(Number::whole);
                    v2_position(host, seq, payload.witnessed_at.as_ref().or(payload.time.as_ref())).ok()
                });
                (unknown, position)
            }
            Err(_) => return unreadable(frame, None, "not an object of JSON"),
        },
    };
    if unknown { Frame::Unknown } else { unreadable(frame, position, "not an event") }
}

/// Something a frame lacks or has wrong.
struct Broken {
    position: Option<Position>,
    reason: &'static str,
}

impl Broken {
    fn at(position: &Position, reason: &'static str) -> Self {
        Self { position: Some(position.clone()), reason }
    }
}

#[derive(Deserialize)]
struct V1 {
    did: Option<String>,
    time_us: Option<i64>,
    kind: Option<V1Kind>,
    commit: Option<RawCommit>,
    account: Option<RawAccount>,
}

#[derive(Deserialize)]
struct V1Place {
    time_us: Option<Number>,
    kind: Option<V1Kind>,
}

#[derive(Deserialize, PartialEq, Eq, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum V1Kind {
    Commit,
    Identity,
    Account,
    #[serde(other)]
    Unknown,
}

#[derive(Deserialize)]
struct V2 {
    #[serde(rename = "$type")]
    kind: V2Kind,
    payload: Option<Payload>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct V2Place {
    #[serde(rename = "$type")]
    kind: V2Kind,
    payload: Option<PayloadPlace>,
}

#[derive(Deserialize, PartialEq, Eq, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum V2Kind {
    Message,
    Error,
    #[serde(other)]
    Unknown,
}

#[derive(Deserialize)]
struct Payload {
    #[serde(rename = "$type")]
    kind: PayloadKind,
    seq: Option<i64>,
    did: Option<String>,
    time: Option<Time>,
    #[serde(rename = "witnessedAt")]
    witnessed_at: Option<Time>,
    rev: Option<String>,
    operation: Option<RawOperation>,
    collection: Option<String>,
    rkey: Option<String>,
    record: Option<Box<RawValue>>,
    cid: Option<String>,
    account: Option<RawAccount>,
    sync: Option<RawSync>,
    name: Option<String>,
}

#[derive(Deserialize)]
struct PayloadPlace {
    #[serde(rename = "$type")]
    kind: PayloadKind,
    seq: Option<Number>,
    time: Option<Time>,
    #[serde(rename = "witnessedAt")]
    witnessed_at: Option<Time>,
}

#[derive(Deserialize, PartialEq, Eq, Clone, Copy)]
enum PayloadKind {
    #[serde(rename = "network.bsky.jetstream.subscribeEvents#commit")]
    Commit,
    #[serde(rename = "network.bsky.jetstream.subscribeEvents#identity")]
    Identity,
    #[serde(rename = "network.bsky.jetstream.subscribeEvents#account")]
    Account,
    #[serde(rename = "network.bsky.jetstream.subscribeEvents#sync")]
    Sync,
    #[serde(rename = "network.bsky.jetstream.subscribeEvents#info")]
    Info,
    #[serde(other)]
    Unknown,
}

#[derive(Deserialize)]
struct RawCommit {
    rev: Option<String>,
    operation: Option<RawOperation>,
    collection: Option<String>,
    rkey: Option<String>,
    record: Option<Box<RawValue>>,
    cid: Option<String>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum RawOperation {
    Create,
    Update,
    Delete,
    #[serde(other)]
    Unknown,
}

#[derive(Deserialize)]
struct RawAccount {
    active: bool,
    status: Option<String>,
}

/// A number, or something else in its place.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Whole(i64),
    Other(serde::de::IgnoredAny),
}

impl Number {
    fn whole(self) -> Option<i64> {
        if let Self::Whole(number) = self { Some(number) } else { None }
    }
}

/// A time as a text of RFC 3339 or as microseconds since 1970.
#[derive(Deserialize)]
#[serde(untagged)]
enum Time {
    Text(String),
    Micros(i64),
    Other(serde::de::IgnoredAny),
}

impl Time {
    fn micros(&self) -> Option<i64> {
        match self {
            Self::Text(text) => Some(chrono::DateTime::parse_from_rfc3339(text).ok()?.timestamp_micros()),
            Self::Micros(micros) => Some(*micros),
            Self::Other(_) => None,
        }
    }
}

#[derive(Deserialize)]
struct RawSync {
    rev: String,
}

impl V1 {
    fn frame(self, host: &Arc<str>) -> Result<Frame, Broken> {
        let Self { did, time_us, kind, commit, account } = self;
        let kind = kind.ok_or(Broken { position: None, reason: "no kind" })?;
        if kind == V1Kind::Unknown {
            return Ok(Frame::Unknown);
        }
        let position = v1_position(host, time_us)?;
        let did = checked_did(&position, did)?;
        let kind = match kind {
            V1Kind::Commit => match commit {
                Some(commit) => commit.kind(&position)?,
                None => return Err(Broken::at(&position, "no commit")),
            },
            V1Kind::Account => account_kind(&position, account)?,
            V1Kind::Identity | V1Kind::Unknown => Some(Kind::Identity),
        };
        Ok(kind.map_or(Frame::Unknown, |kind| Frame::Event(Event { position, did, kind })))
    }
}

impl V2 {
    fn frame(self, host: &Arc<str>) -> Result<Frame, Broken> {
        let nowhere = |reason| Broken { position: None, reason };
        match self.kind {
            V2Kind::Unknown => Ok(Frame::Unknown),
            V2Kind::Error => Ok(Frame::Error(self.error.unwrap_or_default())),
            V2Kind::Message => self.payload.ok_or(nowhere("no payload"))?.frame(host),
        }
    }
}

impl Payload {
    fn frame(self, host: &Arc<str>) -> Result<Frame, Broken> {
        let Self {
            kind,
            seq,
            did,
            time,
            witnessed_at,
            rev,
            operation,
            collection,
            rkey,
            record,
            cid,
            account,
            sync,
            name,
        } = self;
        match kind {
            PayloadKind::Unknown => return Ok(Frame::Unknown),
            PayloadKind::Info => return Ok(Frame::Info(name.unwrap_or_default())),
            PayloadKind::Commit | PayloadKind::Identity | PayloadKind::Account | PayloadKind::Sync => {}
        }
        let position = v2_position(host, seq, witnessed_at.as_ref().or(time.as_ref()))?;
        let did = checked_did(&position, did)?;
        let kind = match kind {
            PayloadKind::Commit => {
                RawCommit { rev, operation, collection, rkey, record, cid }.kind(&position)?
            }
            PayloadKind::Account => account_kind(&position, account)?,
            PayloadKind::Sync => {
                let rev = sync.map(|sync| sync.rev).filter(|rev| syntax::is_rev(rev));
                Some(Kind::Sync { rev: rev.ok_or_else(|| Broken::at(&position, "no revision"))? })
            }
            PayloadKind::Identity | PayloadKind::Info | PayloadKind::Unknown => Some(Kind::Identity),
        };
        Ok(kind.map_or(Frame::Unknown, |kind| Frame::Event(Event { position, did, kind })))
    }
}

impl RawCommit {
    /// `None`: an operation that this client doesn't know.
    fn kind(self, position: &Position) -> Result<Option<Kind>, Broken> {
        let Self { rev, operation, collection, rkey, record, cid } = self;
        let broken = |reason| Broken::at(position, reason);
        let operation = match operation.ok_or_else(|| broken("no operation"))? {
            RawOperation::Create => Operation::Create,
            RawOperation::Update => Operation::Update,
            RawOperation::Delete => Operation::Delete,
            RawOperation::Unknown => return Ok(None),
        };
        let checked = |value: Option<String>, is: fn(&str) -> bool, reason| {
            value.filter(|value| is(value)).ok_or_else(|| broken(reason))
        };
        let rev = checked(rev, syntax::is_rev, "a revision that breaks the syntax")?;
        let collection = checked(collection, syntax::is_nsid, "a collection that breaks the syntax")?;
        let rkey = checked(rkey, syntax::is_rkey, "a record key that breaks the syntax")?;
        if cid.as_ref().is_some_and(|cid| !syntax::is_cid(cid)) {
            return Err(broken("a CID that breaks the syntax"));
        }
        let record = record.filter(|_| operation != Operation::Delete);
        if record.is_none() && operation != Operation::Delete {
            return Err(broken("no record"));
        }
        Ok(Some(Kind::Commit(Commit { rev, operation, collection, rkey, cid, record })))
    }
}

fn account_kind(position: &Position, account: Option<RawAccount>) -> Result<Option<Kind>, Broken> {
    let RawAccount { active, status } = account.ok_or_else(|| Broken::at(position, "no account"))?;
    if status.as_ref().is_some_and(|status| !syntax::is_status(status)) {
        return Err(Broken::at(position, "a status that breaks the syntax"));
    }
    Ok(Some(Kind::Account { active, status }))
}

fn checked_did(position: &Position, did: Option<String>) -> Result<String, Broken> {
    did.filter(|did| syntax::is_did(did)).ok_or_else(|| Broken::at(position, "a DID that breaks the syntax"))
}

fn v1_position(host: &Arc<str>, time_us: Option<i64>) -> Result<Position, Broken> {
    let time_us = time_us.filter(|time| (SEQUENCES_END..LATEST_TIME_US).contains(time));
    let time_us = time_us.ok_or(Broken { position: None, reason: "no time" })?;
    Ok(Position { host: Arc::clone(host), wire: Wire::V1, cursor: time_us, time_us })
}

fn v2_position(host: &Arc<str>, seq: Option<i64>, time: Option<&Time>) -> Result<Position, Broken> {
    let seq = seq.filter(|seq| (0..SEQUENCES_END).contains(seq));
    let cursor = seq.ok_or(Broken { position: None, reason: "no sequence number" })?;
    let time_us = time.and_then(Time::micros);
    let time_us = time_us.filter(|time| (SEQUENCES_END..LATEST_TIME_US).contains(time));
    let time_us = time_us.ok_or(Broken { position: None, reason: "no time" })?;
    Ok(Position { host: Arc::clone(host), wire: Wire::V2, cursor, time_us })
}
