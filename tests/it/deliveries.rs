//! From a published event to a request at a receiver: signed, retried, ended.

use axum::response::IntoResponse as _;
use http::StatusCode;
use proto::athook::Outcome;
use serde_json::{Value, json};
use tonic::Code;

use crate::harness::database::Kind;
use crate::harness::hook::Hook;
use crate::harness::on_both;
use crate::harness::publisher::{Publisher, chat};
use crate::harness::stack::{
    CREATE_SECRET, CREATE_WEBHOOK, DELETE_WEBHOOK, GET_WEBHOOK, Setup, Stack, UPDATE_WEBHOOK,
};
use crate::harness::webhook::id;

on_both! {
    arrives_signed, retried_with_the_same_body, repeat_is_seen, gone_turns_the_webhook_off, waits_over_a_restart,
    nothing_after_deletion
}

const TOKEN: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn setup(kind: Kind) -> Setup {
    Setup::on(kind).core("--allow-http", "true")
}

/// An active webhook of alice for chat messages, with these fields besides.
async fn webhook(stack: &Stack, url: &str, more: Value) -> Value {
    let mut input = json!({ "url": url, "events": ["chat"], "active": true });
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    stack.call(CREATE_WEBHOOK, &input).await.ok()["webhook"].take()
}

async fn arrives_signed(kind: Kind) {
    let stack = setup(kind).start().await;
    let mut hook = Hook::start().await;
    stack.call(CREATE_SECRET, &json!({ "name": "deploys", "token": TOKEN })).await.ok();
    let more = json!({ "secretId": "deploys", "prefix": "> ", "rewrite": [{ "from": "a", "to": "b" }] });
    let made = webhook(&stack, &hook.url("/hook?a=b"), more).await;
    let published = Publisher::of(stack.core).chat(&stack.alice.did, "k", "hallo").await;
    assert_eq!((published.outcome(), published.deliveries), (Outcome::Stored, 1));

    let received = hook.next().await;
    assert_eq!(received.path, "/hook?a=b");
    assert_eq!(received.header("content-type"), "application/json");
    assert_eq!(received.header("webhook-id"), format!("msg_{}", published.event_id));
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(received.header("user-agent"), format!("athook/{version}"));
    let body = json!({
        "type": "chat",
        "timestamp": "2026-11-28T20:15:00.123Z",
        "data": {
            "streamerDid": stack.alice.did,
            "author": { "did": "did:plc:z72i7hdynmk6r22z27h6tvur", "handle": "carol.example" },
            "text": "> hbllo",
            "uri": "at://did:plc:z72i7hdynmk6r22z27h6tvur/place.stream.chat.message/3m6k2xq7v2c2a",
        },
    });
    assert_eq!(received.json(), body);
    let verifier = standardwebhooks::Webhook::new(TOKEN).unwrap();
    verifier.verify(&received.body, &received.headers).unwrap();

    let shown = async || stack.query(GET_WEBHOOK, &[("id", id(&made))]).await.ok()["webhook"].take();
    let triggered = async {
        while shown().await["lastTriggered"].is_null() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), triggered).await.unwrap();
    assert_eq!(shown().await["errorCount"], 0);
    assert!(shown().await["updatedAt"].is_null());
}

async fn retried_with_the_same_body(kind: Kind) {
    let stack = setup(kind).core("--retry-schedule", "10ms,10ms,10ms").start().await;
    let mut hook = Hook::answering(|number, _| match number {
        0 => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        1 => (StatusCode::FOUND, [("location", "/elsewhere")]).into_response(),
        _ => StatusCode::OK.into_response(),
    })
    .await;
    let made = webhook(&stack, &hook.url("/hook"), json!({})).await;
    Publisher::of(stack.core).chat(&stack.alice.did, "k", "hello").await;
    let first = hook.next().await;
    stack.call(UPDATE_WEBHOOK, &json!({ "id": id(&made), "prefix": "new " })).await.ok();
    for _ in 0..2 {
        let again = hook.next().await;
        assert_eq!((&again.body, &again.path), (&first.body, &first.path));
        for header in ["webhook-id", "idempotency-key"] {
            assert_eq!(again.header(header), first.header(header));
        }
    }
    Publisher::of(stack.core).chat(&stack.alice.did, "l", "hello").await;
    assert_eq!(hook.next().await.json()["data"]["text"], "new hello");
}

