//! What the fields of webhooks may hold, in createWebhook and in updateWebhook alike. The rules of the URL
//! are in `webhook_url`, wrong types in `conformance`.

use serde_json::{Value, json};

use crate::harness::answer::{Answer, invalid};
use crate::harness::database::Kind;
use crate::harness::stack::{CREATE_WEBHOOK, GET_WEBHOOK, LIST_WEBHOOKS, Stack, UPDATE_WEBHOOK};
use crate::harness::table::Table;
use crate::harness::webhook::{id, made, made_whole, start, url};

const RECORD_KEY: &str = "input.secretId: must be a record key: 1 to 512 bytes of A-Z a-z 0-9 . _ ~ : - \
                          and neither \".\" nor \"..\"";

/// `base` with these fields as well.
fn with(mut base: Value, fields: &Value) -> Value {
    for (field, value) in fields.as_object().unwrap() {
        base[field] = value.clone();
    }
    base
}

async fn create(stack: &Stack, path: &str, fields: &Value) -> Answer {
    stack.call(CREATE_WEBHOOK, &with(json!({ "url": url(path), "events": ["chat"] }), fields)).await
}

fn rule(from: &str, to: &str) -> Value {
    json!({ "from": from, "to": to })
}

#[tokio::test]
async fn just_inside() {
    let stack = start(Kind::Sqlite).await;
    let mut table = Table::default();
    let (secret, longest) = ("n".repeat(512), "x".repeat(100));
    stack.create_secret(&secret).await.ok();
    let other = made(&stack, "other").await;
    let words: Vec<String> = (0..100).map(|number| format!("w{number}")).collect();
    let mut cases = vec![
        json!({ "events": ["stream.received", "mention", "follow", "livestream", "chat"] }),
        json!({ "rewrite": vec![rule("a", "b"); 50] }),
        json!({ "rewrite": [rule(&longest, &longest), rule("a", "")] }),
        json!({ "muteWords": words }),
        json!({ "muteWords": [longest, "a", " a "] }),
        json!({ "secretId": secret }),
        json!({ "active": true }),
        json!({ "active": false }),
        json!({ "streamplaceFormat": true }),
        json!({ "streamplaceFormat": false }),
    ];
    for (field, limit) in [("name", 100), ("description", 500), ("prefix", 100), ("suffix", 100)] {
        // Bytes count, not characters: é has two.
        cases.extend([json!({ field: "x".repeat(limit) }), json!({ field: "é".repeat(limit / 2) })]);
    }
    for (number, fields) in cases.iter().enumerate() {
        let created = create(&stack, &number.to_string(), fields).await.ok()["webhook"].take();
        table.check(format!("create {fields}"), &created, &with(created.clone(), fields));
        let change = with(json!({ "id": id(&other) }), fields);
        let updated = stack.call(UPDATE_WEBHOOK, &change).await.ok()["webhook"].take();
        table.check(format!("update {fields}"), &updated, &with(updated.clone(), fields));
    }
    table.finish();
}

