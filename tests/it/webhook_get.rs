//! `place.stream.server.getWebhook`. Ids of no webhook are in `webhook_ids`, what holds for every method in
//! `conformance`.

use serde_json::json;

use crate::harness::database::Kind;
use crate::harness::logs;
use crate::harness::on_both;
use crate::harness::stack::GET_WEBHOOK;
use crate::harness::webhook::{id, made, made_whole, seal_with_an_unknown_key, set_column, start};

on_both! { everything_comes_back_as_it_was_made, what_deliveries_write_is_shown }

async fn everything_comes_back_as_it_was_made(kind: Kind) {
    let stack = start(kind).await;
    for webhook in [made_whole(&stack).await, made(&stack, "least").await] {
        let got = stack.query(GET_WEBHOOK, &[("id", id(&webhook))]).await.ok();
        assert_eq!(got, json!({ "webhook": webhook }));
    }
}

async fn what_deliveries_write_is_shown(kind: Kind) {
    let stack = start(kind).await;
    let mut webhook = made(&stack, "a").await;
    set_column(&stack, &webhook, "last_triggered_at_ms", 1_700_000_000_123_i64).await;
    set_column(&stack, &webhook, "error_count", 7_i32).await;
    let got = stack.query(GET_WEBHOOK, &[("id", id(&webhook))]).await.ok();
    webhook["lastTriggered"] = json!("2023-11-14T22:13:20.123Z");
    webhook["errorCount"] = json!(7);
    assert_eq!(got, json!({ "webhook": webhook }));
}

#[tokio::test]
async fn url_sealed_with_an_unknown_key() {
    let stack = start(Kind::Sqlite).await;
    let (broken, whole) = (made(&stack, "credential-of-the-broken").await, made(&stack, "whole").await);
    seal_with_an_unknown_key(&stack, &broken).await;
    stack.query(GET_WEBHOOK, &[("id", id(&broken))]).await.error(500, "InternalServerError");
    let lines = logs::lines(|line| line.contains(id(&broken)) && line.contains("\"ERROR\""));
    assert_eq!(lines.len(), 1, "the cause is logged once: {lines:?}");
    assert!(lines[0]["causes"].as_str().unwrap().contains("not in the file of seal keys"), "{lines:?}");
    stack.query(GET_WEBHOOK, &[("id", id(&whole))]).await.ok();
}
