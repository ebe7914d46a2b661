//! How the store's transactions and reads begin, when they are tried again, and what their failure means.
//!
//! Owns no statement but the lock of an account.

use std::time::Duration;

use process::traces::{Span, TraceContext};
use prometheus_client::metrics::histogram::Histogram;
use sea_orm::{
    DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, EntityTrait as _, QuerySelect as _,
    SqliteTransactionMode, TransactionOptions, TransactionTrait as _,
};
use tokio::time::{Instant, timeout};

use super::database::Database;
use super::fault::{self, Fault};
use super::metrics::DatabaseMetrics;
use super::table::account;
use crate::domain::did::Did;
use crate::error::{Error, log_fault};

/// How often a transaction that conflicts with another is tried in all.
const CONFLICT_TRIES: u32 = 5;
/// How long one transaction may take: more than the database's own limits.
const TRANSACTION_LIMIT: Duration = Duration::from_secs(7);

/// A transaction that failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: DbErr,
    /// It failed at its end: whether it was committed is unknown. Otherwise nothing of it is stored.
    pub(super) may_be_stored: bool,
}

impl Failure {
    pub(super) fn kind(&self) -> Fault {
        fault::kind(&self.error)
    }

    /// What a caller is told. The cause is for the log.
    pub(super) fn told(&self) -> Error {
        match self.kind() {
            Fault::Statement if !self.may_be_stored => Error::Internal,
            _ => Error::Unavailable,
        }
    }

    /// Logs the cause, once, and gives what the caller of the call being served is told.
    pub(super) fn logged(&self) -> Error {
        log_fault(self.told(), &self.error)
    }
}

impl From<DbErr> for Failure {
    fn from(error: DbErr) -> Self {
        Self { error, may_be_stored: false }
    }
}

impl Database {
    /// Makes a whole transaction of one call with `attempt`, from [`begin`] to [`commit`]; again as long as that is
    /// safe and may help. Each attempt has 7 s.
    ///
    /// # Errors
    ///
    /// That of the last attempt.
    pub(super) async fn write<T, Attempt>(&self, attempt: impl Fn() -> Attempt) -> Result<T, Failure>
    where
        Attempt: Future<Output = Result<T, Failure>>,
    {
        let span = TraceContext::current().call("database change");
        self.ended(span, self.try_to_write(&self.metrics.changes, attempt).await)
    }

    /// The same for a transaction that many calls share, those at `places`.
    pub(super) async fn write_batch<T, Attempt>(
        &self,
        places: &[&TraceContext],
        attempt: impl Fn() -> Attempt,
    ) -> Result<T, Failure>
    where
        Attempt: Future<Output = Result<T, Failure>>,
    {
        let span = TraceContext::shared_call("database batch", places.iter().copied());
        self.ended(span, self.try_to_write(&self.metrics.batches, attempt).await)
    }

    /// Ends the `span` of what has come to `result`.
    fn ended<T, E>(&self, mut span: Span, result: Result<T, E>) -> Result<T, E> {
        let system = match self.writing.get_database_backend() {
            DbBackend::Sqlite => "sqlite",
            _ => "postgresql",
        };
        span.note("db.system.name", system);
        if result.is_err() {
            span.fail();
        }
        result
    }

    async fn try_to_write<T, Attempt>(
        &self,
        seconds: &Histogram,
        attempt: impl Fn() -> Attempt,
    ) -> Result<T, Failure>
    where
        Attempt: Future<Output = Result<T, Failure>>,
    {
        let DatabaseMetrics { conflicts_retried, losses_retried, .. } = &*self.metrics;
        let mut tries = 1;
        let mut reconnected = false;
        loop {
            let begun = Instant::now();
            let tried = timeout(TRANSACTION_LIMIT, attempt()).await;
            seconds.observe(begun.elapsed().as_secs_f64());
            let failure = match tried {
                Ok(Ok(done)) => return Ok(done),
                Ok(Err(failure)) => failure,
                Err(_) => Failure {
                    error: DbErr::Custom("the transaction took too long".to_owned()),
                    may_be_stored: true,
                },
            };
            let fault = failure.kind();
            self.metrics.failed(fault);
            match fault {
                // The database says that it undid everything.
                Fault::Conflict if tries < CONFLICT_TRIES => {
                    tries += 1;
                    conflicts_retried.inc();
                }
                // Before the commit nothing can have been stored. A pool may hold dead connections.
                Fault::Lost if !failure.may_be_stored && !reconnected => {
                    reconnected = true;
                    losses_retried.inc();
                }
                _ => return Err(failure),
            }
        }
    }

    /// Asks with `question`, which writes nothing; once more when the connection was lost. A fault is logged.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`], or [`Error::Internal`] when the statement itself fails.
    pub(super) async fn read<T, Question>(&self, question: impl Fn() -> Question) -> Result<T, Error>
    where
        Question: Future<Output = Result<T, DbErr>>,
    {
        let span = TraceContext::current().call("database read");
        self.ended(span, self.try_to_read(question).await)
    }

    async fn try_to_read<T, Question>(&self, question: impl Fn() -> Question) -> Result<T, Error>
    where
        Question: Future<Output = Result<T, DbErr>>,
    {
        let mut asked_again = false;
        loop {
            let begun = Instant::now();
            let answer = question().await;
            self.metrics.reads.observe(begun.elapsed().as_secs_f64());
            let error = match answer {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let fault = fault::kind(&error);
            self.metrics.failed(fault);
            if fault != Fault::Lost || asked_again {
                return Err(Failure::from(error).logged());
            }
            asked_again = true;
            self.metrics.losses_retried.inc();
        }
    }
}

/// Begins a transaction that may write. Dropped, it is undone.
pub(super) async fn begin(database: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    let options = TransactionOptions {
        isolation_level: None,
        access_mode: None,
        // SQLite's lock is taken here, where waiting for it is safe.
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
    };
    database.begin_with_options(options).await
}

/// Ends a transaction.
pub(super) async fn commit(transaction: DatabaseTransaction) -> Result<(), Failure> {
    transaction.commit().await.map_err(|error| Failure { error, may_be_stored: true })
}

/// Locks the account row of `owner` until the transaction ends, and gives its counts. `None`: `owner` has, and
/// had, nothing. Whatever touches an owner's rows comes here first, or to `batch`.
pub(super) async fn lock_account(
    transaction: &DatabaseTransaction,
    owner: &Did,
) -> Result<Option<account::Model>, DbErr> {
    account::Entity::find_by_id(owner.as_str()).lock_exclusive().one(transaction).await
}
