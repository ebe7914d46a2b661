//! Events, deliveries and attempts of a DID that is purged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::response::IntoResponse as _;
use http::StatusCode;
use sea_orm::{ConnectionTrait as _, DatabaseConnection};

use super::{ALICE, BOB};
use crate::harness::commands;
use crate::harness::database::{Database, Kind, number, until_number};
use crate::harness::direct::Direct;
use crate::harness::healthy::Healthy;
use crate::harness::hook::Hook;
use crate::harness::on_both;
use crate::harness::processes::Setup;
use crate::harness::publisher::Publisher;
use crate::harness::rows::all_rows;
use crate::harness::slow::{Manner, Slow};

/// Events of an account that is purged while others are served.
const MANY: usize = 30_000;
/// How long a call of somebody else may take meanwhile.
const CALL_LIMIT: Duration = Duration::from_secs(2);
/// Calls of somebody else that are answered meanwhile, at least.
const CALLS: usize = 10;
/// Purges beside publications.
const ROUNDS: usize = 10;
/// Events that are published for each account beside purges.
const PUBLISHED: usize = 200;

on_both! { no_row_is_left, attempt_under_way_leaves_no_trace, beside_publishing_and_delivering, many_hold_up_no_call }

fn core(database: &Database) -> Setup {
    database.core_service_for_loopback().flag("--retry-schedule", "1h,1h")
}

/// Three webhooks, and three events for each: delivered, failed, to be attempted again.
async fn fill(client: &Direct, publisher: &Publisher, did: &str, hooks: &[Hook], key: &str) {
    for hook in hooks {
        client.create_active_webhook(did, &hook.url(&format!("/{key}"))).await.unwrap();
    }
    for number in 0..3 {
        let published = publisher.chat(did, &format!("{key}{number}"), "hello").await;
        assert_eq!(published.deliveries, 3);
    }
}

/// Waits until so many attempts were made and nothing is under way.
async fn settled(connection: &DatabaseConnection, attempts: usize) {
    until_number(connection, "SELECT count(*) FROM attempt", attempts).await;
    until_number(connection, "SELECT count(*) FROM delivery WHERE lease IS NOT NULL", 0).await;
}

async fn no_row_is_left(kind: Kind) {
    let database = Database::create(kind, false).await;
    let connection = database.connect().await;
    let service = core(&database).start().await;
    let (client, publisher) = (Direct::to(service.address).await, Publisher::of(service.address));
    let mut hooks = Vec::new();
    for status in [StatusCode::OK, StatusCode::NOT_FOUND, StatusCode::SERVICE_UNAVAILABLE] {
        hooks.push(Hook::answering(move |_, _| status.into_response()).await);
    }
    fill(&client, &publisher, BOB, &hooks, "b").await;
    settled(&connection, 9).await;
    let bobs = all_rows(&database).await;

    fill(&client, &publisher, ALICE, &hooks, "a").await;
    settled(&connection, 18).await;
    // One is deleted, and the rows of its deliveries say so.
    client.delete_webhook(ALICE, &client.webhooks(ALICE).await[1]).await;
    until_number(&connection, "SELECT count(*) FROM webhook_state", 5).await;
    let removed = client.purge(ALICE).await.unwrap();
    assert_eq!((removed.secrets, removed.webhooks), (0, 2));
    assert_eq!((removed.events, removed.deliveries, removed.attempts), (3, 9, 9));
    assert_eq!(all_rows(&database).await, bobs);

    // By command, with as much.
    fill(&client, &publisher, ALICE, &hooks, "a").await;
    settled(&connection, 18).await;
    let purge = ["purge", "--did", ALICE, "--database-url", &database.url()];
    let printed = commands::run(&purge).await.ok().output;
    let counts = "0 secrets, 3 webhooks, 3 events, 9 deliveries, 9 attempts";
    assert_eq!(printed, format!("removed of {ALICE}: {counts}\n"));
    assert_eq!(all_rows(&database).await, bobs);
}

async fn attempt_under_way_leaves_no_trace(kind: Kind) {
    let database = Database::create(kind, false).await;
    let service = core(&database).start().await;
    let (client, publisher) = (Direct::to(service.address).await, Publisher::of(service.address));
    let mut healthy = Healthy::start(service.address, &database).await;
    healthy.deliver(1).await;
    let connection = database.connect().await;
    settled(&connection, 2).await;
    let before = all_rows(&database).await;
    let slow = Slow::start(Manner::Waits(503)).await;
    client.create_active_webhook(ALICE, &slow.url(0)).await.unwrap();
    publisher.chat(ALICE, "a", "hello").await;
    slow.arrived(1).await;
    let removed = client.purge(ALICE).await.unwrap();
    assert_eq!((removed.events, removed.deliveries, removed.attempts), (1, 1, 0));
    assert_eq!(all_rows(&database).await, before);
    slow.release();
    // Its outcome is written before the next ones.
    slow.closed(1).await;
    healthy.deliver(20).await;
    settled(&connection, 22).await;
    assert_eq!(number(&connection, "SELECT count(*) FROM webhook_state").await, 1);
    for table in ["event", "delivery", "attempt"] {
        assert_eq!(number(&connection, &format!("SELECT count(*) FROM {table}")).await, 22, "{table}");
    }
}

