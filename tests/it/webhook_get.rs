//! `place.stream.server.getWebhook`: each sentence of METHODS.md on it.

use http::Method;
use serde_json::json;

use crate::harness::database::Kind;
use crate::harness::identity::Key;
use crate::harness::logs;
use crate::harness::on_both;
use crate::harness::stack::{GET_WEBHOOK, LIST_WEBHOOKS, SERVICE, Stack};
use crate::harness::webhook::{
    foreign_ids, id, made, made_by, made_whole, not_found, seal_with_an_unknown_key, set_column, start,
};

on_both! {
    everything_comes_back_as_it_was_made, what_deliveries_write_is_shown, webhook_that_does_not_exist,
    webhook_of_somebody_else, id_is_required_once, query_string_cannot_name_another_caller, token_is_required,
    wrong_verb, head_works, url_sealed_with_an_unknown_key
}

async fn everything_comes_back_as_it_was_made(on: Kind) {
    let stack = start(on).await;
    for webhook in [made_whole(&stack).await, made(&stack, "least").await] {
        let got = stack.query(GET_WEBHOOK, &[("id", id(&webhook))]).await.ok();
        assert_eq!(got, json!({ "webhook": webhook }));
    }
}

async fn what_deliveries_write_is_shown(on: Kind) {
    let stack = start(on).await;
    let webhook = made(&stack, "a").await;
    set_column(&stack, &webhook, "last_triggered_at_ms", 1_700_000_000_123_i64).await;
    set_column(&stack, &webhook, "error_count", 7_i32).await;
    let got = stack.query(GET_WEBHOOK, &[("id", id(&webhook))]).await.ok();
    assert_eq!(got["webhook"]["lastTriggered"], "2023-11-14T22:13:20.123Z");
    assert_eq!(got["webhook"]["errorCount"], 7);
}

async fn webhook_that_does_not_exist(on: Kind) {
    let stack = start(on).await;
    let own = made(&stack, "a").await;
    for id in foreign_ids(&own) {
        not_found(&stack.query(GET_WEBHOOK, &[("id", &id)]).await);
    }
}

async fn webhook_of_somebody_else(on: Kind) {
    let stack = start(on).await;
    let bob = stack.newcomer("did:plc:bob22222222222222222222x", Key::p256());
    let of_bob = made_by(&stack, &bob, "a").await;
    not_found(&stack.query(GET_WEBHOOK, &[("id", id(&of_bob))]).await);
    stack.query_as(&bob, GET_WEBHOOK, &[("id", id(&of_bob))]).await.ok();
    // The same for one who has webhooks too.
    made(&stack, "a").await;
    not_found(&stack.query(GET_WEBHOOK, &[("id", id(&of_bob))]).await);
}

async fn id_is_required_once(on: Kind) {
    let stack = start(on).await;
    let webhook = made(&stack, "a").await;
    let message = stack.query(GET_WEBHOOK, &[]).await.error(400, "InvalidRequest");
    assert!(message.contains("params.id: required"), "{message}");
    let twice = [("id", id(&webhook)), ("id", id(&webhook))];
    let message = stack.query(GET_WEBHOOK, &twice).await.error(400, "InvalidRequest");
    assert!(message.contains("params.id: given twice"), "{message}");
    let message = stack.query(GET_WEBHOOK, &[("id", "a\0")]).await.error(400, "InvalidRequest");
    assert!(message.contains("params.id"), "{message}");
    stack.query(GET_WEBHOOK, &[("id", id(&webhook)), ("other", "1"), ("other", "2")]).await.ok();
}

async fn query_string_cannot_name_another_caller(on: Kind) {
    let stack = start(on).await;
    let bob = stack.newcomer("did:plc:bob22222222222222222222x", Key::k256());
    let of_bob = made_by(&stack, &bob, "a").await;
    let params = [("id", id(&of_bob)), ("callerDid", &bob.did), ("caller_did", &bob.did)];
    not_found(&stack.query(GET_WEBHOOK, &params).await);
}

async fn token_is_required(on: Kind) {
    let stack = start(on).await;
    let webhook = made(&stack, "a").await;
    let path = format!("/xrpc/{GET_WEBHOOK}?id={}", id(&webhook));
    let answer = stack.get(&path).await;
    answer.error(401, "AuthenticationRequired");
    assert!(answer.headers["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
    let of_another_method = stack.alice.token(SERVICE, LIST_WEBHOOKS);
    let answer = stack.send(stack.request(Method::GET, &path).bearer_auth(of_another_method)).await;
    answer.error(401, "AuthenticationRequired");
}

async fn wrong_verb(on: Kind) {
    let stack = start(on).await;
    let verbs = [Method::POST, Method::PUT, Method::DELETE];
    stack.refuses_verbs(GET_WEBHOOK, &verbs, "GET, HEAD").await;
}

async fn head_works(on: Kind) {
    let stack = start(on).await;
    let webhook = made(&stack, "a").await;
    assert_eq!(head(&stack, id(&webhook)).await, 200);
    assert_eq!(head(&stack, "webhook").await, 400);
}

async fn url_sealed_with_an_unknown_key(on: Kind) {
    let stack = start(on).await;
    let (broken, whole) = (made(&stack, "credential-of-the-broken").await, made(&stack, "whole").await);
    seal_with_an_unknown_key(&stack, &broken).await;
    let message = stack.query(GET_WEBHOOK, &[("id", id(&broken))]).await.error(500, "InternalServerError");
    assert!(!message.contains("seal") && !message.contains("key"), "{message}");
    let lines = logs::lines(|line| line.contains(id(&broken)) && line.contains("\"ERROR\""));
    assert_eq!(lines.len(), 1, "the cause is logged once: {lines:?}");
    assert!(lines[0]["causes"].as_str().unwrap().contains("not in the file of seal keys"), "{lines:?}");
    stack.query(GET_WEBHOOK, &[("id", id(&whole))]).await.ok();
}

async fn head(stack: &Stack, id: &str) -> u16 {
    let path = format!("/xrpc/{GET_WEBHOOK}?id={id}");
    let token = stack.alice.token(SERVICE, GET_WEBHOOK);
    let answer = stack.send(stack.request(Method::HEAD, &path).bearer_auth(token)).await;
    assert_eq!(
        (answer.body.as_str(), &answer.headers["content-type"]),
        ("", &"application/json".parse().unwrap())
    );
    answer.status.as_u16()
}
