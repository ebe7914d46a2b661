//! The trace of a published event goes on in the attempts of its deliveries, and their log lines say which
//! delivery they are of.

use axum::response::IntoResponse as _;
use http::StatusCode;
use serde_json::json;

use super::{CORE, below, trace, traceparent};
use crate::harness::collector::{Collector, Sent, hex};
use crate::harness::database::{Kind, rows};
use crate::harness::hook::Hook;
use crate::harness::logs;
use crate::harness::on_both;
use crate::harness::publisher::Publisher;
use crate::harness::stack::{CREATE_WEBHOOK, LIST_DELIVERIES, Setup, Stack};

const ATTEMPT: &str = "delivery attempt";

on_both! { attempts_belong_to_the_trace_of_the_publication, publication_that_is_not_sampled_has_no_spans }

/// A pair whose spans go to the collector, with a webhook of alice for chat messages; returns its id too.
async fn start(kind: Kind, collector: &Collector, hook: &Hook) -> (Stack, String) {
    let setup = Setup::on(kind).core("--otlp-endpoint", &collector.url()).core("--otlp-sample", "0");
    let stack = setup.core("--allow-http", "true").core("--retry-schedule", "2s,10ms").start().await;
    let input = json!({ "url": hook.url("/odd-path"), "events": ["chat"], "active": true });
    let made = stack.call(CREATE_WEBHOOK, &input).await.ok();
    (stack, made["webhook"]["id"].as_str().unwrap().to_owned())
}

/// Fails once, then refuses the message for good.
async fn failing() -> Hook {
    Hook::answering(|number, _| match number {
        0 => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        _ => StatusCode::NO_CONTENT.into_response(),
    })
    .await
}

async fn attempts_belong_to_the_trace_of_the_publication(kind: Kind) {
    let collector = Collector::start().await;
    let mut hook = failing().await;
    let (mut stack, webhook) = start(kind, &collector, &hook).await;
    let trace = trace(1);
    Publisher::traced(stack.core, &traceparent(&trace, true)).chat(&stack.alice.did, "k", "odd-text").await;
    let first = hook.next().await;
    // The next attempt is another process's.
    stack.stop_core().await;
    stack.start_core().await;
    let second = hook.next().await;
    for received in [first, second] {
        assert!(received.headers.get("traceparent").is_none());
    }

    let served = collector.span(CORE, "athook.v1.EventService/Publish", &trace).await;
    let attempts = collector
        .until(|spans| {
            let attempts: Vec<_> = spans.iter().filter(|sent| sent.span.name == ATTEMPT).cloned().collect();
            (attempts.len() == 2).then_some(attempts)
        })
        .await;
    let listed = stack.query(LIST_DELIVERIES, &[("webhookId", &webhook)]).await.ok();
    let delivery = listed["deliveries"][0]["id"].as_str().unwrap().to_owned();
    for (attempt, number, outcome, status) in
        [(&attempts[0], "1", "http", "503"), (&attempts[1], "2", "ok", "204")]
    {
        below(attempt, &served);
        assert_eq!(hex(&attempt.span.trace_id), trace);
        for (name, value) in [
            ("athook.delivery_id", delivery.as_str()),
            ("athook.webhook_id", &webhook),
            ("athook.attempt", number),
            ("athook.outcome", outcome),
            ("http.response.status_code", status),
        ] {
            assert_eq!(attempt.attribute(name).as_deref(), Some(value), "{name}");
        }
    }
    // The outcome is written within the trace too.
    let written =
        |sent: &&Sent| sent.span.name == "write row" && sent.span.parent_span_id == attempts[0].span.span_id;
    collector.until(|spans| spans.iter().find(written).cloned()).await;
    let text = format!("{:?}", collector.all());
    for hidden in ["odd-path", "odd-text", "127.0.0.1", "did:"] {
        assert!(!text.contains(hidden), "{hidden} is in {text}");
    }

    let lines = logs::lines(|line| line.contains("attempt ended") && line.contains(&delivery));
    let told: Vec<_> = lines
        .iter()
        .map(|line| {
            let of = |name: &str| line[name].clone();
            assert_eq!(
                (&line["level"], &line["webhook"], &line["trace_id"]),
                (&json!("DEBUG"), &json!(webhook), &json!(trace))
            );
            (of("attempt"), of("outcome"), of("status"))
        })
        .collect();
    assert_eq!(told, [(json!(1), json!("http"), json!(503)), (json!(2), json!("ok"), json!(204))]);
}

async fn publication_that_is_not_sampled_has_no_spans(kind: Kind) {
    let collector = Collector::start().await;
    let mut hook = failing().await;
    let (stack, _) = start(kind, &collector, &hook).await;
    for (number, key) in [(1, "k"), (2, "l")] {
        let parent = traceparent(&trace(number), number == 2);
        Publisher::traced(stack.core, &parent).chat(&stack.alice.did, key, "hello").await;
        hook.next().await;
    }
    hook.next().await;
    let connection = stack.database.connect().await;
    let kept =
        rows(&connection, "SELECT idempotency_key, traceparent FROM event ORDER BY idempotency_key").await;
    let kept: Vec<Option<String>> = kept.iter().map(|row| row.try_get("", "traceparent").unwrap()).collect();
    assert!(kept[0].is_none() && kept[1].is_some(), "{kept:?}");
    // Spans are sent in order, so nothing of the first comes later.
    collector.span(CORE, ATTEMPT, &trace(2)).await;
    let traces: Vec<_> = collector.all().iter().map(|sent| hex(&sent.span.trace_id)).collect();
    assert!(traces.iter().all(|one| *one == trace(2)), "{traces:?}");
}
