//! Connections: which database, with which guarantees and limits.
//!
//! Owns the pools and every setting of a connection. The URL of a database may hold a password: it is parsed
//! here, never kept as text and never printed.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::registry::Registry;
use sea_orm::sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sea_orm::sqlx::{self, ConnectOptions as _, Connection as _, Executor as _};
use sea_orm::{DatabaseConnection, DbBackend, DbErr, RuntimeErr};
use tokio::time::{Instant, timeout};

use super::files::Files;
use super::metrics::{DatabaseMetrics, Pool, pools};
use super::outcomes::Outcomes;

/// How long a call waits for a connection from a pool.
const ACQUIRE_LIMIT: Duration = Duration::from_secs(2);
/// How long SQLite waits for the write of another process, and Postgres for a row that another replica has
/// locked.
const LOCK_LIMIT: Duration = Duration::from_secs(4);
/// How long Postgres lets one statement run.
const STATEMENT_LIMIT: Duration = Duration::from_secs(5);
/// A Postgres connection that was idle for this long is pinged before it is used: firewalls drop such
/// connections.
const IDLE_BEFORE_PING: Duration = Duration::from_secs(30);
/// The time limit of a ping. A Postgres connection that exceeds it is dropped: when the network to the server
/// goes silent, TCP alone would keep the connection for a quarter of an hour.
const PING_LIMIT: Duration = Duration::from_secs(1);
/// Connections for reads.
const READ_CONNECTIONS: u32 = 4;
/// Writer tasks on Postgres. While one waits for its commit, the other fills its transaction (`commit`).
const POSTGRES_WRITERS: u32 = 2;
/// Connections for writes, two for each writer: while one is pinged on its way back to the pool, the writer
/// takes the other.
const WRITE_CONNECTIONS: u32 = 2 * POSTGRES_WRITERS;
/// Prepared statements that a writing connection keeps: room for the inserts of batches, which have three
/// texts for each number of rows up to 32, and for all other statements.
const WRITER_STATEMENTS: usize = 128;
/// Pages of 4 KiB in SQLite's write-ahead log before a checkpoint copies them to the database file: 64 MiB,
/// sixteen times SQLite's default. Nobody can write during a checkpoint. In a longer log more pages repeat,
/// and only the newest copy of each is written back.
const CHECKPOINT_PAGES: &str = "16000";

/// Where the database is: `sqlite://FILE?mode=rwc` or `postgres://USER:PASSWORD@HOST/DATABASE`.
#[derive(Clone)]
pub(crate) struct DatabaseUrl(Kind);

#[derive(Clone)]
enum Kind {
    Sqlite(Box<SqliteConnectOptions>),
    Postgres(Box<PgConnectOptions>),
}

/// A text that is no URL of a usable database.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WrongDatabaseUrl {
    #[error("must be sqlite://FILE or postgres://USER:PASSWORD@HOST/DATABASE")]
    Syntax,
    #[error("an SQLite database in memory would be lost at the end; give a file")]
    InMemory,
}

impl FromStr for DatabaseUrl {
    type Err = WrongDatabaseUrl;

    fn from_str(text: &str) -> Result<Self, WrongDatabaseUrl> {
        if text.starts_with("sqlite:") {
            if text.contains(":memory:") || text.contains("mode=memory") {
                return Err(WrongDatabaseUrl::InMemory);
            }
            let options: SqliteConnectOptions = text.parse().map_err(|_| WrongDatabaseUrl::Syntax)?;
            return Ok(Self(Kind::Sqlite(Box::new(options))));
        }
        if text.starts_with("postgres:") || text.starts_with("postgresql:") {
            let options: PgConnectOptions = text.parse().map_err(|_| WrongDatabaseUrl::Syntax)?;
            return Ok(Self(Kind::Postgres(Box::new(options))));
        }
        Err(WrongDatabaseUrl::Syntax)
    }
}

impl DatabaseUrl {
    /// The file of an SQLite database.
    pub(crate) fn sqlite_file(&self) -> Option<PathBuf> {
        match &self.0 {
            Kind::Sqlite(options) => Some(options.get_filename().to_owned()),
            Kind::Postgres(_) => None,
        }
    }
}

