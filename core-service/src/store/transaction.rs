//! How the store's transactions and reads run: begin, commit, time limit, retries, and what a failure means.
//!
//! Owns no statement.

use std::time::Duration;

use process::traces::{Span, TraceContext};
use prometheus_client::metrics::histogram::Histogram;
use sea_orm::{DatabaseTransaction, DbBackend, DbErr, SqliteTransactionMode, TransactionOptions};
use tokio::time::{Instant, timeout};

use super::database::Database;
use super::fault::{self, Fault};
use super::metrics::DatabaseMetrics;
use super::told::Told;
use crate::error::{Error, log_fault};

/// How many times a transaction is tried in all that conflicts with others.
const CONFLICT_TRIES: u32 = 5;
/// How many times a transaction or read is tried in all whose connections are lost before its commit.
const LOST_TRIES: u32 = 3;
/// The time limit of one try of a transaction: more than the limits of the database itself.
const TRANSACTION_LIMIT: Duration = Duration::from_secs(7);

/// A transaction that failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: DbErr,
    /// The commit failed: whether it was stored is unknown. Otherwise nothing is stored.
    pub(super) may_be_stored: bool,
}

impl Failure {
    pub(super) fn kind(&self) -> Fault {
        fault::kind(&self.error)
    }

    /// Whether a statement failed, and nothing is stored.
    pub(super) fn is_of_a_statement(&self) -> bool {
        self.kind() == Fault::Statement && !self.may_be_stored
    }

    /// The cause, for the log.
    pub(super) fn told(&self) -> Told {
        Told::from(&self.error)
    }

    /// The error that the caller gets. The cause is for the log.
    pub(super) fn public(&self) -> Error {
        if self.is_of_a_statement() { Error::Internal } else { Error::Unavailable }
    }
}

impl From<DbErr> for Failure {
    fn from(error: DbErr) -> Self {
        Self { error, may_be_stored: false }
    }
}

impl Database {
    /// Runs `work` in a transaction and commits it, and retries as long as that is safe and may help. Each
    /// try has 7 s.
    ///
    /// # Errors
    ///
    /// The failure of the last try.
    pub(super) async fn transaction<T, Work>(&self, mut work: Work) -> Result<T, Failure>
    where
        Work: AsyncFnMut(&DatabaseTransaction) -> Result<T, DbErr>,
    {
        let span = TraceContext::current().call("database change");
        let run = async |work: &mut Work, transaction: &_| work(transaction).await;
        self.shared_transaction(span, &self.metrics.changes, &mut work, run).await
    }

    /// The same for a transaction that several calls share. It is traced as `span`, and `seconds` gets the
    /// time of each try. What changes from try to try is the `state`: if `work` captured it, the compiler
    /// could not prove the future `Send`.
    ///
    /// # Errors
    ///
    /// The failure of the last try.
    pub(super) async fn shared_transaction<T, State>(
        &self,
        span: Span,
        seconds: &Histogram,
        state: &mut State,
        work: impl AsyncFn(&mut State, &DatabaseTransaction) -> Result<T, DbErr>,
    ) -> Result<T, Failure> {
        let DatabaseMetrics { conflicts_retried, losses_retried, read_only_retried, .. } = &*self.metrics;
        let (mut tries, mut lost) = (1, 0);
        let mut moved = false;
        let result = loop {
            let begun = Instant::now();
            let try_once = self.transaction_once(async |transaction| Ok(work(state, transaction).await?));
            let tried: Result<Result<T, Failure>, _> = timeout(TRANSACTION_LIMIT, try_once).await;
            seconds.observe(begun.elapsed().as_secs_f64());
            let failure = match tried {
                Ok(Ok(done)) => break Ok(done),
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
                Fault::Lost if !failure.may_be_stored && lost + 1 < LOST_TRIES => {
                    lost += 1;
                    self.sessions.note_lost();
                    losses_retried.inc();
                }
                // Nothing can be stored by a read-only transaction.
                Fault::ReadOnly if !moved => {
                    moved = true;
                    self.sessions.note_read_only();
                    read_only_retried.inc();
                }
                _ => break Err(failure),
            }
        };
        if result.as_ref().is_err_and(|failure| !failure.is_of_a_statement()) {
            self.outcomes.fail();
        }
        self.end(span, result)
    }

    /// Begins a transaction, runs `work` in it and commits, without retries and without a time limit. When
    /// `work` fails, or this future is dropped, the transaction is rolled back.
    ///
    /// # Errors
    ///
    /// That of `work`, or the transaction can't be begun or committed, or the files of the database are not
    /// those at their paths.
    pub(super) async fn transaction_once<T, E: From<Failure>>(
        &self,
        work: impl AsyncFnOnce(&DatabaseTransaction) -> Result<T, E>,
    ) -> Result<T, E> {
        let options = TransactionOptions {
            isolation_level: None,
            access_mode: None,
            // SQLite takes its lock for writing at once, while waiting for it is still safe.
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        };
        self.check_files().map_err(Failure::from)?;
        let transaction = self.begin(&self.writing, options).await.map_err(Failure::from)?;
        let done = work(&transaction).await?;
        self.before_commit(&transaction).await.map_err(Failure::from)?;
        let stored = transaction.commit().await;
        // Not before the commit: a file may be removed until then.
        stored.and_then(|()| self.check_files()).map_err(|error| {
            let may_be_stored = !fault::is_of_no_commit(&error);
            Failure { error, may_be_stored }
        })?;
        self.outcomes.commit();
        Ok(done)
    }

    /// Runs `query`, which writes nothing; again when the connection was lost. A fault is logged.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`], or [`Error::Internal`] when the statement itself fails.
    pub(super) async fn read<T, Query>(&self, query: impl Fn() -> Query) -> Result<T, Error>
    where
        Query: Future<Output = Result<T, DbErr>>,
    {
        let span = TraceContext::current().call("database read");
        let timed = async || {
            let begun = Instant::now();
            let answer = query().await;
            self.metrics.reads.observe(begun.elapsed().as_secs_f64());
            answer
        };
        let result = self.try_read(timed).await.map_err(|error| {
            let failure = Failure::from(error);
            log_fault(failure.public(), &failure.told())
        });
        self.end(span, result)
    }

    /// The same without a span, a time in the metrics and a line in the log.
    ///
    /// # Errors
    ///
    /// That of the last try.
    pub(super) async fn try_read<T, Query>(&self, query: impl Fn() -> Query) -> Result<T, DbErr>
    where
        Query: Future<Output = Result<T, DbErr>>,
    {
        let mut lost = 0;
        loop {
            let error = match query().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let fault = fault::kind(&error);
            self.metrics.failed(fault);
            lost += 1;
            if fault != Fault::Lost || lost == LOST_TRIES {
                return Err(error);
            }
            self.sessions.note_lost();
            self.metrics.losses_retried.inc();
        }
    }

    /// Ends `span` with the status of `result`.
    fn end<T, E>(&self, mut span: Span, result: Result<T, E>) -> Result<T, E> {
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
}
