//! Removing all that one DID has, by rpc and by command.

use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::Store;
use super::commit::Job;
use super::commit::purge::{Purged, PurgedBatch, purge_account, purge_events};
use super::database::Database;
use super::database::url::DatabaseUrl;
use super::operator::existing::{self, ExistingError};
use super::told::Told;
use super::transaction::Failure;
use crate::domain::did::Did;
use crate::error::Error;

/// A purge by command that failed.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) enum PurgeError {
    Existing(#[from] ExistingError),
    Database(Told),
}

impl From<Failure> for PurgeError {
    fn from(failure: Failure) -> Self {
        Self::Database(failure.told())
    }
}

impl Store {
    /// Removes all that `owner` has, the account too, and returns how much that was. What is created at the
    /// same time is removed with the rest or stays whole. Events go in steps, behind other writes.
    ///
    /// # Errors
    ///
    /// The database is overloaded or fails. What is left then, the next purge removes.
    pub(crate) async fn purge_account(&self, owner: &Did) -> Result<Purged, Error> {
        let mut purged = self.commits.submit(owner, |reply| Job::Purge { reply }).await?;
        let mut after = Uuid::nil();
        loop {
            let _turn = self.purging.lock().await;
            let step = |reply| Job::PurgeEvents { owner: owner.clone(), after, reply };
            let batch = self.commits.submit_of_engine(&"upkeep", step).await?;
            purged.add(batch.purged);
            let Some(next) = batch.next else { return Ok(purged) };
            after = next;
        }
    }
}

/// Removes all that `owner` has in the database at `url`.
///
/// # Errors
///
/// The database is not there, is not of this release, or fails. What is left then, the next purge removes.
pub(crate) async fn purge_at(url: &DatabaseUrl, owner: &Did, now_ms: i64) -> Result<Purged, PurgeError> {
    let database = existing::open(url).await?;
    let purged = purge_all(&database, owner, now_ms).await;
    database.close().await;
    Ok(purged?)
}

async fn purge_all(database: &Database, owner: &Did, now_ms: i64) -> Result<Purged, Failure> {
    let configured = async |transaction: &_| purge_account(transaction, owner, now_ms).await;
    let mut purged = database.transaction(configured).await?;
    let mut after = Uuid::nil();
    loop {
        let begun = Instant::now();
        let step = async |transaction: &_| purge_events(transaction, owner, after).await;
        let PurgedBatch { purged: some, next } = database.transaction(step).await?;
        purged.add(some);
        let Some(next) = next else { return Ok(purged) };
        after = next;
        // A service that uses the same file writes meanwhile.
        sleep(begun.elapsed()).await;
    }
}
