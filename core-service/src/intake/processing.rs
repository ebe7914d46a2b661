//! From an event of the stream to what it changes. Pure but for its counters.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jetstream::event::{Commit, Event, Kind, Operation};

use super::batch::{
    AccountChange, Change, Found, RecordChange, RecordEvent, RecordOf, References as StoredReferences, Sync,
};
use super::derive::derive;
use super::event_id::{Recipient, event_id};
use super::interests::Interests;
use super::metrics::IntakeMetrics;
use super::mirror::mirror;
use super::payload::{NoPayload, payload};
use super::record::{COLLECTION, WhRecord};
use super::references::References;
use super::syncs::Syncs;
use crate::domain::did::Did;
use crate::domain::webhook_url::Schemes;
use crate::intake::owners::RecordOwners;

/// What an event is judged by.
#[derive(Debug)]
pub(super) struct Processing {
    pub(super) interests: Interests,
    /// Who has a secret, a webhook or a wh record here.
    pub(super) known: HashSet<Did>,
    /// Whose wh records count.
    pub(super) owners: RecordOwners,
    pub(super) schemes: Schemes,
    /// Revisions with which whole repositories come once more.
    pub(super) syncs: Syncs,
    /// What records refer to, as of the events that are not stored yet and of those whose records are.
    pub(super) references: HashMap<RecordOf, References>,
}

/// What an event leads to.
#[derive(Debug, Default)]
pub(super) struct Effects {
    pub(super) changes: Vec<Change>,
    pub(super) sync: Option<Sync>,
    /// Whose names may have changed.
    pub(super) renamed: Option<Did>,
    /// Why an event that somebody wanted has no delivery.
    pub(super) skipped: Vec<&'static str>,
}

impl Processing {
    /// The records whose stored references must be known before `events` are processed.
    pub(super) fn needs_references<'a>(&self, events: impl Iterator<Item = &'a Event>) -> Vec<RecordOf> {
        if !self.interests.has_backlinks() {
            return Vec::new();
        }
        let mut needed = HashSet::new();
        for event in events {
            let Kind::Commit(commit) = &event.kind else { continue };
            let key = key(&event.did, commit);
            if commit.operation != Operation::Create && !self.references.contains_key(&key) {
                needed.insert(key);
            }
        }
        needed.into_iter().collect()
    }

    /// What `event` leads to.
    pub(super) fn event(&mut self, event: &Event, metrics: &IntakeMetrics) -> Effects {
        let Event { position, did, kind } = event;
        match kind {
            Kind::Commit(commit) => {
                metrics.event("commit");
                self.commit(did, commit, position.time_us)
            }
            Kind::Identity => {
                metrics.event("identity");
                Effects { renamed: did.parse().ok(), ..Effects::default() }
            }
            Kind::Account { active, status } => {
                metrics.event("account");
                self.account(did, *active, status.as_deref(), position.time_us)
            }
            Kind::Sync { rev } => {
                metrics.event("sync");
                let sync = Sync { did: did.clone(), rev: rev.clone() };
                self.syncs.insert(&sync);
                Effects { sync: Some(sync), ..Effects::default() }
            }
        }
    }

    fn account(&self, did: &str, active: bool, status: Option<&str>, time_us: i64) -> Effects {
        let mut effects = Effects::default();
        if self.known.contains(did)
            && let Ok(did) = did.parse()
        {
            let status = (!active).then(|| status.unwrap_or("inactive").to_owned());
            effects.changes.push(Change::Account(AccountChange { did, status, time_us }));
        }
        effects
    }

    fn commit(&mut self, did: &str, commit: &Commit, time_us: i64) -> Effects {
        let mut effects = Effects::default();
        if commit.collection == COLLECTION {
            effects.changes.extend(self.record(did, commit, time_us));
        }
        if let Some(change) = mirror(did, commit, |kind, did| self.interests.mirrors(kind, did)) {
            effects.changes.push(Change::Mirror(vec![change]));
        }
        // A create of a sync's revision is an old record, sent once more.
        let resync = commit.operation == Operation::Create && self.syncs.contains(did, &commit.rev);
        if !resync {
            match derive(did, commit, time_us, &self.interests, self.known.contains(did)) {
                Ok(candidates) => {
                    effects.changes.extend(candidates.into_iter().map(|one| Change::Streamer(Box::new(one))));
                }
                Err(_) => effects.skipped.push("unreadable"),
            }
        }
        self.records_told(did, commit, time_us, resync, &mut effects);
        effects
    }

    fn record(&self, did: &str, commit: &Commit, time_us: i64) -> Option<Change> {
        if self.owners == RecordOwners::Known && !self.known.contains(did) {
            return None;
        }
        let owner: Did = did.parse().ok()?;
        let found = match &commit.record {
            Some(record) if commit.operation != Operation::Delete => found(record, self.schemes),
            Some(_) | None => Found::Deleted,
        };
        let (rkey, rev) = (commit.rkey.clone(), commit.rev.clone());
        Some(Change::Record(RecordChange { owner, rkey, rev, time_us: Some(time_us), found }))
    }

    /// Whom of the wh records is told of `commit`, and what it refers to.
    fn records_told(
        &mut self,
        did: &str,
        commit: &Commit,
        time_us: i64,
        resync: bool,
        effects: &mut Effects,
    ) {
        let mut references = References::default();
        if self.interests.has_backlinks() {
            let before = self.references.get(&key(did, commit));
            let mut now = References::default();
            if let Some(record) = commit.record.as_deref().filter(|_| commit.operation != Operation::Delete) {
                match References::of(record, |did| self.interests.is_referred(did)) {
                    Ok(found) => now = found,
                    Err(_) => effects.skipped.push("unreadable"),
                }
            }
            let changed = before.map_or(!now.is_empty(), |before| *before != now);
            references = now.clone();
            if let Some(before) = before {
                references = references.and(before);
            }
            if changed {
                let (did, collection, rkey) = key(did, commit);
                let targets = now.iter().map(ToString::to_string).collect();
                self.references.insert((did.clone(), collection.clone(), rkey.clone()), now);
                let stored = StoredReferences { did, collection, rkey, targets };
                effects.changes.push(Change::References(stored));
            }
        }
        let told = self.interests.told(did, commit, &references);
        if resync && !told.is_empty() {
            effects.skipped.push("resync");
            return;
        }
        if told.is_empty() {
            return;
        }
        let payload = match payload(did, commit, time_us) {
            Ok(payload) => Arc::new(payload),
            Err(NoPayload::TooLarge) => return effects.skipped.push("payload_large"),
            Err(NoPayload::Unreadable) => return effects.skipped.push("unreadable"),
        };
        let events = told.into_iter().map(|webhook| {
            let uri = format!("at://{}/{COLLECTION}/{}", webhook.owner, webhook.rkey);
            Change::Matched(RecordEvent {
                id: event_id(Recipient::Record(&uri), did, commit),
                webhook: webhook.id,
                operation: commit.operation,
                payload: Arc::clone(&payload),
                time_us,
            })
        });
        effects.changes.extend(events);
    }
}

/// What a wh record says.
pub(super) fn found(record: &serde_json::value::RawValue, schemes: Schemes) -> Found {
    match WhRecord::parse(record, schemes) {
        Ok(record) => Found::Valid(Box::new(record)),
        Err(reason) => Found::Invalid(reason.to_string()),
    }
}

fn key(did: &str, commit: &Commit) -> RecordOf {
    (did.to_owned(), commit.collection.clone(), commit.rkey.clone())
}
