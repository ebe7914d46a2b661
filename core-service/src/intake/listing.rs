//! Lists records at PDSes: the wh records of owners, and what events are judged by.
//!
//! A task of its own works through what is asked for, some at once; what it finds goes into the batches of
//! the session, as parts that fit into a transaction. A host may be slow, or silent: what events wait for,
//! what one owner has changed, and the round through all owners don't wait for each other.

mod to_do;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use process::exit::chain;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use self::to_do::ToDo;
use super::batch::{Change, Found, ListedRecords};
use super::mirror::{MirrorChange, MirrorKind, mirrored};
use super::processing::found;
use super::record::COLLECTION;
use super::repo::{MAX_MIRRORED_RECORDS, MAX_WEBHOOK_RECORDS, Records, latest_rev};
use super::{Intake, Lists};
use crate::domain::did::Did;
use crate::intake::owners::RecordOwners;
use crate::xrpc_host::XrpcHost;

/// Records of one part.
const PART_RECORDS: usize = 100;
/// Parts that wait for the session.
const PARTS: usize = 16;
/// The time for a relay's list of repositories.
const RELAY_LIMIT: Duration = Duration::from_secs(600);

/// What was listed.
#[derive(Debug)]
pub(super) enum Listed {
    Part(Change),
    /// All of it was sent, or the rest can't be had.
    MirrorEnded {
        did: Did,
        kind: MirrorKind,
        /// The revision of the repository before that.
        rev: Option<String>,
    },
}

/// What is to be listed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Request {
    Records(Did),
    Mirror(Did, MirrorKind),
    /// All wh records, of these owners at least.
    Round(Vec<Did>),
}

/// Asks for listings. Dropping it ends them.
#[derive(Debug)]
pub(super) struct Listings {
    requests: mpsc::UnboundedSender<Request>,
    _task: AbortOnDropHandle<()>,
}

impl Listings {
    pub(super) fn start(intake: &Intake) -> (Self, mpsc::Receiver<Listed>) {
        let (requests, asked) = mpsc::unbounded_channel();
        let (parts, listed) = mpsc::channel(PARTS);
        let worker = Worker { lists: Arc::clone(&intake.lists), parts };
        let task = AbortOnDropHandle::new(tokio::spawn(worker.run(asked)));
        (Self { requests, _task: task }, listed)
    }

    /// Listings that nobody does, and what is asked for.
    #[cfg(test)]
    pub(super) fn undone() -> (Self, mpsc::UnboundedReceiver<Request>) {
        let (requests, asked) = mpsc::unbounded_channel();
        (Self { requests, _task: AbortOnDropHandle::new(tokio::spawn(async {})) }, asked)
    }

    /// The wh records of `owner`.
    pub(super) fn records(&self, owner: Did) {
        // The worker goes with this.
        let _ = self.requests.send(Request::Records(owner));
    }

    /// The records of a kind that are mirrored of `did`.
    pub(super) fn mirror(&self, did: Did, kind: MirrorKind) {
        let _ = self.requests.send(Request::Mirror(did, kind));
    }

    /// All wh records, of `owners` at least.
    pub(super) fn round(&self, owners: impl Iterator<Item = Did>) {
        let _ = self.requests.send(Request::Round(owners.collect()));
    }
}

/// Whether the relay's accounts are listed beside the known ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WithRelay {
    Yes,
    No,
}

/// What came of reading once.
#[derive(Debug)]
pub(crate) struct ReadOnce {
    /// How many accounts were listed.
    pub(crate) owners: usize,
    /// Those whose records could not be listed, or not all.
    pub(crate) unread: Vec<Did>,
}

/// Lists the wh records of `owners`, one account after the other. What is found goes to `changes`.
pub(crate) async fn list_once(
    lists: Arc<Lists>,
    owners: Vec<Did>,
    with_relay: WithRelay,
    changes: mpsc::Sender<Change>,
) -> ReadOnce {
    let (parts, mut listed) = mpsc::channel(PARTS);
    let worker = Worker { lists, parts };
    let forwarding = async {
        while let Some(Listed::Part(change)) = listed.recv().await {
            if changes.send(change).await.is_err() {
                return;
            }
        }
    };
    let listing = async {
        let mut all: BTreeSet<Did> = owners.into_iter().collect();
        if with_relay == WithRelay::Yes {
            all.extend(worker.known_by_relay().await);
        }
        let mut unread = Vec::new();
        let owners = all.len();
        for owner in all {
            if let Err(causes) = worker.list_records(&owner).await {
                tracing::warn!(%owner, causes, "the wh records of an account are not read");
                unread.push(owner);
            }
        }
        drop(worker);
        ReadOnce { owners, unread }
    };
    tokio::join!(forwarding, listing).1
}

#[derive(Clone)]
struct Worker {
    lists: Arc<Lists>,
    parts: mpsc::Sender<Listed>,
}

