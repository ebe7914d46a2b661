//! `place.wisp.v2.secret.create`: each row of its table in METHODS.md.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use serde_json::json;

use crate::harness::database::Kind;
use crate::harness::identity::Key;
use crate::harness::on_both;
use crate::harness::stack::{CREATE_SECRET, Setup, Stack};

on_both! {
    token_is_made_and_shown_once, tokens_differ, own_token_is_kept_as_it_is, own_token_outside_its_rule,
    names_just_inside, names_just_outside, names_are_case_sensitive, name_taken, two_callers_with_one_name,
    limit_reached, one_place_left_and_twenty_at_once, one_name_twenty_times_at_once, survives_a_restart,
    body_cannot_name_another_caller
}

async fn token_is_made_and_shown_once(on: Kind) {
    let stack = Stack::start(on).await;
    let made = stack.create_secret("deploys").await.ok();
    assert_eq!(made["name"], "deploys");
    let token = made["token"].as_str().unwrap();
    let key = STANDARD.decode(token.strip_prefix("whsec_").unwrap()).unwrap();
    assert_eq!(key.len(), 24);
    let created = made["createdAt"].as_str().unwrap();
    assert!(created.len() == 24 && created.ends_with('Z'), "RFC 3339 with milliseconds and Z: {created}");
    assert_eq!(made.as_object().unwrap().len(), 3, "nothing but name, token and createdAt: {made}");
}

async fn tokens_differ(on: Kind) {
    let stack = Stack::start(on).await;
    let mut seen = HashSet::new();
    for number in 0..10 {
        let made = stack.create_secret(&format!("s{number}")).await.ok();
        assert!(seen.insert(made["token"].as_str().unwrap().to_owned()));
    }
}

async fn own_token_is_kept_as_it_is(on: Kind) {
    let stack = Stack::start(on).await;
    for (name, token) in [("shortest", "!".repeat(32)), ("longest", "~".repeat(256))] {
        let made = stack.call(CREATE_SECRET, &json!({ "name": name, "token": token })).await.ok();
        assert_eq!(made["token"], token);
    }
}

async fn own_token_outside_its_rule(on: Kind) {
    let stack = Stack::start(on).await;
    let long = "x".repeat(257);
    let with_space = format!("{} {}", "x".repeat(20), "x".repeat(20));
    for token in
        ["", &"x".repeat(31), &long, &with_space, &"é".repeat(20), &"\t".repeat(40), &"\u{7f}".repeat(40)]
    {
        let answer = stack.call(CREATE_SECRET, &json!({ "name": "a", "token": token })).await;
        let message = answer.error(400, "InvalidRequest");
        assert!(message.contains("input.token") && message.contains("32"), "{message}");
        assert!(token.is_empty() || !message.contains(token), "the message repeats the token");
    }
    stack.create_secret("a").await.ok();
}

async fn names_just_inside(on: Kind) {
    let stack = Stack::start(on).await;
    let longest = "n".repeat(512);
    for name in ["a", "...", ".a", "A-Z_~:.09", "self", &longest] {
        assert_eq!(stack.create_secret(name).await.ok()["name"], name);
    }
}

async fn names_just_outside(on: Kind) {
    let stack = Stack::start(on).await;
    let too_long = "n".repeat(513);
    for name in ["", ".", "..", &too_long, "a b", "a/b", "a%b", "é", "a\n", "a#", "a@b", "a(b)"] {
        let message = stack.create_secret(name).await.error(400, "InvalidRequest");
        assert!(message.contains("input.name"), "{name:?}: {message}");
    }
}

async fn names_are_case_sensitive(on: Kind) {
    let stack = Stack::start(on).await;
    stack.create_secret("Deploys").await.ok();
    stack.create_secret("deploys").await.ok();
    stack.create_secret("deploys").await.error(400, "AlreadyExists");
}

async fn name_taken(on: Kind) {
    let stack = Stack::start(on).await;
    let first = stack.create_secret("deploys").await.ok();
    let answer = stack.create_secret("deploys").await;
    let message = answer.error(400, "AlreadyExists");
    assert!(!message.is_empty() && !answer.body.contains(first["token"].as_str().unwrap()));
}

async fn two_callers_with_one_name(on: Kind) {
    let stack = Stack::start(on).await;
    let bob = stack.newcomer("did:plc:bob22222222222222222222x", Key::p256());
    stack.create_secret("deploys").await.ok();
    stack.call_as(&bob, CREATE_SECRET, &json!({ "name": "deploys" })).await.ok();
    stack.call_as(&bob, CREATE_SECRET, &json!({ "name": "deploys" })).await.error(400, "AlreadyExists");
}

async fn limit_reached(on: Kind) {
    let stack = Setup::on(on).core("--max-secrets", "2").start().await;
    stack.create_secret("one").await.ok();
    stack.create_secret("two").await.ok();
    let message = stack.create_secret("three").await.error(400, "InvalidRequest");
    assert!(message.contains('2') && message.contains("secrets"), "{message}");
    stack.create_secret("two").await.error(400, "AlreadyExists");
    let bob = stack.newcomer("did:plc:bob22222222222222222222x", Key::k256());
    stack.call_as(&bob, CREATE_SECRET, &json!({ "name": "three" })).await.ok();
}

async fn one_place_left_and_twenty_at_once(on: Kind) {
    let stack = Setup::on(on).core("--max-secrets", "3").start().await;
    stack.create_secret("one").await.ok();
    stack.create_secret("two").await.ok();
    let names: Vec<String> = (0..20).map(|number| format!("racer{number}")).collect();
    let answers = join_all(names.iter().map(|name| stack.create_secret(name))).await;
    let (made, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!(made.len(), 1);
    for answer in refused {
        answer.error(400, "InvalidRequest");
    }
    let winner = made[0].ok()["name"].as_str().unwrap().to_owned();
    stack.create_secret(&winner).await.error(400, "AlreadyExists");
    let loser = names.iter().find(|name| **name != winner).unwrap();
    stack.create_secret(loser).await.error(400, "InvalidRequest");
}

async fn one_name_twenty_times_at_once(on: Kind) {
    let stack = Stack::start(on).await;
    let answers = join_all((0..20).map(|_| stack.create_secret("deploys"))).await;
    let (made, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!(made.len(), 1);
    for answer in refused {
        answer.error(400, "AlreadyExists");
    }
}

async fn survives_a_restart(on: Kind) {
    let mut stack = Stack::start(on).await;
    stack.create_secret("deploys").await.ok();
    stack.stop_core().await;
    stack.start_core().await;
    stack.until_ready(200).await;
    stack.create_secret("deploys").await.error(400, "AlreadyExists");
    stack.create_secret("others").await.ok();
}

async fn body_cannot_name_another_caller(on: Kind) {
    let stack = Setup::on(on).core("--max-secrets", "1").start().await;
    let bob = stack.newcomer("did:plc:bob22222222222222222222x", Key::k256());
    let input = json!({ "name": "a", "callerDid": bob.did, "caller_did": bob.did });
    stack.call(CREATE_SECRET, &input).await.ok();
    stack.call_as(&bob, CREATE_SECRET, &json!({ "name": "a" })).await.ok();
    stack.create_secret("b").await.error(400, "InvalidRequest");
}