/// The kind of database and where it is; no user name and no password.
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Sqlite(options) => write!(f, "SQLite file {}", options.get_filename().display()),
            Kind::Postgres(options) => {
                let database = options.get_database().unwrap_or_default();
                write!(f, "Postgres {}:{}/{database}", options.get_host(), options.get_port())
            }
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The pools of one database.
#[derive(Debug, Clone)]
pub(super) struct Database {
    /// For writes; each transaction takes one connection.
    pub(super) writing: DatabaseConnection,
    /// For reads.
    pub(super) reading: DatabaseConnection,
    /// For the one connection that listens to other replicas; `None` on SQLite.
    pub(super) listening: Option<PgPool>,
    /// How many writers may work at the same time.
    pub(super) writers: usize,
    /// Those of SQLite; `None` on Postgres.
    pub(super) files: Option<Arc<Files>>,
    pub(super) outcomes: Arc<Outcomes>,
    pub(super) metrics: Arc<DatabaseMetrics>,
}

impl Database {
    /// Connects both pools.
    ///
    /// # Errors
    ///
    /// The database can't be reached, or refuses.
    pub(super) async fn connect(url: &DatabaseUrl) -> Result<Self, DbErr> {
        match &url.0 {
            Kind::Sqlite(options) => connect_sqlite(options).await,
            Kind::Postgres(options) => connect_postgres(options).await,
        }
    }

    /// The same database, with its metrics in `registry`.
    pub(super) fn with_metrics(self, registry: &mut Registry) -> Self {
        let Self { mut writing, mut reading, listening, writers, files, outcomes, metrics: _unregistered } =
            self;
        let metrics = Arc::new(DatabaseMetrics::new(registry));
        for database in [&mut writing, &mut reading] {
            let metrics = Arc::clone(&metrics);
            database.set_metric_callback(move |info| metrics.statement_ended(info));
        }
        let (written, read) = (writing.clone(), reading.clone());
        pools(registry, move || [("write", pool(&written)), ("read", pool(&read))]);
        Self { writing, reading, listening, writers, files, outcomes, metrics }
    }

    /// Checks that the open files of an SQLite database are those at their paths.
    ///
    /// # Errors
    ///
    /// One was removed or replaced.
    pub(super) fn check_files(&self) -> Result<(), DbErr> {
        self.files.as_ref().map_or(Ok(()), |files| files.check())
    }

    /// Closes all connections.
    pub(super) async fn close(&self) {
        if let Some(listening) = &self.listening {
            listening.close().await;
        }
        for pool in [&self.reading, &self.writing] {
            if let Err(error) = pool.close_by_ref().await {
                tracing::debug!(%error, "a database pool did not close");
            }
        }
    }
}

/// How many connections the pool of `database` has.
fn pool(database: &DatabaseConnection) -> Pool {
    let (open, idle, limit) = match database.get_database_backend() {
        DbBackend::Sqlite => {
            let pool = database.get_sqlite_connection_pool();
            (pool.size(), pool.num_idle(), pool.options().get_max_connections())
        }
        _ => {
            let pool = database.get_postgres_connection_pool();
            (pool.size(), pool.num_idle(), pool.options().get_max_connections())
        }
    };
    Pool { open: open as usize, idle, limit: limit as usize }
}

/// Metrics that no registry reads.
fn unregistered_metrics() -> Arc<DatabaseMetrics> {
    Arc::new(DatabaseMetrics::new(&mut Registry::default()))
}

/// One connection writes, others read beside it (WAL). A commit is on disk when it returns (`FULL`).
/// Statement journals, from which SQLite undoes a failed statement, stay in memory (`temp_store`): a batch
/// touches more pages than SQLite keeps there by default, and the rest would go through a temporary file.
async fn connect_sqlite(options: &SqliteConnectOptions) -> Result<Database, DbErr> {
    let options = options
        .clone()
        .busy_timeout(LOCK_LIMIT)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .disable_statement_logging();
    let pool = || {
        SqlitePoolOptions::new()
            .acquire_timeout(ACQUIRE_LIMIT)
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None)
            // When SQLite itself rolls a transaction back (a full disk), the driver still counts it as open,
            // and later transactions would be savepoints of one that is never committed.
            .before_acquire(|connection, _| {
                let usable = !connection.is_in_transaction();
                Box::pin(async move { Ok(usable) })
            })
    };
    let writing = pool()
        .max_connections(1)
        .connect_with(
            options
                .clone()
                .statement_cache_capacity(WRITER_STATEMENTS)
                .pragma("temp_store", "MEMORY")
                .pragma("wal_autocheckpoint", CHECKPOINT_PAGES),
        )
        .await
        .map_err(connection_error)?;
    let reading = pool()
        .max_connections(READ_CONNECTIONS)
        .connect_with(options.clone().pragma("query_only", "ON"))
        .await
        .map_err(connection_error)?;
    Ok(Database {
        writing: writing.into(),
        reading: reading.into(),
        listening: None,
        writers: 1,
        files: Some(Arc::new(Files::of(options.get_filename())?)),
        outcomes: Arc::default(),
        metrics: unregistered_metrics(),
    })
}

