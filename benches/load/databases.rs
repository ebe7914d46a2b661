//! The databases of a run: empty, migrated, one for each contestant that writes.

use std::fmt;
use std::path::{Path, PathBuf};

use process::exit::Failure;
use sea_orm::DatabaseConnection;
use sea_orm::sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sea_orm::sqlx::{self, ConnectOptions as _};

use crate::postgres::{self, Server};
use crate::programs::migrate;

/// Which database system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Database {
    Sqlite,
    Postgres,
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "Postgres",
        })
    }
}

/// Where databases are made, each for one contestant.
pub(crate) struct Databases {
    /// Of SQLite files.
    folder: PathBuf,
    /// Stops when dropped. `None`: SQLite.
    server: Option<Server>,
}

/// A database that can be connected to.
pub(crate) struct OpenDatabase {
    pub(crate) url: String,
    /// SQLite only.
    pub(crate) file: Option<PathBuf>,
}

impl Database {
    /// Starts the server. SQLite files go into `folder`. `None`: Postgres is not installed.
    pub(crate) fn open(self, folder: &Path) -> Result<Option<Databases>, Failure> {
        let server = match self {
            Self::Sqlite => None,
            Self::Postgres => {
                if postgres::programs().is_none() {
                    return Ok(None);
                }
                Some(Server::start("on").ok_or("Postgres does not start; its output is above")?)
            }
        };
        Ok(Some(Databases { folder: folder.to_owned(), server }))
    }
}

impl Databases {
    /// Makes a database with the schema of `athook`.
    pub(crate) fn create(&self, name: &str, athook: &Path) -> Result<OpenDatabase, Failure> {
        let opened = match &self.server {
            None => {
                let file = self.folder.join(format!("{name}.db"));
                OpenDatabase { url: format!("sqlite://{}?mode=rwc", file.display()), file: Some(file) }
            }
            Some(server) => {
                create_on_postgres(&server.url("postgres"), name)?;
                OpenDatabase { url: server.url(name), file: None }
            }
        };
        migrate(athook, &opened.url)?;
        Ok(opened)
    }
}

fn create_on_postgres(admin_url: &str, name: &str) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let pool = sqlx::PgPool::connect(admin_url).await?;
        sqlx::query(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&pool).await?;
        pool.close().await;
        Ok(())
    })
}

/// Opens one connection to SQLite, with the settings of the core-service (WAL, `synchronous=FULL`, foreign
/// keys); `tasks` to Postgres, with the server's defaults.
pub(crate) async fn connect(database_url: &str, tasks: usize) -> Result<Vec<DatabaseConnection>, Failure> {
    if database_url.starts_with("sqlite:") {
        let options: SqliteConnectOptions = database_url.parse()?;
        let options = options
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .disable_statement_logging();
        let pool = SqlitePoolOptions::new().max_connections(1).test_before_acquire(false);
        return Ok(vec![pool.connect_with(options).await?.into()]);
    }
    let options: PgConnectOptions = database_url.parse()?;
    let options = options.disable_statement_logging();
    let mut connections = Vec::new();
    for _ in 0..tasks {
        let pool = PgPoolOptions::new().max_connections(1).test_before_acquire(false);
        connections.push(pool.connect_with(options.clone()).await?.into());
    }
    Ok(connections)
}
