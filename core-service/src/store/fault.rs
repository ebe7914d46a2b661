//! What a database error means: retry, wait, or give one job up.

use std::borrow::Cow;

use sea_orm::sqlx;
use sea_orm::{DbErr, RuntimeErr};

use super::files::Replaced;

/// What to do about a database error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The database rolled this transaction back because it conflicted with another: it may be retried.
    Conflict,
    /// The connection was lost: another may work.
    Lost,
    /// The session is read-only: its server is a standby by now, or was told to be read-only. A new session
    /// may lead to another.
    ReadOnly,
    /// The database can't serve at present: locked, full, out of connections, starting.
    Unavailable,
    /// A file of the database can't be opened or written, or is not at its path, until an operator repairs
    /// that.
    Unusable,
    /// The statement itself failed: because of a row, or of a bug.
    Statement,
}

/// The kind of `error`.
pub(super) fn kind(error: &DbErr) -> Fault {
    let (DbErr::Conn(runtime) | DbErr::Exec(runtime) | DbErr::Query(runtime)) = error else {
        return match error {
            DbErr::ConnectionAcquire(_) => Fault::Unavailable,
            _ => Fault::Statement,
        };
    };
    match runtime {
        RuntimeErr::SqlxError(cause) => match &**cause {
            sqlx::Error::Database(cause) => {
                let code = cause.code().unwrap_or(Cow::Borrowed(""));
                let fault = if cause.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() {
                    sqlite(&code)
                } else {
                    postgres(&code)
                };
                match (fault, error) {
                    // It failed while connecting: no row is to blame.
                    (Fault::Statement, DbErr::Conn(_)) => Fault::Unavailable,
                    (fault, _) => fault,
                }
            }
            sqlx::Error::Io(error) => match error.get_ref() {
                Some(cause) if cause.is::<Replaced>() => Fault::Unusable,
                _ => Fault::Lost,
            },
            sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => Fault::Lost,
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Tls(_) => Fault::Unavailable,
            _ => Fault::Statement,
        },
        RuntimeErr::Internal(_) => Fault::Statement,
    }
}

/// Whether a start that fails with `error` would fail again however long it waits: the settings or the
/// database must be changed first.
pub(super) fn is_lasting(error: &DbErr) -> bool {
    let DbErr::Conn(RuntimeErr::SqlxError(cause)) = error else {
        return matches!(kind(error), Fault::Statement | Fault::Unusable);
    };
    match &**cause {
        sqlx::Error::Database(cause) => {
            let code = cause.code().unwrap_or(Cow::Borrowed(""));
            let of_sqlite = cause.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some();
            let fault = if of_sqlite { sqlite(&code) } else { postgres(&code) };
            matches!(fault, Fault::Statement | Fault::Unusable)
        }
        // InvalidData: a certificate that does not fit, or no TLS at all.
        sqlx::Error::Io(error) => error.kind() == std::io::ErrorKind::InvalidData,
        // Protocol: something else than Postgres listens there.
        sqlx::Error::Tls(_) | sqlx::Error::Configuration(_) | sqlx::Error::Protocol(_) => true,
        _ => false,
    }
}

/// Whether a commit that failed with `error` surely stored nothing: the server ended the session in place of
/// it, or it was not sent.
pub(super) fn is_of_no_commit(error: &DbErr) -> bool {
    let (DbErr::Conn(RuntimeErr::SqlxError(cause))
    | DbErr::Exec(RuntimeErr::SqlxError(cause))
    | DbErr::Query(RuntimeErr::SqlxError(cause))) = error
    else {
        return false;
    };
    match &**cause {
        // admin_shutdown, idle_in_transaction_session_timeout, transaction_timeout: a server that has
        // committed says so before it ends the session, or says nothing any more.
        sqlx::Error::Database(cause) => {
            matches!(&*cause.code().unwrap_or_default(), "57P01" | "25P03" | "25P04")
        }
        sqlx::Error::Io(error) => error.kind() == std::io::ErrorKind::BrokenPipe,
        _ => false,
    }
}

