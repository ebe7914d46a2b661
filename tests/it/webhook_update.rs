//! `place.stream.server.updateWebhook`. The rules of its fields are in `webhook_rules` and `webhook_url`, ids
//! of no webhook in `webhook_ids`, calls at the same time in `webhook_update_races`, what holds for every
//! method in `conformance`.

use proto::athook::webhook_service_client::WebhookServiceClient;
use proto::athook::{RewriteRule, UpdateWebhookRequest, Webhook};
use serde_json::{Value, json};
use tonic::transport::Endpoint;

use crate::harness::answer::Answer;
use crate::harness::database::Kind;
use crate::harness::identity::Key;
use crate::harness::on_both;
use crate::harness::stack::{BOB, CREATE_SECRET, DELETE_WEBHOOK, GET_WEBHOOK, Stack, UPDATE_WEBHOOK};
use crate::harness::webhook::{
    column, create, id, made, made_by, made_whole, seal_with_an_unknown_key, set_column, start, url,
};

on_both! {
    given_fields_are_written_and_the_others_kept, empty_texts_and_lists_clear, updated_at_is_the_time_of_the_last_update,
    active_true_forgets_the_errors, secret_must_be_the_callers_own, duplicate_url, url_that_was_left_is_free
}

/// Sends these fields as an update of `webhook`.
async fn update(stack: &Stack, webhook: &Value, fields: Value) -> Answer {
    let mut input = json!({ "id": id(webhook) });
    for (field, value) in fields.as_object().unwrap() {
        input[field] = value.clone();
    }
    stack.call(UPDATE_WEBHOOK, &input).await
}

/// `webhook` with these fields, `null` for one that is left out, and with the `updatedAt` of `updated`.
fn changed(webhook: &Value, fields: &Value, updated: &Value) -> Value {
    let mut expected = webhook.clone();
    let expected_fields = expected.as_object_mut().unwrap();
    for (field, value) in fields.as_object().unwrap() {
        match value {
            Value::Null => expected_fields.remove(field),
            value => expected_fields.insert(field.clone(), value.clone()),
        };
    }
    expected["updatedAt"] = updated["updatedAt"].clone();
    expected
}

async fn got(stack: &Stack, webhook: &Value) -> Value {
    stack.query(GET_WEBHOOK, &[("id", id(webhook))]).await.ok()["webhook"].take()
}

async fn given_fields_are_written_and_the_others_kept(kind: Kind) {
    let stack = start(kind).await;
    let mut webhook = made_whole(&stack).await;
    stack.create_secret("other").await.ok();
    for fields in [
        json!({ "url": "https://other.example.com/b" }),
        json!({ "events": ["follow", "chat"] }),
        json!({ "active": false }),
        json!({ "active": true }),
        json!({ "name": "other" }),
        json!({ "description": "another" }),
        json!({ "prefix": "(" }),
        json!({ "suffix": ")" }),
        json!({ "rewrite": [{ "from": "x", "to": "y" }] }),
        json!({ "muteWords": ["other"] }),
        json!({ "streamplaceFormat": false }),
        json!({ "streamplaceFormat": true }),
        json!({ "secretId": "other" }),
        json!({ "name": "new", "events": ["follow"], "muteWords": ["a", "b"], "active": false }),
    ] {
        let answer = update(&stack, &webhook, fields.clone()).await.ok();
        let updated = answer["webhook"].clone();
        assert_eq!(answer, json!({ "webhook": changed(&webhook, &fields, &updated) }));
        assert_eq!(updated, got(&stack, &webhook).await);
        webhook = updated;
    }
}

async fn empty_texts_and_lists_clear(kind: Kind) {
    let stack = start(kind).await;
    let mut webhook = made_whole(&stack).await;
    for (field, empty) in [
        ("name", json!("")),
        ("description", json!("")),
        ("prefix", json!("")),
        ("suffix", json!("")),
        ("secretId", json!("")),
        ("rewrite", json!([])),
        ("muteWords", json!([])),
    ] {
        assert!(webhook.get(field).is_some(), "{field}");
        let updated = update(&stack, &webhook, json!({ field: empty })).await.ok()["webhook"].take();
        assert_eq!(updated, changed(&webhook, &json!({ field: null }), &updated), "{field}");
        assert_eq!(updated, got(&stack, &webhook).await);
        webhook = updated;
    }
    assert_eq!(column::<Option<String>>(&stack, &webhook, "secret_name").await, None);
    // To clear what is not there is a change like any other.
    update(&stack, &webhook, json!({ "name": "", "muteWords": [] })).await.ok();
}

#[tokio::test]
async fn no_field_but_id() {
    let stack = start(Kind::Sqlite).await;
    let webhook = made_whole(&stack).await;
    for fields in [json!({}), json!({ "other": 1, "given": ["name"], "Name": "x", "mute_words": [] })] {
        update(&stack, &webhook, fields).await.invalid("input: must have a field to change");
    }
    assert_eq!(got(&stack, &webhook).await, webhook);
}

async fn updated_at_is_the_time_of_the_last_update(kind: Kind) {
    let stack = start(kind).await;
    let webhook = made(&stack, "a").await;
    assert!(webhook.get("updatedAt").is_none(), "{webhook}");
    // The same value is an update too.
    let updated = &update(&stack, &webhook, json!({ "events": webhook["events"] })).await.ok()["webhook"];
    let text = updated["updatedAt"].as_str().unwrap();
    assert!(
        text.len() == 24 && text.ends_with('Z') && text >= webhook["createdAt"].as_str().unwrap(),
        "{text}"
    );
    set_column(&stack, &webhook, "updated_at_ms", 1_i64).await;
    let again = &update(&stack, &webhook, json!({ "active": false })).await.ok()["webhook"];
    assert!(again["updatedAt"].as_str().unwrap() >= text, "{again}");
    assert_eq!(again["createdAt"], webhook["createdAt"]);
    let refused = update(&stack, &webhook, json!({ "events": [] })).await;
    refused.invalid("input.events: must have at least one entry");
    assert_eq!(got(&stack, &webhook).await, *again);
}

