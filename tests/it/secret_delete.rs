//! `place.wisp.v2.secret.delete`: each sentence of its part of METHODS.md.

use futures_util::future::{join, join_all};
use http::Method;
use sea_orm::{ConnectionTrait as _, Statement};
use serde_json::{Value, json};

use crate::harness::database::Kind;
use crate::harness::identity::Key;
use crate::harness::on_both;
use crate::harness::sealed;
use crate::harness::stack::{
    Answer, CREATE_SECRET, CREATE_WEBHOOK, DELETE_SECRET, LIST_SECRETS, ROTATE_SECRET, SERVICE, Setup, Stack,
};

const BOB: &str = "did:plc:bob22222222222222222222x";

async fn delete(stack: &Stack, name: &str) -> Answer {
    stack.call(DELETE_SECRET, &json!({ "name": name })).await
}

async fn is_there(stack: &Stack, name: &str) -> bool {
    sealed::secret(&stack.database, &stack.alice.did, name).await.is_some()
}

fn gone(answer: &Answer) {
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, ""), "{answer:?}");
}

fn webhook(path: &str, secret: &str) -> Value {
    json!({ "url": format!("https://hooks.example.com/{path}"), "events": ["chat"], "secretId": secret })
}

/// A number from the database.
async fn number(stack: &Stack, expression: &str) -> i64 {
    let connection = stack.database.connect().await;
    let sql = format!("SELECT CAST(({expression}) AS BIGINT) AS number");
    let statement = Statement::from_string(connection.get_database_backend(), sql);
    connection.query_one_raw(statement).await.unwrap().unwrap().try_get("", "number").unwrap()
}

/// Asserts that each account's count is that of its rows.
async fn assert_counted(stack: &Stack) {
    let wrong = "SELECT count(*) FROM account WHERE \
                 secrets <> (SELECT count(*) FROM secret WHERE owner_did = did) OR \
                 webhooks <> (SELECT count(*) FROM webhook WHERE owner_did = did)";
    assert_eq!(number(stack, wrong).await, 0);
    assert!(number(stack, "SELECT count(*) FROM account").await > 0);
}

on_both! {
    answer_is_empty, name_can_be_used_again, no_such_secret, names_just_inside, names_just_outside,
    webhooks_use_it, secrets_of_others, unknown_fields_are_ignored, place_is_free_again,
    twenty_creations_and_deletions_at_once, twenty_deletions_of_one_at_once,
    deletion_against_webhooks_that_name_it, deletion_against_rotation, caller_must_be_known, verbs,
    survives_a_restart
}

async fn answer_is_empty(on: Kind) {
    let stack = Stack::start(on).await;
    stack.create_secret("deploys").await.ok();
    stack.create_secret("kept").await.ok();
    gone(&delete(&stack, "deploys").await);
    let secrets = stack.query(LIST_SECRETS, &[]).await.ok();
    assert_eq!(secrets["secrets"].as_array().unwrap().len(), 1);
    assert_eq!(secrets["secrets"][0]["name"], "kept");
    assert!(!is_there(&stack, "deploys").await, "the row is gone, sealed token and all");
    delete(&stack, "deploys").await.error(400, "NotFound");
    stack.call(ROTATE_SECRET, &json!({ "name": "deploys" })).await.error(400, "NotFound");
}

async fn name_can_be_used_again(on: Kind) {
    let stack = Stack::start(on).await;
    let first = stack.create_secret("deploys").await.ok();
    gone(&delete(&stack, "deploys").await);
    let second = stack.create_secret("deploys").await.ok();
    assert_ne!(first["token"], second["token"]);
    let stored = sealed::secret(&stack.database, &stack.alice.did, "deploys").await.unwrap();
    assert_eq!(second["token"], stored.token);
}

async fn no_such_secret(on: Kind) {
    let stack = Stack::start(on).await;
    delete(&stack, "deploys").await.error(400, "NotFound");
    stack.create_secret("deploys").await.ok();
    for name in ["Deploys", "deploy", "deploys."] {
        delete(&stack, name).await.error(400, "NotFound");
    }
    assert!(is_there(&stack, "deploys").await);
    assert_counted(&stack).await;
}

