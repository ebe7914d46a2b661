//! What is counted of the database and of the writers.

use process::metrics::{computed_gauge, counter, counters, gauge, labels, seconds_by};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use sea_orm::metric::Info;

use super::fault::Fault;
use super::settle::Outcome;

/// Upper bounds of the classes of a batch, in rows; the last is the largest batch.
const ROWS: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// The work on one database.
#[derive(Debug)]
pub(super) struct DatabaseMetrics {
    /// Transactions that share a commit, each try by itself.
    pub(super) batches: Histogram,
    /// Transactions of one call, each try by itself.
    pub(super) changes: Histogram,
    /// Reads, each try by itself.
    pub(super) reads: Histogram,
    statements: Statements,
    errors: Errors,
    pub(super) conflicts_retried: Counter,
    pub(super) losses_retried: Counter,
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
            "Tries of transactions: of a batch of rows, of one change, or a read",
        );
        let transactions =
            ["batch", "change", "read"].map(|kind| family.get_or_create_owned(&labels(&[("kind", kind)])));
        let [batches, changes, reads] = transactions;
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
        let [conflicts_retried, losses_retried] = counters(
            registry,
            "database_retries",
            "Transactions and reads that were tried again: after a conflict, or after a connection was lost",
            "reason",
            ["conflict", "lost"],
        );
        Self {
            batches,
            changes,
            reads,
            statements: Statements { select, insert, update, delete, other },
            errors: Errors { conflict, lost, unavailable, unusable, statement },
            conflicts_retried,
            losses_retried,
        }
    }

    /// A statement has ended.
    pub(super) fn stated(&self, info: &Info<'_>) {
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

    /// The database has failed.
    pub(super) fn failed(&self, fault: Fault) {
        let Errors { conflict, lost, unavailable, unusable, statement } = &self.errors;
        let count = match fault {
            Fault::Conflict => conflict,
            Fault::Lost => lost,
            Fault::Unavailable => unavailable,
            Fault::Unusable => unusable,
            Fault::Statement => statement,
        };
        count.inc();
    }
}

/// The work of the writers.
#[derive(Debug)]
pub(super) struct WriterMetrics {
    /// Rows of the batches.
    pub(super) batch_rows: Histogram,
    /// Batches of which one row was bad, so that they were written row by row.
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
        registry.register("batch_rows", "Rows that shared a commit", batch_rows.clone());
        let [written, exists, over_limit, unknown_secret, failed, abandoned, refused] = counters(
            registry,
            "rows",
            "Rows by what became of them; refused: the queue was full, abandoned: nobody waited any more",
            "outcome",
            ["written", "exists", "over_limit", "unknown_secret", "failed", "abandoned", "refused"],
        );
        Self {
            batch_rows,
            split: counter(registry, "batches_split", "Batches written row by row because one row was bad"),
            rows: Rows { written, exists, over_limit, unknown_secret, failed, abandoned, refused },
        }
    }

    /// A row has come to its end in the database.
    pub(super) fn settled(&self, outcome: Outcome) {
        let Rows { written, exists, over_limit, unknown_secret, .. } = &self.rows;
        let count = match outcome {
            Outcome::Written => written,
            Outcome::Exists => exists,
            Outcome::OverLimit => over_limit,
            Outcome::UnknownSecret => unknown_secret,
        };
        count.inc();
    }

    /// A row could not be written.
    pub(super) fn failed(&self) {
        self.rows.failed.inc();
    }

    /// So many rows were passed over.
    pub(super) fn abandoned(&self, rows: usize) {
        self.rows.abandoned.inc_by(rows as u64);
    }

    /// A row found no place in the queue.
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

/// Lets the pools be looked at in each reading; `pools` gives each with its name.
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

/// Lets the queues of the writers be looked at in each reading: `waiting` gives the rows in each, `limit` is how many
/// there may be in one.
pub(super) fn queues(
    registry: &mut Registry,
    limit: usize,
    waiting: impl Fn() -> Vec<usize> + Send + Sync + 'static,
) {
    computed_gauge(registry, "queue_rows", "Rows that wait, by writer", move || {
        let numbered = waiting().into_iter().enumerate();
        numbered.map(|(writer, rows)| (labels(&[("writer", &writer.to_string())]), rows)).collect()
    });
    let may_wait = gauge(registry, "queue_rows_limit", "Rows that may wait for one writer");
    may_wait.set(i64::try_from(limit).unwrap_or(i64::MAX));
}
