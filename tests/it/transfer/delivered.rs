//! Events and deliveries of every state: moved there and back, and delivered by the service after the move.

use std::collections::BTreeSet;

use axum::response::IntoResponse as _;
use http::StatusCode;
use proto::athook::Outcome;
use sea_orm::{ConnectionTrait as _, DatabaseConnection};

use super::rows::seed_intake;
use super::{ALICE, export_import, other};
use crate::harness::database::{Database, Kind, number, until_number};
use crate::harness::direct::Direct;
use crate::harness::hook::Hook;
use crate::harness::on_both;
use crate::harness::publisher::Publisher;
use crate::harness::rows::all_rows;
use crate::harness::slow::{Manner, Slow};

on_both! { deliveries_of_every_state }

/// Events, each with a delivery for each of four webhooks.
const EVENTS: usize = 3;
/// What is not of this moment, and may differ after leases have ended.
const LEASED: &str = "SELECT count(*) FROM delivery WHERE lease IS NOT NULL";

async fn publish(publisher: &Publisher) -> Vec<(String, Outcome, u32)> {
    let mut results = Vec::new();
    for number in 0..EVENTS {
        let published = publisher.chat(ALICE, &number.to_string(), "hello").await;
        results.push((published.event_id.clone(), published.outcome(), published.deliveries));
    }
    results
}

/// Gives each delivery another time, so that rows don't agree by chance.
async fn spread(connection: &DatabaseConnection) {
    for statement in [
        "UPDATE delivery SET next_at_ms = next_at_ms + attempts, created_at_ms = created_at_ms + attempts",
        "UPDATE webhook_state SET dropped = 3, failing_since_ms = 4 WHERE pending > 0",
        "UPDATE webhook_state SET disabled_reason = 'failing', disabled_at_ms = 5 WHERE error_count > 0",
        "UPDATE event SET traceparent = '00-' WHERE idempotency_key = '1'",
        "INSERT INTO host_hold VALUES ('discord.com', 5)",
        "INSERT INTO paused_origin SELECT origin, 6 FROM webhook_state LIMIT 1",
    ] {
        connection.execute_unprepared(statement).await.unwrap();
    }
}

async fn deliveries_of_every_state(from: Kind) {
    let source = Database::create(from, false).await;
    let service = source.core_service_for_loopback().flag("--retry-schedule", "1h,1h").start().await;
    let client = Direct::to(service.address).await;
    let mut hooks = Vec::new();
    for status in [StatusCode::OK, StatusCode::NOT_FOUND] {
        hooks.push(Hook::answering(move |_, _| status.into_response()).await);
    }
    let mut busy = Hook::answering(|number, _| match number {
        0..EVENTS => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        _ => StatusCode::OK.into_response(),
    })
    .await;
    let slow = Slow::start(Manner::Waits(204)).await;
    for url in [hooks[0].url("/"), hooks[1].url("/"), busy.url("/"), slow.url(0)] {
        client.create_active_webhook(ALICE, &url).await.unwrap();
    }
    let published = publish(&Publisher::of(service.address)).await;
    let connection = source.connect().await;
    until_number(&connection, "SELECT count(*) FROM attempt", 3 * EVENTS).await;
    until_number(&connection, LEASED, 1).await;
    slow.arrived(1).await;
    service.kill();
    spread(&connection).await;
    seed_intake(&connection).await;
    let before = all_rows(&source).await;

    // There and back. The lease ends on the way there.
    let there = Database::create(other(from), false).await;
    for ended in export_import(&source, &there).await {
        ended.ok();
    }
    let moved = all_rows(&there).await;
    let back = Database::create(from, false).await;
    for ended in export_import(&there, &back).await {
        ended.ok();
    }
    assert!(moved == all_rows(&back).await, "the way back changes something");
    let mut differing = 0;
    for ((table, before), (_, moved)) in before.iter().zip(&moved) {
        assert_eq!(before.len(), moved.len(), "{table}");
        assert!(!before.is_empty() || *table == "secret", "{table}");
        differing += before.iter().zip(moved).filter(|(before, moved)| before != moved).count();
    }
    // The delivery, and the state of its webhook.
    assert_eq!(differing, 2);
    let moved = there.connect().await;
    assert_eq!(number(&moved, LEASED).await, 0);
    assert_eq!(
        number(&moved, "SELECT count(*) FROM delivery WHERE state = 0 AND attempts = 0").await,
        EVENTS
    );

    // What waits for a retry is due.
    let connection = back.connect().await;
    for statement in
        ["UPDATE delivery SET next_at_ms = 1 WHERE state = 0", "UPDATE webhook_state SET due_at_ms = 1"]
    {
        connection.execute_unprepared(statement).await.unwrap();
    }
    slow.release();
    let service = back.core_service_for_loopback().start().await;
    let mut ids = BTreeSet::new();
    for _ in 0..2 * EVENTS {
        ids.insert(busy.next().await.header("webhook-id").to_owned());
    }
    let published_ids: BTreeSet<String> = published.iter().map(|(id, ..)| format!("msg_{id}")).collect();
    assert_eq!(ids, published_ids);
    slow.arrived(1 + EVENTS).await;
    until_number(&connection, "SELECT count(*) FROM delivery WHERE state = 1", 3 * EVENTS).await;

    // The keys are known, and what was turned off is still off.
    let seen: Vec<_> = published.into_iter().map(|(id, _, count)| (id, Outcome::Seen, count)).collect();
    assert_eq!(publish(&Publisher::of(service.address)).await, seen);
    let off = "SELECT count(*) FROM webhook_state WHERE disabled_reason = 'failing' AND error_count = 3";
    assert_eq!(number(&connection, off).await, 1);
}
