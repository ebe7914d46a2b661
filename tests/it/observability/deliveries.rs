//! Metrics of deliveries.

use std::time::Duration;

use axum::response::IntoResponse as _;
use http::StatusCode;
use serde_json::json;

use super::exposition::Reading;
use super::scraped;
use crate::harness::database::Kind;
use crate::harness::hook::Hook;
use crate::harness::on_both;
use crate::harness::publisher::Publisher;
use crate::harness::stack::{CREATE_WEBHOOK, Setup, Stack};

/// How long a test waits for numbers that are read from the database every few seconds.
const LIMIT: Duration = Duration::from_secs(30);
/// The time between two readings.
const PAUSE: Duration = Duration::from_millis(200);

on_both! { what_becomes_of_deliveries_is_counted, what_is_due_and_not_attempted_is_shown }

async fn start(kind: Kind, delivery: &str) -> Stack {
    let metrics = ["--metrics-listen", "127.0.0.1:0"];
    let setup = Setup::on(kind).core(metrics[0], metrics[1]).gateway(metrics[0], metrics[1]);
    // Nothing is tried twice during a test.
    let setup =
        setup.core("--allow-http", "true").core("--retry-schedule", "1h").core("--delivery", delivery);
    setup.start().await
}

async fn webhook(stack: &Stack, hook: &Hook) {
    let input = json!({ "url": hook.url("/hook"), "events": ["chat"], "active": true });
    stack.call(CREATE_WEBHOOK, &input).await.ok();
}

/// The first reading that `wanted` takes.
async fn until(stack: &Stack, wanted: impl Fn(&Reading) -> bool) -> Reading {
    let mut tick = tokio::time::interval(PAUSE);
    let found = async {
        loop {
            tick.tick().await;
            let (reading, _) = scraped(stack).await;
            if wanted(&reading) {
                return reading;
            }
        }
    };
    tokio::time::timeout(LIMIT, found).await.expect("the numbers in time")
}

async fn what_becomes_of_deliveries_is_counted(kind: Kind) {
    let stack = start(kind, "on").await;
    let good = Hook::start().await;
    let bad = Hook::answering(|_, _| StatusCode::INTERNAL_SERVER_ERROR.into_response()).await;
    webhook(&stack, &good).await;
    webhook(&stack, &bad).await;
    Publisher::of(stack.core).chat(&stack.alice.did, "k", "hello").await;
    let reading = until(&stack, |reading| {
        reading.sum("athook_core_delivery_attempts_total", &[]) == 2.0
            && reading.sum("athook_core_deliveries_pending", &[]) == 1.0
            && reading.sum("athook_core_deliveries_in_flight", &[]) == 0.0
    })
    .await;
    for (name, labels, value) in [
        ("athook_core_delivery_attempts_total", vec![("outcome", "ok")], 1.0),
        ("athook_core_delivery_attempts_total", vec![("outcome", "http")], 1.0),
        ("athook_core_delivery_first_attempt_seconds_count", vec![], 2.0),
        ("athook_core_delivery_leases_lost_total", vec![], 0.0),
        ("athook_core_deliveries_dropped_total", vec![], 0.0),
        ("athook_core_deliveries_in_flight_limit", vec![], 1024.0),
        ("athook_core_delivery_oldest_due_seconds", vec![], 0.0),
        ("athook_core_webhooks_disabled_total", vec![], 0.0),
    ] {
        assert_eq!(reading.sum(name, &labels), value, "{name} {labels:?}");
    }
    let waited = reading.sum("athook_core_delivery_first_attempt_seconds_sum", &[]);
    assert!(waited > 0.0 && waited < 60.0, "{waited}");
}

async fn what_is_due_and_not_attempted_is_shown(kind: Kind) {
    let stack = start(kind, "off").await;
    let hook = Hook::start().await;
    webhook(&stack, &hook).await;
    Publisher::of(stack.core).chat(&stack.alice.did, "k", "hello").await;
    let reading = until(&stack, |reading| {
        reading.sum("athook_core_deliveries_pending", &[]) == 1.0
            && reading.sum("athook_core_delivery_oldest_due_seconds", &[]) > 0.0
    })
    .await;
    assert_eq!(reading.sum("athook_core_delivery_attempts_total", &[]), 0.0);
}
