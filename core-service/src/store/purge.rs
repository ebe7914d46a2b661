//! Removing all that one DID has, by rpc and by command.

use sea_orm::DbErr;

use super::Store;
use super::commit::Job;
use super::commit::purge::{Purged, purge_account};
use super::database::url::DatabaseUrl;
use super::operator::existing::{self, ExistingError};
use crate::domain::did::Did;
use crate::error::Error;

/// A purge by command that failed.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) enum PurgeError {
    Existing(#[from] ExistingError),
    Database(DbErr),
}

impl Store {
    /// Removes all that `owner` has, the account too, and returns how much that was. What is created at the
    /// same time is removed with the rest or stays whole.
    ///
    /// # Errors
    ///
    /// The database is overloaded or fails.
    pub(crate) async fn purge_account(&self, owner: &Did) -> Result<Purged, Error> {
        self.commits.submit(owner, |reply| Job::Purge { reply }).await
    }
}

/// Removes all that `owner` has in the database at `url`.
///
/// # Errors
///
/// The database is not there, is not of this release, or fails: then nothing is removed, or all is.
pub(crate) async fn purge_at(url: &DatabaseUrl, owner: &Did, now_ms: i64) -> Result<Purged, PurgeError> {
    let database = existing::open(url).await?;
    let purged =
        database.transaction(async |transaction| purge_account(transaction, owner, now_ms).await).await;
    database.close().await;
    purged.map_err(|failure| PurgeError::Database(failure.error))
}
