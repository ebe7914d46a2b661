//! `place.stream.server.deleteWebhook`. Ids of no webhook are in `webhook_ids`, what holds for every method
//! in `conformance`.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::answer::{Answer, one_succeeds};
use crate::harness::database::Kind;
use crate::harness::on_both;
use crate::harness::stack::{
    CREATE_WEBHOOK, DELETE_WEBHOOK, GET_WEBHOOK, LIST_WEBHOOKS, Setup, Stack, UPDATE_WEBHOOK,
};
use crate::harness::webhook::{counts, id, made, made_whole, seal_with_an_unknown_key, start, url};

on_both! {
    deleted_is_gone, limit_has_room_again, one_webhook_twenty_times_at_once,
    creates_and_deletes_at_once_are_counted_exactly, url_sealed_with_an_unknown_key
}

async fn delete(stack: &Stack, webhook: &Value) -> Answer {
    stack.call(DELETE_WEBHOOK, &json!({ "id": webhook["id"] })).await
}

async fn deleted_is_gone(kind: Kind) {
    let stack = start(kind).await;
    let (webhook, other) = (made_whole(&stack).await, made(&stack, "other").await);
    assert_eq!(delete(&stack, &webhook).await.ok(), json!({ "success": true }));
    let input = json!({ "id": id(&webhook), "active": true });
    stack.query(GET_WEBHOOK, &[("id", id(&webhook))]).await.error(400, "WebhookNotFound");
    stack.call(UPDATE_WEBHOOK, &input).await.error(400, "WebhookNotFound");
    delete(&stack, &webhook).await.error(400, "WebhookNotFound");
    assert_eq!(stack.query(LIST_WEBHOOKS, &[]).await.ok(), json!({ "webhooks": [other] }));
    assert_eq!(counts(&stack, &stack.alice).await, (1, 1));
    // Its URL is free again, for another id.
    let input = json!({ "url": webhook["url"], "events": ["chat"] });
    assert_ne!(stack.call(CREATE_WEBHOOK, &input).await.ok()["webhook"]["id"], webhook["id"]);
}

async fn limit_has_room_again(kind: Kind) {
    let stack = Setup::on(kind).core("--probe", "off").core("--max-webhooks", "2").start().await;
    let (first, _second) = (made(&stack, "1").await, made(&stack, "2").await);
    let create = async |path: String| {
        stack.call(CREATE_WEBHOOK, &json!({ "url": url(&path), "events": ["chat"] })).await
    };
    create("3".to_owned()).await.error(400, "TooManyWebhooks");
    delete(&stack, &first).await.ok();
    let answers = join_all((0..20).map(|number| create(format!("more/{number}")))).await;
    one_succeeds(&answers, "TooManyWebhooks");
    assert_eq!(counts(&stack, &stack.alice).await, (2, 2));
}

async fn one_webhook_twenty_times_at_once(kind: Kind) {
    let stack = start(kind).await;
    let (webhook, _other) = (made(&stack, "a").await, made(&stack, "b").await);
    let answers = join_all((0..20).map(|_| delete(&stack, &webhook))).await;
    one_succeeds(&answers, "WebhookNotFound");
    assert_eq!(counts(&stack, &stack.alice).await, (1, 1));
}

async fn creates_and_deletes_at_once_are_counted_exactly(kind: Kind) {
    let stack = start(kind).await;
    let old: Vec<Value> =
        join_all((0..20).map(async |number| made(&stack, &format!("old/{number}")).await)).await;
    let creates = join_all((0..20).map(async |number| made(&stack, &format!("new/{number}")).await));
    let deletes = join_all(old.iter().take(13).map(|webhook| delete(&stack, webhook)));
    let (_, deleted) = tokio::join!(creates, deletes);
    for answer in deleted {
        answer.ok();
    }
    assert_eq!(counts(&stack, &stack.alice).await, (27, 27));
}

async fn url_sealed_with_an_unknown_key(kind: Kind) {
    let stack = start(kind).await;
    let webhook = made(&stack, "a").await;
    seal_with_an_unknown_key(&stack, &webhook).await;
    delete(&stack, &webhook).await.ok();
    assert_eq!(counts(&stack, &stack.alice).await, (0, 0));
}
