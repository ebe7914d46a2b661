//! `place.wisp.v2.secret.create`. The rules for names and tokens are in `secret_rules`, what holds for every
//! method in `conformance`.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use serde_json::json;

use crate::harness::answer::one_succeeds;
use crate::harness::database::Kind;
use crate::harness::identity::Key;
use crate::harness::on_both;

use crate::harness::stack::{BOB, CREATE_SECRET, Setup, Stack};

on_both! {
    names_are_case_sensitive, name_taken, two_callers_with_one_name, limit_reached, one_place_left_and_twenty_at_once,
    one_name_twenty_times_at_once
}

#[tokio::test]
async fn token_is_made_and_shown_once() {
    let stack = Stack::start(Kind::Sqlite).await;
    let mut tokens = HashSet::new();
    for number in 0..10 {
        let name = format!("s{number}");
        let made = stack.create_secret(&name).await.ok();
        let (token, created) = (made["token"].as_str().unwrap(), made["createdAt"].as_str().unwrap());
        assert_eq!(made, json!({ "name": name, "token": token, "createdAt": created }));
        assert_eq!(STANDARD.decode(token.strip_prefix("whsec_").unwrap()).unwrap().len(), 24);
        assert!(created.len() == 24 && created.ends_with('Z'), "RFC 3339 with milliseconds and Z: {created}");
        assert!(tokens.insert(token.to_owned()), "two secrets have one token");
    }
}

async fn names_are_case_sensitive(kind: Kind) {
    let stack = Stack::start(kind).await;
    stack.create_secret("Deploys").await.ok();
    stack.create_secret("deploys").await.ok();
    stack.create_secret("deploys").await.error(400, "AlreadyExists");
}

async fn name_taken(kind: Kind) {
    let stack = Stack::start(kind).await;
    stack.create_secret("deploys").await.ok();
    stack.create_secret("deploys").await.error(400, "AlreadyExists");
}

async fn two_callers_with_one_name(kind: Kind) {
    let stack = Stack::start(kind).await;
    let bob = stack.newcomer(BOB, Key::p256());
    stack.create_secret("deploys").await.ok();
    stack.call_as(&bob, CREATE_SECRET, &json!({ "name": "deploys" })).await.ok();
    stack.call_as(&bob, CREATE_SECRET, &json!({ "name": "deploys" })).await.error(400, "AlreadyExists");
}

async fn limit_reached(kind: Kind) {
    let stack = Setup::on(kind).core("--max-secrets", "2").start().await;
    stack.create_secret("one").await.ok();
    stack.create_secret("two").await.ok();
    stack.create_secret("three").await.invalid("the limit of 2 secrets is reached");
    stack.create_secret("two").await.error(400, "AlreadyExists");
    let bob = stack.newcomer(BOB, Key::k256());
    stack.call_as(&bob, CREATE_SECRET, &json!({ "name": "three" })).await.ok();
}

async fn one_place_left_and_twenty_at_once(kind: Kind) {
    let stack = Setup::on(kind).core("--max-secrets", "3").start().await;
    stack.create_secret("one").await.ok();
    stack.create_secret("two").await.ok();
    let names: Vec<String> = (0..20).map(|number| format!("racer{number}")).collect();
    let answers = join_all(names.iter().map(|name| stack.create_secret(name))).await;
    let winner = one_succeeds(&answers, "InvalidRequest").ok()["name"].as_str().unwrap().to_owned();
    stack.create_secret(&winner).await.error(400, "AlreadyExists");
    let loser = names.iter().find(|name| **name != winner).unwrap();
    stack.create_secret(loser).await.invalid("the limit of 3 secrets is reached");
}

async fn one_name_twenty_times_at_once(kind: Kind) {
    let stack = Stack::start(kind).await;
    let answers = join_all((0..20).map(|_| stack.create_secret("deploys"))).await;
    one_succeeds(&answers, "AlreadyExists");
}
