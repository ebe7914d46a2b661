//! Shared commits: a queue of rows and the tasks that write what is waiting, together.
//!
//! Owns the queue, its limits, retries, and who is told what. A row that arrives alone is written at once; the
//! rows that arrive while a commit is under way share the next one.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::sync::Arc;

use process::traces::TraceContext;
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::batch::{self, Limits, Row};
use super::database::Database;
use super::fault::Fault;
use super::metrics::{self, WriterMetrics};
use super::settle::Outcome;
use super::transaction::{self, Failure};
use crate::error::{Error, log_fault_of};
use crate::request_id::RequestId;

/// Rows that may wait for a writer. More are refused.
const QUEUE_ROWS: usize = 1024;
/// Rows of one transaction.
const BATCH_ROWS: usize = 256;

/// The way to the writing tasks.
#[derive(Debug)]
pub(super) struct Writer {
    queues: Vec<mpsc::Sender<Write>>,
    metrics: Arc<WriterMetrics>,
    closing: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Debug)]
struct Write {
    row: Row,
    request: RequestId,
    /// Of the row's span.
    trace: TraceContext,
    reply: oneshot::Sender<Result<Outcome, Error>>,
}

impl Writer {
    /// Starts as many tasks that write to `database` as it can take. What they do is counted in `registry`.
    pub(super) fn start(database: &Database, limits: Limits, registry: &mut Registry) -> Self {
        let closing = CancellationToken::new();
        let tasks = TaskTracker::new();
        let mut queues = Vec::new();
        let metrics = Arc::new(WriterMetrics::new(registry));
        for _ in 0..database.writers {
            let (sender, queue) = mpsc::channel(QUEUE_ROWS);
            queues.push(sender);
            let batches = Batches { database: database.clone(), limits, metrics: Arc::clone(&metrics) };
            tasks.spawn(run(queue, batches, closing.clone()));
        }
        let looked_at = queues.clone();
        metrics::queues(registry, QUEUE_ROWS, move || {
            looked_at.iter().map(|queue| queue.max_capacity() - queue.capacity()).collect()
        });
        Self { queues, metrics, closing, tasks }
    }

    /// Writes `row` together with whatever else is waiting, and says what became of it.
    ///
    /// # Errors
    ///
    /// [`Error::Overloaded`] when too much is waiting; [`Error::Unavailable`] when the database can't write
    /// now or it is unknown whether it did; [`Error::Internal`] when it refuses this row.
    pub(super) async fn write(&self, row: Row) -> Result<Outcome, Error> {
        let (reply, outcome) = oneshot::channel();
        let queue = &self.queues[self.queue_of(row.owner())];
        let mut span = TraceContext::current().step("write row");
        let write = Write { row, request: RequestId::current(), trace: span.context(), reply };
        queue.try_send(write).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                self.metrics.refused();
                Error::Overloaded
            }
            mpsc::error::TrySendError::Closed(_) => Error::Unavailable,
        })?;
        // Without an answer the batch panicked, which its task has logged.
        let outcome = outcome.await.unwrap_or(Err(Error::Internal));
        if outcome.is_err() {
            span.fail();
        }
        outcome
    }

    /// An owner's rows always go to the same writer: no two of this process lock the same account.
    fn queue_of(&self, owner: &str) -> usize {
        let mut hasher = DefaultHasher::new();
        owner.hash(&mut hasher);
        let slot = hasher.finish() % self.queues.len() as u64;
        usize::try_from(slot).unwrap_or(0)
    }

    /// Takes no more rows, and returns when all that were taken are written.
    pub(super) async fn close(&self) {
        self.closing.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Writes batches until the queue is closed and empty.
async fn run(mut queue: mpsc::Receiver<Write>, batches: Batches, closing: CancellationToken) {
    let mut waiting = Vec::new();
    loop {
        let taken = tokio::select! {
            biased;
            () = closing.cancelled(), if !queue.is_closed() => {
                queue.close();
                continue;
            }
            taken = queue.recv_many(&mut waiting, BATCH_ROWS) => taken,
        };
        if taken == 0 {
            return;
        }
        // Whoever gave up is not waited for.
        waiting.retain(|write: &Write| !write.reply.is_closed());
        batches.metrics.abandoned(taken - waiting.len());
        let batch = std::mem::take(&mut waiting);
        if batch.is_empty() {
            continue;
        }
        let requests: Vec<RequestId> = batch.iter().map(|write| write.request.clone()).collect();
        // In a task of its own, so that a panic costs this batch and not the writer. Its state is large, and is moved
        // about while it is spawned, unless it is in a box.
        if let Err(error) = tokio::spawn(Box::pin(batches.clone().write(batch))).await {
            tracing::error!(?requests, %error, "writing a batch panicked");
        }
    }
}

#[derive(Debug, Clone)]
struct Batches {
    database: Database,
    limits: Limits,
    metrics: Arc<WriterMetrics>,
}

impl Batches {
    /// Writes a batch and tells each caller what became of its row. When a statement fails, the rows are
    /// written one by one, so that one bad row can't fail its neighbours.
    async fn write(self, batch: Vec<Write>) {
        let failure = match self.write_rows(&batch).await {
            Ok(outcomes) => return self.answer(batch, outcomes),
            Err(failure) => failure,
        };
        if failure.kind() == Fault::Statement && !failure.may_be_stored && batch.len() > 1 {
            tracing::warn!(rows = batch.len(), "a batch failed; writing its rows one by one");
            self.metrics.split.inc();
            return self.write_one_by_one(batch).await;
        }
        self.refuse(batch, &failure);
    }

    async fn write_one_by_one(&self, batch: Vec<Write>) {
        let mut batch = batch.into_iter();
        while let Some(write) = batch.next() {
            let alone = vec![write];
            match self.write_rows(&alone).await {
                Ok(outcomes) => self.answer(alone, outcomes),
                Err(failure) if failure.kind() == Fault::Statement => self.refuse(alone, &failure),
                Err(failure) => {
                    // The database is gone: it would be for the rest too.
                    let rest = alone.into_iter().chain(batch).collect();
                    return self.refuse(rest, &failure);
                }
            }
        }
    }

    async fn write_rows(&self, writes: &[Write]) -> Result<Vec<Outcome>, Failure> {
        let rows: Vec<&Row> = writes.iter().map(|write| &write.row).collect();
        let places: Vec<&TraceContext> = writes.iter().map(|write| &write.trace).collect();
        self.metrics.batch_rows.observe(f64::from(u32::try_from(rows.len()).unwrap_or(u32::MAX)));
        let written = self.database.write_batch(&places, || async {
            let transaction = transaction::begin(&self.database.writing).await?;
            let outcomes = batch::write(&transaction, self.limits, &rows).await?;
            transaction::commit(transaction).await?;
            Ok(outcomes)
        });
        written.await
    }

    fn answer(&self, batch: Vec<Write>, outcomes: Vec<Outcome>) {
        for (write, outcome) in batch.into_iter().zip(outcomes) {
            self.metrics.settled(outcome);
            // A caller that gave up meanwhile is not there to be told.
            let _ = write.reply.send(Ok(outcome));
        }
    }

    /// Tells all callers of a batch that it failed. The cause is logged here, once, with the ids of their requests.
    fn refuse(&self, batch: Vec<Write>, failure: &Failure) {
        let requests: Vec<RequestId> = batch.iter().map(|write| write.request.clone()).collect();
        let told = log_fault_of(&requests, failure.told(), &failure.error);
        for write in batch {
            self.metrics.failed();
            let _ = write.reply.send(Err(told.clone()));
        }
    }
}
