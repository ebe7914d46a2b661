//! Making deliveries once more by command, for a database that was restored or receivers that lost something.

use process::clock::Clock;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::commit::event_batch::Now;
use super::commit::requeue::{Requeued, Span, free_leases, requeue};
use super::database::Database;
use super::database::url::DatabaseUrl;
use super::operator::existing::{self, ExistingError};
use super::told::Told;
use super::transaction::Failure;

/// A command that failed. What it has done until then holds.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) enum RequeueError {
    Existing(#[from] ExistingError),
    Database(Told),
}

impl From<Failure> for RequeueError {
    fn from(failure: Failure) -> Self {
        Self::Database(failure.told())
    }
}

/// Which deliveries the command is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request {
    /// They were last attempted at or after this time, in Unix milliseconds.
    pub(crate) since_ms: i64,
    /// And before this one; `None`: now.
    pub(crate) before_ms: Option<i64>,
    /// `--max-pending`.
    pub(crate) max_pending: u32,
}

/// What the command did.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Done {
    pub(crate) requeued: Requeued,
    /// Leases that had ended.
    pub(crate) freed: u64,
    /// Deliveries that ended from then on were left alone.
    pub(crate) before_ms: i64,
}

/// Makes the deliveries of `request` due in the database at `url`, and frees leases that have ended. It may
/// run beside services.
///
/// # Errors
///
/// The database is not there, is not of this release, or fails.
pub(crate) async fn requeue_at(url: &DatabaseUrl, request: Request) -> Result<Done, RequeueError> {
    let database = existing::open(url).await?;
    let done = requeue_all(&database, request).await;
    database.close().await;
    Ok(done?)
}

async fn requeue_all(database: &Database, request: Request) -> Result<Done, Failure> {
    let clock = Clock::system();
    let Request { since_ms, before_ms, max_pending } = request;
    let now = database.transaction(async |transaction| Now::of(transaction, &clock).await).await?;
    let before_ms = before_ms.map_or(now.ms, |before| before.min(now.ms));
    let mut done = Done { requeued: Requeued::default(), freed: 0, before_ms };
    loop {
        let step =
            async |transaction: &_| free_leases(transaction, Now::of(transaction, &clock).await?).await;
        let (freed, more) = database.transaction(step).await?;
        done.freed += freed;
        if !more {
            break;
        }
    }
    let span = Span { since_ms, before_ms, max_pending };
    let mut after = (since_ms, Uuid::nil());
    loop {
        let begun = Instant::now();
        let step = async |transaction: &_| {
            requeue(transaction, Now::of(transaction, &clock).await?, span, after).await
        };
        let (some, next) = database.transaction(step).await?;
        done.requeued.add(some);
        let Some(next) = next else { return Ok(done) };
        after = next;
        // A service that uses the same file writes meanwhile.
        sleep(begun.elapsed()).await;
    }
}
