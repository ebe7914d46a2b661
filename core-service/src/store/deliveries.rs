//! Events and their deliveries: published, claimed, finished, cancelled.
//!
//! The statements of a transaction are in [`commit`](super::commit), and what is done with a lease is the
//! engine's ([`delivery`](crate::delivery)).

use super::Store;
use super::commit::Job;
use super::commit::expire::{Expired, Progress, Retention};
use super::commit::publish::Publication;
use crate::delivery::finished::Finished;
use crate::delivery::lease::{ClaimReport, Named};
use crate::delivery::naming::Naming;
use crate::delivery::publication::{NewEvent, Published};
use crate::error::Error;

impl Store {
    /// Stores events, each with a delivery for every webhook that asks for it, in one transaction. The
    /// results are in the order of the events.
    ///
    /// # Errors
    ///
    /// The database is overloaded or fails: then nothing is stored, or it is unknown.
    pub(crate) async fn publish(&self, events: Vec<NewEvent>) -> Result<Vec<Published>, Error> {
        let streamer = events.first().map(|new| new.event.streamer.as_str().to_owned());
        let publication = Publication { events };
        self.commits.submit_delivery(&streamer, |reply| Job::Publish { publication, reply }).await
    }

    /// Takes leases of what is due, as far as there are places, and hands them to the engine.
    ///
    /// # Errors
    ///
    /// The database is overloaded or fails.
    pub(crate) async fn claim(&self) -> Result<ClaimReport, Error> {
        self.commits.submit_of_engine(&"claim", |reply| Job::Claim { reply }).await
    }

    /// Writes what an attempt came to, unless its lease is lost.
    ///
    /// # Errors
    ///
    /// The database is overloaded or fails: then the lease ends by itself.
    pub(crate) async fn finish(&self, finished: Finished) -> Result<(), Error> {
        let webhook = finished.webhook;
        let finished = Box::new(finished);
        self.commits.submit_of_engine(&webhook, |reply| Job::Finish { finished, reply }).await
    }

    /// Makes the body of a delivery with the names that were found for it, and stores it under its lease.
    /// Returns `None` if the lease is lost, or is to be given back.
    ///
    /// # Errors
    ///
    /// The database is overloaded or fails: then the lease ends by itself.
    pub(crate) async fn name(&self, naming: Naming) -> Result<Option<Named>, Error> {
        let webhook = naming.webhook;
        let naming = Box::new(naming);
        self.commits.submit_of_engine(&webhook, |reply| Job::Name { naming, reply }).await
    }

    /// Ends all leases, for a database that only this process delivers from: their holders are gone.
    ///
    /// # Errors
    ///
    /// The database fails.
    pub(crate) async fn end_leases(&self) -> Result<(), Error> {
        self.commits.submit_of_engine(&"upkeep", |reply| Job::EndLeases { reply }).await
    }

    /// Writes `cancelled` to some deliveries of webhooks that were turned off or deleted. Returns whether
    /// there may be more.
    ///
    /// # Errors
    ///
    /// The database is overloaded or fails.
    pub(crate) async fn write_cancelled(&self) -> Result<bool, Error> {
        self.commits.submit_of_engine(&"upkeep", |reply| Job::WriteCancelled { reply }).await
    }

    /// Removes some of what is no longer kept, going on from `progress`.
    ///
    /// # Errors
    ///
    /// The database is overloaded or fails.
    pub(crate) async fn expire(&self, retention: Retention, progress: Progress) -> Result<Expired, Error> {
        self.commits.submit_of_engine(&"upkeep", |reply| Job::Expire { retention, progress, reply }).await
    }
}