/// Whether `error` says only that no connection was free in time.
pub(super) fn is_of_the_pool(error: &DbErr) -> bool {
    match error {
        DbErr::ConnectionAcquire(_) => true,
        DbErr::Conn(RuntimeErr::SqlxError(cause)) => matches!(**cause, sqlx::Error::PoolTimedOut),
        _ => false,
    }
}

/// By SQLite's result code; the low byte of an extended code is its primary one.
fn sqlite(code: &str) -> Fault {
    const BUSY: u32 = 5;
    const LOCKED: u32 = 6;
    const OUT_OF_MEMORY: u32 = 7;
    const READ_ONLY: u32 = 8;
    const IO_ERROR: u32 = 10;
    const FULL: u32 = 13;
    const CANT_OPEN: u32 = 14;
    const READ_ONLY_FOLDER: u32 = READ_ONLY | (6 << 8);
    let Ok(code) = code.parse::<u32>() else { return Fault::Statement };
    match code & 0xff {
        // Other extended codes of these may pass, for example while another process recovers the file.
        _ if [READ_ONLY, READ_ONLY_FOLDER, CANT_OPEN].contains(&code) => Fault::Unusable,
        BUSY | LOCKED | OUT_OF_MEMORY | READ_ONLY | IO_ERROR | FULL | CANT_OPEN => Fault::Unavailable,
        _ => Fault::Statement,
    }
}

/// By SQLSTATE (Postgres manual, appendix A).
fn postgres(code: &str) -> Fault {
    match code {
        // serialization_failure, deadlock_detected
        "40001" | "40P01" => Fault::Conflict,
        // admin_shutdown, crash_shutdown, database_dropped, idle_session_timeout,
        // idle_in_transaction_session_timeout, transaction_timeout
        "57P01" | "57P02" | "57P04" | "57P05" | "25P03" | "25P04" => Fault::Lost,
        // read_only_sql_transaction
        "25006" => Fault::ReadOnly,
        // lock_not_available, cannot_connect_now, query_canceled (a time limit)
        "55P03" | "57P03" | "57014" => Fault::Unavailable,
        // connection exceptions; insufficient resources (disk, memory, connections); system errors
        _ if code.starts_with("08") => Fault::Lost,
        _ if code.starts_with("53") || code.starts_with("58") => Fault::Unavailable,
        _ => Fault::Statement,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlite_codes() {
        // SQLITE_BUSY_SNAPSHOT, SQLITE_READONLY_RECOVERY, SQLITE_IOERR_WRITE, SQLITE_FULL
        for code in ["517", "264", "778", "13"] {
            assert_eq!(sqlite(code), Fault::Unavailable, "{code}");
        }
        // SQLITE_READONLY, SQLITE_READONLY_DIRECTORY, SQLITE_CANTOPEN
        for code in ["8", "1544", "14"] {
            assert_eq!(sqlite(code), Fault::Unusable, "{code}");
        }
        // SQLITE_CONSTRAINT_FOREIGNKEY, SQLITE_MISMATCH
        for code in ["787", "20", ""] {
            assert_eq!(sqlite(code), Fault::Statement, "{code}");
        }
    }

    #[test]
    fn postgres_codes() {
        for (code, fault) in [
            ("40001", Fault::Conflict),
            ("40P01", Fault::Conflict),
            ("57P01", Fault::Lost),
            ("08006", Fault::Lost),
            ("53100", Fault::Unavailable),
            ("57P03", Fault::Unavailable),
            ("57P05", Fault::Lost),
            ("25006", Fault::ReadOnly),
            ("23503", Fault::Statement),
            ("22021", Fault::Statement),
        ] {
            assert_eq!(postgres(code), fault, "{code}");
        }
    }

    #[test]
    fn pool_and_connection() {
        let io = || sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into());
        assert_eq!(kind(&DbErr::Query(RuntimeErr::SqlxError(io().into()))), Fault::Lost);
        let timed_out = sqlx::Error::PoolTimedOut;
        assert_eq!(kind(&DbErr::Conn(RuntimeErr::SqlxError(timed_out.into()))), Fault::Unavailable);
        assert_eq!(kind(&DbErr::ConnectionAcquire(sea_orm::ConnAcquireErr::Timeout)), Fault::Unavailable);
        assert_eq!(kind(&DbErr::UnpackInsertId), Fault::Statement);
    }
}
