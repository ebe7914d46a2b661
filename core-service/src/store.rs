//! Persistence: a concrete store that speaks domain types.
//!
//! Owns every query, the connections, sealing on the way in and opening on the way out. The database decides
//! uniqueness and limits, in the transaction that writes. All writes of calls go through [`commit`]; reads go
//! straight to a pool of their own.

mod backlogs;
pub(crate) mod commit;
pub(crate) mod database;
mod deliveries;
mod fault;
mod files;
mod index_key;
pub(crate) mod inspection;
mod intake;
mod metrics;
pub(crate) mod operator;
mod outcomes;
mod owned;
pub(crate) mod purge;
mod queue_depth;
mod records;
mod replicas;
pub(crate) mod requeue;
mod row;
pub(crate) mod row_of_record;
mod sealer;
mod secrets;
pub(crate) mod serving_lock;
mod shown_deliveries;
mod table;
mod told;
mod transaction;
mod url_form;
mod webhooks;

#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;
use std::time::Duration;

use process::metrics::Metrics;
use process::traces::Span;
use prometheus_client::metrics::histogram::Histogram;
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait as _, QueryFilter as _,
};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

use self::commit::Limits;
use self::commit::event_batch::DeliveryParts;
use self::commit::queue::CommitQueue;
use self::database::Database;
use self::database::url::DatabaseUrl;
use self::index_key::{IndexKey, IndexKeyError};
use self::sealer::Sealer;
use self::table::{account as account_table, index_key as index_key_table};
use self::told::Told;
use self::transaction::Failure;
use crate::METRICS;
use crate::config::keys::{KeySource, NoKeys};
use crate::randomness::Randomness;
use process::exit::chain;

/// How long the start waits for a database that can't be reached or is busy.
const START_LIMIT: Duration = Duration::from_secs(10);
/// The pause between two tries of the start.
const START_RETRY: Duration = Duration::from_millis(500);
/// How long the shutdown waits for the queued writes and for the connections to close.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// The store. Shared by all calls.
#[derive(Debug)]
pub(crate) struct Store {
    database: Database,
    commits: CommitQueue,
    sealer: Arc<Sealer>,
    /// Held while events of an account are purged: one batch at a time.
    purging: Mutex<()>,
}

/// A store that can't be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("the database can't be used: {url}")]
    Database {
        url: DatabaseUrl,
        #[source]
        error: Told,
    },
    #[error(transparent)]
    NoKeys(NoKeys),
    #[error("the index key can't be used: {url}")]
    IndexKey {
        url: DatabaseUrl,
        #[source]
        error: IndexKeyError,
    },
}

/// Brings the schema of the database at `url` up to date, and closes it again.
///
/// # Errors
///
/// The database can't be reached within 10 s, or refuses.
pub(crate) async fn migrate(url: &DatabaseUrl) -> Result<(), OpenError> {
    connect_and_migrate(url).await?.close().await;
    Ok(())
}

async fn connect_and_migrate(url: &DatabaseUrl) -> Result<Database, OpenError> {
    let deadline = Instant::now() + START_LIMIT;
    let mut warned = false;
    loop {
        let attempt = async {
            let database = Database::connect(url).await?;
            let usable = database.transaction_once(async |transaction| {
                migrations::run(transaction).await?;
                can_write(transaction).await?;
                Ok::<_, Failure>(())
            });
            match usable.await {
                Ok(()) => Ok(database),
                Err(Failure { error, .. }) => {
                    database.close().await;
                    Err(error)
                }
            }
        };
        let error = match attempt.await {
            Ok(database) => return Ok(database),
            Err(error) => error,
        };
        let over = fault::is_lasting(&error) || Instant::now() + START_RETRY >= deadline;
        let error = Told::from(error);
        if over {
            return Err(OpenError::Database { url: url.clone(), error });
        }
        if !warned {
            tracing::warn!(causes = %error, "waiting for the database: {url}");
            warned = true;
        }
        sleep(START_RETRY).await;
    }
}

/// Runs a statement that could write and matches no row: SQLite opens a read-only file without an error.
async fn can_write(database: &impl ConnectionTrait) -> Result<(), DbErr> {
    let nobody = account_table::Column::Did.eq("");
    account_table::Entity::delete_many().filter(nobody).exec(database).await.map(drop)
}

