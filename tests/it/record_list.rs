//! What owners see of their wh records: `internal.athook.record.list`, and the methods about deliveries with
//! a record's at-uri.

use std::time::Duration;

use fakes::jetstream::{Item, Jetstream, Wire};
use http::StatusCode;
use serde_json::{Value, json};

use crate::harness::database::Kind;
use crate::harness::hook::Hook;
use crate::harness::identity::{Identity, Key};
use crate::harness::on_both;
use crate::harness::stack::{
    BOB, CREATE_SECRET, DELETE_SECRET, GET_DELIVERY, LIST_DELIVERIES, LIST_RECORDS, REDELIVER,
    REDELIVER_FAILED, SEND_TEST, Setup, Stack,
};

on_both! {
    states_and_reasons, network_that_is_not_read, oldest_ones_within_the_limit, deliveries_by_at_uri, off_and_tested, gone_until_changed,
    others_see_nothing, pages
}

const WH: &str = "place.wisp.v2.wh";
const CAROL: &str = "did:plc:z72i7hdynmk6r22z27h6tvur";
const POST: &str = "app.bsky.feed.post";
/// How long a test waits for what must come.
const LIMIT: Duration = Duration::from_secs(30);

/// A stack that reads a stream of its own, in which alice is known.
struct Reading {
    stack: Stack,
    jetstream: Jetstream,
}

impl Reading {
    async fn start(kind: Kind, flags: &[(&str, &str)]) -> Self {
        let jetstream = Jetstream::start().await;
        let mut setup = Setup::on(kind)
            .core("--allow-http", "true")
            .core("--intake", "on")
            .core("--jetstream", &jetstream.url(Wire::V2))
            .core("--plc-url", "http://127.0.0.1:1");
        for (flag, value) in flags {
            setup = setup.core(flag, value);
        }
        let stack = setup.start().await;
        stack.create_secret("known").await.ok();
        jetstream.opened(1).await;
        let reading = Self { stack, jetstream };
        reading.known().await;
        reading
    }

