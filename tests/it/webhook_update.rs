//! `place.stream.server.updateWebhook`: each sentence of METHODS.md on it. What concerns `url` is in
//! `webhook_update_url`, what happens at the same time in `webhook_update_races`.

use http::Method;
use proto::athook::webhook_service_client::WebhookServiceClient;
use proto::athook::{RewriteRule, UpdateWebhookRequest, Webhook};
use serde_json::{Value, json};
use tonic::transport::Endpoint;

use crate::harness::database::Kind;
use crate::harness::identity::Key;
use crate::harness::on_both;
use crate::harness::stack::{
    Answer, CREATE_SECRET, DELETE_WEBHOOK, GET_WEBHOOK, SERVICE, Stack, UPDATE_WEBHOOK,
};
use crate::harness::webhook::{
    column, foreign_ids, id, made, made_by, made_whole, not_found, seal_with_an_unknown_key, set_column,
    start,
};

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

async fn refused(stack: &Stack, webhook: &Value, fields: Value, rule: &str) {
    let answer = update(stack, webhook, fields).await;
    let message = answer.error(400, "InvalidRequest");
    assert!(message.contains(rule), "{message}");
}

on_both! {
    each_field_by_itself_is_written_and_the_others_kept, several_fields_at_once, empty_texts_and_lists_clear,
    no_field_but_id, updated_at_is_the_time_of_the_last_update, active_true_forgets_the_errors,
    fields_outside_their_rules, fields_at_their_limits, secret_must_be_the_callers_own,
    webhook_that_does_not_exist, webhook_of_somebody_else, id_is_required, token_is_required, wrong_verb,
    url_sealed_with_an_unknown_key, request_without_a_mask
}

async fn each_field_by_itself_is_written_and_the_others_kept(on: Kind) {
    let stack = start(on).await;
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
    ] {
        let answer = update(&stack, &webhook, fields.clone()).await.ok();
        assert_eq!(answer.as_object().unwrap().len(), 1, "{answer}");
        let updated = &answer["webhook"];
        assert_eq!(*updated, changed(&webhook, &fields, updated));
        assert_eq!(*updated, got(&stack, &webhook).await);
        webhook = updated.clone();
    }
}

async fn several_fields_at_once(on: Kind) {
    let stack = start(on).await;
    let webhook = made_whole(&stack).await;
    let fields = json!({ "name": "new", "events": ["follow"], "muteWords": ["a", "b"], "active": false });
    let updated = &update(&stack, &webhook, fields.clone()).await.ok()["webhook"];
    assert_eq!(*updated, changed(&webhook, &fields, updated));
}

