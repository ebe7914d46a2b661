//! `place.stream.server.deleteWebhook`: each sentence of METHODS.md on it.

use futures_util::future::join_all;
use http::Method;
use serde_json::{Value, json};

use crate::harness::database::Kind;
use crate::harness::identity::Key;
use crate::harness::on_both;
use crate::harness::stack::{
    Answer, CREATE_WEBHOOK, DELETE_WEBHOOK, GET_WEBHOOK, LIST_WEBHOOKS, SERVICE, Setup, Stack, UPDATE_WEBHOOK,
};
use crate::harness::webhook::{
    counts, foreign_ids, id, made, made_by, made_whole, not_found, seal_with_an_unknown_key, start, url,
};

async fn delete(stack: &Stack, webhook: &Value) -> Answer {
    stack.call(DELETE_WEBHOOK, &json!({ "id": webhook["id"] })).await
}

on_both! {
    deleted_is_gone, place_below_the_limit_is_free_again, webhook_that_does_not_exist,
    webhook_of_somebody_else, id_is_required, token_is_required, wrong_verb, one_webhook_twenty_times_at_once,
    creates_and_deletes_at_once_are_counted_exactly, url_sealed_with_an_unknown_key
}

async fn deleted_is_gone(on: Kind) {
    let stack = start(on).await;
    let (webhook, other) = (made_whole(&stack).await, made(&stack, "other").await);
    assert_eq!(delete(&stack, &webhook).await.ok(), json!({ "success": true }));
    not_found(&stack.query(GET_WEBHOOK, &[("id", id(&webhook))]).await);
    not_found(&stack.call(UPDATE_WEBHOOK, &json!({ "id": id(&webhook), "active": true })).await);
    not_found(&delete(&stack, &webhook).await);
    assert_eq!(stack.query(LIST_WEBHOOKS, &[]).await.ok(), json!({ "webhooks": [other] }));
    assert_eq!(counts(&stack, &stack.alice).await, (1, 1));
    // Its URL is free again, for another id.
    let input = json!({ "url": webhook["url"], "events": ["chat"] });
    assert_ne!(stack.call(CREATE_WEBHOOK, &input).await.ok()["webhook"]["id"], webhook["id"]);
}

async fn place_below_the_limit_is_free_again(on: Kind) {
    let stack = Setup::on(on).core("--probe", "off").core("--max-webhooks", "2").start().await;
    let (first, _second) = (made(&stack, "1").await, made(&stack, "2").await);
    let third = json!({ "url": url("3"), "events": ["chat"] });
    stack.call(CREATE_WEBHOOK, &third).await.error(400, "TooManyWebhooks");
    delete(&stack, &first).await.ok();
    let one_more = async |number: usize| {
        let input = json!({ "url": url(&format!("more/{number}")), "events": ["chat"] });
        stack.call(CREATE_WEBHOOK, &input).await
    };
    let answers = join_all((0..20).map(one_more)).await;
    let (made, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!(made.len(), 1, "one place is one place");
    for answer in refused {
        answer.error(400, "TooManyWebhooks");
    }
    assert_eq!(counts(&stack, &stack.alice).await, (2, 2));
}

async fn webhook_that_does_not_exist(on: Kind) {
    let stack = start(on).await;
    let own = made(&stack, "a").await;
    for id in foreign_ids(&own) {
        not_found(&stack.call(DELETE_WEBHOOK, &json!({ "id": id })).await);
    }
    assert_eq!(counts(&stack, &stack.alice).await, (1, 1));
}

async fn webhook_of_somebody_else(on: Kind) {
    let stack = start(on).await;
    let bob = stack.newcomer("did:plc:bob22222222222222222222x", Key::p256());
    let of_bob = made_by(&stack, &bob, "a").await;
    // First as one who has nothing, then as one who has a webhook.
    not_found(&delete(&stack, &of_bob).await);
    made(&stack, "a").await;
    not_found(&delete(&stack, &of_bob).await);
    let named = json!({ "id": id(&of_bob), "callerDid": bob.did, "caller_did": bob.did });
    not_found(&stack.call(DELETE_WEBHOOK, &named).await);
    assert_eq!((counts(&stack, &bob).await, counts(&stack, &stack.alice).await), ((1, 1), (1, 1)));
    stack.query_as(&bob, GET_WEBHOOK, &[("id", id(&of_bob))]).await.ok();
}

async fn id_is_required(on: Kind) {
    let stack = start(on).await;
    for (input, rule) in [
        (json!({}), "input.id: required"),
        (json!({ "id": null }), "input.id: expected a string"),
        (json!({ "id": 1 }), "input.id: expected a string"),
        (json!({ "id": "a\u{0}" }), "input.id"),
    ] {
        let message = stack.call(DELETE_WEBHOOK, &input).await.error(400, "InvalidRequest");
        assert!(message.contains(rule), "{message}");
    }
}

async fn token_is_required(on: Kind) {
    let stack = start(on).await;
    let webhook = made(&stack, "a").await;
    let input = json!({ "id": id(&webhook) });
    stack.send(stack.post(DELETE_WEBHOOK).json(&input)).await.error(401, "AuthenticationRequired");
    let of_another_method = stack.alice.token(SERVICE, UPDATE_WEBHOOK);
    stack.call_with(&of_another_method, DELETE_WEBHOOK, &input).await.error(401, "AuthenticationRequired");
    assert_eq!(counts(&stack, &stack.alice).await, (1, 1));
}

async fn wrong_verb(on: Kind) {
    let stack = start(on).await;
    let verbs = [Method::GET, Method::DELETE];
    stack.refuses_verbs(DELETE_WEBHOOK, &verbs, "POST").await;
}

async fn one_webhook_twenty_times_at_once(on: Kind) {
    let stack = start(on).await;
    let (webhook, _other) = (made(&stack, "a").await, made(&stack, "b").await);
    let answers = join_all((0..20).map(|_| delete(&stack, &webhook))).await;
    let (deleted, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!(deleted.len(), 1);
    for answer in refused {
        not_found(answer);
    }
    assert_eq!(counts(&stack, &stack.alice).await, (1, 1));
}

async fn creates_and_deletes_at_once_are_counted_exactly(on: Kind) {
    let stack = start(on).await;
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

async fn url_sealed_with_an_unknown_key(on: Kind) {
    let stack = start(on).await;
    let webhook = made(&stack, "a").await;
    seal_with_an_unknown_key(&stack, &webhook).await;
    delete(&stack, &webhook).await.ok();
    assert_eq!(counts(&stack, &stack.alice).await, (0, 0));
}