async fn names_just_inside(on: Kind) {
    let stack = Stack::start(on).await;
    let longest = "n".repeat(512);
    for name in ["a", "...", ".a", "A-Z_~:.09", &longest] {
        stack.create_secret(name).await.ok();
        gone(&delete(&stack, name).await);
    }
}

async fn names_just_outside(on: Kind) {
    let stack = Stack::start(on).await;
    let too_long = "n".repeat(513);
    for name in ["", ".", "..", &too_long, "a b", "a/b", "a%b", "é", "a\n", "a#", "a@b", "a(b)"] {
        let message = delete(&stack, name).await.error(400, "InvalidRequest");
        assert!(message.contains("input.name"), "{name:?}: {message}");
    }
    for input in [json!({}), json!({ "name": null }), json!({ "name": ["a"] })] {
        let message = stack.call(DELETE_SECRET, &input).await.error(400, "InvalidRequest");
        assert!(message.contains("input.name"), "{input}: {message}");
    }
}

async fn webhooks_use_it(on: Kind) {
    let stack = Setup::on(on).core("--probe", "off").start().await;
    for name in ["deploys", "other"] {
        stack.create_secret(name).await.ok();
    }
    // Neither another secret's webhook nor one without a secret counts.
    stack.call(CREATE_WEBHOOK, &webhook("other", "other")).await.ok();
    stack
        .call(CREATE_WEBHOOK, &json!({ "url": "https://hooks.example.com/none", "events": ["chat"] }))
        .await
        .ok();
    for (path, told) in [("a", "1 webhook uses this secret"), ("b", "2 webhooks use this secret")] {
        stack.call(CREATE_WEBHOOK, &webhook(path, "deploys")).await.ok();
        let message = delete(&stack, "deploys").await.error(400, "InvalidRequest");
        assert!(message.starts_with(told), "{message}");
    }
    assert!(is_there(&stack, "deploys").await);
    assert_counted(&stack).await;
}

async fn secrets_of_others(on: Kind) {
    let stack = Setup::on(on).core("--probe", "off").start().await;
    let bob = stack.newcomer(BOB, Key::p256());
    stack.create_secret("deploys").await.ok();
    let input = json!({ "name": "deploys", "callerDid": stack.alice.did, "caller_did": stack.alice.did });
    let foreign = stack.call_as(&bob, DELETE_SECRET, &input).await.error(400, "NotFound");
    let missing = stack.call_as(&bob, DELETE_SECRET, &json!({ "name": "none" })).await.error(400, "NotFound");
    assert_eq!(foreign, missing);
    assert!(is_there(&stack, "deploys").await);
    // Bob's webhook names bob's secret, and holds up nobody else's.
    stack.call_as(&bob, CREATE_SECRET, &json!({ "name": "deploys" })).await.ok();
    stack.call_as(&bob, CREATE_WEBHOOK, &webhook("bobs", "deploys")).await.ok();
    stack.call_as(&bob, DELETE_SECRET, &input).await.error(400, "InvalidRequest");
    gone(&delete(&stack, "deploys").await);
    assert!(sealed::secret(&stack.database, BOB, "deploys").await.is_some());
    assert_counted(&stack).await;
}

async fn unknown_fields_are_ignored(on: Kind) {
    let stack = Stack::start(on).await;
    stack.create_secret("deploys").await.ok();
    gone(&stack.call(DELETE_SECRET, &json!({ "name": "deploys", "force": true, "token": 7 })).await);
}

async fn place_is_free_again(on: Kind) {
    let stack = Setup::on(on).core("--max-secrets", "2").start().await;
    stack.create_secret("one").await.ok();
    stack.create_secret("two").await.ok();
    stack.create_secret("three").await.error(400, "InvalidRequest");
    gone(&delete(&stack, "one").await);
    // What was not there frees nothing.
    delete(&stack, "one").await.error(400, "NotFound");
    stack.create_secret("three").await.ok();
    stack.create_secret("four").await.error(400, "InvalidRequest");
    assert_counted(&stack).await;
}

