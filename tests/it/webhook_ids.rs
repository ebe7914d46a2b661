//! Ids that are of no webhook of the caller's, in each method that takes one: whatever the reason, the answer
//! is the same, byte for byte.

use serde_json::{Value, json};

use crate::harness::answer::Answer;
use crate::harness::database::Kind;
use crate::harness::identity::Key;
use crate::harness::on_both;
use crate::harness::stack::{BOB, DELETE_WEBHOOK, GET_WEBHOOK, LIST_WEBHOOKS, Stack, UPDATE_WEBHOOK};
use crate::harness::webhook::{counts, id, made, made_by, start};

on_both! { webhook_that_does_not_exist, id_in_capitals, webhook_of_somebody_else }

/// What each method answers for this id; updateWebhook with each of these fields.
async fn answers(stack: &Stack, id: &str, changes: &[Value]) -> Vec<Answer> {
    let mut answers = vec![
        stack.query(GET_WEBHOOK, &[("id", id)]).await,
        stack.call(DELETE_WEBHOOK, &json!({ "id": id })).await,
    ];
    for change in changes {
        let mut input = change.clone();
        input["id"] = json!(id);
        answers.push(stack.call(UPDATE_WEBHOOK, &input).await);
    }
    answers
}

async fn webhook_that_does_not_exist(kind: Kind) {
    let stack = start(kind).await;
    let own = made(&stack, "a").await;
    let own_id = id(&own);
    let other_spellings = [own_id.replace('-', ""), format!("{{{own_id}}}"), format!(" {own_id}")];
    let unknown =
        ["01979f2e-7a3b-7c4d-8e5f-60718293a4b5", "01979F2E-7A3B-7C4D-8E5F-60718293A4B5", "webhook", "%", "'"]
            .map(str::to_owned);
    for id in unknown.iter().chain(&other_spellings) {
        for answer in answers(&stack, id, &[json!({ "active": true })]).await {
            answer.error(400, "WebhookNotFound");
        }
        // What is wrong with the fields comes first, whatever the id.
        let input = json!({ "id": id, "name": "x".repeat(101) });
        stack.call(UPDATE_WEBHOOK, &input).await.invalid("input.name: must be at most 100 bytes");
        stack.call(UPDATE_WEBHOOK, &json!({ "id": id })).await.invalid("input: must have a field to change");
    }
    // An empty parameter is an absent one; an empty id in an input is an id like any other.
    stack.query(GET_WEBHOOK, &[("id", "")]).await.invalid("params.id: required");
    stack.call(DELETE_WEBHOOK, &json!({ "id": "" })).await.error(400, "WebhookNotFound");
    stack.call(UPDATE_WEBHOOK, &json!({ "id": "", "active": true })).await.error(400, "WebhookNotFound");
    let all = [("cursor", ""), ("limit", ""), ("active", ""), ("event", "")];
    assert_eq!(stack.query(LIST_WEBHOOKS, &all).await.ok(), json!({ "webhooks": [own] }));
}

async fn id_in_capitals(kind: Kind) {
    let stack = start(kind).await;
    let made = made(&stack, "a").await;
    let capitals = id(&made).to_uppercase();
    assert_eq!(stack.query(GET_WEBHOOK, &[("id", &capitals)]).await.ok(), json!({ "webhook": made }));
    let changed = stack.call(UPDATE_WEBHOOK, &json!({ "id": capitals, "active": true })).await.ok();
    assert_eq!(changed["webhook"]["id"], made["id"]);
    stack.call(DELETE_WEBHOOK, &json!({ "id": capitals })).await.ok();
    assert_eq!(stack.query(LIST_WEBHOOKS, &[]).await.ok(), json!({ "webhooks": [] }));
}

async fn webhook_of_somebody_else(kind: Kind) {
    let stack = start(kind).await;
    let bob = stack.newcomer(BOB, Key::p256());
    let of_bob = made_by(&stack, &bob, "a").await;
    let changes = [
        json!({ "active": true }),
        json!({ "url": of_bob["url"] }),
        json!({ "url": "https://other.example.com/" }),
        json!({ "secretId": "none" }),
        json!({ "name": "x", "callerDid": bob.did, "caller_did": bob.did }),
    ];
    // First as a caller who has nothing, then as one who has a webhook.
    for has_webhook in [false, true] {
        if has_webhook {
            made(&stack, "a").await;
        }
        for answer in answers(&stack, id(&of_bob), &changes).await {
            answer.error(400, "WebhookNotFound");
        }
    }
    let claimed = [("id", id(&of_bob)), ("callerDid", &bob.did), ("caller_did", &bob.did)];
    stack.query(GET_WEBHOOK, &claimed).await.error(400, "WebhookNotFound");
    let claimed = json!({ "id": id(&of_bob), "callerDid": bob.did, "caller_did": bob.did });
    stack.call(DELETE_WEBHOOK, &claimed).await.error(400, "WebhookNotFound");
    assert_eq!((counts(&stack, &bob).await, counts(&stack, &stack.alice).await), ((1, 1), (1, 1)));
    let kept = stack.query_as(&bob, GET_WEBHOOK, &[("id", id(&of_bob))]).await.ok();
    assert_eq!(kept["webhook"], of_bob);
}