impl Worker {
    async fn run(self, mut asked: mpsc::UnboundedReceiver<Request>) {
        let mut to_do = ToDo::new();
        loop {
            for lane in [&mut to_do.mirrors, &mut to_do.single, &mut to_do.of_round] {
                let worker = self.clone();
                lane.begin(move |request| {
                    let worker = worker.clone();
                    async move { worker.list(&request).await }
                });
            }
            let left = to_do.mirrors.left() + to_do.single.left() + to_do.of_round.left();
            self.lists.metrics.to_list.set(i64::try_from(left).unwrap_or(i64::MAX));
            let again_at = to_do.again_at();
            tokio::select! {
                request = asked.recv() => match request {
                    None => return,
                    Some(Request::Round(owners)) => {
                        let worker = self.clone();
                        let relay = async move { worker.known_by_relay().await };
                        to_do.begin_round(self.lists.now_us(), owners, relay);
                    }
                    Some(request @ Request::Mirror(..)) => to_do.mirrors.push(request),
                    Some(request @ Request::Records(_)) => to_do.single.push(request),
                },
                () = sleep_until(again_at.unwrap_or_else(Instant::now)), if again_at.is_some() => {
                    to_do.ask_again();
                }
                Some(found) = to_do.relay.join_next() => to_do.add_to_round(found.unwrap_or_default()),
                ended = to_do.mirrors.next() => to_do.ended(ended),
                ended = to_do.single.next() => to_do.ended(ended),
                ended = to_do.of_round.next() => to_do.ended(ended),
            }
            if let Some(before_us) = to_do.end_of_round() {
                let _ = self.parts.send(Listed::Part(Change::Healed { before_us })).await;
            }
        }
    }

    /// The accounts that the relay lists, if those of all count.
    async fn known_by_relay(&self) -> Vec<Did> {
        let mut found = Vec::new();
        let relay = self.lists.relay.as_ref().filter(|_| self.lists.owners == RecordOwners::All);
        let Some(relay) = relay else { return found };
        let mut repos = relay.with_collection(COLLECTION, RELAY_LIMIT);
        loop {
            match repos.next_page().await {
                Ok(Some(page)) => found.extend(page),
                Ok(None) => return found,
                Err(error) => {
                    self.lists.metrics.listings_failed.inc();
                    process::once_a_second!(warn, causes = chain(&error), "the relay's list is not whole");
                    return found;
                }
            }
        }
    }

    /// Lists, and sends what it finds. Returns whether it is all that there is; what fails is counted.
    async fn list(&self, request: &Request) -> bool {
        let (did, result) = match request {
            Request::Records(owner) => (owner, self.list_records(owner).await),
            Request::Mirror(did, kind) => {
                let result = self.list_mirror(did, *kind).await;
                let rev = result.as_ref().ok().cloned();
                let _ = self.parts.send(Listed::MirrorEnded { did: did.clone(), kind: *kind, rev }).await;
                (did, result.map(drop))
            }
            Request::Round(_) => return true,
        };
        let Err(causes) = result else { return true };
        self.lists.metrics.listings_failed.inc();
        process::once_a_second!(warn, %did, causes, "records of an account are not read");
        false
    }

    async fn list_records(&self, owner: &Did) -> Result<(), String> {
        let Repository { pds, rev } = self.open(owner).await?;
        let mut records = Records::of(&self.lists.egress, &pds, owner, COLLECTION, MAX_WEBHOOK_RECORDS);
        let mut rkeys = Vec::new();
        let mut part = Vec::new();
        while let Some(page) = records.next_page().await.map_err(|error| chain(&error))? {
            for listed in page {
                rkeys.push(listed.rkey.clone());
                part.push((listed.rkey, found(&listed.record, self.lists.schemes)));
            }
            if part.len() >= PART_RECORDS {
                self.send_records(owner, &rev, std::mem::take(&mut part), None).await;
            }
        }
        self.send_records(owner, &rev, part, Some(rkeys)).await;
        Ok(())
    }

    async fn send_records(
        &self,
        owner: &Did,
        rev: &str,
        records: Vec<(String, Found)>,
        all: Option<Vec<String>>,
    ) {
        let listed = ListedRecords { owner: owner.clone(), rev: rev.to_owned(), records, all };
        let _ = self.parts.send(Listed::Part(Change::Listed(listed))).await;
    }

    async fn list_mirror(&self, did: &Did, kind: MirrorKind) -> Result<String, String> {
        let Repository { pds, rev } = self.open(did).await?;
        let collection = kind.collection();
        let mut records = Records::of(&self.lists.egress, &pds, did, collection, MAX_MIRRORED_RECORDS);
        while let Some(page) = records.next_page().await.map_err(|error| chain(&error))? {
            let change = |listed: super::repo::Listed| MirrorChange {
                owner: did.clone(),
                kind,
                rkey: listed.rkey,
                rev: rev.clone(),
                content: mirrored(kind, &listed.record),
            };
            let changes = page.into_iter().map(change).collect();
            let _ = self.parts.send(Listed::Part(Change::Mirror(changes))).await;
        }
        Ok(rev)
    }

    /// Where the repository of `did` is, and its revision before anything is listed. An error is the causes,
    /// for the log.
    async fn open(&self, did: &Did) -> Result<Repository, String> {
        let Lists { egress, identity, .. } = &*self.lists;
        let pds = identity.pds(did).await.map_err(|error| chain(&error))?;
        let pds = pds.ok_or_else(|| "its DID document names no PDS".to_owned())?;
        let rev = latest_rev(egress, &pds, did).await.map_err(|error| chain(&error))?.to_string();
        Ok(Repository { pds, rev })
    }
}

/// A repository to be read.
struct Repository {
    pds: XrpcHost,
    rev: String,
}
