//! `athook test`: sends a sample event to a webhook at a running `athook dev`, and says what came of it.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use process::exit::Failure;
use process::output::print_line;
use process::settings::{Problems, given};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::developer;
use crate::event_types::event_type;
use crate::printable;
use crate::xrpc::Xrpc;

/// How long the first attempt may take: longer than the default of `--delivery-timeout`.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(30);
/// How often it is looked at.
const INTERVAL: Duration = Duration::from_millis(50);

/// The flags of `athook test`.
#[derive(clap::Args)]
pub(crate) struct RawTest {
    /// The webhook's id
    #[arg(value_name = "WEBHOOK")]
    webhook: String,
    /// The type of the sample event [default: the first that the webhook asks for]
    #[arg(long, value_name = "TYPE")]
    event: Option<String>,
    /// Print the delivery and its attempts as a line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: core_service::config::RawDatabase,
}

/// Sends the event and waits for the end of the first attempt. Exit code 0: it arrived; 1: it did not; 2: the
/// arguments are wrong.
pub(crate) fn run(raw: RawTest) -> ExitCode {
    let RawTest { webhook, event, json, database } = raw;
    let mut problems = Problems::new();
    let event = given(event).map(|text| event_type("--event", &text, &mut problems));
    let folder = developer::folder(&database, &mut problems);
    match problems.finish(folder) {
        Err(error) => process::exit::settings(&error),
        Ok(folder) => process::exit::run(async move { test(&folder, &webhook, event.flatten(), json).await }),
    }
}

async fn test(folder: &Path, webhook: &str, event: Option<String>, json: bool) -> Result<(), Failure> {
    let xrpc = Xrpc::of_running(folder).await?;
    let mut input = json!({ "webhookId": webhook });
    if let Some(event) = event {
        input["event"] = event.into();
    }
    let sent = xrpc.procedure("internal.athook.webhook.sendTest", &input).await?;
    let id = sent["id"].as_str().ok_or("the answer has no id")?;
    let shown = watch(&xrpc, id).await?;
    print_line(if json { shown.to_string() } else { text(&shown) })?;
    if shown["delivery"]["state"] == "delivered" { Ok(()) } else { Err("the test did not arrive".into()) }
}

/// The delivery `id` once an attempt has ended, or it has ended without one.
async fn watch(xrpc: &Xrpc, id: &str) -> Result<Value, Failure> {
    let end = Instant::now() + ATTEMPT_LIMIT;
    loop {
        let shown = xrpc.query("internal.athook.webhook.getDelivery", &[("id", id.to_owned())]).await?;
        if shown["delivery"]["lastOutcome"].is_string() || Instant::now() > end {
            return Ok(shown);
        }
        sleep(INTERVAL).await;
    }
}

/// `delivered: msg_… ok, 204, 12 ms`, and what the receiver answered if it is not delivered.
fn text(shown: &Value) -> String {
    let delivery = &shown["delivery"];
    let event = printable::value(&delivery["eventId"]);
    let mut text = format!("{}: msg_{event}", printable::value(&delivery["state"]));
    let outcome = &delivery["lastOutcome"];
    text.push_str(
        &outcome.as_str().map_or_else(|| " not attempted yet".to_owned(), |word| format!(" {word}")),
    );
    let Some(attempt) = shown["attempts"].as_array().and_then(|attempts| attempts.last()) else {
        return text;
    };
    if let Some(status) = attempt["status"].as_u64() {
        text.push_str(&format!(", {status}"));
    }
    text.push_str(&format!(", {} ms", printable::value(&attempt["durationMs"])));
    if let Some(next) = delivery["nextAttemptAt"].as_str() {
        text.push_str(&format!(", tried again at {next}"));
    }
    if let Some(response) = attempt["response"].as_str().filter(|_| delivery["state"] != "delivered") {
        text.push_str(&format!("\n{}", printable::escaped(response)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_of_it() {
        let shown = |state: &str, more: Value, attempts: Value| {
            let mut delivery = json!({ "eventId": "0198", "state": state });
            delivery.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            text(&json!({ "delivery": delivery, "attempts": attempts }))
        };
        let attempt = json!([{ "outcome": "ok", "status": 204, "durationMs": 12 }]);
        let delivered = shown("delivered", json!({ "lastOutcome": "ok" }), attempt);
        assert_eq!(delivered, "delivered: msg_0198 ok, 204, 12 ms");
        let attempt =
            json!([{ "outcome": "http", "status": 500, "durationMs": 1, "response": "no\u{1b}[2J" }]);
        let more = json!({ "lastOutcome": "http", "nextAttemptAt": "2026-11-29T00:00:00.000Z" });
        assert_eq!(
            shown("pending", more, attempt),
            "pending: msg_0198 http, 500, 1 ms, tried again at 2026-11-29T00:00:00.000Z\nno\\u{1b}[2J"
        );
        assert_eq!(shown("pending", json!({}), json!([])), "pending: msg_0198 not attempted yet");
        let secret = shown("pending", json!({ "lastOutcome": "secret" }), json!([]));
        assert_eq!(secret, "pending: msg_0198 secret");
    }
}
