//! What is wanted of the stream, in memory: for each event that arrives it says at once who wants it.
//!
//! Owns the collections that the stream is asked for. Every look-up is by a DID; an event that nobody wants
//! costs no allocation.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use jetstream::event::Commit;
use uuid::Uuid;

use super::mirror::MirrorKind;
use super::record::{self, Operations};
use super::references::References;
use super::scope::{Reading, Scope};
use crate::domain::did::Did;
use crate::domain::event_type::EventType;

/// The most collections that a stream can be asked for at once.
const MAX_COLLECTIONS: usize = 100;
/// What is always read.
const ALWAYS: [&str; 6] = [
    record::COLLECTION,
    "place.stream.chat.message",
    "place.stream.livestream",
    "place.stream.chat.access",
    "place.stream.broadcast.origin",
    "app.bsky.graph.block",
];
/// What is read once a webhook wants follow or mention.
const OF_FOLLOWS_AND_MENTIONS: [&str; 2] = ["app.bsky.graph.follow", "app.bsky.feed.post"];
/// What is read once a chat has a rule that names a verifier.
const OF_VERIFIERS: &str = "app.bsky.graph.verification";

/// Why a record is invalid where the whole network is not read.
pub(crate) const NEEDS_NETWORK: &str =
    "scope: needs the records of the whole network, which are not read here (--intake-network off)";
/// Why a record is over the limit where the whole network is not read.
pub(crate) const OVER_COLLECTIONS: &str = "scope.aturi: the collections of older records are all that can be \
     read here (100, with --intake-network off)";

/// The types of events that the webhooks of somebody want.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Types(u8);

impl Types {
    fn of(types: impl IntoIterator<Item = EventType>) -> Self {
        Self(types.into_iter().fold(0, |bits, event_type| bits | Self::bit(event_type)))
    }

    fn contains(self, event_type: EventType) -> bool {
        self.0 & Self::bit(event_type) != 0
    }

    fn bit(event_type: EventType) -> u8 {
        match event_type {
            EventType::Chat => 1,
            EventType::Livestream => 1 << 1,
            EventType::Follow => 1 << 2,
            EventType::Mention => 1 << 3,
            EventType::StreamReceived => 1 << 4,
        }
    }
}

/// A wh record that stands: valid and enabled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WantedRecord {
    pub(crate) id: Uuid,
    pub(crate) owner: Did,
    pub(crate) rkey: String,
    pub(crate) scope: Scope,
    pub(crate) events: Operations,
}

impl WantedRecord {
    /// Whether it wants to be told of `commit`, where that is within its scope or refers to it. It never
    /// hears of itself.
    fn wants(&self, did: &str, commit: &Commit) -> bool {
        let of_itself =
            commit.collection == record::COLLECTION && self.rkey == commit.rkey && self.owner.as_str() == did;
        self.events.contains(commit.operation) && !of_itself
    }
}

/// What is wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interests {
    streamers: HashMap<Did, Types>,
    verifiers: HashSet<Did>,
    /// By their ids.
    records: HashMap<Uuid, Arc<WantedRecord>>,
    /// By the DIDs of their scopes.
    scopes: HashMap<Did, Vec<Arc<WantedRecord>>>,
    /// Those with backlinks, by the DIDs of their scopes.
    backlinks: HashMap<Did, Vec<Arc<WantedRecord>>>,
    /// The records that are told of nothing, as not all that they want is read.
    withheld: HashSet<Uuid>,
}

impl Interests {
    /// The types that the webhooks of `streamer` want; none: they want nothing any more.
    pub(crate) fn set_streamer(&mut self, streamer: Did, types: impl IntoIterator<Item = EventType>) {
        match Types::of(types) {
            Types(0) => self.streamers.remove(&streamer),
            types => self.streamers.insert(streamer, types),
        };
    }

    /// All whom some rule of access names.
    pub(crate) fn set_verifiers(&mut self, verifiers: impl IntoIterator<Item = Did>) {
        self.verifiers = verifiers.into_iter().collect();
    }

