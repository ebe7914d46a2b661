//! A database for one test.

use std::path::PathBuf;
use std::time::Duration;

use sea_orm::{ConnectionTrait as _, Database as Connect, DatabaseConnection, QueryResult, Statement};

use crate::harness::postgres::Server;
use crate::harness::processes::{Service, Setup};

/// How long a test waits for rows.
const LIMIT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Which database a test runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

/// An empty database of its own.
pub(crate) enum Database {
    Sqlite { folder: tempfile::TempDir },
    Postgres { name: String, own: Option<Server> },
}

impl Database {
    /// Creates one, on a Postgres server of its own if the test stops it.
    pub(crate) async fn create(kind: Kind, own_server: bool) -> Self {
        match kind {
            Kind::Sqlite => Self::Sqlite { folder: tempfile::tempdir().unwrap() },
            Kind::Postgres => {
                let own = tokio::task::spawn_blocking(move || {
                    if own_server {
                        return Some(Server::start("off").expect("Postgres starts"));
                    }
                    Server::shared();
                    None
                });
                let own = own.await.unwrap();
                let name = format!("t{}", random_name());
                let admin = own.as_ref().unwrap_or_else(|| Server::shared()).url("postgres");
                let admin = Connect::connect(admin).await.unwrap();
                admin.execute_unprepared(&format!("CREATE DATABASE {name}")).await.unwrap();
                admin.close().await.unwrap();
                Self::Postgres { name, own }
            }
        }
    }

    /// For `--database-url`.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Sqlite { folder } => {
                format!("sqlite://{}?mode=rwc", folder.path().join("athook.db").display())
            }
            Self::Postgres { name, own } => own.as_ref().unwrap_or_else(|| Server::shared()).url(name),
        }
    }

    /// A core-service on it that delivers to loopback and by http, too.
    pub(crate) fn core_service_for_loopback(&self) -> Setup {
        Service::core_service(&self.url())
            .flag("--allow-http", "true")
            .flag("--allow-private-ranges", "127.0.0.0/8")
    }

    /// A separate connection, to look at rows.
    pub(crate) async fn connect(&self) -> DatabaseConnection {
        Connect::connect(self.url()).await.unwrap()
    }

    /// Asserts that there are accounts, and that the counts of each are those of its rows.
    pub(crate) async fn assert_counted(&self) {
        assert_counted(&self.connect().await).await;
    }

    /// Stops the database's own server.
    pub(crate) fn pause(&mut self) {
        self.server().pause();
    }

    /// Kills all processes of the database's own server at once.
    pub(crate) fn crash(&mut self) {
        self.server().crash();
    }

    /// Starts it again.
    pub(crate) fn resume(&mut self) {
        self.server().resume();
    }

    fn server(&mut self) -> &mut Server {
        match self {
            Self::Postgres { own: Some(server), .. } => server,
            _ => panic!("the database has no server of its own"),
        }
    }

    /// All rows of a Postgres table, as it shows them.
    pub(crate) async fn rows_as_text(&self, table: &str) -> String {
        let sql = format!("SELECT coalesce(string_agg(t::text, chr(10)), '') AS rows FROM {table} t");
        let connection = self.connect().await;
        let row =
            connection.query_one_raw(Statement::from_string(connection.get_database_backend(), sql)).await;
        row.unwrap().unwrap().try_get("", "rows").unwrap()
    }

    /// The files of a SQLite database, for a search of their bytes.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::Sqlite { folder } => {
                std::fs::read_dir(folder.path()).unwrap().flatten().map(|e| e.path()).collect()
            }
            Self::Postgres { .. } => Vec::new(),
        }
    }
}

/// The whole number that `sql` selects.
pub(crate) async fn number(connection: &DatabaseConnection, sql: &str) -> usize {
    let sql = format!("SELECT CAST(({sql}) AS BIGINT) AS number");
    let statement = Statement::from_string(connection.get_database_backend(), sql);
    let row = connection.query_one_raw(statement).await.unwrap().unwrap();
    usize::try_from(row.try_get::<i64>("", "number").unwrap()).unwrap()
}

/// The rows that `sql` selects.
pub(crate) async fn rows(connection: &DatabaseConnection, sql: &str) -> Vec<QueryResult> {
    let statement = Statement::from_string(connection.get_database_backend(), sql);
    connection.query_all_raw(statement).await.unwrap()
}

/// Waits until the whole number that `sql` selects is `expected`.
pub(crate) async fn until_number(connection: &DatabaseConnection, sql: &str, expected: usize) {
    let mut seen = 0;
    let asking = async {
        loop {
            seen = number(connection, sql).await;
            if seen == expected {
                return;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    let reached = tokio::time::timeout(LIMIT, asking).await.is_ok();
    assert!(reached, "{seen} and not {expected} in time: {sql}");
}

/// Asserts that there are accounts, and that the counts of each are those of its rows.
pub(crate) async fn assert_counted(connection: &DatabaseConnection) {
    let wrong = "SELECT count(*) FROM account WHERE \
                 secrets <> (SELECT count(*) FROM secret WHERE owner_did = did) OR \
                 webhooks <> (SELECT count(*) FROM webhook WHERE owner_did = did)";
    assert_eq!(number(connection, wrong).await, 0, "accounts whose rows are miscounted");
    assert!(number(connection, "SELECT count(*) FROM account").await > 0);
}

fn random_name() -> String {
    let mut bytes = [0_u8; 12];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes).unwrap();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
