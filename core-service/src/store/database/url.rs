//! The URL of a database. It may hold a password: it is parsed here, never kept as text and never printed.
//!
//! Whatever a driver would drop without a word is refused. No error has more of a URL than the name of a
//! parameter, since a password that is not percent-encoded may be in any part of it.

mod postgres;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use sea_orm::sqlx::postgres::PgConnectOptions;
use sea_orm::sqlx::sqlite::SqliteConnectOptions;
use url::form_urlencoded;

pub(crate) use self::postgres::check_environment;

/// The least number of connections to a pooler of Postgres: one writes, and on the other reads are
/// transactions. Postgres itself needs one.
pub(crate) const LEAST_POOLED_CONNECTIONS: u32 = 2;
/// The number of connections to Postgres where `--database-connections` does not say another.
const CONNECTIONS: u32 = 8;
/// The longest name of a parameter that an error repeats, in bytes.
const NAME_BYTES: usize = 40;

/// Where the database is: `sqlite://FILE?mode=rwc` or `postgres://USER:PASSWORD@HOST/DATABASE`.
#[derive(Clone)]
pub(crate) struct DatabaseUrl {
    kind: Kind,
    /// Whether an SQLite file that is not there is made.
    makes_file: bool,
    prepared_statements: bool,
    connections: u32,
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
    #[error(
        "percent-encode user, password, database and values: @ as %40, / as %2F, : as %3A, # as %23, ? as \
         %3F, % as %25, + as %2B, a space as %20; the bytes must be UTF-8"
    )]
    Encoding,
    #[error("several hosts are not supported; give one name or address that leads to the primary")]
    SeveralHosts,
    #[error("the host must be a name or an address, an IPv6 address in brackets, or the folder of a socket")]
    Host,
    #[error("the port must be a number from 1 to 65535")]
    Port,
    #[error("the database is missing: postgres://USER:PASSWORD@HOST/DATABASE")]
    NoDatabase,
    #[error("the parameter {name} is not supported; supported are {supported}")]
    UnknownParameter { name: String, supported: &'static str },
    #[error("the parameter {0} is given twice")]
    Twice(&'static str),
    #[error("the parameter {0} has no value")]
    Empty(&'static str),
    #[error("{0} must be {1}")]
    WrongValue(&'static str, &'static str),
    #[error("the file of {0} can't be read: {1}")]
    Unreadable(&'static str, std::io::ErrorKind),
    #[error("sslrootcert has no effect without sslmode=verify-ca or sslmode=verify-full")]
    Unverified,
    #[error("sslcert and sslkey go together")]
    HalfIdentity,
    #[error("options must leave {0} alone, which athook sets itself")]
    OwnOption(&'static str),
}

impl FromStr for DatabaseUrl {
    type Err = WrongDatabaseUrl;

    fn from_str(text: &str) -> Result<Self, WrongDatabaseUrl> {
        let text = text.trim();
        let (scheme, rest) = text.split_once(':').ok_or(WrongDatabaseUrl::Syntax)?;
        let kind = match &*scheme.to_ascii_lowercase() {
            "sqlite" => Kind::Sqlite(Box::new(sqlite(rest)?)),
            "postgres" | "postgresql" => Kind::Postgres(Box::new(postgres::options(text, rest)?)),
            _ => return Err(WrongDatabaseUrl::Syntax),
        };
        let query = rest.split_once('?').map_or("", |(_, query)| query);
        let makes_file = form_urlencoded::parse(query.as_bytes()).any(|(_, value)| value == "rwc");
        Ok(Self { kind, makes_file, prepared_statements: true, connections: CONNECTIONS })
    }
}

impl DatabaseUrl {
    /// The same database with `--prepared-statements`: if `false`, transactions leave nothing behind in the
    /// sessions of Postgres, and expect nothing there, so that a pooler may give each to another session.
    pub(crate) fn with_prepared_statements(self, prepared_statements: bool) -> Self {
        Self { prepared_statements, ..self }
    }

    /// The same database with `--database-connections`.
    pub(crate) fn with_connections(self, connections: u32) -> Self {
        Self { connections, ..self }
    }

    /// How many connections to Postgres there may be.
    pub(super) fn connections(&self) -> u32 {
        self.connections
    }

    pub(super) fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Whether the first start makes the SQLite file.
    pub(super) fn makes_file(&self) -> bool {
        self.makes_file
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
                let (port, database) = (options.get_port(), options.get_database().unwrap_or_default());
                match (options.get_socket(), options.get_host()) {
                    (Some(folder), _) => write!(f, "Postgres {}:{port}/{database}", folder.display()),
                    (None, host) if host.starts_with('/') || !host.contains(':') => {
                        write!(f, "Postgres {host}:{port}/{database}")
                    }
                    (None, address) => write!(f, "Postgres [{address}]:{port}/{database}"),
                }
            }
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// By what goes after `sqlite:`. Of the parameters, `cache` and `vfs` could switch locks off, and `immutable`
/// does.
fn sqlite(rest: &str) -> Result<SqliteConnectOptions, WrongDatabaseUrl> {
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let (file, query) = rest.split_once('?').unwrap_or((rest, ""));
    check_encoding(rest)?;
    if file.contains(":memory:") {
        return Err(WrongDatabaseUrl::InMemory);
    }
    // SQLite would read parameters of its own from a URI, and make an empty name a temporary file.
    if file.is_empty() || file.starts_with("file:") {
        return Err(WrongDatabaseUrl::Syntax);
    }
    let mut seen = false;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if name != "mode" {
            return Err(unknown(&name, "mode"));
        }
        if std::mem::replace(&mut seen, true) {
            return Err(WrongDatabaseUrl::Twice("mode"));
        }
        match &*value {
            "ro" | "rw" | "rwc" => {}
            "memory" => return Err(WrongDatabaseUrl::InMemory),
            _ => return Err(WrongDatabaseUrl::WrongValue("mode", "ro, rw or rwc")),
        }
    }
    format!("sqlite://{rest}").parse().map_err(|_| WrongDatabaseUrl::Syntax)
}

/// Checks that `text` has no control character and that what is percent-encoded is UTF-8 without U+0000.
fn check_encoding(text: &str) -> Result<(), WrongDatabaseUrl> {
    let digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    let bytes = text.as_bytes();
    let broken = (0..bytes.len())
        .filter(|&at| bytes[at] == b'%')
        .any(|at| !digit(bytes.get(at + 1)) || !digit(bytes.get(at + 2)));
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| WrongDatabaseUrl::Encoding)?;
    if broken || decoded.contains('\0') || text.contains(char::is_control) {
        return Err(WrongDatabaseUrl::Encoding);
    }
    Ok(())
}

/// A parameter that is not supported. What does not look like a name is not repeated.
fn unknown(name: &str, supported: &'static str) -> WrongDatabaseUrl {
    let is_of_names = |char: char| char.is_ascii_alphanumeric() || "_-.[]".contains(char);
    if name.is_empty() || name.len() > NAME_BYTES || !name.chars().all(is_of_names) {
        return WrongDatabaseUrl::Encoding;
    }
    WrongDatabaseUrl::UnknownParameter { name: name.to_owned(), supported }
}

#[cfg(test)]
mod tests;