    /// Waits until it is known that alice has a secret, so that her records count.
    async fn known(&self) {
        let waiting = async {
            self.write(Operation::Create, "probe", &json!({ "enabled": false }));
            while self.page(&[]).await["records"] == json!([]) {
                self.write(Operation::Update, "probe", &json!({ "enabled": false }));
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(LIMIT, waiting).await.expect("alice is known in time");
        self.jetstream.push([Item::delete(&self.stack.alice.did, WH, "probe")]);
        self.until(&[]).await;
    }

    fn uri(&self, rkey: &str) -> String {
        format!("at://{}/{WH}/{rkey}", self.stack.alice.did)
    }

    /// Writes a record of alice. `more` is put in the place of its fields; `null` takes one away.
    fn write(&self, operation: Operation, rkey: &str, more: &Value) {
        let mut record = json!({
            "$type": WH, "scope": {"aturi": format!("at://{CAROL}/{POST}")}, "url": "https://hooks.example/a#",
            "createdAt": "2026-11-29T12:00:00Z",
        });
        let fields = record.as_object_mut().unwrap();
        for (name, value) in more.as_object().unwrap() {
            fields.remove(name);
            if !value.is_null() {
                fields.insert(name.clone(), value.clone());
            }
        }
        let (did, record) = (self.stack.alice.did.as_str(), record.to_string());
        self.jetstream.push([match operation {
            Operation::Create => Item::create(did, WH, rkey, &record),
            Operation::Update => Item::update(did, WH, rkey, &record),
        }]);
    }

    async fn page(&self, params: &[(&str, &str)]) -> Value {
        self.stack.query(LIST_RECORDS, params).await.ok()
    }

    /// Waits until these are the records, each `rkey state reason`.
    async fn until(&self, expected: &[&str]) {
        let mut last = Vec::new();
        let waiting = async {
            loop {
                let page = self.page(&[]).await;
                last = page["records"].as_array().unwrap().iter().map(told).collect();
                if last == expected {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        if tokio::time::timeout(LIMIT, waiting).await.is_err() {
            assert_eq!(last, expected);
        }
    }

    /// Waits for a delivery of the record in this state.
    async fn delivery(&self, rkey: &str, state: &str) -> Value {
        let uri = self.uri(rkey);
        let waiting = async {
            loop {
                let page =
                    self.stack.query(LIST_DELIVERIES, &[("webhookId", &uri), ("state", state)]).await.ok();
                if let Some(delivery) = page["deliveries"].get(0) {
                    return delivery.clone();
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(LIMIT, waiting).await.expect("a delivery in that state in time")
    }
}

#[derive(Clone, Copy)]
enum Operation {
    Create,
    Update,
}

fn told(record: &Value) -> String {
    let rkey = record["uri"].as_str().unwrap().rsplit('/').next().unwrap();
    let text = format!(
        "{rkey} {} {}",
        record["state"].as_str().unwrap(),
        record["reason"].as_str().unwrap_or_default()
    );
    text.trim_end().to_owned()
}

async fn states_and_reasons(kind: Kind) {
    let reading = Reading::start(kind, &[]).await;
    assert_eq!(reading.page(&[]).await, json!({ "records": [] }));
    reading.write(Operation::Create, "a", &json!({ "events": ["create"], "secret": "in plaintext" }));
    reading.until(&["a active"]).await;
    assert_eq!(
        reading.page(&[]).await,
        json!({ "records": [{
            "uri": reading.uri("a"),
            "state": "active",
            "url": "https://hooks.example/a",
            "scope": {"aturi": format!("at://{CAROL}/{POST}"), "backlinks": false},
            "errorCount": 0,
        }] })
    );
    reading.write(Operation::Create, "b", &json!({ "url": "ftp://hooks.example/" }));
    reading.write(Operation::Create, "c", &json!({ "secretId": "main" }));
    reading.write(Operation::Create, "d", &json!({ "enabled": false }));
    let missing = "c secret_missing secretId: there is no secret of that name";
    let disabled = "d disabled enabled: is false";
    reading.until(&["a active", "b invalid url: must be https or http", missing, disabled]).await;
    let listed = reading.page(&[]).await;
    assert_eq!(
        listed["records"][1],
        json!({
            "uri": reading.uri("b"), "state": "invalid", "reason": "url: must be https or http", "errorCount": 0,
        })
    );
    assert_eq!(listed["records"][2]["secretId"], "main");

    reading.stack.create_secret("main").await.ok();
    reading.write(Operation::Update, "a", &json!({ "scope": null }));
    reading.write(Operation::Update, "b", &json!({}));
    reading.write(Operation::Update, "d", &json!({ "enabled": true }));
    reading.until(&["a invalid scope: is required", "b active", "c active", "d active"]).await;
    assert_eq!(reading.stack.call(DELETE_SECRET, &json!({ "name": "main" })).await.status, StatusCode::OK);
    reading.jetstream.push([Item::delete(&reading.stack.alice.did, WH, "a")]);
    reading.until(&["b active", missing, "d active"]).await;

    reading.jetstream.push([Item::account(&reading.stack.alice.did, false, Some("deactivated"))]);
    let inactive = ["b", "c", "d"].map(|rkey| format!("{rkey} owner_inactive the account is deactivated"));
    reading.until(&inactive.each_ref().map(String::as_str)).await;
    reading.jetstream.push([Item::account(&reading.stack.alice.did, true, None)]);
    reading.until(&["b active", missing, "d active"]).await;
}

async fn network_that_is_not_read(kind: Kind) {
    let reading = Reading::start(kind, &[]).await;
    let scope = |aturi: String, backlinks: bool| json!({ "scope": {"aturi": aturi, "backlinks": backlinks} });
    reading.write(Operation::Create, "a", &scope(format!("at://{CAROL}"), false));
    reading.write(Operation::Create, "b", &scope(format!("at://{CAROL}/{POST}"), true));
    reading.write(Operation::Create, "c", &scope(format!("at://{CAROL}/app.bsky.*"), false));
    let reason = "invalid scope: needs the records of the whole network, which are not read here (--intake-network off)";
    reading.until(&[&format!("a {reason}"), &format!("b {reason}"), "c active"]).await;
    reading.write(Operation::Update, "a", &json!({}));
    reading.until(&["a active", &format!("b {reason}"), "c active"]).await;
}

async fn oldest_ones_within_the_limit(kind: Kind) {
    let reading = Reading::start(kind, &[("--max-record-webhooks", "2")]).await;
    for rkey in ["c", "b", "a"] {
        reading.write(Operation::Create, rkey, &json!({}));
    }
    let over = "a over_limit the limit of 2 active records is reached";
    reading.until(&["c active", "b active", over]).await;
    reading.write(Operation::Update, "c", &json!({ "enabled": false }));
    reading.until(&["c disabled enabled: is false", "b active", "a active"]).await;
}

async fn deliveries_by_at_uri(kind: Kind) {
    let reading = Reading::start(kind, &[("--retry-schedule", "10ms")]).await;
    let mut hook = Hook::answering(|number, _| {
        use axum::response::IntoResponse as _;
        // The first event fails, twice.
        if number < 2 { StatusCode::BAD_REQUEST.into_response() } else { StatusCode::OK.into_response() }
    })
    .await;
    reading.write(Operation::Create, "a", &json!({ "url": hook.url("/a"), "secretId": "known" }));
    reading.until(&["a active"]).await;
    // The host was not asked for posts before: what came since then is read as well.
    reading.jetstream.push([Item::create(
        CAROL,
        POST,
        "x",
        r#"{"text":"hello","$type":"app.bsky.feed.post"}"#,
    )]);
    let first = hook.next().await;
    let failed = reading.delivery("a", "failed").await;
    assert_eq!((&failed["type"], &failed["lastStatus"]), (&json!("create"), &json!(400)));
    assert_eq!(first.header("idempotency-key"), failed["id"]);
    assert_eq!(first.header("webhook-id"), format!("msg_{}", failed["eventId"].as_str().unwrap()));
    assert_eq!(first.json()["id"], failed["eventId"]);

    let id = failed["id"].as_str().unwrap();
    let details = reading.stack.query(GET_DELIVERY, &[("id", id)]).await.ok();
    assert_eq!(details["body"].as_str().unwrap().as_bytes(), first.body);
    assert_eq!(reading.page(&[]).await["records"][0]["errorCount"], 1);

    // Once more in vain, then with success.
    reading.stack.call(REDELIVER, &json!({ "id": id })).await.ok();
    assert_eq!(hook.next().await.body, first.body);
    let waiting = async {
        while reading.page(&[]).await["records"][0]["errorCount"] != 2 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(LIMIT, waiting).await.expect("the second failure in time");
    let since = json!({ "webhookId": reading.uri("a"), "since": "2020-01-01T00:00:00Z" });
    assert_eq!(reading.stack.call(REDELIVER_FAILED, &since).await.ok(), json!({ "count": 1 }));
    let again = hook.next().await;
    assert_eq!((&again.body, again.header("webhook-id")), (&first.body, first.header("webhook-id")));
    reading.delivery("a", "delivered").await;
    let record = reading.page(&[]).await["records"][0].clone();
    assert!(record["errorCount"] == 0 && record["lastTriggered"].is_string(), "{record}");
}

async fn off_and_tested(kind: Kind) {
    let reading = Reading::start(kind, &[]).await;
    let mut hook = Hook::start().await;
    reading.write(Operation::Create, "a", &json!({ "url": hook.url("/a"), "enabled": false }));
    reading.write(Operation::Create, "b", &json!({ "url": "nowhere" }));
    let invalid = "b invalid url: must be an absolute URL";
    reading.until(&["a disabled enabled: is false", invalid]).await;
    let sent =
        reading.stack.call(SEND_TEST, &json!({ "webhookId": reading.uri("a"), "event": "chat" })).await.ok();
    let received = hook.next().await;
    assert_eq!(received.header("idempotency-key"), sent["id"]);
    let body = received.json();
    assert_eq!(
        (&body["event"], &body["collection"], &body["did"]),
        (&json!("create"), &json!(POST), &json!(CAROL))
    );
    assert_eq!(received.header("webhook-id"), format!("msg_{}", body["id"].as_str().unwrap()));
    let untestable = reading.stack.call(SEND_TEST, &json!({ "webhookId": reading.uri("b") })).await;
    untestable.error(400, "WebhookNotFound");
    assert_eq!(reading.delivery("a", "delivered").await["type"], "create");
}

async fn gone_until_changed(kind: Kind) {
    let reading = Reading::start(kind, &[]).await;
    let mut hook = Hook::answering(|number, _| {
        use axum::response::IntoResponse as _;
        if number == 0 { StatusCode::GONE.into_response() } else { StatusCode::OK.into_response() }
    })
    .await;
    let post = |rkey: &str| reading.jetstream.push([Item::create(CAROL, POST, rkey, r#"{"text":"hello"}"#)]);
    reading.write(Operation::Create, "a", &json!({ "url": hook.url("/a") }));
    reading.until(&["a active"]).await;
    post("x");
    hook.next().await;
    let gone = "a disabled gone: the receiver answered 410";
    reading.until(&[gone]).await;
    // Of this nobody is told. The same record once more is no change.
    post("y");
    reading.write(Operation::Update, "a", &json!({ "url": hook.url("/a") }));
    reading.write(Operation::Create, "b", &json!({ "enabled": false }));
    reading.until(&[gone, "b disabled enabled: is false"]).await;
    reading.write(Operation::Update, "a", &json!({ "url": hook.url("/b") }));
    reading.until(&["a active", "b disabled enabled: is false"]).await;
    post("z");
    let received = hook.next().await;
    assert_eq!((received.path.as_str(), &received.json()["rkey"]), ("/b", &json!("z")));
}

async fn others_see_nothing(kind: Kind) {
    let reading = Reading::start(kind, &[]).await;
    let bob = reading.stack.newcomer(BOB, Key::k256());
    reading.stack.call_as(&bob, CREATE_SECRET, &json!({ "name": "main" })).await.ok();
    reading.write(Operation::Create, "a", &json!({}));
    reading.until(&["a active"]).await;
    let sent = reading.stack.call(SEND_TEST, &json!({ "webhookId": reading.uri("a") })).await.ok();
    assert_eq!(reading.stack.query_as(&bob, LIST_RECORDS, &[]).await.ok(), json!({ "records": [] }));
    let delivery = sent["id"].as_str().unwrap();
    reading.stack.query_as(&bob, GET_DELIVERY, &[("id", delivery)]).await.error(400, "DeliveryNotFound");
    reading.stack.query(GET_DELIVERY, &[("id", delivery)]).await.ok();
    let by = async |caller: &Identity, uri: &str| {
        let stack = &reading.stack;
        let input = json!({ "webhookId": uri, "since": "2020-01-01T00:00:00Z" });
        let params = [("webhookId", uri)];
        for answer in [
            stack.query_as(caller, LIST_DELIVERIES, &params).await,
            stack.call_as(caller, SEND_TEST, &input).await,
            stack.call_as(caller, REDELIVER_FAILED, &input).await,
        ] {
            answer.error(400, "WebhookNotFound");
        }
    };
    by(&bob, &reading.uri("a")).await;
    by(&bob, &format!("at://{BOB}/{WH}/a")).await;
    for uri in [
        reading.uri("b"),
        reading.uri(""),
        reading.uri("a/b"),
        format!("at://{}/{POST}/a", reading.stack.alice.did),
        format!("at://{}", reading.stack.alice.did),
        "at://".to_owned(),
    ] {
        by(&reading.stack.alice, &uri).await;
    }
}

async fn pages(kind: Kind) {
    let reading = Reading::start(kind, &[]).await;
    let rkeys: Vec<String> = (0..251).map(|number| format!("{number:03}")).collect();
    for rkey in &rkeys {
        reading.write(Operation::Create, rkey, &json!({ "enabled": false }));
    }
    let waiting = async {
        loop {
            let first = reading.page(&[]).await;
            if let Some(cursor) = first["cursor"].as_str() {
                return (cursor.to_owned(), first);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let (cursor, first) = tokio::time::timeout(LIMIT, waiting).await.expect("two pages in time");
    let second = reading.page(&[("cursor", &cursor)]).await;
    assert_eq!(second.get("cursor"), None);
    let of = |page: &Value| page["records"].as_array().unwrap().iter().map(told).collect::<Vec<_>>();
    let all: Vec<String> = rkeys.iter().map(|rkey| format!("{rkey} disabled enabled: is false")).collect();
    assert_eq!([of(&first), of(&second)].concat(), all);
}
