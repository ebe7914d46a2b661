//! The yardstick of the database: the rows of the same events, deliveries and attempts, inserted as they are
//! in the end.
//!
//! In batches as large as the core-service's, by as many tasks as it has writers. Nothing is read, nothing is
//! written twice, and no webhook has a state.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use process::clock::Clock;
use process::exit::Failure;
use sea_orm::sea_query::{Alias, Expr, InsertStatement, Query};
use sea_orm::{ConnectionTrait as _, DatabaseConnection, DatabaseTransaction, DbErr, TransactionTrait as _};
use uuid::Uuid;

use crate::databases::connect;
use crate::receiver::text;
use crate::sample::{Sample, rate};

/// Rows of one INSERT.
const STATEMENT_ROWS: usize = 32;
/// Deliveries of one transaction.
const BATCH_DELIVERIES: usize = 256;
/// Tasks that insert. On SQLite they take turns at one connection.
const TASKS: usize = 2;
/// The length of a body, in bytes.
const BODY_BYTES: usize = 390;

/// The number of the next id.
static NEXT_NUMBER: AtomicU64 = AtomicU64::new(0);

/// The connections.
pub(crate) struct Rows(Vec<DatabaseConnection>);

impl Rows {
    /// Connects to a migrated database.
    pub(crate) async fn connect(database_url: &str) -> Result<Self, Failure> {
        Ok(Self(connect(database_url, TASKS).await?))
    }

    /// Inserts for `length` the rows of events with so many deliveries each.
    pub(crate) async fn run(&self, fan_out: usize, length: Duration) -> Result<Sample, Failure> {
        let started = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for connection in self.0.iter().cycle().take(TASKS) {
            tasks.spawn(insert(connection.clone(), fan_out, started + length));
        }
        let mut events = 0;
        for inserted in tasks.join_all().await {
            events += inserted?;
        }
        let took = started.elapsed();
        Ok(Sample {
            events_per_s: rate(events, took),
            deliveries_per_s: rate(events * fan_out, took),
            p50_ms: f64::NAN,
            p99_ms: f64::NAN,
            cpu_us: f64::NAN,
            cpu_with_database_us: f64::NAN,
        })
    }
}

/// Inserts until then, and returns how many events.
async fn insert(connection: DatabaseConnection, fan_out: usize, until: Instant) -> Result<usize, DbErr> {
    let clock = Clock::system();
    let batch = (BATCH_DELIVERIES / fan_out).max(1);
    let mut inserted = 0;
    while Instant::now() < until {
        let transaction = connection.begin().await?;
        let now_ms = clock.unix_ms();
        let events: Vec<Uuid> = (0..batch).map(|_| id(now_ms)).collect();
        let deliveries: Vec<(Uuid, Uuid)> =
            events.iter().flat_map(|event| (0..fan_out).map(|_| (*event, id(now_ms)))).collect();
        insert_all(&transaction, events.len(), |rows| event_rows(&events[rows], fan_out, now_ms)).await?;
        insert_all(&transaction, deliveries.len(), |rows| delivery_rows(&deliveries[rows], now_ms)).await?;
        insert_all(&transaction, deliveries.len(), |rows| attempt_rows(&deliveries[rows], now_ms)).await?;
        transaction.commit().await?;
        inserted += batch;
    }
    Ok(inserted)
}

/// An id of the time `ms`, as the core-service makes them.
fn id(ms: i64) -> Uuid {
    let number = NEXT_NUMBER.fetch_add(1, Ordering::Relaxed);
    let mut random = [0; 10];
    // Spread over all values, as random numbers are.
    random[2..].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    uuid::Builder::from_unix_timestamp_millis(ms.unsigned_abs(), &random).into_uuid()
}

async fn insert_all(
    transaction: &DatabaseTransaction,
    rows: usize,
    statement: impl Fn(Range<usize>) -> InsertStatement,
) -> Result<(), DbErr> {
    for first in (0..rows).step_by(STATEMENT_ROWS) {
        transaction.execute(&statement(first..rows.min(first + STATEMENT_ROWS))).await?;
    }
    Ok(())
}

fn into(table: &str, columns: &[&str]) -> InsertStatement {
    let columns = columns.iter().map(|column| Alias::new(*column));
    Query::insert().into_table(Alias::new(table)).columns(columns).take()
}

fn event_rows(events: &[Uuid], fan_out: usize, now_ms: i64) -> InsertStatement {
    let columns = [
        "id",
        "publisher",
        "idempotency_key",
        "content_hash",
        "streamer_did",
        "type",
        "occurred_at_ms",
        "payload",
        "deliveries",
        "created_at_ms",
    ];
    let mut insert = into("event", &columns);
    for event in events {
        let payload = format!(
            concat!(
                r#"{{"author":{{"did":"did:plc:z72i7hdynmk6r22z27h6tvur","handle":"carol.example"}},"text":"{}","#,
                r#""uri":"at://did:plc:z72i7hdynmk6r22z27h6tvur/place.stream.chat.message/3m6k2xq7v2c2a"}}"#
            ),
            text(0)
        );
        insert.values_panic([
            Expr::val(*event),
            Expr::val("bench"),
            Expr::val(format!("message-{event}")),
            Expr::val(vec![0_u8; 32]),
            Expr::val("did:web:streamer-0.of-50.example"),
            Expr::val("chat"),
            Expr::val(now_ms),
            Expr::val(payload),
            Expr::val(i32::try_from(fan_out).unwrap_or(0)),
            Expr::val(now_ms),
        ]);
    }
    insert
}

fn delivery_rows(deliveries: &[(Uuid, Uuid)], now_ms: i64) -> InsertStatement {
    let columns = [
        "id",
        "event_id",
        "webhook_id",
        "generation",
        "state",
        "next_at_ms",
        "lease",
        "retried",
        "attempts",
        "body",
        "last_outcome",
        "last_status",
        "last_attempt_at_ms",
        "ended_at_ms",
        "created_at_ms",
    ];
    let mut insert = into("delivery", &columns);
    for (event, delivery) in deliveries {
        insert.values_panic([
            Expr::val(*delivery),
            Expr::val(*event),
            // One of 256 webhooks.
            Expr::val(Uuid::from_u128(delivery.as_u128() & 0xff)),
            Expr::val(0_i32),
            Expr::val(1_i16),
            Expr::val(None::<i64>),
            Expr::val(None::<Uuid>),
            Expr::val(false),
            Expr::val(1_i32),
            Expr::val(vec![b'x'; BODY_BYTES]),
            Expr::val("ok"),
            Expr::val(204_i32),
            Expr::val(now_ms),
            Expr::val(now_ms),
            Expr::val(now_ms),
        ]);
    }
    insert
}

fn attempt_rows(deliveries: &[(Uuid, Uuid)], now_ms: i64) -> InsertStatement {
    let columns =
        ["delivery_id", "number", "at_ms", "duration_ms", "outcome", "status", "response", "next_at_ms"];
    let mut insert = into("attempt", &columns);
    for (_, delivery) in deliveries {
        insert.values_panic([
            Expr::val(*delivery),
            Expr::val(1_i32),
            Expr::val(now_ms),
            Expr::val(1_i32),
            Expr::val("ok"),
            Expr::val(204_i32),
            Expr::val(None::<String>),
            Expr::val(None::<i64>),
        ]);
    }
    insert
}
