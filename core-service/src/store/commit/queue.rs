//! The queue of jobs: two channels for each writer, so that jobs of the engine don't take the room of calls.
//!
//! Owns how many jobs may wait, which writer a job goes to, and the end of the writers at shutdown.

use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::Arc;

use process::traces::TraceContext;
use prometheus_client::registry::Registry;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::batch::Context;
use super::event_batch::{self, DeliveryParts};
use super::reply::Reply;
use super::waiting::Waiting;
use super::writer::{self, Writer};
use super::{Job, Limits, Queued};
use crate::domain::did::Did;
use crate::error::Error;
use crate::request_id::RequestId;
use crate::store::database::Database;
use crate::store::metrics::{WriterMetrics, queues};
use crate::store::sealer::Sealer;

/// Jobs of calls that may wait for one writer. More are refused.
const QUEUE_JOBS: usize = 1024;
/// Jobs of the engine that may wait for one writer. More wait for room.
const ENGINE_JOBS: usize = 1024;

/// Who submits a job.
#[derive(Debug, Clone, Copy)]
enum Submitter {
    Call,
    Engine,
}

/// The way to one writer.
#[derive(Debug, Clone)]
struct Senders {
    calls: mpsc::Sender<Queued>,
    engine: mpsc::Sender<Queued>,
}

/// The way to the writer tasks.
#[derive(Debug)]
pub(in crate::store) struct CommitQueue {
    senders: Vec<Senders>,
    metrics: Arc<WriterMetrics>,
    closing: CancellationToken,
    tasks: TaskTracker,
}

impl CommitQueue {
    /// Starts as many writers as `database` can take. Their metrics go into `registry`.
    pub(in crate::store) fn start(
        database: &Database,
        limits: Limits,
        sealer: Arc<Sealer>,
        deliveries: DeliveryParts,
        registry: &mut Registry,
    ) -> Self {
        let closing = CancellationToken::new();
        let tasks = TaskTracker::new();
        let metrics = Arc::new(WriterMetrics::new(registry));
        let DeliveryParts {
            settings,
            clock,
            lanes,
            leased,
            wake,
            record_rates,
            records,
            metrics: delivery_metrics,
            traced,
        } = deliveries;
        let deliveries = event_batch::Context {
            settings,
            randomness: sealer.randomness,
            sealer,
            clock,
            lanes,
            leased,
            wake,
            record_rates,
            records,
            metrics: delivery_metrics,
            traced,
        };
        let context = Context { limits, metrics: Arc::clone(&database.metrics), deliveries };
        let writer = Writer::new(database.clone(), context, Arc::clone(&metrics));
        let mut senders = Vec::new();
        for _ in 0..database.writers {
            let (calls, waiting_calls) = mpsc::channel(QUEUE_JOBS);
            let (engine, waiting_engine) = mpsc::channel(ENGINE_JOBS);
            senders.push(Senders { calls, engine });
            let waiting = Waiting { calls: waiting_calls, engine: waiting_engine };
            tasks.spawn(writer::run(waiting, writer.clone(), closing.clone()));
        }
        let observed = senders.clone();
        queues(registry, QUEUE_JOBS, move || {
            observed.iter().map(|Senders { calls, .. }| calls.max_capacity() - calls.capacity()).collect()
        });
        Self { senders, metrics, closing, tasks }
    }

    /// Runs `job`, which touches rows of `owner`, and returns its result once it is committed.
    ///
    /// # Errors
    ///
    /// Those of the job; [`Error::Overloaded`] when too many jobs wait; [`Error::Unavailable`] when the
    /// database can't write now or it is unknown whether it did; [`Error::Internal`] when it refuses this
    /// job.
    pub(in crate::store) async fn submit<T>(
        &self,
        owner: &Did,
        job: impl FnOnce(Reply<T>) -> Job,
    ) -> Result<T, Error> {
        self.submit_to(self.writer_of(owner), Some(owner.clone()), Submitter::Call, job).await
    }

    /// Runs `job` of a delivery, at the same writer as all jobs with this `key`.
    ///
    /// # Errors
    ///
    /// As [`submit`](Self::submit).
    pub(in crate::store) async fn submit_delivery<T>(
        &self,
        key: &impl Hash,
        job: impl FnOnce(Reply<T>) -> Job,
    ) -> Result<T, Error> {
        self.submit_to(self.writer_of(key), None, Submitter::Call, job).await
    }

    /// The same for a job of the engine, which waits where calls are refused: it bounds itself by its places.
    ///
    /// # Errors
    ///
    /// As [`submit`](Self::submit), but not [`Error::Overloaded`].
    pub(in crate::store) async fn submit_of_engine<T>(
        &self,
        key: &impl Hash,
        job: impl FnOnce(Reply<T>) -> Job,
    ) -> Result<T, Error> {
        self.submit_to(self.writer_of(key), None, Submitter::Engine, job).await
    }

    async fn submit_to<T>(
        &self,
        writer: usize,
        owner: Option<Did>,
        submitter: Submitter,
        job: impl FnOnce(Reply<T>) -> Job,
    ) -> Result<T, Error> {
        let (reply, result) = Reply::channel();
        let mut span = TraceContext::current().step("write row");
        let queued = Queued { owner, job: job(reply), request: RequestId::current(), trace: span.context() };
        let Senders { calls, engine } = &self.senders[writer];
        let sent = match submitter {
            Submitter::Call => calls.try_send(queued),
            Submitter::Engine => engine.send(queued).await.map_err(|closed| TrySendError::Closed(closed.0)),
        };
        let result = match sent {
            // No reply means that the batch panicked; its writer has logged that.
            Ok(()) => result.await.unwrap_or(Err(Error::Internal)),
            Err(TrySendError::Full(_)) => {
                self.metrics.refused();
                Err(Error::Overloaded)
            }
            Err(TrySendError::Closed(_)) => Err(Error::Unavailable),
        };
        if matches!(result, Err(Error::Unavailable | Error::Internal)) {
            span.fail();
        }
        result
    }

    /// The same writer for the same key, always.
    fn writer_of(&self, key: &impl Hash) -> usize {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let writer = hasher.finish() % self.senders.len() as u64;
        usize::try_from(writer).unwrap_or(0)
    }

    /// Takes no more jobs, and returns when those in the queue are done.
    pub(in crate::store) async fn close(&self) {
        self.closing.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}