async fn repeat_is_seen(kind: Kind) {
    let stack = setup(kind).start().await;
    let mut hook = Hook::start().await;
    webhook(&stack, &hook.url("/hook"), json!({})).await;
    let publisher = Publisher::of(stack.core);
    let events = |text| vec![chat(&stack.alice.did, "k", text), chat("did:plc:nobody", "l", text)];
    let first = publisher.publish(events("hello")).await.unwrap();
    let again = publisher.publish(events("hello")).await.unwrap();
    let outcomes = |results: &[proto::athook::Result]| -> Vec<_> {
        results.iter().map(|one| (one.outcome(), one.deliveries)).collect()
    };
    assert_eq!(outcomes(&first), [(Outcome::Stored, 1), (Outcome::Stored, 0)]);
    assert_eq!(outcomes(&again), [(Outcome::Seen, 1), (Outcome::Seen, 0)]);
    assert_eq!(first[0].event_id, again[0].event_id);
    let other = publisher.publish(events("other")).await.unwrap();
    assert_eq!(outcomes(&other), [(Outcome::Conflict, 0), (Outcome::Conflict, 0)]);
    hook.next().await;
    assert!(hook.waiting().is_none());
}

async fn gone_turns_the_webhook_off(kind: Kind) {
    let stack = setup(kind).start().await;
    let mut hook = Hook::answering(|_, _| StatusCode::GONE.into_response()).await;
    let made = webhook(&stack, &hook.url("/hook"), json!({})).await;
    let publisher = Publisher::of(stack.core);
    publisher.chat(&stack.alice.did, "k", "hello").await;
    hook.next().await;
    let off = async {
        let mut shown = json!({ "active": true });
        while shown["active"] == true {
            tokio::task::yield_now().await;
            shown = stack.query(GET_WEBHOOK, &[("id", id(&made))]).await.ok()["webhook"].take();
        }
        shown
    };
    let shown = tokio::time::timeout(std::time::Duration::from_secs(20), off).await.unwrap();
    assert_eq!((&shown["disabledReason"], &shown["errorCount"]), (&json!("gone"), &json!(1)));
    assert!(shown["disabledAt"].is_string());
    assert_eq!(publisher.chat(&stack.alice.did, "l", "hello").await.deliveries, 0);
    let on = stack.call(UPDATE_WEBHOOK, &json!({ "id": id(&made), "active": true })).await.ok();
    let webhook = &on["webhook"];
    assert_eq!((&webhook["disabledReason"], &webhook["errorCount"]), (&Value::Null, &json!(0)));
    assert_eq!(publisher.chat(&stack.alice.did, "m", "hello").await.deliveries, 1);
}

async fn waits_over_a_restart(kind: Kind) {
    let mut stack = setup(kind).core("--retry-schedule", "2s").start().await;
    let mut hook = Hook::answering(|number, _| match number {
        0 => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        _ => StatusCode::OK.into_response(),
    })
    .await;
    webhook(&stack, &hook.url("/hook"), json!({})).await;
    Publisher::of(stack.core).chat(&stack.alice.did, "k", "hello").await;
    let first = hook.next().await;
    stack.stop_core().await;
    stack.start_core().await;
    let second = hook.next().await;
    assert_eq!(second.body, first.body);
}