async fn connect_postgres(options: &PgConnectOptions) -> Result<Database, DbErr> {
    let options = options.clone().disable_statement_logging();
    try_postgres(&options).await.map_err(connection_error)?;
    let limits = format!(
        "SET statement_timeout = {}; SET lock_timeout = {}; SET idle_in_transaction_session_timeout = {}",
        STATEMENT_LIMIT.as_millis(),
        LOCK_LIMIT.as_millis(),
        STATEMENT_LIMIT.as_millis(),
    );
    let silence = Silence::default();
    let pool = |connections| {
        let limits = limits.clone();
        let (before, after) = (silence.clone(), silence.clone());
        PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(ACQUIRE_LIMIT)
            .test_before_acquire(false)
            .before_acquire(move |connection, idle| {
                let silence = before.clone();
                Box::pin(async move {
                    if idle.idle_for >= IDLE_BEFORE_PING || silence.noticed_within(idle.idle_for) {
                        silence.ping(connection).await?;
                    }
                    Ok(true)
                })
            })
            .after_release(move |connection, _| {
                let silence = after.clone();
                Box::pin(async move { silence.ping(connection).await.map(|()| true) })
            })
            .after_connect(move |connection, _| {
                let limits = limits.clone();
                Box::pin(async move {
                    connection.execute(sqlx::AssertSqlSafe(limits)).await?;
                    Ok(())
                })
            })
    };
    let writing = pool(WRITE_CONNECTIONS)
        .connect_with(options.clone().statement_cache_capacity(WRITER_STATEMENTS))
        .await
        .map_err(connection_error)?;
    let reading = pool(READ_CONNECTIONS).connect_with(options.clone()).await.map_err(connection_error)?;
    let writers = POSTGRES_WRITERS as usize;
    Ok(Database {
        writing: writing.into(),
        reading: reading.into(),
        listening: Some(
            PgPoolOptions::new().max_connections(1).acquire_timeout(ACQUIRE_LIMIT).connect_lazy_with(options),
        ),
        writers,
        files: None,
        outcomes: Arc::default(),
        metrics: unregistered_metrics(),
    })
}

/// When a connection to Postgres last failed to answer a ping. Connections that have been idle since before
/// then may be dead too.
#[derive(Debug, Clone, Default)]
struct Silence(Arc<Mutex<Option<Instant>>>);

impl Silence {
    fn noticed_within(&self, time: Duration) -> bool {
        let noticed = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noticed.is_some_and(|at| at.elapsed() <= time)
    }

    /// Pings `connection`.
    async fn ping(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let answered = match timeout(PING_LIMIT, connection.ping()).await {
            Ok(answered) => answered,
            Err(elapsed) => Err(sqlx::Error::Io(elapsed.into())),
        };
        if answered.is_err() {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
        answered
    }
}

/// Connects once without a pool: a pool would only report that it timed out, this reports why.
async fn try_postgres(options: &PgConnectOptions) -> Result<(), sqlx::Error> {
    match timeout(ACQUIRE_LIMIT, options.connect()).await {
        Ok(connected) => connected?.close().await,
        Err(elapsed) => Err(sqlx::Error::Io(elapsed.into())),
    }
}

fn connection_error(error: sqlx::Error) -> DbErr {
    DbErr::Conn(RuntimeErr::SqlxError(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn password_is_not_printed() {
        let url: DatabaseUrl = "postgres://someone:letmein@db.example:5433/hooks".parse().unwrap();
        assert_eq!(format!("{url} {url:?}"), ["Postgres db.example:5433/hooks"; 2].join(" "));
    }

    #[test]
    fn urls_that_are_refused() {
        for text in ["", "mysql://host/name", "athook.db", "postgres://host:port/name"] {
            assert_eq!(text.parse::<DatabaseUrl>().unwrap_err(), WrongDatabaseUrl::Syntax, "{text}");
        }
        for text in ["sqlite::memory:", "sqlite://:memory:", "sqlite://a?mode=memory"] {
            assert_eq!(text.parse::<DatabaseUrl>().unwrap_err(), WrongDatabaseUrl::InMemory, "{text}");
        }
    }
}
