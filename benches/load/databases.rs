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

/// A migrated database for each contestant that writes.
pub(crate) struct Databases {
    pub(crate) pair: OpenDatabase,
    pub(crate) earlier: OpenDatabase,
    pub(crate) inserts: OpenDatabase,
    pub(crate) node: OpenDatabase,
    /// Stops when dropped.
    _server: Option<Server>,
}

/// A database that can be connected to.
pub(crate) struct OpenDatabase {
    pub(crate) url: String,
    /// SQLite only.
    pub(crate) file: Option<PathBuf>,
}

impl Database {
    /// Creates the databases, each with the schema of the `athook` that will use it. SQLite files go into
    /// `folder`. `None`: Postgres is not installed.
    pub(crate) fn open(
        self,
        athook: &Path,
        earlier_athook: Option<&Path>,
        folder: &Path,
    ) -> Result<Option<Databases>, Failure> {
        let names = ["pair", "earlier", "inserts", "node"];
        let (opened, server) = match self {
            Self::Sqlite => {
                let opened = names.map(|name| {
                    let file = folder.join(format!("{name}.db"));
                    OpenDatabase { url: format!("sqlite://{}?mode=rwc", file.display()), file: Some(file) }
                });
                (opened, None)
            }
            Self::Postgres => {
                if postgres::programs().is_none() {
                    return Ok(None);
                }
                let server = Server::start("on").ok_or("Postgres does not start; its output is above")?;
                create_on_postgres(&server.url("postgres"), names)?;
                (names.map(|name| OpenDatabase { url: server.url(name), file: None }), Some(server))
            }
        };
        let [pair, earlier, inserts, node] = opened;
        for OpenDatabase { url, file: _ } in [&pair, &inserts, &node] {
            migrate(athook, url)?;
        }
        migrate(earlier_athook.unwrap_or(athook), &earlier.url)?;
        Ok(Some(Databases { pair, earlier, inserts, node, _server: server }))
    }
}

fn create_on_postgres(admin_url: &str, names: [&str; 4]) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let pool = sqlx::PgPool::connect(admin_url).await?;
        for name in names {
            let sql = format!("CREATE DATABASE {name}");
            sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&pool).await?;
        }
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
