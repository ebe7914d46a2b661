//! What owners see of deliveries, and what they may do with them: `internal.athook.webhook.*`.

mod in_flight;

use std::time::Duration;

use axum::response::IntoResponse as _;
use http::StatusCode;
use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};

use crate::harness::database::Kind;
use crate::harness::hook::Hook;
use crate::harness::identity::{Identity, Key};
use crate::harness::on_both;
use crate::harness::publisher::Publisher;
use crate::harness::stack::{
    BOB, CREATE_WEBHOOK, DELETE_WEBHOOK, GET_DELIVERY, LIST_DELIVERIES, REDELIVER, REDELIVER_FAILED,
    SEND_TEST, Setup, Stack, UPDATE_WEBHOOK,
};
use crate::harness::webhook::id;

on_both! {
    attempts_and_body, states_and_pages, redelivered, redelivered_after_the_schedule, failed_ones_at_once,
    cancelled_at_once, tests_of_webhooks, others_see_nothing, payload_expired
}

/// How long a test waits for a delivery to change.
const LIMIT: Duration = Duration::from_secs(30);
/// A time before everything.
const LONG_AGO: &str = "2020-01-01T00:00:00Z";

fn setup(kind: Kind) -> Setup {
    retrying_after(kind, "10ms")
}

fn retrying_after(kind: Kind, step: &str) -> Setup {
    Setup::on(kind).core("--allow-http", "true").core("--retry-schedule", step)
}

async fn webhook(stack: &Stack, url: &str) -> String {
    let input = json!({ "url": url, "events": ["chat"], "active": true });
    id(&stack.call(CREATE_WEBHOOK, &input).await.ok()["webhook"]).to_owned()
}

async fn publish(stack: &Stack, key: &str) -> String {
    Publisher::of(stack.core).chat(&stack.alice.did, key, "hello").await.event_id
}

async fn list(stack: &Stack, webhook: &str, more: &[(&str, &str)]) -> Value {
    let params: Vec<_> = [("webhookId", webhook)].into_iter().chain(more.iter().copied()).collect();
    stack.query(LIST_DELIVERIES, &params).await.ok()
}

/// The deliveries of a webhook that are in this state.
async fn in_state(stack: &Stack, webhook: &str, state: &str) -> Vec<Value> {
    let mut page = list(stack, webhook, &[("state", state), ("limit", "100")]).await;
    serde_json::from_value(page["deliveries"].take()).unwrap()
}

async fn get(stack: &Stack, id: &str) -> Value {
    stack.query(GET_DELIVERY, &[("id", id)]).await.ok()
}

/// Waits until so many deliveries of the webhook are in this state, and returns them, newest first.
async fn until(stack: &Stack, webhook: &str, state: &str, count: usize) -> Vec<Value> {
    let waiting = async {
        loop {
            let found = in_state(stack, webhook, state).await;
            if found.len() == count {
                return found;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, waiting).await.expect("deliveries in that state in time")
}

/// Answers the first `failures` requests with 500 and a body, the others with 200.
async fn failing_at_first(failures: usize) -> Hook {
    Hook::answering(move |number, _| match number {
        number if number < failures => (StatusCode::INTERNAL_SERVER_ERROR, "no\0\u{e9}").into_response(),
        _ => "fine".into_response(),
    })
    .await
}

async fn attempts_and_body(kind: Kind) {
    let stack = setup(kind).start().await;
    let mut hook = failing_at_first(1).await;
    let webhook = webhook(&stack, &hook.url("/hook")).await;
    assert_eq!(list(&stack, &webhook, &[]).await, json!({ "deliveries": [] }));
    let event = publish(&stack, "k").await;
    let sent = hook.next().await;
    hook.next().await;
    let listed = until(&stack, &webhook, "delivered", 1).await.remove(0);

    let shown = get(&stack, listed["id"].as_str().unwrap()).await;
    assert_eq!(shown["delivery"], listed);
    assert_eq!(listed["id"], sent.header("idempotency-key"));
    let expected = json!({ "eventId": event, "type": "chat", "state": "delivered", "attempts": 2,
                           "lastOutcome": "ok", "lastStatus": 200 });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&listed[field], value, "{field}");
    }
    assert!(listed["lastAttemptAt"].is_string() && listed["nextAttemptAt"].is_null(), "{listed}");
    assert_eq!(shown["body"].as_str().unwrap().as_bytes(), sent.body);
    let attempts = shown["attempts"].as_array().unwrap();
    let told: Vec<_> =
        attempts.iter().map(|one| (&one["outcome"], &one["status"], &one["response"])).collect();
    let (failed, fine) = (json!("no\u{fffd}\u{e9}"), json!("fine"));
    assert_eq!(told, [(&json!("http"), &json!(500), &failed), (&json!("ok"), &json!(200), &fine)]);
    assert!(attempts.iter().all(|one| one["at"].is_string() && one["durationMs"].is_u64()), "{shown}");
}

