//! What an operator is told about an error of the database.
//!
//! Postgres names the user when it refuses a connection, and the driver a file in the URL; neither may be in
//! any text, so that other words take their place. Some errors get a word on what to do.

use process::exit::chain;
use sea_orm::sqlx;
use sea_orm::{DbErr, RuntimeErr};

const WHERE_IN_LIBRARIES: [&str; 6] = [
    "Custom Error: ",
    "Connection Error: ",
    "Execution Error: ",
    "Query Error: ",
    "error returned from database: ",
    "error communicating with database: ",
];

/// The text about an error of the database, with its causes.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Told(String);

impl From<&DbErr> for Told {
    fn from(error: &DbErr) -> Self {
        Self(told(error))
    }
}

impl From<DbErr> for Told {
    fn from(error: DbErr) -> Self {
        Self::from(&error)
    }
}

fn told(error: &DbErr) -> String {
    let (DbErr::Conn(RuntimeErr::SqlxError(cause))
    | DbErr::Exec(RuntimeErr::SqlxError(cause))
    | DbErr::Query(RuntimeErr::SqlxError(cause))) = error
    else {
        return plain(&chain(error));
    };
    let code = match &**cause {
        sqlx::Error::Database(cause) => cause.code().unwrap_or_default().into_owned(),
        sqlx::Error::Tls(cause) if cause.to_string().starts_with("Invalid certificate") => {
            return "the file of sslrootcert has no certificates (PEM)".to_owned();
        }
        _ => return plain(&chain(error)),
    };
    // SQLSTATE has five characters, SQLite's codes have fewer.
    if matches!(error, DbErr::Conn(_)) && code.len() == 5 {
        return format!("{} (SQLSTATE {code})", refusal(&code));
    }
    let what_to_do = match &*code {
        // insufficient_privilege
        "42501" => {
            "; run `core-service migrate` as the owner of the tables, and grant this role SELECT, INSERT, \
             UPDATE and DELETE on all of them"
        }
        // duplicate_prepared_statement, invalid_sql_statement_name
        "42P05" | "26000" => "; behind a pooler in transaction mode use --prepared-statements off",
        // SQLITE_CANTOPEN. Its folder is there.
        "14" => "; is it there, and may this user write it and its folder? With ?mode=rwc it is made",
        _ => "",
    };
    plain(&chain(error)) + what_to_do
}

/// The text without the words with which libraries say where in them an error is.
fn plain(text: &str) -> String {
    let mut rest = text;
    while let Some(after) = WHERE_IN_LIBRARIES.iter().find_map(|words| rest.strip_prefix(words)) {
        rest = after;
    }
    rest.to_owned()
}

/// Why Postgres, or a pooler, refuses a connection, by SQLSTATE.
fn refusal(code: &str) -> &'static str {
    match code {
        "28P01" => "the server refuses the password, or has no such role",
        "28000" => "the server has no such role, or does not let it in: see LOGIN, pg_hba.conf and sslmode",
        "3D000" => "the server has no such database",
        "42501" => "the role may not connect to the database: see GRANT CONNECT",
        "53300" => "the server has no free connection for the role or the database",
        "57P03" => "the server is starting or stopping",
        "08P01" => "the pooler or server refuses the connection, and its log says why",
        _ => "the server refuses the connection",
    }
}
