//! Metrics of the database and of the writers.

use process::metrics::{computed_gauge, counter, counters, gauge, labels, seconds_by};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use sea_orm::metric::Info;

use super::fault::Fault;
use crate::error::Error;

/// Upper bounds of the buckets of a batch's size, in rows; the last is the largest batch.
const ROWS: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// The work on one database.
#[derive(Debug)]
pub(super) struct DatabaseMetrics {
    /// Tries of transactions that create rows.
    pub(super) batches: Histogram,
    /// Tries of transactions that only change or delete rows.
    pub(super) changes: Histogram,
    /// Transactions of publications, claims, outcomes and upkeep.
    pub(super) deliveries: Histogram,
    /// Tries of reads.
    pub(super) reads: Histogram,
    statements: Statements,
    errors: Errors,
    pub(super) conflicts_retried: Counter,
    pub(super) losses_retried: Counter,
    pub(super) read_only_retried: Counter,
}

#[derive(Debug)]
struct Statements {
    select: Histogram,
    insert: Histogram,
    update: Histogram,
    delete: Histogram,
    other: Histogram,
}

#[derive(Debug)]
struct Errors {
    conflict: Counter,
    lost: Counter,
    unavailable: Counter,
    unusable: Counter,
    statement: Counter,
}

impl DatabaseMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let family = seconds_by(
            registry,
            "transaction",
            "Tries of transactions: that create rows (batch), that only change or delete some (change), and reads",
        );
        let transactions = ["batch", "change", "delivery", "read"]
            .map(|kind| family.get_or_create_owned(&labels(&[("kind", kind)])));
        let [batches, changes, deliveries, reads] = transactions;
        let family = seconds_by(registry, "statement", "SQL statements by their first word");
        let verbs = ["select", "insert", "update", "delete", "other"];
        let [select, insert, update, delete, other] =
            verbs.map(|verb| family.get_or_create_owned(&labels(&[("verb", verb)])));
        let [conflict, lost, unavailable, unusable, statement] = counters(
            registry,
            "database_errors",
            "Failures of the database by what they mean, also those after which a try was repeated",
            "kind",
            ["conflict", "lost", "unavailable", "unusable", "statement"],
        );
        let [conflicts_retried, losses_retried, read_only_retried] = counters(
            registry,
            "database_retries",
            "Transactions and reads that were tried again: after a conflict, or on another connection because one \
             was lost or read-only",
            "reason",
            ["conflict", "lost", "read_only"],
        );
        Self {
            batches,
            changes,
            deliveries,
            reads,
            statements: Statements { select, insert, update, delete, other },
            errors: Errors { conflict, lost, unavailable, unusable, statement },
            conflicts_retried,
            losses_retried,
            read_only_retried,
        }
    }

    /// Counts a statement that has ended.
    pub(super) fn statement_ended(&self, info: &Info<'_>) {
        let Statements { select, insert, update, delete, other } = &self.statements;
        let histogram = match info.statement.sql.as_bytes().get(..6) {
            Some(b"SELECT") => select,
            Some(b"INSERT") => insert,
            Some(b"UPDATE") => update,
            Some(b"DELETE") => delete,
            _ => other,
        };
        histogram.observe(info.elapsed.as_secs_f64());
    }

    /// Counts a failure of the database.
    pub(super) fn failed(&self, fault: Fault) {
        let Errors { conflict, lost, unavailable, unusable, statement } = &self.errors;
        let count = match fault {
            Fault::Conflict => conflict,
            Fault::Lost => lost,
            Fault::Unavailable | Fault::ReadOnly => unavailable,
            Fault::Unusable => unusable,
            Fault::Statement => statement,
        };
        count.inc();
    }
}

/// The work of the writers.
#[derive(Debug)]
pub(super) struct WriterMetrics {
    /// New rows of each transaction that has some.
    pub(super) batch_rows: Histogram,
    /// Batches whose jobs were written one by one because a statement failed.
    pub(super) split: Counter,
    rows: Rows,
}

