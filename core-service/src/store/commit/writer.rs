//! The writer task: takes the jobs that wait, has them written together, and answers their calls.
//!
//! Owns the size of a batch, what happens when one fails, and the log of that. What a batch does in its
//! transaction is [`batch`](super::batch)'s.

use std::collections::BTreeMap;
use std::sync::Arc;

use process::traces::TraceContext;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::batch::{Batch, Context};
use super::waiting::Waiting;
use super::{Kind, Queued};
use crate::error::log_fault_of;
use crate::request_id::RequestId;
use crate::store::database::Database;
use crate::store::fault::Fault;
use crate::store::metrics::WriterMetrics;
use crate::store::transaction::Failure;

/// Jobs of one transaction.
const BATCH_JOBS: usize = 256;
/// Jobs of one transaction that create no row. Creations share their statements; every other job makes about
/// six round trips. With a distant database, [`BATCH_JOBS`] of them would exceed the time limit of the
/// transaction.
const BATCH_CHANGES: usize = 32;
/// Events of one transaction. Each may have as many deliveries as its streamer has webhooks.
const BATCH_EVENTS: usize = 128;

/// Writes batches. Clones write to the same database.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    database: Database,
    context: Arc<Context>,
    metrics: Arc<WriterMetrics>,
}

/// Writes what waits, until that is closed and empty; `closing` closes it.
pub(super) async fn run(mut waiting: Waiting, writer: Writer, closing: CancellationToken) {
    loop {
        let first = tokio::select! {
            biased;
            () = closing.cancelled(), if !waiting.calls.is_closed() => {
                waiting.close();
                continue;
            }
            first = waiting.recv() => first,
        };
        let Some(first) = first else { return };
        for (kind, jobs) in writer.collect(first, &mut waiting) {
            let requests = requests(&jobs);
            // In a task of its own, so that a panic costs this batch and not the writer. The future is large
            // and would be copied into the task, unless it is boxed.
            if let Err(error) = tokio::spawn(Box::pin(writer.clone().write(kind, jobs))).await {
                process::once_a_second!(error, ?requests, %error, "writing a batch panicked");
            }
        }
    }
}

fn requests(jobs: &[Queued]) -> Vec<RequestId> {
    jobs.iter().map(|queued| queued.request.clone()).collect()
}

impl Writer {
    pub(super) fn new(database: Database, context: Context, metrics: Arc<WriterMetrics>) -> Self {
        Self { database, context: Arc::new(context), metrics }
    }

    /// The jobs of the next batches, by kind: `first` and what waits behind it, without those whose callers
    /// have gone. However many jobs of the engine wait, those of calls get their share, and the reverse.
    fn collect(&self, first: Queued, waiting: &mut Waiting) -> BTreeMap<Kind, Vec<Queued>> {
        let mut jobs = BTreeMap::new();
        let Waiting { calls, engine } = waiting;
        let of_engine = std::iter::once(first).chain(std::iter::from_fn(|| engine.try_recv().ok()));
        self.take(of_engine, &mut jobs);
        self.take(std::iter::from_fn(|| calls.try_recv().ok()), &mut jobs);
        jobs
    }

    /// Adds some of `queue` to `jobs`.
    fn take(&self, mut queue: impl Iterator<Item = Queued>, jobs: &mut BTreeMap<Kind, Vec<Queued>>) {
        let (mut all, mut changes, mut events) = (0, 0, 0);
        while all < BATCH_JOBS && changes < BATCH_CHANGES && events < BATCH_EVENTS {
            let Some(mut queued) = queue.next() else { return };
            // An outcome is written whether somebody waits for it or not.
            if queued.job.kind() != Kind::Finish && queued.job.reply().is_abandoned() {
                self.metrics.abandoned();
            } else {
                all += 1;
                changes += usize::from(queued.job.is_change());
                events += queued.job.events();
                jobs.entry(queued.job.kind()).or_default().push(queued);
            }
        }
    }

    /// Writes a batch and answers its calls. When a statement fails, the jobs are written one by one, so that
    /// a bad one can't fail its neighbours.
    async fn write(self, kind: Kind, jobs: Vec<Queued>) {
        let mut batch =
            Batch { context: Arc::clone(&self.context), kind, jobs, leased: Vec::new(), wake: false };
        match self.commit(&mut batch).await {
            Ok(()) => self.answer(batch),
            Err(failure) if failure.is_of_a_statement() && batch.jobs.len() > 1 => {
                process::once_a_second!(
                    warn,
                    rows = batch.jobs.len(),
                    "a batch failed; writing its rows one by one"
                );
                self.metrics.split.inc();
                self.write_one_by_one(batch).await;
            }
            Err(failure) => self.fail(batch, &failure),
        }
    }

    async fn write_one_by_one(&self, batch: Batch) {
        let Batch { context, kind, jobs, leased: _, wake: _ } = batch;
        let mut rest = jobs.into_iter();
        while let Some(queued) = rest.next() {
            let context = Arc::clone(&context);
            let mut alone = Batch { context, kind, jobs: vec![queued], leased: Vec::new(), wake: false };
            match self.commit(&mut alone).await {
                Ok(()) => self.answer(alone),
                Err(failure) if failure.kind() == Fault::Statement => self.fail(alone, &failure),
                Err(failure) => {
                    // The database is gone, for the rest too.
                    alone.jobs.extend(rest);
                    return self.fail(alone, &failure);
                }
            }
        }
    }

    /// Runs the jobs of `batch` in one transaction. Their results are decided, and nobody is answered yet.
    async fn commit(&self, batch: &mut Batch) -> Result<(), Failure> {
        let created = batch.jobs.iter().filter(|queued| queued.job.creation().is_some()).count();
        let metrics = &self.database.metrics;
        let (name, seconds) = match batch.kind {
            Kind::Account if created == 0 => ("database change", &metrics.changes),
            Kind::Account => {
                self.metrics.batch_rows.observe(f64::from(u32::try_from(created).unwrap_or(u32::MAX)));
                ("database batch", &metrics.batches)
            }
            Kind::Intake
            | Kind::Finish
            | Kind::Name
            | Kind::Claim
            | Kind::Publish
            | Kind::Pause
            | Kind::Upkeep => ("database delivery", &metrics.deliveries),
        };
        let span = TraceContext::shared_call(name, batch.jobs.iter().map(|queued| &queued.trace));
        self.database.shared_transaction(span, seconds, batch, Batch::write).await
    }

    fn answer(&self, batch: Batch) {
        if let Some(leased) = &self.context.deliveries.leased {
            for mut one in batch.leased {
                one.taken = Instant::now();
                // The engine is gone at shutdown; another process finds the lease when it has ended.
                let _ = leased.send(one);
            }
        }
        if batch.wake {
            self.context.deliveries.wake.all();
        }
        for mut queued in batch.jobs {
            if let Some(result) = queued.job.creation().and_then(|reply| reply.decided()) {
                self.metrics.created(result);
            }
            queued.job.reply().send();
        }
    }

    /// Answers all calls of a batch that failed. The cause is logged once, with the ids of their requests.
    fn fail(&self, batch: Batch, failure: &Failure) {
        let error = log_fault_of(&requests(&batch.jobs), failure.public(), &failure.told());
        for mut queued in batch.jobs {
            self.metrics.failed();
            queued.job.reply().fail(error.clone());
        }
    }
}
