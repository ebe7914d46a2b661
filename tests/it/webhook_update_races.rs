//! `place.stream.server.updateWebhook` at the same time as others: the database decides, and no change is
//! lost.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::answer::{Answer, one_succeeds};
use crate::harness::database::Kind;
use crate::harness::on_both;
use crate::harness::stack::{CREATE_WEBHOOK, DELETE_WEBHOOK, GET_WEBHOOK, Stack, UPDATE_WEBHOOK};
use crate::harness::webhook::{counts, id, made, start, url};

async fn update(stack: &Stack, webhook: &Value, field: &str, value: Value) -> Answer {
    stack.call(UPDATE_WEBHOOK, &json!({ "id": id(webhook), field: value })).await
}

on_both! {
    twenty_webhooks_to_one_url, one_url_by_an_update_and_by_creates, different_fields_at_once_are_all_written,
    updates_and_the_delete_of_one_webhook
}

async fn twenty_webhooks_to_one_url(kind: Kind) {
    let stack = start(kind).await;
    let mut webhooks = Vec::new();
    for number in 0..20 {
        webhooks.push(made(&stack, &number.to_string()).await);
    }
    let wanted = json!(url("wanted"));
    let answers =
        join_all(webhooks.iter().map(|webhook| update(&stack, webhook, "url", wanted.clone()))).await;
    let mut winners = Vec::new();
    for (webhook, answer) in webhooks.iter().zip(&answers) {
        if answer.status == 200 {
            winners.push(id(webhook));
            continue;
        }
        answer.error(400, "DuplicateWebhook");
        let got = stack.query(GET_WEBHOOK, &[("id", id(webhook))]).await.ok();
        assert_eq!(got["webhook"], *webhook, "nothing was written");
    }
    assert_eq!(winners.len(), 1);
    let got = stack.query(GET_WEBHOOK, &[("id", winners[0])]).await.ok();
    assert_eq!(got["webhook"]["url"], wanted);
}

async fn one_url_by_an_update_and_by_creates(kind: Kind) {
    let stack = start(kind).await;
    let webhook = made(&stack, "a").await;
    let input = json!({ "url": url("wanted"), "events": ["chat"] });
    let (updated, created) = tokio::join!(
        update(&stack, &webhook, "url", json!(url("wanted"))),
        join_all((0..10).map(|_| stack.call(CREATE_WEBHOOK, &input))),
    );
    let webhooks = if updated.status == 200 { 1 } else { 2 };
    let answers: Vec<Answer> = std::iter::once(updated).chain(created).collect();
    one_succeeds(&answers, "DuplicateWebhook");
    assert_eq!(counts(&stack, &stack.alice).await, (webhooks, webhooks));
}

async fn different_fields_at_once_are_all_written(kind: Kind) {
    let stack = start(kind).await;
    let webhook = made(&stack, "a").await;
    stack.create_secret("deploys").await.ok();
    for round in 0..5 {
        let (text, event) = (round.to_string(), ["chat", "follow", "mention"][round % 3]);
        let fields = [
            ("url", json!(url(&text))),
            ("events", json!([event])),
            ("active", json!(round % 2 == 0)),
            ("name", json!(text)),
            ("description", json!(text)),
            ("prefix", json!(text)),
            ("suffix", json!(text)),
            ("rewrite", json!([{ "from": text, "to": text }])),
            ("muteWords", json!([text])),
            ("streamplaceFormat", json!(round % 2 == 0)),
            ("secretId", json!("deploys")),
        ];
        let updates = fields.iter().map(|(field, value)| update(&stack, &webhook, field, value.clone()));
        for answer in join_all(updates).await {
            answer.ok();
        }
        let got = stack.query(GET_WEBHOOK, &[("id", id(&webhook))]).await.ok();
        for (field, value) in &fields {
            assert_eq!(&got["webhook"][field], value, "{field}, round {round}");
        }
    }
}

async fn updates_and_the_delete_of_one_webhook(kind: Kind) {
    let stack = start(kind).await;
    for round in 0..5 {
        let webhook = made(&stack, &round.to_string()).await;
        let input = json!({ "id": id(&webhook) });
        let updates = (0..5).map(|number| update(&stack, &webhook, "name", json!(number.to_string())));
        let (deleted, updated) = tokio::join!(stack.call(DELETE_WEBHOOK, &input), join_all(updates));
        deleted.ok();
        for answer in updated.iter().filter(|answer| answer.status != 200) {
            answer.error(400, "WebhookNotFound");
        }
        stack.query(GET_WEBHOOK, &[("id", id(&webhook))]).await.error(400, "WebhookNotFound");
        assert_eq!(counts(&stack, &stack.alice).await, (0, 0));
    }
}
