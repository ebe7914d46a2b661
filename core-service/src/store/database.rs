//! Connections: which database, with which guarantees and limits.
//!
//! Owns the pools and every setting of a connection.

mod pooled;
mod postgres;
pub(super) mod sessions;
pub(crate) mod url;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use sea_orm::sqlx::postgres::PgPool;
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sea_orm::sqlx::{self, ConnectOptions as _, Connection as _};
use sea_orm::{
    ConnectionTrait as _, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, RuntimeErr,
    TransactionOptions, TransactionTrait as _,
};

use self::sessions::Sessions;
use self::url::{DatabaseUrl, Kind};
use super::files::Files;
use super::metrics::{DatabaseMetrics, Pool, pools};
use super::outcomes::Outcomes;

/// How long a call waits for a connection from a pool.
const ACQUIRE_LIMIT: Duration = Duration::from_secs(2);
/// How long SQLite waits for the write of another process, and Postgres for a row that another replica has
/// locked.
const LOCK_LIMIT: Duration = Duration::from_secs(4);
/// Connections of SQLite for reads.
const READ_CONNECTIONS: u32 = 4;
/// Prepared statements that a writing connection keeps: room for the inserts of batches, which have three
/// texts for each number of rows up to 32, and for all other statements.
const WRITER_STATEMENTS: usize = 128;
/// Pages of 4 KiB in SQLite's write-ahead log before a checkpoint copies them to the database file: 64 MiB,
/// sixteen times SQLite's default. Nobody can write during a checkpoint. In a longer log more pages repeat,
/// and only the newest copy of each is written back.
const CHECKPOINT_PAGES: &str = "16000";

/// The pools of one database.
#[derive(Debug, Clone)]
pub(super) struct Database {
    /// For writes; each transaction takes one connection.
    pub(super) writing: DatabaseConnection,
    /// For reads.
    pub(super) reading: DatabaseConnection,
    /// For the one connection that listens to other replicas; `None` on SQLite and behind a pooler.
    pub(super) listening: Option<PgPool>,
    /// How many writers may work at the same time.
    pub(super) writers: usize,
    /// What each transaction of `writing` begins with, behind a pooler.
    pub(super) prelude: Option<String>,
    /// Those of SQLite; `None` on Postgres.
    pub(super) files: Option<Arc<Files>>,
    /// Those of Postgres.
    pub(super) sessions: Sessions,
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
        match url.kind() {
            Kind::Sqlite(options) => connect_sqlite(options).await,
            Kind::Postgres(options) if url.has_prepared_statements() => {
                postgres::connect(options, url.connections()).await
            }
            Kind::Postgres(options) => pooled::connect(options, url.connections()).await,
        }
    }

    /// The same database, with its metrics in `registry`.
    pub(super) fn with_metrics(self, registry: &mut Registry) -> Self {
        let Self {
            mut writing,
            mut reading,
            listening,
            writers,
            prelude,
            files,
            sessions,
            outcomes,
            metrics: _unregistered,
        } = self;
        let metrics = Arc::new(DatabaseMetrics::new(registry));
        for database in [&mut writing, &mut reading] {
            let metrics = Arc::clone(&metrics);
            database.set_metric_callback(move |info| metrics.statement_ended(info));
        }
        let (written, read) = (writing.clone(), reading.clone());
        pools(registry, move || [("write", pool(&written)), ("read", pool(&read))]);
        Self { writing, reading, listening, writers, prelude, files, sessions, outcomes, metrics }
    }

    /// Begins a transaction at `pool`, which is one of the two.
    ///
    /// # Errors
    ///
    /// The database fails.
    pub(super) async fn begin(
        &self,
        pool: &DatabaseConnection,
        options: TransactionOptions,
    ) -> Result<DatabaseTransaction, DbErr> {
        let transaction = pool.begin_with_options(options).await?;
        if let Some(prelude) = &self.prelude {
            transaction.execute_unprepared(prelude).await?;
        }
        Ok(transaction)
    }

    /// Makes `transaction` ready for its commit.
    ///
    /// # Errors
    ///
    /// The database fails.
    pub(super) async fn before_commit(&self, transaction: &DatabaseTransaction) -> Result<(), DbErr> {
        if self.prelude.is_some() {
            transaction.execute_unprepared(pooled::FORGET).await?;
        }
        Ok(())
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
    check_folder(options.get_filename())?;
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
        prelude: None,
        files: Some(Arc::new(Files::of(options.get_filename())?)),
        sessions: Sessions::default(),
        outcomes: Arc::default(),
        metrics: unregistered_metrics(),
    })
}

/// Opens the database at `url` for reads, and leaves it and its settings as they are. `None`: an SQLite file
/// that the first start makes.
///
/// # Errors
///
/// The database can't be reached, or refuses.
pub(super) async fn open_as_it_is(url: &DatabaseUrl) -> Result<Option<DatabaseConnection>, DbErr> {
    let Kind::Sqlite(options) = url.kind() else {
        let database = Database::connect(url).await?;
        let reading = database.reading.clone();
        if let Some(listening) = &database.listening {
            listening.close().await;
        }
        database.writing.close_by_ref().await?;
        return Ok(Some(reading));
    };
    check_folder(options.get_filename())?;
    if url.makes_file() && !options.get_filename().exists() {
        return Ok(None);
    }
    let options =
        options.clone().create_if_missing(false).busy_timeout(LOCK_LIMIT).disable_statement_logging();
    let pool = SqlitePoolOptions::new().max_connections(1).acquire_timeout(ACQUIRE_LIMIT);
    Ok(Some(pool.connect_with(options).await.map_err(connection_error)?.into()))
}

/// Checks that `file` is no folder, and that its own exists: SQLite says only that it can't open the file.
fn check_folder(file: &Path) -> Result<(), DbErr> {
    if file.is_dir() {
        return Err(DbErr::Custom(format!("{} is a folder", file.display())));
    }
    match file.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()) {
        Some(folder) => Err(DbErr::Custom(format!("there is no folder {}", folder.display()))),
        None => Ok(()),
    }
}

fn connection_error(error: sqlx::Error) -> DbErr {
    DbErr::Conn(RuntimeErr::SqlxError(error.into()))
}
