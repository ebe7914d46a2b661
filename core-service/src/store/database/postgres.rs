//! Postgres without a pooler that changes sessions: limits belong to the session, which keeps what it has
//! prepared, and one session listens to other replicas.

use std::sync::Arc;
use std::time::Duration;

use sea_orm::DbErr;
use sea_orm::sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sea_orm::sqlx::{self, ConnectOptions as _, Connection as _, Executor as _, Row as _};
use tokio::time::timeout;

use super::sessions::Sessions;
use super::{
    ACQUIRE_LIMIT, Database, LOCK_LIMIT, READ_CONNECTIONS, WRITER_STATEMENTS, connection_error,
    unregistered_metrics,
};

/// How long Postgres lets one statement run.
const STATEMENT_LIMIT: Duration = Duration::from_secs(5);
/// The encoding that a Postgres database must have, by Postgres's name.
const UTF8: &str = "UTF8";
/// Writer tasks on Postgres. While one waits for its commit, the other fills its transaction (`commit`).
const POSTGRES_WRITERS: u32 = 2;
/// Connections for writes, two for each writer: while one is pinged on its way back to the pool, the writer
/// takes the other.
pub(super) const WRITE_CONNECTIONS: u32 = 2 * POSTGRES_WRITERS;

/// Connects the pools.
///
/// # Errors
///
/// The database can't be reached, or refuses.
pub(super) async fn connect(options: &PgConnectOptions) -> Result<Database, DbErr> {
    let options = options.clone().disable_statement_logging();
    try_once(&options).await?;
    let sessions = Sessions::default();
    let limits = limits("SET");
    let limited = |connections| {
        let limits = limits.clone();
        pool(connections, &sessions).after_connect(move |session, _| {
            let limits = limits.clone();
            Box::pin(async move {
                session.execute(sqlx::AssertSqlSafe(limits)).await?;
                Ok(())
            })
        })
    };
    let writing = limited(WRITE_CONNECTIONS)
        .connect_with(options.clone().statement_cache_capacity(WRITER_STATEMENTS))
        .await
        .map_err(connection_error)?;
    let reading = limited(READ_CONNECTIONS).connect_with(options.clone()).await.map_err(connection_error)?;
    let listening = Some(pool(1, &sessions).connect_lazy_with(options));
    Ok(Database { listening, sessions, ..database(writing, reading) })
}

/// A database of these pools, which hears nothing of other replicas.
pub(super) fn database(writing: PgPool, reading: PgPool) -> Database {
    Database {
        writing: writing.into(),
        reading: reading.into(),
        listening: None,
        writers: POSTGRES_WRITERS as usize,
        prelude: None,
        files: None,
        sessions: Sessions::default(),
        outcomes: Arc::default(),
        metrics: unregistered_metrics(),
    }
}

/// The statements that set the limits of Postgres, each beginning with `set`.
pub(super) fn limits(set: &str) -> String {
    let (statement, lock) = (STATEMENT_LIMIT.as_millis(), LOCK_LIMIT.as_millis());
    format!(
        "{set} statement_timeout = {statement}; {set} lock_timeout = {lock}; \
         {set} idle_in_transaction_session_timeout = {statement}"
    )
}

/// Connects once without a pool: a pool would only report that it timed out, this reports why. Checks that
/// the database can hold every text, which only UTF-8 can.
///
/// # Errors
///
/// The database can't be reached, or refuses, or has another encoding.
pub(super) async fn try_once(options: &PgConnectOptions) -> Result<(), DbErr> {
    let attempt = async {
        let mut session = options.connect().await?;
        let encoding = sqlx::raw_sql("SHOW server_encoding").fetch_one(&mut session).await?;
        let encoding: String = encoding.try_get(0)?;
        session.close().await?;
        Ok(encoding)
    };
    let encoding = match timeout(ACQUIRE_LIMIT, attempt).await {
        Ok(encoding) => encoding.map_err(connection_error)?,
        Err(elapsed) => return Err(connection_error(sqlx::Error::Io(elapsed.into()))),
    };
    if encoding != UTF8 {
        return Err(DbErr::Custom(format!(
            "the encoding of the database is {encoding}, and must be {UTF8}: CREATE DATABASE … TEMPLATE \
             template0 ENCODING '{UTF8}'"
        )));
    }
    Ok(())
}

/// A pool that keeps only sessions that are of use.
fn pool(connections: u32, sessions: &Sessions) -> PgPoolOptions {
    let (before, after) = (sessions.clone(), sessions.clone());
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_LIMIT)
        .test_before_acquire(false)
        .before_acquire(move |session, metadata| {
            let sessions = before.clone();
            Box::pin(async move { sessions.may_be_taken(session, metadata).await })
        })
        .after_release(move |session, metadata| {
            let sessions = after.clone();
            Box::pin(async move { sessions.may_be_kept(session, metadata).await })
        })
}
