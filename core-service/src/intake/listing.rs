//! Lists records at PDSes: the wh records of owners, and what events are judged by.
//!
//! A task of its own works through what is asked for, some at once; what it finds goes into the batches of
//! the session, as parts that fit into a transaction.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use process::exit::chain;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use super::batch::{Change, Found, ListedRecords};
use super::mirror::{MirrorChange, MirrorKind, mirrored};
use super::processing::found;
use super::record::COLLECTION;
use super::repo::{MAX_MIRRORED_RECORDS, MAX_WEBHOOK_RECORDS, Records, latest_rev};
use super::{Intake, Lists};
use crate::domain::did::Did;
use crate::intake::owners::RecordOwners;
use crate::xrpc_host::XrpcHost;

/// Repositories that are listed at once.
const AT_ONCE: usize = 4;
/// Records of one part.
const PART_RECORDS: usize = 100;
/// Parts that wait for the session.
const PARTS: usize = 16;
/// How often everything is listed.
const ROUND_INTERVAL: Duration = Duration::from_hours(24);
/// When records that could not be listed in a round are asked for once more.
const AGAIN_AFTER: Duration = Duration::from_hours(1);
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
        complete: bool,
    },
}

/// What is to be listed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Request {
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

    /// The wh records of `owner`.
    pub(super) fn records(&self, owner: Did) {
        // The worker goes with this.
        let _ = self.requests.send(Request::Records(owner));
    }

    /// The records of a kind that are mirrored of `did`.
    pub(super) fn mirror(&self, did: Did, kind: MirrorKind) {
        let _ = self.requests.send(Request::Mirror(did, kind));
    }

    /// All wh records, now and every day.
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

/// What the worker has to do.
#[derive(Debug, Default)]
struct ToDo {
    queue: VecDeque<Request>,
    queued: HashSet<Request>,
    /// Listings that belong to the round that began then, in microseconds since 1970.
    round: Option<Round>,
}

#[derive(Debug)]
struct Round {
    began_us: i64,
    /// Those whose records are not listed yet.
    left: HashSet<Did>,
    again_at: Instant,
}

impl ToDo {
    fn push(&mut self, request: Request) {
        if self.queued.insert(request.clone()) {
            self.queue.push_back(request);
        }
    }

    fn pop(&mut self) -> Option<Request> {
        let request = self.queue.pop_front()?;
        self.queued.remove(&request);
        Some(request)
    }

    fn again_at(&self) -> Option<Instant> {
        self.round.as_ref().map(|round| round.again_at)
    }

    /// Asks for what is left of the round.
    fn ask_again(&mut self) {
        let Some(round) = &mut self.round else { return };
        round.again_at = Instant::now() + AGAIN_AFTER;
        let left: Vec<Did> = round.left.iter().cloned().collect();
        for owner in left {
            self.push(Request::Records(owner));
        }
    }
}

impl Worker {
    async fn run(self, mut asked: mpsc::UnboundedReceiver<Request>) {
        let mut to_do = ToDo::default();
        let mut running: JoinSet<(Request, bool)> = JoinSet::new();
        let mut owners = Vec::new();
        let mut next_round = Instant::now() + ROUND_INTERVAL;
        loop {
            let left = to_do.queue.len() + running.len();
            self.lists.metrics.to_list.set(i64::try_from(left).unwrap_or(i64::MAX));
            tokio::select! {
                request = asked.recv() => match request {
                    None => return,
                    Some(Request::Round(all)) => {
                        owners.clone_from(&all);
                        next_round = Instant::now() + ROUND_INTERVAL;
                        self.begin_round(all, &mut to_do).await;
                    }
                    Some(request) => to_do.push(request),
                },
                () = sleep_until(next_round) => {
                    next_round = Instant::now() + ROUND_INTERVAL;
                    self.begin_round(owners.clone(), &mut to_do).await;
                }
                () = sleep_until(to_do.again_at().unwrap_or(next_round)) => to_do.ask_again(),
                Some(ended) = running.join_next() => {
                    if let Ok((Request::Records(owner), true)) = ended {
                        self.end_of_round(&owner, &mut to_do).await;
                    }
                }
            }
            while running.len() < AT_ONCE
                && let Some(request) = to_do.pop()
            {
                let worker = self.clone();
                running.spawn(async move {
                    let listed = worker.list(&request).await;
                    (request, listed)
                });
            }
        }
    }

    /// Asks for the wh records of `owners`, and of those that the relay knows.
    async fn begin_round(&self, owners: Vec<Did>, to_do: &mut ToDo) {
        let mut all: HashSet<Did> = owners.into_iter().collect();
        let began_us = self.lists.now_us();
        all.extend(self.known_by_relay().await);
        for owner in &all {
            to_do.push(Request::Records(owner.clone()));
        }
        to_do.round = Some(Round { began_us, left: all, again_at: Instant::now() + AGAIN_AFTER });
        self.end_if_empty(to_do).await;
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

    async fn end_of_round(&self, owner: &Did, to_do: &mut ToDo) {
        if let Some(round) = &mut to_do.round {
            round.left.remove(owner);
        }
        self.end_if_empty(to_do).await;
    }

    async fn end_if_empty(&self, to_do: &mut ToDo) {
        if let Some(round) = to_do.round.take_if(|round| round.left.is_empty()) {
            let _ = self.parts.send(Listed::Part(Change::Healed { before_us: round.began_us })).await;
        }
    }

    /// Lists, and sends what it finds. Returns whether it is all that there is; what fails is counted.
    async fn list(&self, request: &Request) -> bool {
        let (did, result) = match request {
            Request::Records(owner) => (owner, self.list_records(owner).await),
            Request::Mirror(did, kind) => {
                let result = self.list_mirror(did, *kind).await;
                let complete = result.is_ok();
                let ended = Listed::MirrorEnded { did: did.clone(), kind: *kind, complete };
                let _ = self.parts.send(ended).await;
                (did, result)
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

    async fn list_mirror(&self, did: &Did, kind: MirrorKind) -> Result<(), String> {
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
        let ended = Change::Mirrored { did: did.clone(), kind, rev };
        let _ = self.parts.send(Listed::Part(ended)).await;
        Ok(())
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
