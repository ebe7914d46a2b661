//! From a batch to the database, for as long as it takes.
//!
//! A change that the database refuses again and again is set aside: reading goes on behind it.

use std::sync::Arc;
use std::time::Duration;

use ring::digest::{SHA256, digest};
use tokio::time::{Instant, sleep};

use super::{Ended, IDLE_WAIT, Session, seconds};
use crate::error::Error;
use crate::intake::batch::{Batch, Stored, UnreadableFrame, Written};

/// The pause after a batch that could not be written: it doubles, up to the longest.
const WRITE_RETRY: Duration = Duration::from_millis(250);
const LONGEST_WRITE_RETRY: Duration = Duration::from_secs(5);
/// Tries of one change that the database refuses, before it is set aside.
const REFUSED_TRIES: u32 = 2;

/// Why a batch was not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NotWritten {
    LeaseLost,
    Shutdown,
}

impl From<NotWritten> for Ended {
    fn from(reason: NotWritten) -> Self {
        match reason {
            NotWritten::LeaseLost => Self::LeaseLost,
            NotWritten::Shutdown => Self::Shutdown,
        }
    }
}

impl Session<'_> {
    /// Stores what was read.
    pub(super) async fn flush(&mut self) -> Result<Option<Ended>, Error> {
        let mut batch = std::mem::replace(&mut self.batch, Batch::new(Some(self.holder)));
        self.events = 0;
        self.bytes = 0;
        self.flush_at = Instant::now() + IDLE_WAIT;
        batch.position = self.pins.done(self.read.as_ref());
        let position = batch.position.clone();
        let stored = match self.write(batch).await {
            Ok(stored) => stored,
            Err(reason) => return Ok(Some(reason.into())),
        };
        // What waits may have been looked up.
        if self.waiting.is_empty() {
            self.processing.references.clear();
        }
        if let Some(position) = position {
            let lag_us = self.intake.lists.now_us().saturating_sub(position.time_us).max(0);
            self.intake.lists.metrics.lag.set(seconds(lag_us));
            self.subscription.acknowledge(position);
        }
        self.intake.lists.metrics.stored(&stored);
        for owner in stored.resumed {
            self.listings.records(owner);
        }
        if !stored.changed_owners.is_empty() {
            for owner in stored.changed_owners {
                self.reload_records(owner).await?;
            }
            self.plan();
        }
        if std::mem::take(&mut self.verifiers_changed) {
            self.set_verifiers().await?;
            self.plan();
        }
        Ok(None)
    }

    /// Writes `batch`, for as long as it takes.
    async fn write(&self, batch: Batch) -> Result<Stored, NotWritten> {
        let batch = Arc::new(batch);
        let mut pause = WRITE_RETRY;
        let mut refused = 0;
        loop {
            match self.intake.store.write_intake(Arc::clone(&batch)).await {
                Ok(Written::LeaseLost) => return Err(NotWritten::LeaseLost),
                Ok(Written::Stored(stored)) => return Ok(stored),
                Err(Error::Internal) if batch.changes.len() > 1 => {
                    return self.write_one_by_one(Arc::unwrap_or_clone(batch)).await;
                }
                Err(Error::Internal) => {
                    refused += 1;
                    if refused >= REFUSED_TRIES {
                        return self.write_without(Arc::unwrap_or_clone(batch)).await;
                    }
                }
                Err(_logged) => {}
            }
            self.intake.lists.metrics.writes_failed.inc();
            tokio::select! {
                () = sleep(pause) => {}
                () = self.intake.shutdown.draining() => return Err(NotWritten::Shutdown),
            }
            pause = (pause * 2).min(LONGEST_WRITE_RETRY);
        }
    }

    /// Writes the changes of a batch each by itself: the database refuses one of them.
    async fn write_one_by_one(&self, mut batch: Batch) -> Result<Stored, NotWritten> {
        let mut all = Stored::default();
        let mut rest = std::mem::take(&mut batch.changes);
        let last = rest.pop();
        for change in rest {
            let mut alone = Batch::new(Some(self.holder));
            alone.changes.push(change);
            all.add(Box::pin(self.write(alone)).await?);
        }
        batch.changes.extend(last);
        all.add(Box::pin(self.write(batch)).await?);
        Ok(all)
    }

    /// Sets the one change of a batch aside, which the database has refused again and again.
    async fn write_without(&self, mut batch: Batch) -> Result<Stored, NotWritten> {
        process::once_a_second!(error, "an event of the network is set aside: the database refuses it");
        self.intake.lists.metrics.skip("poison");
        let text = format!("{:?}", batch.changes);
        let hash = digest(&SHA256, text.as_bytes());
        batch.changes.clear();
        batch.unreadable.push(UnreadableFrame {
            hash: hash.as_ref().try_into().expect("a SHA-256 has 32 bytes"),
            reason: "the database refuses what follows from it".to_owned(),
        });
        match self.intake.store.write_intake(Arc::new(batch)).await {
            Ok(Written::LeaseLost) => Err(NotWritten::LeaseLost),
            Ok(Written::Stored(stored)) => Ok(stored),
            // The next batch has its place in the stream as well.
            Err(_logged) => Ok(Stored::default()),
        }
    }
}
