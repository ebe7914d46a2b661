//! What happened on the network, and the frames of both wires that say so.

use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, SecondsFormat};
use data_encoding::BASE32_NOPAD;
use ring::digest::{SHA256, digest};

use super::Wire;

/// Something that happened on the network. It is the same on every host; sequence number and time are the
/// host's.
#[derive(Debug, Clone)]
pub struct Item {
    pub(super) did: String,
    pub(super) what: What,
}

#[derive(Debug, Clone)]
pub(super) enum What {
    Commit {
        rev: String,
        operation: &'static str,
        collection: String,
        rkey: String,
        /// JSON.
        record: Option<String>,
        cid: Option<String>,
        /// One of the creates that follow a sync, which v1 hosts don't send.
        resync: bool,
    },
    Identity,
    Account {
        active: bool,
        status: Option<String>,
    },
    Sync {
        rev: String,
    },
    /// Frames as they are.
    Raw {
        v1: String,
        v2: String,
    },
}

impl Item {
    /// A new record, which is JSON.
    #[must_use]
    pub fn create(did: &str, collection: &str, rkey: &str, record: &str) -> Self {
        Self::commit("create", did, collection, rkey, Some(record))
    }

    /// A record that is replaced.
    #[must_use]
    pub fn update(did: &str, collection: &str, rkey: &str, record: &str) -> Self {
        Self::commit("update", did, collection, rkey, Some(record))
    }

    /// A record that is gone.
    #[must_use]
    pub fn delete(did: &str, collection: &str, rkey: &str) -> Self {
        Self::commit("delete", did, collection, rkey, None)
    }

    /// The handle or DID document may have changed.
    #[must_use]
    pub fn identity(did: &str) -> Self {
        Self { did: did.to_owned(), what: What::Identity }
    }

    /// An account's status.
    #[must_use]
    pub fn account(did: &str, active: bool, status: Option<&str>) -> Self {
        Self { did: did.to_owned(), what: What::Account { active, status: status.map(str::to_owned) } }
    }

    /// The repository is read anew. v1 hosts don't say so.
    #[must_use]
    pub fn sync(did: &str, rev: &str) -> Self {
        Self { did: did.to_owned(), what: What::Sync { rev: rev.to_owned() } }
    }

    /// A record that was read anew after [`sync`](Self::sync), of its revision. v1 hosts don't send it.
    #[must_use]
    pub fn resync(did: &str, rev: &str, collection: &str, rkey: &str, record: &str) -> Self {
        let mut item = Self::create(did, collection, rkey, record).rev(rev);
        if let What::Commit { resync, .. } = &mut item.what {
            *resync = true;
        }
        item
    }

    /// A frame as it is. `{seq}`, `{time}` and `{time_us}` in it are replaced by the host's own.
    #[must_use]
    pub fn raw(v1: &str, v2: &str) -> Self {
        Self { did: String::new(), what: What::Raw { v1: v1.to_owned(), v2: v2.to_owned() } }
    }

    /// With another revision than the next.
    #[must_use]
    pub fn rev(mut self, to: &str) -> Self {
        if let What::Commit { rev, .. } = &mut self.what {
            to.clone_into(rev);
        }
        self
    }

    /// The revision of a commit.
    #[must_use]
    pub fn revision(&self) -> Option<&str> {
        match &self.what {
            What::Commit { rev, .. } => Some(rev),
            _ => None,
        }
    }

    /// Its frame on this wire, without compression, from a host that gives it these numbers. `None`: v1
    /// doesn't say it.
    #[must_use]
    pub fn frame(&self, wire: Wire, seq: i64, time_us: i64) -> Option<String> {
        match wire {
            Wire::V1 => self.v1(seq, time_us),
            Wire::V2 => Some(self.v2(seq, time_us)),
        }
    }

    fn commit(
        operation: &'static str,
        did: &str,
        collection: &str,
        rkey: &str,
        record: Option<&str>,
    ) -> Self {
        Self {
            did: did.to_owned(),
            what: What::Commit {
                rev: next_revision(),
                operation,
                collection: collection.to_owned(),
                rkey: rkey.to_owned(),
                record: record.map(str::to_owned),
                cid: record.map(cid),
                resync: false,
            },
        }
    }

    pub(super) fn collection(&self) -> Option<&str> {
        match &self.what {
            What::Commit { collection, .. } => Some(collection),
            _ => None,
        }
    }

