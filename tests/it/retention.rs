//! What is no longer kept goes faster than new rows come, and its space is used again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait as _, DatabaseConnection};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::harness::database::{Database, Kind, number, until_number};
use crate::harness::healthy::Healthy;
use crate::harness::on_both;

on_both! { a_million_attempts_go_while_others_come }

/// Deliveries that have ended long ago, each of an event of its own.
const OLD: usize = 100_000;
/// Attempts of each.
const ATTEMPTS: usize = 10;
/// How long they may take to go.
const LIMIT: Duration = Duration::from_secs(150);
/// Attempts that come each second, and are as old: a year goes by in a moment.
const RATE: usize = 500;
/// The pause between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// How long others come after the old ones have gone.
const AFTERWARDS: Duration = Duration::from_secs(15);
/// Attempts of others that may be there: those of a few seconds.
const FEW: usize = 10 * RATE;
/// The hours after which an attempt has gone.
const KEPT_HOURS: usize = 24 * 30;

/// Inserts deliveries that ended before the attempts of their time are kept, with their events. Their ids
/// begin with this digit.
async fn insert_old(
    connection: &DatabaseConnection,
    kind: Kind,
    digit: usize,
    first: usize,
    rows: usize,
    attempts: usize,
) {
    let last = first + rows - 1;
    let (id, numbers, now) = match kind {
        Kind::Sqlite => (
            format!("CAST(printf('{digit}%015d', i) AS BLOB)"),
            format!("WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last})"),
            "CAST(unixepoch('subsec') * 1000 AS BIGINT)",
        ),
        Kind::Postgres => (
            format!("('{digit}' || lpad(i::text, 31, '0'))::uuid"),
            format!("WITH n AS (SELECT generate_series({first}, {last}) AS i)"),
            "(extract(epoch FROM now()) * 1000)::bigint",
        ),
    };
    let at = format!("{now} - {} - 1000 + i % 1000", KEPT_HOURS * 3_600_000);
    let attempt_numbers = (1..=attempts).map(|number| format!("SELECT {number} AS number"));
    let attempt_numbers = attempt_numbers.collect::<Vec<_>>().join(" UNION ALL ");
    let hash = if kind == Kind::Sqlite { "zeroblob(32)" } else { r"decode(repeat('00', 32), 'hex')" };
    for insert in [
        format!(
            "event (id, publisher, idempotency_key, content_hash, streamer_did, type, occurred_at_ms, deliveries, \
             created_at_ms) SELECT {id}, 'old', '{digit}-' || i, {hash}, 'did:plc:a', 'chat', 1, 1, {at} FROM n"
        ),
        format!(
            "attempt (delivery_id, number, at_ms, duration_ms, outcome, status, response) \
             SELECT {id}, number, {at}, 12, 'http', 503, 'Service Unavailable' FROM n, ({attempt_numbers}) m"
        ),
        format!(
            "delivery (id, event_id, webhook_id, generation, state, retried, attempts, last_outcome, ended_at_ms, \
             created_at_ms) SELECT {id}, {id}, (SELECT id FROM webhook), 0, 2, true, {attempts}, 'http', {at}, {at} \
             FROM n"
        ),
    ] {
        let (table, select) = insert.split_once(" SELECT").unwrap();
        connection
            .execute_unprepared(&format!("{numbers} INSERT INTO {table} SELECT{select}"))
            .await
            .unwrap();
    }
}

/// How many bytes the rows and their indexes take up, with what is free for others.
async fn size(connection: &DatabaseConnection, kind: Kind) -> usize {
    let sql = match kind {
        Kind::Sqlite => "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
        Kind::Postgres => {
            "SELECT sum(pg_total_relation_size(name::regclass)) \
             FROM (VALUES ('event'), ('delivery'), ('attempt')) t(name)"
        }
    };
    number(connection, sql).await
}

async fn attempts(connection: &DatabaseConnection) -> usize {
    number(connection, "SELECT count(*) FROM attempt").await
}

async fn a_million_attempts_go_while_others_come(kind: Kind) {
    let database = Database::create(kind, false).await;
    let connection = database.connect().await;
    let core = database.core_service_for_loopback().start().await;
    let mut healthy = Healthy::start(core.address, &database).await;
    let address = core.address;
    assert!(core.terminate().await.0.success());
    let begun = Instant::now();
    insert_old(&connection, kind, 7, 0, OLD, ATTEMPTS).await;
    println!("NOTE {} attempts in {:?}", OLD * ATTEMPTS, begun.elapsed());

    let stop = Arc::new(AtomicBool::new(false));
    let come = Arc::new(AtomicUsize::new(0));
    let coming = tokio::spawn({
        let (stop, come, connection) = (Arc::clone(&stop), Arc::clone(&come), database.connect().await);
        async move {
            let mut tick = interval(Duration::from_secs(1));
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while !stop.load(Ordering::SeqCst) {
                tick.tick().await;
                insert_old(&connection, kind, 6, come.load(Ordering::SeqCst), RATE, 1).await;
                come.fetch_add(RATE, Ordering::SeqCst);
            }
        }
    });
    let core = database.core_service_for_loopback().at(address).start().await;
    let begun = Instant::now();
    while attempts(&connection).await > FEW {
        assert!(begun.elapsed() < LIMIT, "{} are left", attempts(&connection).await);
        sleep(LOOK).await;
    }
    let took = begun.elapsed();
    let gone = OLD * ATTEMPTS + come.load(Ordering::SeqCst);
    let rate = gone / usize::try_from(took.as_secs().max(1)).unwrap();
    println!("NOTE gone after {took:?}, {rate}/s, while {} came", come.load(Ordering::SeqCst));

    // Their space is used again. Postgres frees it when it vacuums, which it does by itself after a while.
    if kind == Kind::Postgres {
        connection.execute_unprepared("VACUUM event, delivery, attempt").await.unwrap();
    }
    let before = size(&connection, kind).await;
    let begun = Instant::now();
    while begun.elapsed() < AFTERWARDS {
        let there = attempts(&connection).await;
        assert!(there <= FEW, "{there} are there, and no fewer");
        sleep(LOOK).await;
    }
    stop.store(true, Ordering::SeqCst);
    coming.await.unwrap();
    let after = size(&connection, kind).await;
    println!(
        "NOTE {before} bytes once they were gone, {after} after {} have come",
        come.load(Ordering::SeqCst)
    );
    // Postgres uses the pages of indexes again after a while.
    assert!(after <= before + before / 20, "{before} grew to {after} bytes");
    until_number(&connection, "SELECT count(*) FROM attempt", 1).await;
    // Who delivers meanwhile is not held up, and what is not old is kept.
    healthy.deliver(10).await;
    until_number(&connection, "SELECT count(*) FROM delivery WHERE state = 1", 11).await;
    drop(core);
}