    /// Puts a record in the place of the one with its id, if there is one.
    pub(crate) fn set_record(&mut self, record: WantedRecord) {
        self.remove_record(record.id);
        let record = Arc::new(record);
        let did = || record.scope.did.clone();
        self.scopes.entry(did()).or_default().push(Arc::clone(&record));
        if record.scope.backlinks {
            self.backlinks.entry(did()).or_default().push(Arc::clone(&record));
        }
        self.records.insert(record.id, record);
    }

    pub(crate) fn remove_record(&mut self, id: Uuid) {
        let Some(record) = self.records.remove(&id) else { return };
        for by_did in [&mut self.scopes, &mut self.backlinks] {
            let Some(records) = by_did.get_mut(&record.scope.did) else { continue };
            records.retain(|other| other.id != id);
            if records.is_empty() {
                by_did.remove(&record.scope.did);
            }
        }
    }

    /// From now on these records are told of nothing, and all others are.
    pub(crate) fn withhold(&mut self, records: impl IntoIterator<Item = Uuid>) {
        self.withheld = records.into_iter().collect();
    }

    /// Whether a webhook of `streamer` wants events of this type.
    pub(crate) fn wants(&self, streamer: &str, event_type: EventType) -> bool {
        self.streamers.get(streamer).is_some_and(|types| types.contains(event_type))
    }

    /// Whether events for this streamer are judged by their blocks.
    pub(crate) fn judges(&self, streamer: &str) -> bool {
        [EventType::Chat, EventType::Follow, EventType::Mention]
            .into_iter()
            .any(|event| self.wants(streamer, event))
    }

    /// Whether events for this streamer are judged by the rules of access to their chat.
    pub(crate) fn has_chat(&self, streamer: &str) -> bool {
        self.wants(streamer, EventType::Chat)
    }

    /// Whether events are judged by the records of this kind of `did`.
    pub(crate) fn mirrors(&self, kind: MirrorKind, did: &str) -> bool {
        match kind {
            MirrorKind::Block => self.judges(did),
            MirrorKind::Access => self.has_chat(did),
            MirrorKind::Verification => self.verifies(did),
        }
    }

    /// All for which [`Self::mirrors`] is true, some of it twice.
    pub(crate) fn mirrored(&self) -> impl Iterator<Item = (Did, MirrorKind)> {
        let kinds = [MirrorKind::Block, MirrorKind::Access, MirrorKind::Verification];
        let dids = self.streamers.keys().chain(&self.verifiers);
        let all = dids.flat_map(move |did| kinds.map(|kind| (did.clone(), kind)));
        all.filter(|(did, kind)| self.mirrors(*kind, did.as_str()))
    }

    /// Whether a rule of access names `did`.
    pub(crate) fn verifies(&self, did: &str) -> bool {
        self.verifiers.contains(did)
    }

    /// Whether anything refers to what somebody wants to hear of: without it no record needs to be searched.
    pub(crate) fn has_backlinks(&self) -> bool {
        !self.backlinks.is_empty()
    }

    /// Whether a reference to `did` may matter.
    pub(crate) fn is_referred(&self, did: &str) -> bool {
        self.backlinks.contains_key(did)
    }

    /// The records that want to be told of `commit` in the repository of `did`, none of them twice.
    /// `references` are those of its record; of an update, also of the record before; of a deletion, of what
    /// is gone.
    pub(crate) fn told(&self, did: &str, commit: &Commit, references: &References) -> Vec<Arc<WantedRecord>> {
        let mut told: Vec<Arc<WantedRecord>> = Vec::new();
        for record in self.scopes.get(did).into_iter().flatten() {
            let within = record.scope.matches_within(&commit.collection, &commit.rkey);
            if within && record.wants(did, commit) {
                told.push(Arc::clone(record));
            }
        }
        let mut by_reference = HashSet::new();
        for reference in references.iter() {
            for record in self.backlinks.get(&reference.did).into_iter().flatten() {
                let directly = || record.scope.matches(did, &commit.collection, &commit.rkey);
                if record.scope.refers(reference)
                    && record.wants(did, commit)
                    && !directly()
                    && by_reference.insert(record.id)
                {
                    told.push(Arc::clone(record));
                }
            }
        }
        told.retain(|record| !self.withheld.contains(&record.id));
        told
    }