async fn twenty_creations_and_deletions_at_once(on: Kind) {
    let stack = Setup::on(on).core("--max-secrets", "25").start().await;
    let old: Vec<String> = (0..20).map(|number| format!("old{number}")).collect();
    let new: Vec<String> = (0..20).map(|number| format!("new{number}")).collect();
    for name in &old {
        stack.create_secret(name).await.ok();
    }
    let deletions = join_all(old.iter().map(|name| delete(&stack, name)));
    let creations = join_all(new.iter().map(|name| stack.create_secret(name)));
    let (deleted, created) = join(deletions, creations).await;
    deleted.iter().for_each(gone);
    let (made, refused): (Vec<_>, Vec<_>) = created.iter().partition(|answer| answer.status == 200);
    assert!(made.len() >= 5, "as many as there was room for from the start");
    for answer in refused {
        answer.error(400, "InvalidRequest");
    }
    assert_counted(&stack).await;
    // The limit is as exact as before.
    for number in made.len()..25 {
        stack.create_secret(&format!("more{number}")).await.ok();
    }
    stack.create_secret("one-too-many").await.error(400, "InvalidRequest");
}

async fn twenty_deletions_of_one_at_once(on: Kind) {
    let stack = Stack::start(on).await;
    stack.create_secret("kept").await.ok();
    stack.create_secret("deploys").await.ok();
    let answers = join_all((0..20).map(|_| delete(&stack, "deploys"))).await;
    let (deleted, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!(deleted.len(), 1);
    for answer in refused {
        answer.error(400, "NotFound");
    }
    assert_counted(&stack).await;
}

async fn deletion_against_webhooks_that_name_it(on: Kind) {
    let stack = Setup::on(on).core("--probe", "off").start().await;
    stack.create_secret("kept").await.ok();
    for round in 0..10 {
        let name = format!("s{round}");
        stack.create_secret(&name).await.ok();
        let creation = webhook(&name, &name);
        let creation = stack.call(CREATE_WEBHOOK, &creation);
        let (deleted, created) = if round % 2 == 0 {
            join(delete(&stack, &name), creation).await
        } else {
            let (created, deleted) = join(creation, delete(&stack, &name)).await;
            (deleted, created)
        };
        // One of the two came first, and the other was told so.
        if deleted.status == 200 {
            created.error(400, "InvalidRequest");
        } else {
            let message = deleted.error(400, "InvalidRequest");
            assert!(message.starts_with("1 webhook uses this secret"), "{message}");
            created.ok();
        }
    }
    let dangling = "SELECT count(*) FROM webhook w WHERE secret_name IS NOT NULL AND NOT EXISTS \
                    (SELECT 1 FROM secret s WHERE s.owner_did = w.owner_did AND s.name = w.secret_name)";
    assert_eq!(number(&stack, dangling).await, 0);
    assert_counted(&stack).await;
}

async fn deletion_against_rotation(on: Kind) {
    let stack = Stack::start(on).await;
    for round in 0..5 {
        let name = format!("s{round}");
        stack.create_secret(&name).await.ok();
        let input = json!({ "name": name });
        let (deleted, rotated) = join(delete(&stack, &name), stack.call(ROTATE_SECRET, &input)).await;
        gone(&deleted);
        if rotated.status != 200 {
            rotated.error(400, "NotFound");
        }
        assert!(!is_there(&stack, &name).await, "a rotation brings nothing back");
    }
}

async fn caller_must_be_known(on: Kind) {
    let stack = Stack::start(on).await;
    stack.create_secret("deploys").await.ok();
    let answer = stack.send(stack.post(DELETE_SECRET).json(&json!({ "name": "deploys" }))).await;
    answer.error(401, "AuthenticationRequired");
    assert!(answer.headers["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
    let of_another_method = stack.alice.token(SERVICE, ROTATE_SECRET);
    let answer = stack.call_with(&of_another_method, DELETE_SECRET, &json!({ "name": "deploys" })).await;
    answer.error(401, "AuthenticationRequired");
    assert!(is_there(&stack, "deploys").await);
}

async fn verbs(on: Kind) {
    let stack = Stack::start(on).await;
    let verbs = [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::PATCH];
    stack.refuses_verbs(DELETE_SECRET, &verbs, "POST").await;
}

async fn survives_a_restart(on: Kind) {
    let mut stack = Stack::start(on).await;
    stack.create_secret("deploys").await.ok();
    gone(&delete(&stack, "deploys").await);
    stack.stop_core().await;
    stack.start_core().await;
    stack.until_ready(200).await;
    delete(&stack, "deploys").await.error(400, "NotFound");
    stack.create_secret("deploys").await.ok();
}
