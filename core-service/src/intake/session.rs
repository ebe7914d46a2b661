//! Reading, as long as this process holds the lease: from the stream to the database.

mod mirroring;
mod planning;
mod writing;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jetstream::event::{Event, Position};
use jetstream::host::{Filter, Start};
use jetstream::notice::Notice;
use jetstream::subscription::Subscription;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::Intake;
use super::batch::{Batch, Change, Gap, Holder, StoredStart, UnreadableFrame, Withheld};
use super::interests::{self, Interests};
use super::listing::{Listed, Listings};
use super::mirror::MirrorKind;
use super::pins::Pins;
use super::processing::{Effects, Processing};
use super::references::References;
use super::syncs::Syncs;
use crate::domain::did::Did;
use crate::domain::event_type::EventType;
use crate::error::Error;

/// Events of one transaction.
const BATCH_EVENTS: usize = 500;
/// Bytes of its payloads, after which a transaction takes no further event.
const BATCH_BYTES: usize = 8 << 20;
/// How long what matched waits for more.
const MATCHED_WAIT: Duration = Duration::from_millis(50);
/// How often the place in the stream is stored where nothing matches.
const IDLE_WAIT: Duration = Duration::from_secs(5);
/// How often it is looked whose webhooks want what.
const RELOAD_INTERVAL: Duration = Duration::from_secs(1);
/// How long nothing is read since too many events wait for listings.
const FULL_LIMIT: Duration = Duration::from_secs(30);
/// How often all wh records are listed.
const ROUND_INTERVAL: Duration = Duration::from_hours(24);

/// Why reading ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// Another process reads.
    LeaseLost,
    /// This process stops.
    Shutdown,
}

/// Reads until the lease is lost or the process stops.
pub(super) async fn read(intake: &Intake, holder: Holder, start: StoredStart) -> Result<Ended, Error> {
    let (listings, listed) = Listings::start(intake);
    let mut session = Session::open(intake, holder, start, listings).await?;
    session.run(listed).await
}

struct Session<'a> {
    intake: &'a Intake,
    holder: Holder,
    processing: Processing,
    /// The wh records of each owner that is read for.
    records_of: HashMap<Did, Vec<Uuid>>,
    streamers: HashMap<Did, Vec<EventType>>,
    /// What is listed, and followed since.
    mirrored: HashSet<(Did, MirrorKind)>,
    /// What was not followed all the while since its listing began.
    stale: HashSet<(Did, MirrorKind)>,
    listings: Listings,
    pins: Pins,
    filter: interests::Filter,
    withheld: Vec<Withheld>,
    subscription: Subscription,
    start: StoredStart,
    /// The last event that was read.
    read: Option<Position>,
    batch: Batch,
    events: usize,
    /// Of its payloads.
    bytes: usize,
    /// What came of the stream and is not processed yet.
    waiting: VecDeque<Notice>,
    flush_at: Instant,
    reload_at: Instant,
    round_at: Instant,
    /// Until when nothing is read, as too much waits.
    full_until: Option<Instant>,
    widen_at: Option<Instant>,
    widened: VecDeque<Instant>,
    narrowed_at: Instant,
    verifiers_changed: bool,
}

