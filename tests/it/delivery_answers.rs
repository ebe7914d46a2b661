//! What receivers answer: kept as text whatever it is, and obeyed where it asks for time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, UNIX_EPOCH};

use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use process::clock::Clock;
use serde_json::json;

use crate::harness::database::{Kind, until_number};
use crate::harness::hook::Hook;
use crate::harness::on_both;
use crate::harness::publisher::Publisher;
use crate::harness::stack::{CREATE_WEBHOOK, Setup, Stack};

on_both! { body_that_is_no_text, time_that_is_asked_for }

/// What receivers ask for.
const ASKED: Duration = Duration::from_secs(3);

async fn start(kind: Kind) -> Stack {
    Setup::on(kind).core("--allow-http", "true").core("--retry-schedule", "10ms,10ms,10ms").start().await
}

async fn create(stack: &Stack, url: &str) {
    let input = json!({ "url": url, "events": ["chat"], "active": true });
    stack.call(CREATE_WEBHOOK, &input).await.ok();
}

async fn body_that_is_no_text(kind: Kind) {
    let stack = start(kind).await;
    let mut hook = Hook::answering(|number, _| {
        let status = if number == 0 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
        (status, b"a\0b\xff\xc3(c\xf0\x9f\0".to_vec()).into_response()
    })
    .await;
    create(&stack, &hook.url("/hook")).await;
    Publisher::of(stack.core).chat(&stack.alice.did, "k", "hello").await;
    for _ in 0..2 {
        hook.next().await;
    }
    let connection = stack.database.connect().await;
    let delivered = "SELECT count(*) FROM delivery WHERE state = 1 AND attempts = 2 AND last_status = 200";
    until_number(&connection, delivered, 1).await;
    let kept = "a\u{fffd}b\u{fffd}\u{fffd}(c\u{fffd}\u{fffd}";
    for (number, outcome, status) in [(1, "http", 503), (2, "ok", 200)] {
        let attempt = format!(
            "SELECT count(*) FROM attempt WHERE number = {number} AND outcome = '{outcome}' AND \
             status = {status} AND response = '{kept}'"
        );
        until_number(&connection, &attempt, 1).await;
    }
}

/// A request at a receiver.
#[derive(Debug, Clone)]
struct Seen {
    id: String,
    at: Instant,
    unix_ms: i64,
}

type SeenByPath = Arc<Mutex<HashMap<String, Vec<Seen>>>>;

/// The answer to the first request of each path.
fn refusal(path: &str, unix_ms: i64) -> Response {
    let seconds = ASKED.as_secs().to_string();
    // A date has no fractions of a second: so it is never less than asked for.
    let until = UNIX_EPOCH + Duration::from_millis(unix_ms.unsigned_abs()) + ASKED + Duration::from_secs(1);
    let (status, retry_after) = match path {
        "/seconds" => (StatusCode::SERVICE_UNAVAILABLE, seconds),
        "/date" => (StatusCode::SERVICE_UNAVAILABLE, httpdate::fmt_http_date(until)),
        "/queue" => (StatusCode::TOO_MANY_REQUESTS, seconds),
        _ => panic!("{path}"),
    };
    (status, [("retry-after", retry_after)]).into_response()
}

async fn time_that_is_asked_for(kind: Kind) {
    let stack = start(kind).await;
    let seen = SeenByPath::default();
    let noting = Arc::clone(&seen);
    let mut hook = Hook::answering(move |_, received| {
        let mut seen = noting.lock().unwrap();
        let of_path = seen.entry(received.path.clone()).or_default();
        let (at, unix_ms) = (Instant::now(), Clock::system().unix_ms());
        of_path.push(Seen { id: received.header("webhook-id").to_owned(), at, unix_ms });
        if of_path.len() == 1 {
            return refusal(&received.path, unix_ms);
        }
        StatusCode::NO_CONTENT.into_response()
    })
    .await;
    for path in ["/seconds", "/date", "/queue"] {
        create(&stack, &hook.url(path)).await;
    }
    let publisher = Publisher::of(stack.core);
    publisher.chat(&stack.alice.did, "k", "hello").await;
    let connection = stack.database.connect().await;
    // A 429 holds all deliveries of its webhook, others only the one.
    until_number(&connection, "SELECT count(*) FROM attempt", 3).await;
    until_number(&connection, "SELECT count(*) FROM webhook_state WHERE held_until_ms IS NOT NULL", 1).await;
    publisher.chat(&stack.alice.did, "l", "hello").await;
    for _ in 0..9 {
        hook.next().await;
    }
    let seen = seen.lock().unwrap();
    for (path, seen) in &*seen {
        let [first, rest @ ..] = &seen[..] else { panic!("nothing at {path}") };
        assert_eq!(rest.len(), 2, "{path}");
        assert!(path == "/queue" || rest[0].id != first.id, "{path}: another delivery has to wait");
        for later in rest {
            let waited = later.at - first.at;
            assert!(waited >= ASKED || path != "/queue" && later.id != first.id, "{path} after {waited:?}");
            if path == "/date" && later.id == first.id {
                let date_ms = (first.unix_ms + 4_000) / 1000 * 1000;
                assert!(later.unix_ms >= date_ms, "{} ms before the date", date_ms - later.unix_ms);
            }
        }
    }
}
