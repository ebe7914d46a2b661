//! Postgres without a pooler that changes sessions: limits belong to the session, which keeps what it has
//! prepared, and one session listens to other replicas.

use std::sync::Arc;
use std::time::Duration;

use sea_orm::DbErr;
use sea_orm::sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sea_orm::sqlx::{self, ConnectOptions as _, Connection as _, Executor as _, Row as _};
use tokio::time::timeout;

use super::sessions::Sessions;
use super::{ACQUIRE_LIMIT, Database, LOCK_LIMIT, WRITER_STATEMENTS, connection_error, unregistered_metrics};

/// How long Postgres lets one statement run.
const STATEMENT_LIMIT: Duration = Duration::from_secs(5);
/// The encoding of the database, and how many connections the role may have to it: -1 is no limit.
const QUESTION: &str = "SELECT current_setting('server_encoding'), \
    LEAST(NULLIF(rolconnlimit, -1), NULLIF(datconnlimit, -1)) \
    FROM pg_roles, pg_database \
    WHERE rolname = session_user AND datname = current_database()";
/// The encoding that a Postgres database must have, by Postgres's name.
const UTF8: &str = "UTF8";
/// Writer tasks on Postgres. While one waits for its commit, the other fills its transaction (`commit`).
const POSTGRES_WRITERS: u32 = 2;
/// Connections for writes, two for each writer: while one is pinged on its way back to the pool, the writer
/// takes the other.
const WRITE_CONNECTIONS: u32 = 2 * POSTGRES_WRITERS;

/// What connections are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) writing: u32,
    pub(super) reading: u32,
    listens: bool,
}

impl Share {
    /// Shares out so many `connections`. One listens if it `may`, unless there are only two. A single one
    /// writes and reads.
    pub(super) fn of(connections: u32, may: bool) -> Self {
        let listens = may && connections > 2;
        let rest = connections - u32::from(listens);
        let writing = u32::min(WRITE_CONNECTIONS, rest.div_ceil(2));
        Self { writing, reading: rest - writing, listens }
    }
}

/// What a server says about itself and the role.
pub(super) struct Server {
    /// How many connections the role may have to the database. `None`: no limit of its own.
    most_connections: Option<u32>,
}

/// Connects the pools, with so many `connections` in all.
///
/// # Errors
///
/// The database can't be reached, or refuses.
pub(super) async fn connect(options: &PgConnectOptions, connections: u32) -> Result<Database, DbErr> {
    let options = common(options);
    let Server { most_connections } = try_once(&options).await?;
    let share = Share::of(no_more_than(connections, most_connections), true);
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
    let writing = limited(share.writing)
        .connect_with(options.clone().statement_cache_capacity(WRITER_STATEMENTS))
        .await
        .map_err(connection_error)?;
    let reading = match share.reading {
        0 => writing.clone(),
        most => limited(most).connect_with(options.clone()).await.map_err(connection_error)?,
    };
    let listening = share.listens.then(|| pool(1, &sessions).connect_lazy_with(options));
    Ok(Database { listening, sessions, ..database(writing, reading, share) })
}

/// What all connections have in common.
pub(super) fn common(options: &PgConnectOptions) -> PgConnectOptions {
    // Poolers refuse extra_float_digits, and no value of ours is a floating-point number.
    options.clone().disable_statement_logging().extra_float_digits(None)
}

/// So many `connections` as the role may have. At least one, with which it was asked.
fn no_more_than(connections: u32, most: Option<u32>) -> u32 {
    let Some(most) = most.filter(|most| *most < connections) else { return connections };
    tracing::warn!(
        most,
        "the role may not have as many connections as --database-connections says: see CONNECTION LIMIT"
    );
    most.max(1)
}

/// A database of these pools, which hears nothing of other replicas.
pub(super) fn database(writing: PgPool, reading: PgPool, share: Share) -> Database {
    Database {
        writing: writing.into(),
        reading: reading.into(),
        listening: None,
        writers: u32::min(POSTGRES_WRITERS, share.writing) as usize,
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
pub(super) async fn try_once(options: &PgConnectOptions) -> Result<Server, DbErr> {
    let attempt = async {
        let mut session = options.connect().await?;
        let row = sqlx::raw_sql(QUESTION).fetch_one(&mut session).await?;
        let (encoding, most): (String, Option<i32>) = (row.try_get(0)?, row.try_get(1)?);
        session.close().await?;
        Ok((encoding, most))
    };
    let (encoding, most) = match timeout(ACQUIRE_LIMIT, attempt).await {
        Ok(answer) => answer.map_err(connection_error)?,
        Err(elapsed) => return Err(connection_error(sqlx::Error::Io(elapsed.into()))),
    };
    if encoding != UTF8 {
        return Err(DbErr::Custom(format!(
            "the encoding of the database is {encoding}, and must be {UTF8}: CREATE DATABASE … TEMPLATE \
             template0 ENCODING '{UTF8}'"
        )));
    }
    Ok(Server { most_connections: most.and_then(|most| u32::try_from(most).ok()) })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_connections_are_shared_out() {
        for (connections, writing, reading, listens) in [
            (1, 1, 0, false),
            (2, 1, 1, false),
            (3, 1, 1, true),
            (4, 2, 1, true),
            (8, 4, 3, true),
            (20, 4, 15, true),
        ] {
            assert_eq!(Share::of(connections, true), Share { writing, reading, listens });
        }
        assert_eq!(Share::of(2, false), Share { writing: 1, reading: 1, listens: false });
        assert_eq!(Share::of(8, false), Share { writing: 4, reading: 4, listens: false });
    }
}