#[tokio::test]
async fn just_outside() {
    let stack = start(Kind::Sqlite).await;
    let mut table = Table::default();
    let webhook = made_whole(&stack).await;
    let events = "must be one of chat, livestream, follow, mention, stream.received";
    let long = "x".repeat(101);
    let mut cases = vec![
        (json!({ "events": [] }), "input.events: must have at least one entry".to_owned()),
        (json!({ "events": ["chat", "raid"] }), format!("input.events[1]: {events}")),
        (json!({ "events": ["Chat"] }), format!("input.events[0]: {events}")),
        (json!({ "events": ["chat", 1] }), "input.events[1]: expected a string".to_owned()),
        (
            json!({ "rewrite": vec![rule("a", "b"); 51] }),
            "input.rewrite: must have at most 50 entries".to_owned(),
        ),
        (
            json!({ "rewrite": [rule("a", "b"), rule("", "b")] }),
            "input.rewrite[1].from: must be 1 to 100 bytes".to_owned(),
        ),
        (
            json!({ "rewrite": [rule(&long, "b")] }),
            "input.rewrite[0].from: must be 1 to 100 bytes".to_owned(),
        ),
        (
            json!({ "rewrite": [rule("a", &long)] }),
            "input.rewrite[0].to: must be at most 100 bytes".to_owned(),
        ),
        (json!({ "rewrite": [rule("a", "\0")] }), "input.rewrite[0].to: contains U+0000".to_owned()),
        (json!({ "rewrite": [{ "from": "a" }] }), "input.rewrite[0].to: required".to_owned()),
        (
            json!({ "rewrite": [{ "from": "a", "to": 1 }] }),
            "input.rewrite[0].to: expected a string".to_owned(),
        ),
        (json!({ "muteWords": vec!["w"; 101] }), "input.muteWords: must have at most 100 entries".to_owned()),
        (json!({ "muteWords": ["a", long] }), "input.muteWords[1]: must be 1 to 100 bytes".to_owned()),
        (json!({ "muteWords": ["a", ""] }), "input.muteWords[1]: must be 1 to 100 bytes".to_owned()),
        (json!({ "muteWords": [" "] }), "input.muteWords[0]: must not be blank".to_owned()),
        (json!({ "muteWords": ["\t\u{3000}"] }), "input.muteWords[0]: must not be blank".to_owned()),
        (json!({ "secretId": "a b" }), RECORD_KEY.to_owned()),
        (json!({ "secretId": "n".repeat(513) }), RECORD_KEY.to_owned()),
    ];
    for (field, limit) in [("name", 100), ("description", 500), ("prefix", 100), ("suffix", 100)] {
        for text in ["x".repeat(limit + 1), "é".repeat(limit / 2) + "x"] {
            cases.push((json!({ field: text }), format!("input.{field}: must be at most {limit} bytes")));
        }
    }
    for (fields, message) in &cases {
        let created = create(&stack, "new", fields).await;
        table.check(format!("create {fields}"), created.whole(), invalid(message));
        // Beside fields that are right, of which nothing is written either.
        let right = json!({ "id": id(&webhook), "prefix": "never", "suffix": "never" });
        let updated = stack.call(UPDATE_WEBHOOK, &with(right, fields)).await;
        table.check(format!("update {fields}"), updated.whole(), invalid(message));
    }
    // In updateWebhook an empty secretId clears.
    table.check(
        "empty secretId",
        create(&stack, "new", &json!({ "secretId": "" })).await.whole(),
        invalid(RECORD_KEY),
    );
    table.finish();
    assert_eq!(stack.query(LIST_WEBHOOKS, &[]).await.ok(), json!({ "webhooks": [webhook] }));
}

#[tokio::test]
async fn events_repeat_and_keep_their_order() {
    let stack = start(Kind::Sqlite).await;
    let events = json!({ "events": ["mention", "chat", "mention", "chat"] });
    let webhook = create(&stack, "a", &events).await.ok()["webhook"].take();
    assert_eq!(webhook["events"], json!(["mention", "chat"]));
    let input = json!({ "id": id(&webhook), "events": ["chat", "follow", "chat"] });
    assert_eq!(stack.call(UPDATE_WEBHOOK, &input).await.ok()["webhook"]["events"], json!(["chat", "follow"]));
    let got = stack.query(GET_WEBHOOK, &[("id", id(&webhook))]).await.ok();
    assert_eq!(got["webhook"]["events"], json!(["chat", "follow"]));
}

#[tokio::test]
async fn empty_texts_and_lists_are_left_out() {
    let stack = start(Kind::Sqlite).await;
    let least = made(&stack, "least").await;
    let empty =
        json!({ "name": "", "description": "", "prefix": "", "suffix": "", "rewrite": [], "muteWords": [] });
    let webhook = create(&stack, "empty", &empty).await.ok()["webhook"].take();
    let fields = |webhook: &Value| webhook.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(fields(&webhook), fields(&least));
}