async fn nothing_after_deletion(kind: Kind) {
    let stack = setup(kind).core("--retry-schedule", "50ms,50ms,50ms").start().await;
    let mut hook = Hook::answering(|_, _| StatusCode::SERVICE_UNAVAILABLE.into_response()).await;
    let made = webhook(&stack, &hook.url("/hook"), json!({})).await;
    let mut healthy = Hook::start().await;
    webhook(&stack, &healthy.url("/hook"), json!({})).await;
    let publisher = Publisher::of(stack.core);
    publisher.chat(&stack.alice.did, "k", "hello").await;
    hook.next().await;
    healthy.next().await;
    stack.call(DELETE_WEBHOOK, &json!({ "id": id(&made) })).await.ok();
    while hook.waiting().is_some() {}
    for number in 0..20 {
        publisher.chat(&stack.alice.did, &format!("k{number}"), "hello").await;
        healthy.next().await;
    }
    assert!(hook.waiting().is_none(), "an attempt was claimed after the deletion");
}

#[tokio::test]
async fn rules_of_an_event() {
    let stack = setup(Kind::Sqlite).start().await;
    let publisher = Publisher::of(stack.core);
    let mut table = crate::harness::table::Table::default();
    let mut refused = async |case: &str, events: Vec<proto::athook::Event>, message: &str| {
        let status = publisher.publish(events).await.unwrap_err();
        table.check(
            case,
            (status.code(), status.message().to_owned()),
            (Code::InvalidArgument, message.to_owned()),
        );
    };
    let good = || chat("did:plc:a", "k", "hello");
    refused("none", Vec::new(), "events: must have at least one entry").await;
    refused("many", vec![good(); 1001], "events: must have at most 1000 entries").await;
    let mut event = good();
    event.occurred_at = None;
    refused("no time", vec![good(), event], "events[1].occurred_at: is required").await;
    let mut event = good();
    event.payload = None;
    refused("no payload", vec![event], "events[0].payload: is required").await;
    let event = chat("did:plc:a", "k", "a\0b");
    refused("nul", vec![good(), good(), good(), event], "events[3].chat.text: must not contain U+0000").await;
    let event = chat("did:key:z6Mk", "k", "a");
    let rule = "events[0].streamer_did: must be a did:plc or did:web of at most 2048 bytes";
    refused("did:key", vec![event], rule).await;
    let event = chat("did:plc:a", "", "a");
    refused("no key", vec![event], "events[0].idempotency_key: must be 1 to 128 bytes").await;
    table.finish();
    let stored = publisher.publish(vec![good()]).await.unwrap();
    assert_eq!(stored[0].outcome(), Outcome::Stored, "the refused requests stored nothing");
}

#[tokio::test]
async fn token_of_a_publisher_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let shared = file("shared", "a-shared-token-of-the-tests\n");
    let own = file("own", "chat-server publisher-token-of-tests\n");
    let stack = Setup::on(Kind::Sqlite)
        .core("--core-token-file", &shared)
        .core("--publisher-tokens-file", &own)
        .gateway("--core-token-file", &shared)
        .start()
        .await;
    let own = Publisher::with_token(stack.core, "publisher-token-of-tests");
    let shared = Publisher::with_token(stack.core, "a-shared-token-of-the-tests");
    let named = |publisher: &str| {
        let mut event = chat("did:plc:a", "k", "hello");
        event.publisher = publisher.to_owned();
        vec![event]
    };
    let first = own.publish(named("")).await.unwrap().remove(0);
    let again = shared.publish(named("chat-server")).await.unwrap().remove(0);
    assert_eq!((first.outcome(), again.outcome()), (Outcome::Stored, Outcome::Seen));
    assert_eq!(shared.publish(named("")).await.unwrap()[0].outcome(), Outcome::Stored);
    let refused = own.publish(named("other")).await.unwrap_err();
    let message =
        "events[0].publisher: must be empty or the name of the publisher whose token the call carries";
    assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, message));
    let stranger = Publisher::of(stack.core).publish(named("")).await.unwrap_err();
    assert_eq!(stranger.code(), Code::Unauthenticated);
}