    /// The kind as the parameter `kinds` of v2 names it; `None`: it comes whatever is asked for.
    pub(super) fn kind(&self) -> Option<&'static str> {
        match &self.what {
            What::Commit { .. } => Some("commit"),
            What::Identity => Some("identity"),
            What::Account { .. } => Some("account"),
            What::Sync { .. } => Some("sync"),
            What::Raw { .. } => None,
        }
    }

    /// `None`: v1 doesn't say it.
    pub(super) fn v1(&self, seq: i64, time_us: i64) -> Option<String> {
        let did = quoted(&self.did);
        let time = rfc3339(time_us);
        let (kind, what) = match &self.what {
            What::Commit { resync: true, .. } | What::Sync { .. } => return None,
            What::Raw { v1, .. } => return Some(filled_in(v1, seq, time_us)),
            What::Commit { rev, operation, collection, rkey, record, cid, .. } => {
                let mut commit = format!(
                    r#"{{"rev":{},"operation":"{operation}","collection":{},"rkey":{}"#,
                    quoted(rev),
                    quoted(collection),
                    quoted(rkey)
                );
                add_record(&mut commit, record.as_ref(), cid.as_ref());
                ("commit", commit)
            }
            What::Identity => {
                ("identity", format!(r#"{{"did":{did},"handle":"a.example","seq":{seq},"time":"{time}"}}"#))
            }
            What::Account { active, status } => {
                ("account", account(&did, seq, &time, *active, status.as_ref()))
            }
        };
        Some(format!(r#"{{"did":{did},"time_us":{time_us},"cursor":{seq},"kind":"{kind}","{kind}":{what}}}"#))
    }

    pub(super) fn v2(&self, seq: i64, time_us: i64) -> String {
        let did = quoted(&self.did);
        let time = rfc3339(time_us);
        let (kind, what) = match &self.what {
            What::Raw { v2, .. } => return filled_in(v2, seq, time_us),
            What::Commit { rev, operation, collection, rkey, record, cid, .. } => {
                let mut commit = format!(
                    r#""rev":{},"operation":"{operation}","collection":{},"rkey":{}"#,
                    quoted(rev),
                    quoted(collection),
                    quoted(rkey)
                );
                add_record(&mut commit, record.as_ref(), cid.as_ref());
                ("commit", commit)
            }
            What::Identity => {
                ("identity", format!(r#""identity":{{"did":{did},"seq":5,"time":"{time}"}}}}"#))
            }
            What::Account { active, status } => {
                ("account", format!(r#""account":{}}}"#, account(&did, 5, &time, *active, status.as_ref())))
            }
            What::Sync { rev } => {
                let rev = quoted(rev);
                let sync = format!(
                    r#"{{"blocks":{{"$bytes":"oQ"}},"did":{did},"rev":{rev},"seq":5,"time":"{time}"}}"#
                );
                ("sync", format!(r#""sync":{sync}}}"#))
            }
        };
        format!(
            r#"{{"$type":"message","payload":{{"$type":"network.bsky.jetstream.subscribeEvents#{kind}","seq":{seq},"did":{did},"time":"{time}",{what}}}"#
        )
    }
}

/// v2's advice about the stream.
pub(super) fn info(name: &str) -> String {
    let name = quoted(name);
    format!(
        r#"{{"$type":"message","payload":{{"$type":"network.bsky.jetstream.subscribeEvents#info","name":{name},"message":"so it is"}}}}"#
    )
}

fn add_record(commit: &mut String, record: Option<&String>, cid: Option<&String>) {
    if let Some(record) = record {
        commit.push_str(r#","record":"#);
        commit.push_str(record);
    }
    if let Some(cid) = cid {
        commit.push_str(&format!(r#","cid":{}"#, quoted(cid)));
    }
    commit.push('}');
}

fn account(did: &str, seq: i64, time: &str, active: bool, status: Option<&String>) -> String {
    let status = status.map(|status| format!(r#","status":{}"#, quoted(status))).unwrap_or_default();
    format!(r#"{{"active":{active},"did":{did},"seq":{seq}{status},"time":"{time}"}}"#)
}

fn filled_in(frame: &str, seq: i64, time_us: i64) -> String {
    let frame = frame.replace("{seq}", &seq.to_string()).replace("{time_us}", &time_us.to_string());
    frame.replace("{time}", &rfc3339(time_us))
}

fn rfc3339(time_us: i64) -> String {
    let time = DateTime::from_timestamp_micros(time_us).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// As long as a CID, and the same for the same record.
fn cid(record: &str) -> String {
    let hash = digest(&SHA256, record.as_bytes());
    format!("bafyrei{}", BASE32_NOPAD.encode(hash.as_ref()).to_ascii_lowercase())
}

/// A TID later than those before.
fn next_revision() -> String {
    const LETTERS: &[u8; 32] = b"234567abcdefghijklmnopqrstuvwxyz";
    static COUNT: AtomicU64 = AtomicU64::new(1_780_000_000_000_000 << 10);
    let count = COUNT.fetch_add(1 << 10, Ordering::Relaxed);
    (0..13).rev().map(|place| char::from(LETTERS[(count >> (5 * place) & 31) as usize])).collect()
}