async fn states_and_pages(kind: Kind) {
    let stack = retrying_after(kind, "1h").start().await;
    let mut hook = Hook::answering(|number, _| match number % 3 {
        0 => StatusCode::BAD_REQUEST.into_response(),
        1 => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        _ => StatusCode::NO_CONTENT.into_response(),
    })
    .await;
    let webhook = webhook(&stack, &hook.url("/hook")).await;
    let mut events = Vec::new();
    for number in 0..9 {
        events.push(publish(&stack, &number.to_string()).await);
        hook.next().await;
        // One after the other, so that the number of the request is that of the event.
        let ended = async {
            while !list(&stack, &webhook, &[("limit", "1")]).await["deliveries"][0]["lastOutcome"].is_string()
            {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LIMIT, ended).await.unwrap();
    }
    events.reverse();
    let ids_of = |page: &Value| -> Vec<String> {
        let deliveries = page["deliveries"].as_array().unwrap();
        deliveries.iter().map(|one| one["eventId"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids_of(&list(&stack, &webhook, &[]).await), events);
    for (remainder, state) in [(0, "failed"), (1, "pending"), (2, "delivered")] {
        let page = list(&stack, &webhook, &[("state", state)]).await;
        let expected: Vec<String> = (0..9)
            .rev()
            .zip(&events)
            .filter(|(number, _)| number % 3 == remainder)
            .map(|(_, e)| e.clone())
            .collect();
        assert_eq!(ids_of(&page), expected, "{state}");
        assert_eq!(page["deliveries"][0]["nextAttemptAt"].is_string(), state == "pending");
    }
    let (mut seen, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let mut more = vec![("limit", "2")];
        more.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let page = list(&stack, &webhook, &more).await;
        seen.extend(ids_of(&page));
        match page["cursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    assert_eq!(seen, events);
    for (more, name, message) in [
        (("state", "gone"), "InvalidRequest", "params.state: must be one of pending, delivered, failed"),
        (("limit", "0"), "InvalidRequest", "params.limit: must be 1 to 100"),
        (("cursor", "!"), "InvalidCursor", "params.cursor: must be one that this service gave out"),
    ] {
        let answer = stack.query(LIST_DELIVERIES, &[("webhookId", &webhook), more]).await;
        assert_eq!(answer.whole(), crate::harness::answer::error(400, name, message));
    }
}

/// The same bytes under the same ids, whatever has become of it, also when the webhook is off or was changed.
async fn redelivered(kind: Kind) {
    let stack = setup(kind).start().await;
    let mut hook = Hook::start().await;
    let webhook = webhook(&stack, &hook.url("/hook")).await;
    publish(&stack, "k").await;
    let first = hook.next().await;
    let delivered = until(&stack, &webhook, "delivered", 1).await.remove(0);
    for change in [json!({ "prefix": "new " }), json!({ "active": false })] {
        let mut input = json!({ "id": webhook });
        input.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        stack.call(UPDATE_WEBHOOK, &input).await.ok();
        let answer = stack.call(REDELIVER, &json!({ "id": delivered["id"] })).await.ok();
        assert_eq!(
            (&answer["delivery"]["id"], &answer["delivery"]["state"]),
            (&delivered["id"], &json!("pending"))
        );
        let again = hook.next().await;
        assert_eq!(again.body, first.body);
        for header in ["webhook-id", "idempotency-key"] {
            assert_eq!(again.header(header), first.header(header));
        }
        until(&stack, &webhook, "delivered", 1).await;
    }
    let attempts = get(&stack, delivered["id"].as_str().unwrap()).await["attempts"].as_array().unwrap().len();
    assert_eq!(attempts, 3);
}

/// A delivery that has used all its attempts gets all of them again.
async fn redelivered_after_the_schedule(kind: Kind) {
    let stack = setup(kind).start().await;
    let mut hook = failing_at_first(3).await;
    let webhook = webhook(&stack, &hook.url("/hook")).await;
    publish(&stack, "k").await;
    let failed = until(&stack, &webhook, "failed", 1).await.remove(0);
    assert_eq!(failed["attempts"], 2);
    stack.call(REDELIVER, &json!({ "id": failed["id"] })).await.ok();
    let delivered = until(&stack, &webhook, "delivered", 1).await.remove(0);
    assert_eq!((&delivered["id"], &delivered["attempts"]), (&failed["id"], &json!(4)));
    for _ in 0..4 {
        hook.next().await;
    }
    assert!(hook.waiting().is_none());
}

async fn failed_ones_at_once(kind: Kind) {
    let stack = setup(kind).start().await;
    let hook = failing_at_first(6).await;
    let webhook = webhook(&stack, &hook.url("/hook")).await;
    let input = |since: &str| json!({ "webhookId": webhook, "since": since });
    assert_eq!(stack.call(REDELIVER_FAILED, &input(LONG_AGO)).await.ok(), json!({ "count": 0 }));
    for number in 0..3 {
        publish(&stack, &number.to_string()).await;
        until(&stack, &webhook, "failed", number + 1).await;
    }
    let failed = in_state(&stack, &webhook, "failed").await;
    assert_eq!(
        stack.call(REDELIVER_FAILED, &input("2999-01-01T00:00:00Z")).await.ok(),
        json!({ "count": 0 })
    );
    let since = failed[1]["createdAt"].as_str().unwrap();
    assert_eq!(stack.call(REDELIVER_FAILED, &input(since)).await.ok(), json!({ "count": 2 }));
    until(&stack, &webhook, "delivered", 2).await;
    assert_eq!(in_state(&stack, &webhook, "failed").await, failed[2..]);
    assert_eq!(stack.call(REDELIVER_FAILED, &input(LONG_AGO)).await.ok(), json!({ "count": 1 }));
    until(&stack, &webhook, "delivered", 3).await;
}

/// From the answer that the webhook is off, what waits shows as cancelled, and no call for what failed makes
/// it due again; a call for the one does.
async fn cancelled_at_once(kind: Kind) {
    let stack = retrying_after(kind, "1h").start().await;
    let mut hook = failing_at_first(3).await;
    let webhook = webhook(&stack, &hook.url("/hook")).await;
    for number in 0..3 {
        publish(&stack, &number.to_string()).await;
        hook.next().await;
    }
    let waiting = async {
        while in_state(&stack, &webhook, "pending").await.iter().any(|one| one["lastOutcome"].is_null()) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, waiting).await.unwrap();
    stack.call(UPDATE_WEBHOOK, &json!({ "id": webhook, "active": false })).await.ok();
    assert!(in_state(&stack, &webhook, "pending").await.is_empty());
    let cancelled = in_state(&stack, &webhook, "failed").await;
    assert_eq!(cancelled.len(), 3);
    assert!(cancelled.iter().all(|one| one["lastOutcome"] == "cancelled" && one["nextAttemptAt"].is_null()));
    let all = stack.call(REDELIVER_FAILED, &json!({ "webhookId": webhook, "since": LONG_AGO })).await.ok();
    assert_eq!(all, json!({ "count": 0 }));
    stack.call(REDELIVER, &json!({ "id": cancelled[0]["id"] })).await.ok();
    let delivered = until(&stack, &webhook, "delivered", 1).await.remove(0);
    assert_eq!(delivered["id"], cancelled[0]["id"]);
}

async fn tests_of_webhooks(kind: Kind) {
    let stack = setup(kind).start().await;
    let mut hook = Hook::start().await;
    let webhook = webhook(&stack, &hook.url("/hook")).await;
    stack.call(UPDATE_WEBHOOK, &json!({ "id": webhook, "active": false })).await.ok();
    let types = ["chat", "livestream", "follow", "mention", "stream.received"];
    for event in types {
        let sent = stack.call(SEND_TEST, &json!({ "webhookId": webhook, "event": event })).await.ok();
        let received = hook.next().await;
        assert_eq!(received.header("idempotency-key"), sent["id"]);
        assert_eq!(received.json()["type"], event);
        assert_eq!(received.json()["data"]["streamerDid"], stack.alice.did);
    }
    let sent = stack.call(SEND_TEST, &json!({ "webhookId": webhook })).await.ok();
    assert_eq!(hook.next().await.json()["type"], "chat");
    until(&stack, &webhook, "delivered", types.len() + 1).await;
    let watched = get(&stack, sent["id"].as_str().unwrap()).await;
    assert_eq!(
        (&watched["delivery"]["state"], &watched["attempts"][0]["status"]),
        (&json!("delivered"), &json!(204))
    );
    let wrong = stack.call(SEND_TEST, &json!({ "webhookId": webhook, "event": "stream" })).await;
    assert_eq!(wrong.json()["error"], "InvalidRequest");
    // The limit: of ten, six are used.
    for _ in 0..4 {
        stack.call(SEND_TEST, &json!({ "webhookId": webhook })).await.ok();
    }
    let refused = stack.call(SEND_TEST, &json!({ "webhookId": webhook })).await;
    assert_eq!((refused.status.as_u16(), refused.json()["error"].as_str()), (429, Some("RateLimitExceeded")));
    assert!((1..=60).contains(&refused.header("retry-after").parse::<u64>().unwrap()));
}

async fn others_see_nothing(kind: Kind) {
    let stack = setup(kind).start().await;
    let mut hook = Hook::start().await;
    let webhook = webhook(&stack, &hook.url("/hook")).await;
    publish(&stack, "k").await;
    hook.next().await;
    let delivery = until(&stack, &webhook, "delivered", 1).await.remove(0);
    let delivery = delivery["id"].as_str().unwrap();
    let bob = stack.newcomer(BOB, Key::k256());
    let names = async |caller: &Identity| {
        let query = async |nsid, param, value| {
            let answer = stack.query_as(caller, nsid, &[(param, value)]).await;
            answer.json()["error"].as_str().map(str::to_owned)
        };
        let call = async |nsid, input: Value| {
            stack.call_as(caller, nsid, &input).await.json()["error"].as_str().map(str::to_owned)
        };
        [
            query(LIST_DELIVERIES, "webhookId", &*webhook).await,
            query(GET_DELIVERY, "id", delivery).await,
            call(REDELIVER, json!({ "id": delivery })).await,
            call(REDELIVER_FAILED, json!({ "webhookId": webhook, "since": LONG_AGO })).await,
            call(SEND_TEST, json!({ "webhookId": webhook })).await,
        ]
    };
    let nothing =
        ["WebhookNotFound", "DeliveryNotFound", "DeliveryNotFound", "WebhookNotFound", "WebhookNotFound"]
            .map(|name| Some(name.to_owned()));
    assert_eq!(names(&bob).await, nothing);
    assert!(hook.waiting().is_none());
    stack.call(DELETE_WEBHOOK, &json!({ "id": webhook })).await.ok();
    assert_eq!(names(&stack.alice).await, nothing);
}

async fn payload_expired(kind: Kind) {
    let stack = setup(kind).start().await;
    let mut hook = failing_at_first(2).await;
    let webhook = webhook(&stack, &hook.url("/hook")).await;
    publish(&stack, "k").await;
    hook.next().await;
    let failed = until(&stack, &webhook, "failed", 1).await.remove(0);
    // As retention does it.
    let connection = stack.database.connect().await;
    for sql in ["UPDATE delivery SET body = NULL", "UPDATE event SET payload = NULL"] {
        connection.execute_unprepared(sql).await.unwrap();
    }
    assert_eq!(get(&stack, failed["id"].as_str().unwrap()).await.get("body"), None);
    let answer = stack.call(REDELIVER, &json!({ "id": failed["id"] })).await;
    let message = "the body of this delivery is no longer kept";
    assert_eq!(answer.whole(), crate::harness::answer::error(400, "PayloadExpired", message));
    let all = stack.call(REDELIVER_FAILED, &json!({ "webhookId": webhook, "since": LONG_AGO })).await.ok();
    assert_eq!(all, json!({ "count": 0 }));
}
