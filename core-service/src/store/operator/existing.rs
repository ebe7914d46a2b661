//! Opens databases for commands: they must exist and have the schema of this release.
//!
//! A command makes no database and no schema. With the `mode=rwc` of the service's URL, a mistyped path would
//! otherwise be a new, empty database that was exported or resealed with success.
//!
//! Owns that check, and how commands read: one long snapshot instead of a call's short transactions, and
//! whole tables page by page. Writes nothing.

use sea_orm::{
    AccessMode, ColumnTrait as _, ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, EntityTrait,
    IsolationLevel, QueryFilter as _, QueryOrder as _, QuerySelect as _, SqliteTransactionMode,
    TransactionOptions, Value,
};

use migrations::SchemaState;

use crate::store::database::Database;
use crate::store::database::url::DatabaseUrl;
use crate::store::told::Told;

/// The most rows of a page. A webhook has at most 25 kB, an event about as much.
pub(super) const PAGE_ROWS: u64 = 250;
/// The most rows of a page of deliveries, the body of which may have 500 kB.
pub(super) const DELIVERY_PAGE_ROWS: u64 = 32;

/// A database that a command refuses.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExistingError {
    #[error("there is no database: {url}")]
    Missing { url: DatabaseUrl },
    #[error("the database can't be used: {url}")]
    Unusable {
        url: DatabaseUrl,
        #[source]
        error: Told,
    },
    #[error(
        "the schema is older than this release, or not athook's; run `core-service migrate` first: {url}"
    )]
    Older { url: DatabaseUrl },
    #[error("the schema is newer than this release knows; use the release that made it: {url}")]
    Newer { url: DatabaseUrl },
}

/// Opens the database at `url`, without creating or changing anything.
///
/// # Errors
///
/// It does not exist, it can't be used, or its schema is not that of this release: an export would leave out
/// a column that it does not know.
pub(in crate::store) async fn open(url: &DatabaseUrl) -> Result<Database, ExistingError> {
    if url.sqlite_file().is_some_and(|file| !file.exists()) {
        return Err(ExistingError::Missing { url: url.clone() });
    }
    let unusable = |error: DbErr| ExistingError::Unusable { url: url.clone(), error: error.into() };
    let database = Database::connect(url).await.map_err(unusable)?;
    let checked = require_same(&database, url).await;
    if checked.is_err() {
        database.close().await;
    }
    checked.map(|()| database)
}

/// Checks what [`open`] does.
///
/// # Errors
///
/// Those of [`open`].
pub(crate) async fn check(url: &DatabaseUrl) -> Result<(), ExistingError> {
    open(url).await?.close().await;
    Ok(())
}

/// Checks that the schema of `database` is that of this release.
///
/// # Errors
///
/// It is older or newer, or the database fails.
pub(super) async fn require_same(database: &Database, url: &DatabaseUrl) -> Result<(), ExistingError> {
    match migrations::schema_state(&database.reading).await {
        Ok(SchemaState::Same) => Ok(()),
        Ok(SchemaState::Older) => Err(ExistingError::Older { url: url.clone() }),
        Ok(SchemaState::Newer) => Err(ExistingError::Newer { url: url.clone() }),
        Err(error) => Err(ExistingError::Unusable { url: url.clone(), error: error.into() }),
    }
}

/// Begins a read-only transaction that sees the database as it is now, however long it takes.
pub(super) async fn snapshot(database: &Database) -> Result<DatabaseTransaction, DbErr> {
    // Behind a pooler, whatever `reading` runs is a transaction already.
    let pool = if database.prelude.is_none() { &database.reading } else { &database.writing };
    let options = match pool.get_database_backend() {
        DbBackend::Postgres => TransactionOptions {
            isolation_level: Some(IsolationLevel::RepeatableRead),
            access_mode: Some(AccessMode::ReadOnly),
            sqlite_transaction_mode: None,
        },
        // On SQLite the reading pool is read-only, and every transaction is a snapshot from its first read
        // on.
        _ => TransactionOptions {
            isolation_level: None,
            access_mode: None,
            sqlite_transaction_mode: Some(SqliteTransactionMode::Deferred),
        },
    };
    let transaction = database.begin(pool, options).await?;
    lift_limits(&transaction).await?;
    Ok(transaction)
}

/// Ends a [`snapshot`], so that it leaves nothing behind in a pooler's session.
pub(super) async fn end(database: &Database, snapshot: DatabaseTransaction) -> Result<(), DbErr> {
    database.before_commit(&snapshot).await?;
    snapshot.commit().await
}

/// Lifts the time limits that connections have for calls, until the transaction ends: the program at the
/// other end of a pipe may be slow.
pub(super) async fn lift_limits(transaction: &DatabaseTransaction) -> Result<(), DbErr> {
    if transaction.get_database_backend() == DbBackend::Postgres {
        let limits = "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; \
                      SET LOCAL idle_in_transaction_session_timeout = 0";
        transaction.execute_unprepared(limits).await?;
    }
    Ok(())
}

/// The next rows of a table in the order of `key`, after the row `after`: at most `rows`.
pub(super) async fn page<E, Key>(
    database: &impl ConnectionTrait,
    key: E::Column,
    after: Option<Key>,
    rows: u64,
) -> Result<Vec<E::Model>, DbErr>
where
    E: EntityTrait,
    Key: Into<Value>,
{
    let rows = E::find().order_by_asc(key).limit(rows);
    match after {
        None => rows.all(database).await,
        Some(after) => rows.filter(key.gt(after)).all(database).await,
    }
}
