//! The databases of a run: empty, migrated, one for each contestant that writes.

use std::fmt;
use std::path::{Path, PathBuf};

use process::exit::Failure;
use sea_orm::sqlx;

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
