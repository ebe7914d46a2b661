//! Databases as commands open them: there already, and with the schema of this release.
//!
//! Owns that check, and what a command does in place of a call's short transactions: one long view of the
//! database, and pages of a whole table. Writes nothing.

use sea_orm::{
    AccessMode, ColumnTrait as _, ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, EntityTrait,
    IsolationLevel, QueryFilter as _, QueryOrder as _, QuerySelect as _, SqliteTransactionMode,
    TransactionOptions, TransactionTrait as _, Value,
};

use migrations::Standing;

use crate::store::database::{Database, DatabaseUrl};

/// Rows of a page. A webhook is at most 25 kB.
pub(super) const PAGE_ROWS: u64 = 250;

/// A database that a command can't work on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExistingError {
    #[error("there is no database: {url}")]
    Missing { url: DatabaseUrl },
    #[error("the database can't be used: {url}")]
    Unusable {
        url: DatabaseUrl,
        #[source]
        error: DbErr,
    },
    #[error(
        "the schema is older than this release, or not athook's; run `core-service migrate` first: {url}"
    )]
    Older { url: DatabaseUrl },
    #[error("the schema is newer than this release knows; use the release that made it: {url}")]
    Newer { url: DatabaseUrl },
}

/// Opens the database at `url`, which is neither made nor changed.
///
/// # Errors
///
/// There is none, it can't be used, or its schema is not the one of this release: a command that did not know
/// of a column would leave it out.
pub(in crate::store) async fn open(url: &DatabaseUrl) -> Result<Database, ExistingError> {
    if url.sqlite_file().is_some_and(|file| !file.exists()) {
        return Err(ExistingError::Missing { url: url.clone() });
    }
    let unusable = |error| ExistingError::Unusable { url: url.clone(), error };
    let database = Database::connect(url).await.map_err(unusable)?;
    let told = require_same(&database, url).await;
    if told.is_err() {
        database.close().await;
    }
    told.map(|()| database)
}

/// Makes sure that the schema of `database` is the one of this release.
///
/// # Errors
///
/// It is not.
pub(super) async fn require_same(database: &Database, url: &DatabaseUrl) -> Result<(), ExistingError> {
    match migrations::standing(&database.reading).await {
        Ok(Standing::Same) => Ok(()),
        Ok(Standing::Older) => Err(ExistingError::Older { url: url.clone() }),
        Ok(Standing::Newer) => Err(ExistingError::Newer { url: url.clone() }),
        Err(error) => Err(ExistingError::Unusable { url: url.clone(), error }),
    }
}

/// Begins a transaction that sees the database as it is now, however long it takes, and can't write.
pub(super) async fn snapshot(database: &Database) -> Result<DatabaseTransaction, DbErr> {
    let reading = &database.reading;
    let options = match reading.get_database_backend() {
        DbBackend::Postgres => TransactionOptions {
            isolation_level: Some(IsolationLevel::RepeatableRead),
            access_mode: Some(AccessMode::ReadOnly),
            sqlite_transaction_mode: None,
        },
        // The pool itself is read-only, and every transaction is a snapshot from its first read.
        _ => TransactionOptions {
            isolation_level: None,
            access_mode: None,
            sqlite_transaction_mode: Some(SqliteTransactionMode::Deferred),
        },
    };
    let transaction = reading.begin_with_options(options).await?;
    lift_limits(&transaction).await?;
    Ok(transaction)
}

/// Lifts the limits of time that a connection has for calls, until the transaction ends: other programs at the
/// other end of a pipe may be slow.
pub(super) async fn lift_limits(transaction: &DatabaseTransaction) -> Result<(), DbErr> {
    if transaction.get_database_backend() == DbBackend::Postgres {
        let limits = "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; \
                      SET LOCAL idle_in_transaction_session_timeout = 0";
        transaction.execute_unprepared(limits).await?;
    }
    Ok(())
}

/// The rows of a table whose `key` comes after `after`, in the order of the key: [`PAGE_ROWS`] at most.
pub(super) async fn page<E, Key>(
    database: &impl ConnectionTrait,
    key: E::Column,
    after: Option<Key>,
) -> Result<Vec<E::Model>, DbErr>
where
    E: EntityTrait,
    Key: Into<Value>,
{
    let rows = E::find().order_by_asc(key).limit(PAGE_ROWS);
    match after {
        None => rows.all(database).await,
        Some(after) => rows.filter(key.gt(after)).all(database).await,
    }
}