#[derive(Debug)]
struct Rows {
    written: Counter,
    exists: Counter,
    over_limit: Counter,
    unknown_secret: Counter,
    failed: Counter,
    abandoned: Counter,
    refused: Counter,
}

impl WriterMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let batch_rows = Histogram::new(ROWS);
        registry.register("batch_rows", "New rows that shared a commit", batch_rows.clone());
        let [written, exists, over_limit, unknown_secret, failed, abandoned, refused] = counters(
            registry,
            "rows",
            "New rows by their outcome; all writes: failed, abandoned (the caller left), refused (the queue was full)",
            "outcome",
            ["written", "exists", "over_limit", "unknown_secret", "failed", "abandoned", "refused"],
        );
        Self {
            batch_rows,
            split: counter(
                registry,
                "batches_split",
                "Batches written one by one because a statement failed",
            ),
            rows: Rows { written, exists, over_limit, unknown_secret, failed, abandoned, refused },
        }
    }

    /// Counts a new row by the result of its job.
    pub(super) fn created(&self, result: &Result<(), Error>) {
        let Rows { written, exists, over_limit, unknown_secret, failed, .. } = &self.rows;
        let count = match result {
            Ok(()) => written,
            Err(Error::SecretExists | Error::WebhookExists) => exists,
            Err(Error::TooManySecrets { .. } | Error::TooManyWebhooks { .. }) => over_limit,
            Err(Error::BrokenField(_)) => unknown_secret,
            Err(_) => failed,
        };
        count.inc();
    }

    /// Counts a job that could not be written.
    pub(super) fn failed(&self) {
        self.rows.failed.inc();
    }

    /// Counts a job whose caller had gone before it was begun.
    pub(super) fn abandoned(&self) {
        self.rows.abandoned.inc();
    }

    /// Counts a job for which the queue had no room.
    pub(super) fn refused(&self) {
        self.rows.refused.inc();
    }
}

/// How full a pool of connections is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pool {
    pub(super) open: usize,
    pub(super) idle: usize,
    pub(super) limit: usize,
}

/// Registers gauges of the pools; `pools` is called at each scrape and returns each pool with its name.
pub(super) fn pools<const N: usize>(
    registry: &mut Registry,
    pools: impl Fn() -> [(&'static str, Pool); N] + Clone + Send + Sync + 'static,
) {
    let limits = pools.clone();
    computed_gauge(
        registry,
        "pool_connections",
        "Connections to the database by pool and state",
        move || {
            let states = |(pool, Pool { open, idle, limit: _ })| {
                let at = |state| labels(&[("pool", pool), ("state", state)]);
                [(at("busy"), open - usize::min(idle, open)), (at("idle"), idle)]
            };
            pools().into_iter().flat_map(states).collect()
        },
    );
    computed_gauge(registry, "pool_connections_limit", "Connections that a pool may have", move || {
        let limit = |(pool, Pool { open: _, idle: _, limit })| (labels(&[("pool", pool)]), limit);
        limits().map(limit).into()
    });
}

/// Registers gauges of the writers' queues: `waiting` is called at each scrape and returns how many jobs wait
/// in each, `limit` is how many may wait in one.
pub(super) fn queues(
    registry: &mut Registry,
    limit: usize,
    waiting: impl Fn() -> Vec<usize> + Send + Sync + 'static,
) {
    computed_gauge(registry, "queue_rows", "Writes of calls that wait, by writer", move || {
        let numbered = waiting().into_iter().enumerate();
        numbered.map(|(writer, rows)| (labels(&[("writer", &writer.to_string())]), rows)).collect()
    });
    let may_wait = gauge(registry, "queue_rows_limit", "Writes that may wait for one writer");
    may_wait.set(i64::try_from(limit).unwrap_or(i64::MAX));
}
