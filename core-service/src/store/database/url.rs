//! The URL of a database. It may hold a password: it is parsed here, never kept as text and never printed.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use sea_orm::sqlx::postgres::PgConnectOptions;
use sea_orm::sqlx::sqlite::SqliteConnectOptions;

/// Where the database is: `sqlite://FILE?mode=rwc` or `postgres://USER:PASSWORD@HOST/DATABASE`.
#[derive(Clone)]
pub(crate) struct DatabaseUrl {
    kind: Kind,
    prepared_statements: bool,
}

/// The kind of database, and how to connect to it.
#[derive(Clone)]
pub(super) enum Kind {
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
            return Ok(Self::of(Kind::Sqlite(Box::new(options))));
        }
        if text.starts_with("postgres:") || text.starts_with("postgresql:") {
            let options: PgConnectOptions = text.parse().map_err(|_| WrongDatabaseUrl::Syntax)?;
            return Ok(Self::of(Kind::Postgres(Box::new(options))));
        }
        Err(WrongDatabaseUrl::Syntax)
    }
}

impl DatabaseUrl {
    fn of(kind: Kind) -> Self {
        Self { kind, prepared_statements: true }
    }

    /// The same database with `--prepared-statements`: if `false`, transactions leave nothing behind in the
    /// sessions of Postgres, and expect nothing there, so that a pooler may give each to another session.
    pub(crate) fn with_prepared_statements(self, prepared_statements: bool) -> Self {
        Self { prepared_statements, ..self }
    }

    pub(super) fn kind(&self) -> &Kind {
        &self.kind
    }

    pub(super) fn has_prepared_statements(&self) -> bool {
        self.prepared_statements
    }

    /// The file of an SQLite database.
    pub(crate) fn sqlite_file(&self) -> Option<PathBuf> {
        match &self.kind {
            Kind::Sqlite(options) => Some(options.get_filename().to_owned()),
            Kind::Postgres(_) => None,
        }
    }
}

/// The kind of database and where it is; no user name and no password.
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
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