    /// What the stream must be asked for. `network_allowed`: the records of the whole network may be.
    pub(crate) fn plan(&self, network_allowed: bool) -> Plan {
        let mut records: Vec<_> = self.records.values().collect();
        // Ids are in the order in which the records came.
        records.sort_by_key(|record| record.id);
        let mut wanted = Vec::new();
        let mut need_network = Vec::new();
        for record in records {
            match record.scope.reading() {
                Reading::Nothing => {}
                Reading::Network => need_network.push(record.id),
                Reading::Collection(collection) => wanted.push((record.id, collection)),
            }
        }
        let mut all = self.collections_of_streamers();
        for (_, collection) in &wanted {
            all.add(collection);
        }
        let fits = all.0.len() <= MAX_COLLECTIONS;
        if network_allowed && !(need_network.is_empty() && fits) {
            return Plan { filter: Filter::All, over_limit: Vec::new(), need_network: Vec::new() };
        }
        let (collections, over_limit) = if fits { (all, Vec::new()) } else { self.oldest(&wanted) };
        Plan { filter: Filter::Collections(collections.0), over_limit, need_network }
    }

    /// As many collections of records, the oldest first, as a stream can be asked for; and the other records.
    fn oldest(&self, wanted: &[(Uuid, &str)]) -> (Collections, Vec<Uuid>) {
        let mut collections = self.collections_of_streamers();
        let mut over_limit = Vec::new();
        for (id, collection) in wanted {
            if has(&collections.0, collection) || collections.0.len() < MAX_COLLECTIONS {
                collections.add(collection);
            } else {
                over_limit.push(*id);
            }
        }
        (collections, over_limit)
    }

    fn collections_of_streamers(&self) -> Collections {
        let mut collections: BTreeSet<_> = ALWAYS.into_iter().map(str::to_owned).collect();
        let follows_or_mentions = Types::of([EventType::Follow, EventType::Mention]);
        if self.streamers.values().any(|types| types.0 & follows_or_mentions.0 != 0) {
            collections.extend(OF_FOLLOWS_AND_MENTIONS.map(str::to_owned));
        }
        if !self.verifiers.is_empty() {
            collections.insert(OF_VERIFIERS.to_owned());
        }
        Collections(collections)
    }
}

/// What the stream is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) filter: Filter,
    /// The records whose collections go beyond what a stream can be asked for ([`OVER_COLLECTIONS`]).
    pub(crate) over_limit: Vec<Uuid>,
    /// The records that no filter suffices for ([`NEEDS_NETWORK`]).
    pub(crate) need_network: Vec<Uuid>,
}

/// The records that a stream is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Filter {
    /// Of the whole network.
    All,
    /// Of these NSIDs and `prefix.*`.
    Collections(BTreeSet<String>),
}

impl Filter {
    /// Whether this filter lets everything through that `other` does.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, _) => true,
            (Self::Collections(_), Self::All) => false,
            (Self::Collections(wide), Self::Collections(narrow)) => {
                narrow.iter().all(|collection| has(wide, collection))
            }
        }
    }
}

/// NSIDs and `prefix.*`, none of which another one has.
struct Collections(BTreeSet<String>);

impl Collections {
    fn add(&mut self, collection: &str) {
        if has(&self.0, collection) {
            return;
        }
        if let Some(prefix) = collection.strip_suffix('*') {
            self.0.retain(|other| !other.starts_with(prefix));
        }
        self.0.insert(collection.to_owned());
    }
}

/// Whether `collections` has an NSID or `prefix.*`, by itself or by a shorter prefix.
fn has(collections: &BTreeSet<String>, collection: &str) -> bool {
    let ends_of_parts = collection.match_indices('.').map(|(at, _)| at + 1);
    let by_prefix = |end: usize| collections.contains(&format!("{}*", &collection[..end]));
    collections.contains(collection) || ends_of_parts.into_iter().any(by_prefix)
}

#[cfg(test)]
mod tests;