impl<'a> Session<'a> {
    async fn open(
        intake: &'a Intake,
        holder: Holder,
        start: StoredStart,
        listings: Listings,
    ) -> Result<Self, Error> {
        let store = &intake.store;
        let mut processing = Processing {
            interests: Interests::default(),
            known: store.record_owners().await?.into_iter().collect(),
            owners: intake.lists.owners,
            schemes: intake.lists.schemes,
            syncs: Syncs::default(),
            references: HashMap::new(),
        };
        for sync in store.syncs().await? {
            processing.syncs.insert(&sync);
        }
        let mut records_of: HashMap<Did, Vec<Uuid>> = HashMap::new();
        for record in store.wanted_records().await? {
            records_of.entry(record.owner.clone()).or_default().push(record.id);
            processing.interests.set_record(record);
        }
        let verifiers = store.verifiers().await?;
        processing.interests.set_verifiers(verifiers.values().flatten().cloned());
        let streamers = store.streamers().await?;
        for (streamer, types) in &streamers {
            processing.interests.set_streamer(streamer.clone(), types.iter().copied());
        }
        let plan = processing.interests.plan(intake.network);
        let options = intake.options(filter(&plan.filter));
        let read = match &start {
            StoredStart::Time(_) => None,
            StoredStart::At(position) => Some(position.clone()),
        };
        let now = Instant::now();
        let mut session = Self {
            intake,
            holder,
            processing,
            records_of,
            streamers,
            mirrored: store.mirrored_owners().await?,
            stale: HashSet::new(),
            listings,
            pins: Pins::default(),
            filter: plan.filter.clone(),
            withheld: Vec::new(),
            subscription: Subscription::start(options, stream_start(&start)),
            start,
            read,
            batch: Batch::new(Some(holder)),
            events: 0,
            bytes: 0,
            waiting: VecDeque::new(),
            flush_at: now + IDLE_WAIT,
            reload_at: now + RELOAD_INTERVAL,
            round_at: now,
            full_until: None,
            widen_at: None,
            widened: VecDeque::new(),
            narrowed_at: now,
            verifiers_changed: false,
        };
        session.withhold(&plan);
        session.pins.verifiers = verifiers;
        session.begin_round();
        Ok(session)
    }

    async fn run(&mut self, mut listed: mpsc::Receiver<Listed>) -> Result<Ended, Error> {
        let intake = self.intake;
        loop {
            self.full_until = match self.full_until {
                _ if !self.pins.is_full() => None,
                None => Some(Instant::now() + FULL_LIMIT),
                until => until,
            };
            tokio::select! {
                biased;
                () = intake.shutdown.draining() => {
                    let ended = self.flush().await?;
                    return Ok(ended.unwrap_or(Ended::Shutdown));
                }
                () = intake.lease_lost.notified() => return Ok(Ended::LeaseLost),
                Some(listed) = listed.recv() => {
                    if let Some(ended) = self.take_listed(listed).await? {
                        return Ok(ended);
                    }
                }
                () = sleep_until(self.flush_at) => {
                    if let Some(ended) = self.flush().await? {
                        return Ok(ended);
                    }
                }
                () = sleep_until(self.reload_at) => self.reload().await?,
                () = sleep_until(self.round_at) => self.begin_round(),
                () = due(self.widen_at) => {
                    if let Some(ended) = self.widen().await? {
                        return Ok(ended);
                    }
                }
                () = due(self.full_until) => self.give_up(),
                notices = self.subscription.next_batch(BATCH_EVENTS), if self.full_until.is_none() => {
                    self.waiting.extend(notices);
                    self.read_references().await?;
                    if let Some(ended) = self.process().await? {
                        return Ok(ended);
                    }
                }
            }
        }
    }

    /// Reads what records referred to that were changed.
    async fn read_references(&mut self) -> Result<(), Error> {
        let events = self.waiting.iter().filter_map(|notice| match notice {
            Notice::Event(event) => Some(event),
            _ => None,
        });
        let needed = self.processing.needs_references(events);
        if needed.is_empty() {
            return Ok(());
        }
        let mut stored = self.intake.store.references_of(&needed).await?;
        for key in needed {
            let targets = stored.remove(&key).unwrap_or_default();
            self.processing.references.insert(key, References::stored(&targets.join("\n")));
        }
        Ok(())
    }

