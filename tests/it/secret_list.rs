//! `place.wisp.v2.secret.list`: each sentence of its part of METHODS.md.

use http::Method;
use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};

use crate::harness::database::Kind;
use crate::harness::identity::Key;
use crate::harness::on_both;
use crate::harness::stack::{
    CREATE_SECRET, DELETE_SECRET, LIST_SECRETS, ROTATE_SECRET, SERVICE, Setup, Stack,
};

const BOB: &str = "did:plc:bob22222222222222222222x";

async fn listed(stack: &Stack) -> Vec<Value> {
    let answer = stack.query(LIST_SECRETS, &[]).await.ok();
    assert_eq!(answer.as_object().unwrap().len(), 1, "nothing but secrets: {answer}");
    answer["secrets"].as_array().unwrap().clone()
}

fn names(secrets: &[Value]) -> Vec<&str> {
    secrets.iter().map(|secret| secret["name"].as_str().unwrap()).collect()
}

on_both! {
    nothing_yet, name_and_times, oldest_first, never_a_token, sealed_with_an_unknown_key,
    all_that_the_limit_allows, secrets_of_others, unknown_parameters_are_ignored, caller_must_be_known, verbs,
    survives_a_restart
}

async fn nothing_yet(on: Kind) {
    let stack = Stack::start(on).await;
    let answer = stack.query(LIST_SECRETS, &[]).await;
    answer.ok();
    assert_eq!(answer.body, r#"{"secrets":[]}"#);
    // Somebody who had a secret and has none.
    stack.create_secret("deploys").await.ok();
    assert_eq!(stack.call(DELETE_SECRET, &json!({ "name": "deploys" })).await.status, 200);
    assert_eq!(stack.query(LIST_SECRETS, &[]).await.body, r#"{"secrets":[]}"#);
}

async fn name_and_times(on: Kind) {
    let stack = Stack::start(on).await;
    let made = stack.create_secret("deploys").await.ok();
    let expected = json!({ "name": "deploys", "createdAt": made["createdAt"] });
    assert_eq!(listed(&stack).await, [expected], "no lastRotatedAt before the first rotation");
    let rotated = stack.call(ROTATE_SECRET, &json!({ "name": "deploys" })).await.ok();
    let expected =
        json!({ "name": "deploys", "createdAt": made["createdAt"], "lastRotatedAt": rotated["rotatedAt"] });
    assert_eq!(listed(&stack).await, [expected]);
}

async fn oldest_first(on: Kind) {
    let stack = Stack::start(on).await;
    for name in ["b", "d", "a", "c"] {
        stack.create_secret(name).await.ok();
    }
    let connection = stack.database.connect().await;
    let set = async |name: &str, id: u8, created_at_ms: i64| {
        let id = uuid::Uuid::from_bytes([id; 16]);
        let id = if on == Kind::Sqlite { format!("x'{}'", id.simple()) } else { format!("'{id}'") };
        let sql =
            format!("UPDATE secret SET id = {id}, created_at_ms = {created_at_ms} WHERE name = '{name}'");
        connection.execute_unprepared(&sql).await.unwrap();
    };
    set("a", 1, 1_700_000_000_002).await;
    set("b", 9, 1_700_000_000_001).await;
    set("c", 8, 1_700_000_000_001).await;
    set("d", 2, 1_699_999_999_999).await;
    let secrets = listed(&stack).await;
    assert_eq!(names(&secrets), ["d", "c", "b", "a"], "by time, then by id");
    assert_eq!(secrets[0]["createdAt"], "2023-11-14T22:13:19.999Z");
    // A rotation changes no place.
    stack.call(ROTATE_SECRET, &json!({ "name": "d" })).await.ok();
    assert_eq!(names(&listed(&stack).await), ["d", "c", "b", "a"]);
}

async fn never_a_token(on: Kind) {
    let stack = Setup::on(on).core("--rotation-overlap", "1h").start().await;
    let own = "own-token-".repeat(4);
    let mut tokens = vec![own.clone()];
    stack.call(CREATE_SECRET, &json!({ "name": "own", "token": own })).await.ok();
    for made in [
        stack.create_secret("made").await.ok(),
        stack.call(ROTATE_SECRET, &json!({ "name": "own" })).await.ok(),
        stack.call(ROTATE_SECRET, &json!({ "name": "made" })).await.ok(),
    ] {
        tokens.push(made["token"].as_str().unwrap().to_owned());
    }
    let body = stack.query(LIST_SECRETS, &[]).await.body;
    assert_eq!(body.matches(r#""name":"#).count(), 2, "{body}");
    for hidden in tokens.iter().map(String::as_str).chain(["whsec", "token", "Token"]) {
        assert!(!body.contains(hidden), "{hidden} in {body}");
    }
}

async fn sealed_with_an_unknown_key(on: Kind) {
    let stack = Stack::start(on).await;
    stack.create_secret("lost").await.ok();
    stack.create_secret("kept").await.ok();
    let envelope = format!("01{}", "ee".repeat(60));
    let envelope = if on == Kind::Sqlite { format!("x'{envelope}'") } else { format!(r"'\x{envelope}'") };
    let sql = format!("UPDATE secret SET sealed_token = {envelope} WHERE name = 'lost'");
    let changed = stack.database.connect().await.execute_unprepared(&sql).await.unwrap();
    assert_eq!(changed.rows_affected(), 1);
    assert_eq!(listed(&stack).await.len(), 2, "a list opens nothing");
}

async fn all_that_the_limit_allows(on: Kind) {
    let stack = Stack::start(on).await;
    // The default limit, and the longest names.
    let expected: Vec<String> = (0..100).map(|number| format!("{number:0512}")).collect();
    for name in &expected {
        stack.create_secret(name).await.ok();
    }
    stack.create_secret("one-more").await.error(400, "InvalidRequest");
    let secrets = listed(&stack).await;
    let mut names = names(&secrets);
    names.sort_unstable();
    assert_eq!(names, expected);
}

async fn secrets_of_others(on: Kind) {
    let stack = Stack::start(on).await;
    let bob = stack.newcomer(BOB, Key::k256());
    stack.create_secret("alices").await.ok();
    assert_eq!(stack.query_as(&bob, LIST_SECRETS, &[]).await.ok(), json!({ "secrets": [] }));
    stack.call_as(&bob, CREATE_SECRET, &json!({ "name": "bobs" })).await.ok();
    // No parameter names another caller.
    let params = [("callerDid", BOB), ("caller_did", BOB), ("did", BOB), ("iss", BOB)];
    let secrets = stack.query(LIST_SECRETS, &params).await.ok();
    assert_eq!(names(secrets["secrets"].as_array().unwrap()), ["alices"]);
    let secrets = stack.query_as(&bob, LIST_SECRETS, &[]).await.ok();
    assert_eq!(names(secrets["secrets"].as_array().unwrap()), ["bobs"]);
}

async fn unknown_parameters_are_ignored(on: Kind) {
    let stack = Stack::start(on).await;
    stack.create_secret("deploys").await.ok();
    let secrets = stack.query(LIST_SECRETS, &[("limit", "0"), ("limit", "x"), ("name", "other")]).await.ok();
    assert_eq!(names(secrets["secrets"].as_array().unwrap()), ["deploys"]);
}

async fn caller_must_be_known(on: Kind) {
    let stack = Stack::start(on).await;
    let path = format!("/xrpc/{LIST_SECRETS}");
    let answer = stack.get(&path).await;
    answer.error(401, "AuthenticationRequired");
    assert!(answer.headers["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
    let of_another_method = stack.alice.token(SERVICE, CREATE_SECRET);
    let request = stack.request(Method::GET, &path).bearer_auth(of_another_method);
    stack.send(request).await.error(401, "AuthenticationRequired");
}

async fn verbs(on: Kind) {
    let stack = Stack::start(on).await;
    let path = format!("/xrpc/{LIST_SECRETS}");
    for verb in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
        let token = stack.alice.token(SERVICE, LIST_SECRETS);
        let answer = stack.send(stack.request(verb, &path).bearer_auth(token)).await;
        answer.error(400, "InvalidRequest");
        assert_eq!(answer.headers["allow"], "GET, HEAD");
    }
    let token = stack.alice.token(SERVICE, LIST_SECRETS);
    let answer = stack.send(stack.request(Method::HEAD, &path).bearer_auth(token)).await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, ""));
}

async fn survives_a_restart(on: Kind) {
    let mut stack = Stack::start(on).await;
    stack.create_secret("deploys").await.ok();
    stack.call(ROTATE_SECRET, &json!({ "name": "deploys" })).await.ok();
    let before = listed(&stack).await;
    stack.stop_core().await;
    stack.start_core().await;
    stack.until_ready(200).await;
    assert_eq!(listed(&stack).await, before);
}
