//! The core-service is killed while deliveries wait for their next attempt, and while they are in flight.

use std::collections::{HashMap, HashSet};

use axum::response::IntoResponse as _;
use futures_util::future::join_all;
use http::StatusCode;
use process::clock::Clock;
use sea_orm::{ConnectionTrait as _, DatabaseConnection, QueryResult};
use uuid::Uuid;

use crate::harness::database::{Database, Kind, rows, until_number};
use crate::harness::direct::Direct;
use crate::harness::hook::Hook;
use crate::harness::on_both;
use crate::harness::processes::Setup;
use crate::harness::publisher::{Publisher, chat};
use crate::harness::slow::{Manner, Slow};

on_both! { retries_that_wait, attempts_in_flight, delivery_that_ends_the_process }

const STREAMER: &str = "did:plc:streamer2222222222222222";
/// Deliveries that wait or are in flight when the process is killed.
const DELIVERIES: usize = 300;
/// Webhooks whose retries wait.
const WEBHOOKS: usize = 10;

fn core(database: &Database) -> Setup {
    database.core_service_for_loopback().flag("--max-webhooks", "10000")
}

/// Ends the leases of processes that were killed. On SQLite the next start does.
async fn time_passes(kind: Kind, connection: &DatabaseConnection) {
    if kind == Kind::Sqlite {
        return;
    }
    let now_ms = Clock::system().unix_ms();
    for sql in [
        format!(
            "UPDATE delivery SET next_at_ms = {now_ms} WHERE lease IS NOT NULL AND next_at_ms IS NOT NULL"
        ),
        format!("UPDATE webhook_state SET due_at_ms = {now_ms} WHERE due_at_ms IS NOT NULL"),
    ] {
        connection.execute_unprepared(&sql).await.unwrap();
    }
}

/// When the next attempt of each delivery is due.
async fn due_ms(connection: &DatabaseConnection) -> HashMap<Uuid, i64> {
    let sql = "SELECT delivery_id, next_at_ms FROM attempt";
    let row = |row: QueryResult| -> (Uuid, i64) {
        (row.try_get("", "delivery_id").unwrap(), row.try_get("", "next_at_ms").unwrap())
    };
    rows(connection, sql).await.into_iter().map(row).collect()
}

async fn retries_that_wait(kind: Kind) {
    let database = Database::create(kind, false).await;
    let connection = database.connect().await;
    let core = |database| core(database).flag("--retry-schedule", "12s");
    let killed = core(&database).start().await;
    let mut hook = Hook::answering(|number, _| match number {
        0..DELIVERIES => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        _ => StatusCode::NO_CONTENT.into_response(),
    })
    .await;
    let direct = Direct::to(killed.address).await;
    for one in 0..WEBHOOKS {
        direct.create_active_webhook(STREAMER, &hook.url(&format!("/{one}"))).await.unwrap();
    }
    let events = (0..DELIVERIES / WEBHOOKS).map(|one| chat(STREAMER, &one.to_string(), "hello")).collect();
    Publisher::of(killed.address).publish(events).await.unwrap();
    let mut first = HashSet::new();
    for _ in 0..DELIVERIES {
        first.insert(hook.next().await.header("idempotency-key").to_owned());
    }
    until_number(&connection, "SELECT count(*) FROM attempt", DELIVERIES).await;
    assert!(hook.waiting().is_none(), "all of them wait");
    killed.kill();
    let due = due_ms(&connection).await;
    assert_eq!((first.len(), due.len()), (DELIVERIES, DELIVERIES));

    let _core = core(&database).start().await;
    for _ in 0..DELIVERIES {
        let key = hook.next().await.header("idempotency-key").to_owned();
        assert!(first.remove(&key), "{key} came a third time");
        let due_ms = due[&key.parse::<Uuid>().unwrap()];
        assert!(Clock::system().unix_ms() >= due_ms, "{key} came early");
    }
    until_number(&connection, "SELECT count(*) FROM delivery WHERE state = 1 AND attempts = 2", DELIVERIES)
        .await;
}

async fn attempts_in_flight(kind: Kind) {
    let database = Database::create(kind, false).await;
    let connection = database.connect().await;
    let core = |database| core(database).flag("--delivery-timeout", "60s").flag("--retry-schedule", "50ms");
    let killed = core(&database).start().await;
    let slow = Slow::start(Manner::Waits(204)).await;
    let direct = Direct::to(killed.address).await;
    let urls: Vec<String> = (0..DELIVERIES).map(|number| slow.url_of_origin(number)).collect();
    for urls in urls.chunks(30) {
        join_all(urls.iter().map(async |url| direct.create_active_webhook(STREAMER, url).await.unwrap()))
            .await;
    }
    Publisher::of(killed.address).chat(STREAMER, "k", "hello").await;
    slow.arrived(DELIVERIES).await;
    killed.kill();
    slow.closed(DELIVERIES).await;
    time_passes(kind, &connection).await;
    slow.release();
    let _core = core(&database).start().await;
    until_number(&connection, "SELECT count(*) FROM delivery WHERE state = 1 AND attempts = 2", DELIVERIES)
        .await;
    for (number, outcome) in [(1, "lost"), (2, "ok")] {
        let attempts =
            format!("SELECT count(*) FROM attempt WHERE number = {number} AND outcome = '{outcome}'");
        until_number(&connection, &attempts, DELIVERIES).await;
    }
    assert_eq!(slow.arrived_so_far(), 2 * DELIVERIES);
}

/// A delivery that ends its process each time uses its attempts like any other; others go on.
async fn delivery_that_ends_the_process(kind: Kind) {
    const ATTEMPTS: usize = 4;
    let database = Database::create(kind, false).await;
    let connection = database.connect().await;
    let core =
        |database| core(database).flag("--delivery-timeout", "60s").flag("--retry-schedule", "1ms,1ms,1ms");
    let mut running = core(&database).start().await;
    let slow = Slow::start(Manner::Waits(204)).await;
    Direct::to(running.address).await.create_active_webhook(STREAMER, &slow.url(0)).await.unwrap();
    Publisher::of(running.address).chat(STREAMER, "k", "hello").await;
    for attempt in 1..=ATTEMPTS {
        slow.arrived(attempt).await;
        running.kill();
        time_passes(kind, &connection).await;
        running = core(&database).start().await;
    }
    let given_up = format!(
        "SELECT count(*) FROM delivery WHERE state = 2 AND last_outcome = 'lost' AND attempts = {ATTEMPTS} \
         AND next_at_ms IS NULL AND lease IS NULL"
    );
    until_number(&connection, &given_up, 1).await;
    let lost = "SELECT count(*) FROM attempt WHERE outcome = 'lost'";
    until_number(&connection, lost, ATTEMPTS).await;
    let mut hook = Hook::start().await;
    let other = "did:plc:other22222222222222222222";
    Direct::to(running.address).await.create_active_webhook(other, &hook.url("/hook")).await.unwrap();
    Publisher::of(running.address).chat(other, "l", "hello").await;
    hook.next().await;
    assert_eq!(slow.arrived_so_far(), ATTEMPTS);
}
