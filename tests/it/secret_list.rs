//! `place.wisp.v2.secret.list`. What holds for every method is in `conformance`.

use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};

use crate::harness::database::Kind;
use crate::harness::identity::Key;
use crate::harness::on_both;
use crate::harness::stack::{BOB, CREATE_SECRET, DELETE_SECRET, LIST_SECRETS, ROTATE_SECRET, Setup, Stack};

on_both! { nothing_yet, name_and_times, oldest_first, all_that_the_limit_allows, only_the_callers_own }

fn names(secrets: &[Value]) -> Vec<&str> {
    secrets.iter().map(|secret| secret["name"].as_str().unwrap()).collect()
}

async fn nothing_yet(kind: Kind) {
    let stack = Stack::start(kind).await;
    assert_eq!(stack.query(LIST_SECRETS, &[]).await.body, r#"{"secrets":[]}"#);
    // The same for a caller who had a secret.
    stack.create_secret("deploys").await.ok();
    assert_eq!(stack.call(DELETE_SECRET, &json!({ "name": "deploys" })).await.status, 200);
    assert_eq!(stack.query(LIST_SECRETS, &[]).await.body, r#"{"secrets":[]}"#);
}

async fn name_and_times(kind: Kind) {
    let stack = Stack::start(kind).await;
    let made = stack.create_secret("deploys").await.ok();
    let expected = json!({ "name": "deploys", "createdAt": made["createdAt"] });
    assert_eq!(stack.secrets().await, [expected], "no lastRotatedAt before the first rotation");
    let rotated = stack.call(ROTATE_SECRET, &json!({ "name": "deploys" })).await.ok();
    let expected =
        json!({ "name": "deploys", "createdAt": made["createdAt"], "lastRotatedAt": rotated["rotatedAt"] });
    assert_eq!(stack.secrets().await, [expected]);
}

async fn oldest_first(kind: Kind) {
    let stack = Stack::start(kind).await;
    for name in ["b", "d", "a", "c"] {
        stack.create_secret(name).await.ok();
    }
    let connection = stack.database.connect().await;
    for (name, id, created_at_ms) in [
        ("a", 1, 1_700_000_000_002_i64),
        ("b", 9, 1_700_000_000_001),
        ("c", 8, 1_700_000_000_001),
        ("d", 2, 1_699_999_999_999),
    ] {
        let id = uuid::Uuid::from_bytes([id; 16]);
        let id = if kind == Kind::Sqlite { format!("x'{}'", id.simple()) } else { format!("'{id}'") };
        let sql =
            format!("UPDATE secret SET id = {id}, created_at_ms = {created_at_ms} WHERE name = '{name}'");
        connection.execute_unprepared(&sql).await.unwrap();
    }
    let secrets = stack.secrets().await;
    assert_eq!(names(&secrets), ["d", "c", "b", "a"], "by time, then by id");
    assert_eq!(secrets[0]["createdAt"], "2023-11-14T22:13:19.999Z");
    // A rotation does not move a secret.
    stack.call(ROTATE_SECRET, &json!({ "name": "d" })).await.ok();
    assert_eq!(names(&stack.secrets().await), ["d", "c", "b", "a"]);
}

#[tokio::test]
async fn never_a_token() {
    let stack = Setup::on(Kind::Sqlite).core("--rotation-overlap", "1h").start().await;
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

#[tokio::test]
async fn token_sealed_with_an_unknown_key_is_no_obstacle() {
    let stack = Stack::start(Kind::Sqlite).await;
    stack.create_secret("lost").await.ok();
    stack.create_secret("kept").await.ok();
    let sql = format!("UPDATE secret SET sealed_token = x'01{}' WHERE name = 'lost'", "ee".repeat(60));
    let changed = stack.database.connect().await.execute_unprepared(&sql).await.unwrap();
    assert_eq!(changed.rows_affected(), 1);
    assert_eq!(stack.secrets().await.len(), 2, "a list opens no token");
}

async fn all_that_the_limit_allows(kind: Kind) {
    let stack = Stack::start(kind).await;
    // The default limit, and the longest names.
    let expected: Vec<String> = (0..100).map(|number| format!("{number:0512}")).collect();
    for name in &expected {
        stack.create_secret(name).await.ok();
    }
    stack.create_secret("one-more").await.invalid("the limit of 100 secrets is reached");
    let secrets = stack.secrets().await;
    let mut names = names(&secrets);
    names.sort_unstable();
    assert_eq!(names, expected);
}

async fn only_the_callers_own(kind: Kind) {
    let stack = Stack::start(kind).await;
    let bob = stack.newcomer(BOB, Key::p256());
    stack.create_secret("alices").await.ok();
    assert_eq!(stack.query_as(&bob, LIST_SECRETS, &[]).await.ok(), json!({ "secrets": [] }));
    stack.call_as(&bob, CREATE_SECRET, &json!({ "name": "bobs" })).await.ok();
    assert_eq!(names(&stack.secrets().await), ["alices"]);
    let of_bob = stack.query_as(&bob, LIST_SECRETS, &[]).await.ok();
    assert_eq!(names(of_bob["secrets"].as_array().unwrap()), ["bobs"]);
}
