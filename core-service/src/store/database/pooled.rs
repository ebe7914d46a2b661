//! Postgres behind a pooler that may give each transaction to another session (PgBouncer in transaction
//! mode): `--prepared-statements off`.
//!
//! The driver names each statement that it prepares, in two messages, and names begin again with each of its
//! connections. So every statement runs in a transaction. At its end it removes its names, and at its begin
//! those that one which failed has left. Limits are those of the transaction, too.

use sea_orm::DbErr;
use sea_orm::sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sea_orm::sqlx::{self, Executor as _};
use tokio::time::timeout;

use super::postgres::{Share, common, database, limits, try_once};
use super::sessions::PING_LIMIT;
use super::{ACQUIRE_LIMIT, Database, connection_error};

/// Removes all prepared statements from a session.
pub(super) const FORGET: &str = "DEALLOCATE ALL";

/// Connects both pools, with so many `connections` in all.
///
/// # Errors
///
/// The database can't be reached, or refuses.
pub(super) async fn connect(options: &PgConnectOptions, connections: u32) -> Result<Database, DbErr> {
    let options = common(options).statement_cache_capacity(0);
    try_once(&options).await?;
    // The limit of the role is the pooler's concern.
    let share = Share::of(connections, false);
    let prelude = format!("{FORGET}; {}", limits("SET LOCAL"));
    let pool = |connections| {
        PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(ACQUIRE_LIMIT)
            .test_before_acquire(false)
    };
    let writing = pool(share.writing)
        .before_acquire(|connection, _| {
            // Empty, to see whether the connection is alive.
            Box::pin(async move { run(connection, String::new()).await.map(|()| true) })
        })
        .connect_with(options.clone())
        .await
        .map_err(connection_error)?;
    // Reads are single statements. Each becomes a transaction, from taking the connection to giving it back.
    let begin = format!("BEGIN; {prelude}");
    let begin_again = begin.clone();
    let reading = pool(share.reading)
        .after_connect(move |connection, _| {
            let begin = begin.clone();
            Box::pin(async move { run(connection, begin).await })
        })
        .before_acquire(move |connection, _| {
            let begin = begin_again.clone();
            Box::pin(async move { run(connection, begin).await.map(|()| true) })
        })
        .after_release(|connection, _| {
            Box::pin(async move { run(connection, format!("ROLLBACK; {FORGET}")).await.map(|()| true) })
        })
        // Not at once: that connection would be kept as it is, in a transaction.
        .connect_lazy_with(options);
    Ok(Database { prelude: Some(prelude), ..database(writing, reading, share) })
}

/// Runs statements that are not prepared.
async fn run(connection: &mut PgConnection, statements: String) -> Result<(), sqlx::Error> {
    match timeout(PING_LIMIT, connection.execute(sqlx::AssertSqlSafe(statements))).await {
        Ok(done) => done.map(drop),
        Err(elapsed) => Err(sqlx::Error::Io(elapsed.into())),
    }
}
