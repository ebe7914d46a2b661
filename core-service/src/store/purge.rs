//! Removing all that one DID has.

use sea_orm::{ColumnTrait as _, DatabaseTransaction, DbErr, EntityTrait as _, QueryFilter as _};

use super::Store;
use super::database::{Database, DatabaseUrl};
use super::operator::existing::{self, ExistingError};
use super::table::{account, secret, webhook};
use super::transaction::{Failure, begin, commit, lock_account};
use crate::domain::did::Did;
use crate::error::Error;

/// How much was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Purged {
    pub(crate) secrets: u64,
    pub(crate) webhooks: u64,
}

/// A purge by command that failed.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) enum PurgeError {
    Existing(#[from] ExistingError),
    Database(DbErr),
}

impl Store {
    /// Removes all that `owner` has, and says how much that was.
    ///
    /// # Errors
    ///
    /// The database can't.
    pub(crate) async fn purge_account(&self, owner: &Did) -> Result<Purged, Error> {
        purge(&self.database, owner).await.map_err(|failure| failure.logged())
    }
}

/// Removes all that `owner` has in the database at `url`.
///
/// # Errors
///
/// The database is not there, is not of this release, or fails: then nothing is removed, or all is.
pub(crate) async fn purge_at(url: &DatabaseUrl, owner: &Did) -> Result<Purged, PurgeError> {
    let database = existing::open(url).await?;
    let purged = purge(&database, owner).await;
    database.close().await;
    purged.map_err(|failure| PurgeError::Database(failure.error))
}

/// Removes all that `owner` has, and the account itself, in one transaction. Of nothing, nothing is removed.
/// What is created at the same time is removed with the rest or stays whole, with its account.
///
/// # Errors
///
/// The database's.
async fn purge(database: &Database, owner: &Did) -> Result<Purged, Failure> {
    let purged = database.write(|| async {
        let transaction = begin(&database.writing).await?;
        let purged = match lock_account(&transaction, owner).await? {
            None => Purged::default(),
            Some(_) => remove(&transaction, owner).await?,
        };
        commit(transaction).await?;
        Ok(purged)
    });
    purged.await
}

/// In the order that the foreign keys ask for: webhooks name secrets, and both have an account.
async fn remove(transaction: &DatabaseTransaction, owner: &Did) -> Result<Purged, DbErr> {
    let webhooks = webhook::Entity::delete_many()
        .filter(webhook::Column::OwnerDid.eq(owner.as_str()))
        .exec(transaction)
        .await?
        .rows_affected;
    let secrets = secret::Entity::delete_many()
        .filter(secret::Column::OwnerDid.eq(owner.as_str()))
        .exec(transaction)
        .await?
        .rows_affected;
    account::Entity::delete_by_id(owner.as_str()).exec(transaction).await?;
    Ok(Purged { secrets, webhooks })
}