async fn beside_publishing_and_delivering(kind: Kind) {
    let database = Database::create(kind, false).await;
    let connection = database.connect().await;
    let mut cores = vec![core(&database).start().await];
    if kind == Kind::Postgres {
        cores.push(core(&database).start().await);
    }
    let (first, last) = (cores[0].address, cores.last().unwrap().address);
    let client = Direct::to(last).await;
    let hook = Hook::start().await;
    client.create_active_webhook(BOB, &hook.url("/bob")).await.unwrap();
    let publish = async |did: &'static str| {
        let publisher = Publisher::of(first);
        for number in 0..PUBLISHED {
            publisher.chat(did, &format!("{did}{number}"), "hello").await;
        }
    };
    let purge = async {
        let mut removed = 0;
        for _ in 0..ROUNDS {
            client.create_active_webhook(ALICE, &hook.url("/alice")).await.unwrap();
            removed += client.purge(ALICE).await.unwrap().events;
        }
        removed
    };
    let ((), (), removed) = tokio::join!(publish(ALICE), publish(BOB), purge);
    let removed = removed + client.purge(ALICE).await.unwrap().events;
    assert_eq!(removed, PUBLISHED as u64);
    let delivered = "SELECT count(*) FROM delivery WHERE state = 1 AND attempts = 1 AND lease IS NULL";
    until_number(&connection, delivered, PUBLISHED).await;
    for (table, rows) in [("event", PUBLISHED), ("attempt", PUBLISHED), ("webhook_state", 1), ("webhook", 1)]
    {
        assert_eq!(number(&connection, &format!("SELECT count(*) FROM {table}")).await, rows, "{table}");
    }
    assert_eq!(number(&connection, "SELECT pending FROM webhook_state").await, 0);
}

/// Gives alice many events with a delivery and an attempt each.
async fn insert_many(connection: &DatabaseConnection, kind: Kind) {
    // The ids are of a time to come: the events are not too old to be kept.
    let (row_id, numbers) = match kind {
        Kind::Sqlite => {
            let numbers =
                format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {MANY})");
            ("CAST(printf('9%015d', i) AS BLOB)", numbers)
        }
        Kind::Postgres => (
            "('7' || lpad(i::text, 31, '0'))::uuid",
            format!("WITH n AS (SELECT generate_series(1, {MANY}) AS i)"),
        ),
    };
    for insert in [
        format!(
            "event (id, publisher, idempotency_key, content_hash, streamer_did, type, occurred_at_ms, deliveries, \
             created_at_ms) SELECT {row_id}, '', 'many' || i, content_hash, '{ALICE}', 'chat', 1, 1, 1 \
             FROM n, event"
        ),
        format!(
            "delivery (id, event_id, webhook_id, generation, state, retried, attempts, created_at_ms) \
             SELECT {row_id}, {row_id}, webhook_id, 0, 1, false, 1, 1 FROM n, delivery"
        ),
        format!(
            "attempt (delivery_id, number, at_ms, duration_ms, outcome) SELECT {row_id}, 1, 1, 1, 'ok' FROM n"
        ),
    ] {
        let (table, rows) = insert.split_once(" SELECT").unwrap();
        connection.execute_unprepared(&format!("{numbers} INSERT INTO {table} SELECT{rows}")).await.unwrap();
    }
}

async fn many_hold_up_no_call(kind: Kind) {
    let database = Database::create(kind, false).await;
    let service = core(&database).flag("--max-secrets", "1000000").start().await;
    let client = Direct::to(service.address).await;
    let slow = Slow::start(Manner::Waits(204)).await;
    client.create_active_webhook(ALICE, &slow.url(0)).await.unwrap();
    Publisher::of(service.address).chat(ALICE, "k", "hello").await;
    slow.arrived(1).await;
    insert_many(&database.connect().await, kind).await;
    let purging = Arc::new(AtomicBool::new(true));
    let others = {
        let (client, purging) = (client.clone(), Arc::clone(&purging));
        tokio::spawn(async move {
            let mut times = Vec::new();
            while purging.load(Ordering::SeqCst) {
                let begun = Instant::now();
                client.create_secret(BOB, &times.len().to_string()).await.unwrap();
                client.purge("did:plc:nobody").await.unwrap();
                times.push(begun.elapsed());
            }
            times
        })
    };
    let begun = Instant::now();
    let removed = client.purge(ALICE).await.unwrap();
    purging.store(false, Ordering::SeqCst);
    println!("{MANY} deliveries in {:?}", begun.elapsed());
    assert_eq!(removed.events, MANY as u64 + 1);
    assert_eq!((removed.deliveries, removed.attempts), (MANY as u64 + 1, MANY as u64));
    let times = others.await.unwrap();
    let longest = times.iter().max().unwrap();
    println!("{} calls meanwhile, the longest {longest:?}", times.len());
    assert!(times.len() >= CALLS && *longest < CALL_LIMIT, "{} calls, {longest:?}", times.len());
}