/// Writes an account, and removes it again.
async fn insert_and_delete(
    account: &mut account_table::Model,
    transaction: &DatabaseTransaction,
) -> Result<(), DbErr> {
    let insert = account_table::Entity::insert(account_table::ActiveModel::from(account.clone()));
    insert.exec_without_returning(transaction).await?;
    account_table::Entity::delete_by_id(account.did.clone()).exec(transaction).await.map(drop)
}

impl Store {
    /// Connects, brings the schema up to date, makes or opens the index key, and starts the writers. The
    /// store's metrics go into `metrics`.
    ///
    /// # Errors
    ///
    /// The database can't be reached within 10 s or refuses, or `keys` can't be made or do not open what it
    /// holds.
    pub(crate) async fn open(
        url: &DatabaseUrl,
        limits: Limits,
        keys: KeySource,
        randomness: Randomness,
        deliveries: DeliveryParts,
        metrics: &Metrics,
    ) -> Result<Self, OpenError> {
        let database = connect_and_migrate(url).await?;
        let keys = keys.keys(randomness).map_err(OpenError::NoKeys)?;
        let index_key = database
            .transaction_once(async |transaction| {
                IndexKey::load_or_make(transaction, &keys, randomness).await
            })
            .await
            .map_err(|error| OpenError::IndexKey { url: url.clone(), error })?;
        let sealer = Arc::new(Sealer { keys, index_key, randomness });
        let hashed = url_form::hash_again(&database, &sealer).await;
        hashed.map_err(|failure| OpenError::Database { url: url.clone(), error: failure.told() })?;
        let (database, commits) = metrics.register(METRICS, |registry| {
            let database = database.with_metrics(registry);
            registry.register(
                "sealed_values_unopened",
                "Sealed values that did not open: the key is not in the file, or they were moved or changed",
                sealer.keys.unopened(),
            );
            let commits = CommitQueue::start(&database, limits, Arc::clone(&sealer), deliveries, registry);
            (database, commits)
        });
        Ok(Self { database, commits, sealer, purging: Mutex::new(()) })
    }

    /// Reads the index key, to see whether the database answers.
    ///
    /// # Errors
    ///
    /// It does not answer, or there is no index key, or a file of SQLite is not the one at its path.
    pub(crate) async fn ping(&self) -> Result<(), Told> {
        self.database.check_files()?;
        let kept = || index_key_table::Entity::find_by_id(index_key::ID).one(&self.database.reading);
        let found = self.database.try_read(kept).await?;
        found.map(drop).ok_or_else(|| DbErr::RecordNotFound("the index key".to_owned()).into())
    }

    /// Commits a row and its deletion, to see whether the database takes writes: it may be full or read-only,
    /// and answer reads all the same. Waits for its turn for at most `limit`.
    ///
    /// # Errors
    ///
    /// It does not. If this write only did not get its turn, while others did, that is no error.
    pub(crate) async fn prove_writes(&self, limit: Duration) -> Result<(), Told> {
        // No other process has this key, so none waits for this row.
        let random: [u8; 16] =
            self.sealer.randomness.bytes().map_err(|error| DbErr::Custom(chain(&error)))?;
        let did = format!("health:{:032x}", u128::from_be_bytes(random));
        let mut account = account_table::Model { did, secrets: 0, webhooks: 0 };
        let committed = self.database.outcomes.committed();
        // Not counted among those of calls.
        let seconds = Histogram::new([]);
        let write = self.database.shared_transaction(Span::none(), &seconds, &mut account, insert_and_delete);
        let no_turn = match timeout(limit, write).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(Failure { error, .. })) if !fault::is_of_the_pool(&error) => return Err(error.into()),
            Ok(Err(Failure { error, .. })) => error,
            Err(_) => DbErr::Custom("a write took too long".to_owned()),
        };
        if self.database.outcomes.committed() == committed { Err(no_turn.into()) } else { Ok(()) }
    }

    /// How many transactions the database could not write, since the start.
    pub(crate) fn failed_writes(&self) -> u64 {
        self.database.outcomes.failed()
    }

    /// Writes what is queued and closes the connections, within 5 s.
    pub(crate) async fn close(&self) {
        let closed = timeout(CLOSE_LIMIT, async {
            self.commits.close().await;
            self.database.close().await;
        });
        if closed.await.is_err() {
            tracing::warn!("the database connections did not close in time");
        }
    }
}