async fn active_true_forgets_the_errors(kind: Kind) {
    let stack = start(kind).await;
    let webhook = made(&stack, "a").await;
    set_column(&stack, &webhook, "error_count", 5_i32).await;
    for (fields, errors) in
        [(json!({ "active": false }), 5), (json!({ "name": "x" }), 5), (json!({ "active": true }), 0)]
    {
        assert_eq!(update(&stack, &webhook, fields).await.ok()["webhook"]["errorCount"], errors);
    }
    // Also when it is active already.
    set_column(&stack, &webhook, "error_count", 5_i32).await;
    assert_eq!(update(&stack, &webhook, json!({ "active": true })).await.ok()["webhook"]["errorCount"], 0);
    assert_eq!(column::<i32>(&stack, &webhook, "error_count").await, 0);
}

async fn secret_must_be_the_callers_own(kind: Kind) {
    let stack = start(kind).await;
    let bob = stack.newcomer(BOB, Key::k256());
    stack.call_as(&bob, CREATE_SECRET, &json!({ "name": "of-bob" })).await.ok();
    let webhook = made_whole(&stack).await;
    for name in ["missing", "of-bob", "Deploys"] {
        let answer = update(&stack, &webhook, json!({ "secretId": name, "name": "never" })).await;
        answer.invalid("input.secretId: must name a secret of the caller");
        // Before the URL is tried.
        let unreachable = json!({ "url": "https://127.0.0.1/", "secretId": name });
        let answer = update(&stack, &webhook, unreachable).await;
        answer.invalid("input.secretId: must name a secret of the caller");
    }
    assert_eq!(got(&stack, &webhook).await, webhook, "nothing was written");
}

async fn duplicate_url(kind: Kind) {
    let stack = start(kind).await;
    let (one, other) = (made(&stack, "one").await, made(&stack, "other").await);
    for spelling in
        [url("other"), url("x/../other#fragment"), "HTTPS://HOOKS.example.com:443/other".to_owned()]
    {
        let answer = update(&stack, &one, json!({ "url": spelling, "name": "never" })).await;
        answer.error(400, "DuplicateWebhook");
    }
    assert_eq!(got(&stack, &one).await, one, "nothing was written");
    // Its own URL, in any spelling, is no duplicate; nor is that of another caller.
    update(&stack, &other, json!({ "url": url("b/../other#x") })).await.ok();
    let bob = stack.newcomer(BOB, Key::k256());
    made_by(&stack, &bob, "of-bob").await;
    update(&stack, &one, json!({ "url": url("of-bob") })).await.ok();
}

async fn url_that_was_left_is_free(kind: Kind) {
    let stack = start(kind).await;
    let (one, other) = (made(&stack, "one").await, made(&stack, "other").await);
    update(&stack, &one, json!({ "url": url("new") })).await.ok();
    update(&stack, &other, json!({ "url": url("one") })).await.ok();
    create(&stack, &url("other")).await.ok();
    create(&stack, &url("new")).await.error(400, "DuplicateWebhook");
    stack.call(DELETE_WEBHOOK, &json!({ "id": id(&one) })).await.ok();
    create(&stack, &url("new")).await.ok();
}

#[tokio::test]
async fn url_sealed_with_an_unknown_key() {
    let stack = start(Kind::Sqlite).await;
    let webhook = made(&stack, "a").await;
    seal_with_an_unknown_key(&stack, &webhook).await;
    for fields in [json!({ "name": "x" }), json!({ "url": "https://other.example.com/" })] {
        update(&stack, &webhook, fields).await.error(500, "InternalServerError");
    }
    assert_eq!(column::<Option<String>>(&stack, &webhook, "name").await, None);
}

/// Internal callers may not know the field mask: without it, an empty list changes nothing.
#[tokio::test]
async fn request_without_a_mask() {
    let stack = start(Kind::Sqlite).await;
    let webhook = made_whole(&stack).await;
    let core = Endpoint::from_shared(format!("http://{}", stack.core)).unwrap().connect().await.unwrap();
    let mut client = WebhookServiceClient::new(core);
    let request = UpdateWebhookRequest {
        caller_did: stack.alice.did.clone(),
        id: id(&webhook).to_owned(),
        ..UpdateWebhookRequest::default()
    };
    let refused = client.update_webhook(request.clone()).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);

    let rewrite = vec![RewriteRule { from: "x".to_owned(), to: "y".to_owned() }];
    let some =
        UpdateWebhookRequest { rewrite: rewrite.clone(), name: Some(String::new()), ..request.clone() };
    let updated = client.update_webhook(some).await.unwrap().into_inner().webhook.unwrap();
    let Webhook { name, events, mute_words, rewrite: rewritten, .. } = updated;
    assert_eq!((name, events.len(), mute_words.len(), rewritten), (None, 5, 2, rewrite));

    let given = prost_types::FieldMask { paths: vec!["mute_words".to_owned(), "unknown".to_owned()] };
    let cleared = UpdateWebhookRequest { given: Some(given), ..request };
    let updated = client.update_webhook(cleared).await.unwrap().into_inner().webhook.unwrap();
    assert_eq!((updated.mute_words.len(), updated.rewrite.len(), updated.events.len()), (0, 1, 5));
}
