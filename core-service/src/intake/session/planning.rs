//! What is wanted by now, and what the stream is asked for so that it comes.
//!
//! A wider filter is asked for soon, from the event that widened it; a narrower one now and then.

use std::time::Duration;

use jetstream::subscription::Subscription;
use tokio::time::Instant;

use super::{Ended, RELOAD_INTERVAL, Session, filter, stream_start};
use crate::domain::did::Did;
use crate::error::Error;
use crate::intake::batch::{Change, Withheld};
use crate::intake::interests::{self, NEEDS_NETWORK, OVER_COLLECTIONS};

/// How long a wider filter waits for more changes.
const WIDEN_WAIT: Duration = Duration::from_millis(300);
/// The same after [`MANY_WIDENINGS`] within a minute.
const LONG_WIDEN_WAIT: Duration = Duration::from_secs(10);
const MANY_WIDENINGS: usize = 20;
const MINUTE: Duration = Duration::from_secs(60);
/// How often the filter becomes narrower.
const NARROW_INTERVAL: Duration = Duration::from_hours(1);

impl Session<'_> {
    pub(super) async fn reload_records(&mut self, owner: Did) -> Result<(), Error> {
        for id in self.records_of.remove(&owner).unwrap_or_default() {
            self.processing.interests.remove_record(id);
        }
        let mut ids = Vec::new();
        for record in self.intake.store.wanted_records_of(&owner).await? {
            ids.push(record.id);
            self.processing.interests.set_record(record);
        }
        if !ids.is_empty() {
            self.processing.known.insert(owner.clone());
            self.records_of.insert(owner, ids);
        }
        Ok(())
    }

    /// Looks whose webhooks want what by now.
    pub(super) async fn reload(&mut self) -> Result<(), Error> {
        let store = &self.intake.store;
        let (streamers, known) = match (store.streamers().await, store.record_owners().await) {
            (Ok(streamers), Ok(known)) => (streamers, known),
            // The database is away; the next look is soon.
            (Err(_logged), _) | (_, Err(_logged)) => {
                self.reload_at = Instant::now() + RELOAD_INTERVAL;
                return Ok(());
            }
        };
        self.reload_at = Instant::now() + RELOAD_INTERVAL;
        let new: Vec<Did> =
            known.iter().filter(|did| !self.processing.known.contains(*did)).cloned().collect();
        self.processing.known = known.into_iter().collect();
        for owner in new {
            self.listings.records(owner);
        }
        if streamers != self.streamers {
            for gone in self.streamers.keys().filter(|did| !streamers.contains_key(*did)) {
                self.processing.interests.set_streamer(gone.clone(), []);
            }
            for (streamer, types) in &streamers {
                self.processing.interests.set_streamer(streamer.clone(), types.iter().copied());
            }
            self.streamers = streamers;
            self.follow();
            self.plan();
        } else if self.reload_at.duration_since(self.narrowed_at) >= NARROW_INTERVAL {
            self.plan();
        }
        Ok(())
    }

    /// Compares what is wanted with what is read.
    pub(super) fn plan(&mut self) {
        let plan = self.processing.interests.plan(self.intake.network);
        self.withhold(&plan);
        let now = Instant::now();
        if !self.filter.covers(&plan.filter) {
            if self.widen_at.is_none() {
                self.widened.retain(|at| now.duration_since(*at) < MINUTE);
                let many = self.widened.len() >= MANY_WIDENINGS;
                self.widen_at = Some(now + if many { LONG_WIDEN_WAIT } else { WIDEN_WAIT });
                self.pins.widened_at = self.read.clone();
            }
        } else if self.widen_at.is_none() && now.duration_since(self.narrowed_at) >= NARROW_INTERVAL {
            if plan.filter == self.filter {
                self.narrowed_at = now;
            } else {
                self.widen_at = Some(now);
                self.pins.widened_at = self.read.clone();
            }
        }
    }

    pub(super) fn withhold(&mut self, plan: &interests::Plan) {
        let over_limit = plan.over_limit.iter().map(|id| (*id, "over_limit", OVER_COLLECTIONS));
        let invalid = plan.need_network.iter().map(|id| (*id, "invalid", NEEDS_NETWORK));
        let mut withheld: Vec<Withheld> = over_limit
            .chain(invalid)
            .map(|(webhook, state, reason)| Withheld { webhook, state, reason: reason.to_owned() })
            .collect();
        withheld.sort_by_key(|one| one.webhook);
        if withheld != self.withheld {
            self.processing.interests.withhold(withheld.iter().map(|one| one.webhook));
            self.withheld.clone_from(&withheld);
            self.batch.changes.push(Change::Withheld(withheld));
            self.flush_at = Instant::now();
        }
    }

    /// Reads on with the filter of the plan, from the event that widened it.
    pub(super) async fn widen(&mut self) -> Result<Option<Ended>, Error> {
        if let Some(ended) = self.flush().await? {
            return Ok(Some(ended));
        }
        let now = Instant::now();
        self.widen_at = None;
        let plan = self.processing.interests.plan(self.intake.network);
        let from = self.pins.widened_at.take();
        if plan.filter == self.filter {
            return Ok(None);
        }
        if self.filter.covers(&plan.filter) {
            self.narrowed_at = now;
        } else {
            self.widened.push_back(now);
        }
        self.filter = plan.filter;
        let filter = filter(&self.filter);
        match from {
            Some(from) => {
                self.read = Some(from.clone());
                self.subscription.resume(filter, from);
            }
            None => {
                let options = self.intake.options(filter);
                self.subscription = Subscription::start(options, stream_start(&self.start));
            }
        }
        Ok(None)
    }
}