async fn empty_texts_and_lists_clear(on: Kind) {
    let stack = start(on).await;
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

async fn no_field_but_id(on: Kind) {
    let stack = start(on).await;
    let webhook = made_whole(&stack).await;
    for fields in [json!({}), json!({ "other": 1, "given": ["name"], "Name": "x", "mute_words": [] })] {
        refused(&stack, &webhook, fields, "input: must have a field to change").await;
    }
    assert_eq!(got(&stack, &webhook).await, webhook);
}

async fn updated_at_is_the_time_of_the_last_update(on: Kind) {
    let stack = start(on).await;
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
    refused(&stack, &webhook, json!({ "events": [] }), "input.events").await;
    assert_eq!(got(&stack, &webhook).await, *again);
}

async fn active_true_forgets_the_errors(on: Kind) {
    let stack = start(on).await;
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

async fn fields_outside_their_rules(on: Kind) {
    let stack = start(on).await;
    let webhook = made_whole(&stack).await;
    let rule = |from: &str, to: &str| json!({ "from": from, "to": to });
    let long = |bytes: usize| "é".repeat(bytes / 2) + "x";
    for (fields, told) in [
        (json!({ "events": [] }), "input.events: must have at least one entry"),
        (json!({ "events": ["chat", "raid"] }), "input.events[1]: must be one of chat"),
        (json!({ "events": "chat" }), "input.events: expected an array"),
        (json!({ "name": long(100) }), "input.name: must be at most 100 bytes"),
        (json!({ "description": long(500) }), "input.description: must be at most 500 bytes"),
        (json!({ "prefix": long(100) }), "input.prefix: must be at most 100 bytes"),
        (json!({ "suffix": long(100) }), "input.suffix: must be at most 100 bytes"),
        (json!({ "name": "a\u{0}" }), "input.name: contains U+0000"),
        (json!({ "rewrite": vec![rule("a", "b"); 51] }), "input.rewrite: must have at most 50 entries"),
        (
            json!({ "rewrite": [rule("a", "b"), rule("", "b")] }),
            "input.rewrite[1].from: must be 1 to 100 bytes",
        ),
        (json!({ "rewrite": [rule("a", &long(100))] }), "input.rewrite[0].to: must be at most 100 bytes"),
        (json!({ "rewrite": [{ "from": "a" }] }), "input.rewrite[0].to: required"),
        (json!({ "muteWords": vec!["a"; 101] }), "input.muteWords: must have at most 100 entries"),
        (json!({ "muteWords": ["a", ""] }), "input.muteWords[1]: must be 1 to 100 bytes"),
        (json!({ "muteWords": [" "] }), "input.muteWords[0]: must not be blank"),
        (json!({ "active": 1 }), "input.active: expected a boolean"),
        (json!({ "streamplaceFormat": "true" }), "input.streamplaceFormat: expected a boolean"),
        (json!({ "secretId": "a b" }), "input.secretId: must be a record key"),
        (json!({ "secretId": "n".repeat(513) }), "input.secretId: must be a record key"),
    ] {
        // With a field that is right: nothing is written of it.
        let mut both = fields.clone();
        for (field, value) in [("prefix", json!("never")), ("suffix", json!("never"))] {
            if fields.get(field).is_none() {
                both[field] = value;
            }
        }
        refused(&stack, &webhook, both, told).await;
    }
    for field in [
        "url",
        "events",
        "active",
        "name",
        "description",
        "prefix",
        "suffix",
        "rewrite",
        "muteWords",
        "streamplaceFormat",
        "secretId",
    ] {
        refused(&stack, &webhook, json!({ field: null }), &format!("input.{field}: expected")).await;
    }
    assert_eq!(got(&stack, &webhook).await, webhook);
}

async fn fields_at_their_limits(on: Kind) {
    let stack = start(on).await;
    let webhook = made(&stack, "a").await;
    let secret = "n".repeat(512);
    stack.create_secret(&secret).await.ok();
    let fields = json!({
        "name": "é".repeat(50),
        "description": "é".repeat(250),
        "prefix": "é".repeat(50),
        "suffix": "é".repeat(50),
        "rewrite": vec![json!({ "from": "f".repeat(100), "to": "t".repeat(100) }); 50],
        "muteWords": vec!["w".repeat(100); 100],
        "secretId": secret,
    });
    let updated = &update(&stack, &webhook, fields.clone()).await.ok()["webhook"];
    assert_eq!(*updated, changed(&webhook, &fields, updated));
    let repeated = json!({ "events": ["mention", "chat", "mention"] });
    assert_eq!(
        update(&stack, &webhook, repeated).await.ok()["webhook"]["events"],
        json!(["mention", "chat"])
    );
}

async fn secret_must_be_the_callers_own(on: Kind) {
    let stack = start(on).await;
    let bob = stack.newcomer("did:plc:bob22222222222222222222x", Key::k256());
    stack.call_as(&bob, CREATE_SECRET, &json!({ "name": "of-bob" })).await.ok();
    let webhook = made_whole(&stack).await;
    for name in ["missing", "of-bob", "Deploys"] {
        let fields = json!({ "secretId": name, "name": "never" });
        refused(&stack, &webhook, fields, "input.secretId: must name a secret of the caller").await;
    }
    assert_eq!(got(&stack, &webhook).await, webhook, "nothing was written");
}

async fn webhook_that_does_not_exist(on: Kind) {
    let stack = start(on).await;
    let own = made(&stack, "a").await;
    for id in foreign_ids(&own) {
        not_found(&stack.call(UPDATE_WEBHOOK, &json!({ "id": id, "active": true })).await);
        // What is wrong with the fields is told first, whatever the id.
        for fields in [json!({ "id": id, "name": "x".repeat(101) }), json!({ "id": id })] {
            stack.call(UPDATE_WEBHOOK, &fields).await.error(400, "InvalidRequest");
        }
    }
    assert_eq!(got(&stack, &own).await, own);
}

async fn webhook_of_somebody_else(on: Kind) {
    let stack = start(on).await;
    let bob = stack.newcomer("did:plc:bob22222222222222222222x", Key::p256());
    let of_bob = made_by(&stack, &bob, "a").await;
    for fields in [
        json!({ "active": true }),
        json!({ "url": of_bob["url"] }),
        json!({ "url": "https://other.example.com/" }),
        json!({ "secretId": "none" }),
        json!({ "name": "x", "callerDid": bob.did, "caller_did": bob.did }),
    ] {
        not_found(&update(&stack, &of_bob, fields).await);
    }
    let kept = stack.query_as(&bob, GET_WEBHOOK, &[("id", id(&of_bob))]).await.ok();
    assert_eq!(kept["webhook"], of_bob);
}

async fn id_is_required(on: Kind) {
    let stack = start(on).await;
    for (input, rule) in [
        (json!({ "active": true }), "input.id: required"),
        (json!({ "id": null, "active": true }), "input.id: expected a string"),
    ] {
        let message = stack.call(UPDATE_WEBHOOK, &input).await.error(400, "InvalidRequest");
        assert!(message.contains(rule), "{message}");
    }
}

async fn token_is_required(on: Kind) {
    let stack = start(on).await;
    let webhook = made(&stack, "a").await;
    let input = json!({ "id": id(&webhook), "active": true });
    stack.send(stack.post(UPDATE_WEBHOOK).json(&input)).await.error(401, "AuthenticationRequired");
    let of_another_method = stack.alice.token(SERVICE, DELETE_WEBHOOK);
    stack.call_with(&of_another_method, UPDATE_WEBHOOK, &input).await.error(401, "AuthenticationRequired");
    assert_eq!(got(&stack, &webhook).await, webhook);
}

async fn wrong_verb(on: Kind) {
    let stack = start(on).await;
    let verbs = [Method::GET, Method::PATCH];
    stack.refuses_verbs(UPDATE_WEBHOOK, &verbs, "POST").await;
}

async fn url_sealed_with_an_unknown_key(on: Kind) {
    let stack = start(on).await;
    let webhook = made(&stack, "a").await;
    seal_with_an_unknown_key(&stack, &webhook).await;
    for fields in [json!({ "name": "x" }), json!({ "url": "https://other.example.com/" })] {
        update(&stack, &webhook, fields).await.error(500, "InternalServerError");
    }
    assert_eq!(column::<Option<String>>(&stack, &webhook, "name").await, None);
}

// Callers inside may not know about the mask: without it an empty list says nothing.
async fn request_without_a_mask(on: Kind) {
    let stack = start(on).await;
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