    /// Processes what waits. The batch is stored behind a wh record, as what follows may be for it, and
    /// behind a rule of access, by which what follows is judged.
    async fn process(&mut self) -> Result<Option<Ended>, Error> {
        while let Some(notice) = self.waiting.pop_front() {
            match notice {
                Notice::Event(event) => {
                    self.event(&event);
                    if (is_of_record(&event) || self.verifiers_changed)
                        && !self.batch.changes.is_empty()
                        && let Some(ended) = self.flush().await?
                    {
                        return Ok(Some(ended));
                    }
                }
                Notice::Unreadable(unreadable) => {
                    self.intake.lists.metrics.event("unreadable");
                    let cursor = unreadable.position.as_ref().map(|position| position.cursor);
                    process::once_a_second!(
                        warn,
                        reason = unreadable.reason,
                        cursor,
                        "a frame can't be read"
                    );
                    self.set_aside(unreadable.hash, unreadable.reason);
                    if let Some(position) = unreadable.position {
                        self.read = Some(position);
                    }
                }
                Notice::Gap { host, from_us, to_us } => self.gap(&host, from_us, to_us),
                Notice::Connected { host, wire, exact: _ } => {
                    tracing::info!(%host, ?wire, "reading the network");
                }
                Notice::Disconnected { host, reason } => {
                    self.intake.lists.metrics.disconnects.inc();
                    process::once_a_second!(warn, %host, reason, "the network is not read; trying again");
                }
                Notice::CaughtUp { host } => tracing::debug!(%host, "caught up with the network"),
            }
            if self.is_full()
                && let Some(ended) = self.flush().await?
            {
                return Ok(Some(ended));
            }
        }
        Ok(None)
    }

    /// Whether the batch is to be stored before more is read.
    fn is_full(&self) -> bool {
        let Batch { changes, syncs, unreadable, .. } = &self.batch;
        let full = self.events >= BATCH_EVENTS || self.bytes >= BATCH_BYTES;
        full && !changes.is_empty() || syncs.len() + unreadable.len() >= BATCH_EVENTS
    }

    fn event(&mut self, event: &Event) {
        let Effects { changes, sync, renamed, skipped } =
            self.processing.event(event, &self.intake.lists.metrics);
        for change in changes {
            self.bytes += change.payload_bytes();
            match change {
                Change::Streamer(candidate) => {
                    let ready = self.pins.keep_back(*candidate, self.read.as_ref());
                    self.judge(ready);
                }
                change => self.push(change),
            }
        }
        for reason in skipped {
            self.intake.lists.metrics.skip(reason);
        }
        self.batch.syncs.extend(sync);
        if let Some(did) = renamed {
            self.intake.lists.identity.forget_everywhere(&did);
        }
        self.read = Some(event.position.clone());
        self.events += 1;
        self.intake.lists.metrics.last_event.set(seconds(self.intake.lists.now_us()));
        if !self.batch.changes.is_empty() {
            self.flush_at = self.flush_at.min(Instant::now() + MATCHED_WAIT);
        }
    }

    fn gap(&mut self, host: &Arc<str>, from_us: i64, to_us: Option<i64>) {
        tracing::warn!(
            %host,
            from = time(from_us),
            to = to_us.map(time),
            "gap: events of the network in between are lost; wh records are listed once more"
        );
        self.intake.lists.metrics.gaps.inc();
        self.batch.gaps.push(Gap { host: host.to_string(), from_us, to_us });
        self.flush_at = Instant::now();
        self.list_anew();
    }

    fn set_aside(&mut self, hash: [u8; 32], reason: &str) {
        self.batch.unreadable.push(UnreadableFrame { hash, reason: reason.to_owned() });
    }
}

async fn due(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn is_of_record(event: &Event) -> bool {
    matches!(&event.kind, jetstream::event::Kind::Commit(commit) if commit.collection == super::record::COLLECTION)
}

fn stream_start(start: &StoredStart) -> Start {
    match start {
        StoredStart::Time(time_us) => Start::Time(*time_us),
        StoredStart::At(position) => Start::At(position.clone()),
    }
}

fn filter(filter: &interests::Filter) -> Filter {
    match filter {
        interests::Filter::All => Filter::All,
        interests::Filter::Collections(collections) => Filter::Collections(collections.clone()),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a metric")]
fn seconds(us: i64) -> f64 {
    us as f64 / 1e6
}

/// A time of the stream, for the log.
fn time(us: i64) -> String {
    chrono::DateTime::from_timestamp_micros(us).map_or_else(|| us.to_string(), |time| time.to_rfc3339())
}

#[cfg(test)]
mod tests;
