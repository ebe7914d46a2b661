//! `place.wisp.v2.secret.rotate`: each sentence of its part of METHODS.md.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use http::Method;
use serde_json::{Value, json};

use crate::harness::database::Kind;
use crate::harness::identity::Key;
use crate::harness::on_both;
use crate::harness::sealed::{self, StoredSecret};
use crate::harness::stack::{
    Answer, CREATE_SECRET, CREATE_WEBHOOK, LIST_SECRETS, ROTATE_SECRET, SERVICE, Setup, Stack,
};

const BOB: &str = "did:plc:bob22222222222222222222x";
const HOUR_MS: i64 = 3_600_000;

async fn rotate(stack: &Stack, name: &str) -> Answer {
    stack.call(ROTATE_SECRET, &json!({ "name": name })).await
}

async fn stored(stack: &Stack, name: &str) -> StoredSecret {
    sealed::secret(&stack.database, &stack.alice.did, name).await.unwrap()
}

fn token(answer: &Value) -> &str {
    answer["token"].as_str().unwrap()
}

on_both! {
    token_is_made_and_shown_once, old_token_stops_at_once, overlap_keeps_the_previous_token,
    own_token_is_kept_as_it_is, own_token_outside_its_rule, names_just_inside, names_just_outside,
    input_of_the_wrong_shape, no_such_secret, secrets_of_others, unknown_fields_are_ignored,
    limit_is_no_matter, webhooks_go_on_naming_it, twenty_at_once, token_that_no_key_opens_is_replaced,
    caller_must_be_known, verbs, survives_a_restart
}

async fn token_is_made_and_shown_once(on: Kind) {
    let stack = Stack::start(on).await;
    let made = stack.create_secret("deploys").await.ok();
    let rotated = rotate(&stack, "deploys").await.ok();
    assert_eq!(rotated["name"], "deploys");
    assert_ne!(rotated["token"], made["token"]);
    let key = STANDARD.decode(token(&rotated).strip_prefix("whsec_").unwrap()).unwrap();
    assert_eq!(key.len(), 24);
    let at = rotated["rotatedAt"].as_str().unwrap();
    assert!(at.len() == 24 && at.ends_with('Z'), "RFC 3339 with milliseconds and Z: {at}");
    assert_eq!(rotated.as_object().unwrap().len(), 3, "nothing but name, token and rotatedAt: {rotated}");
}

async fn old_token_stops_at_once(on: Kind) {
    let stack = Stack::start(on).await;
    let made = stack.create_secret("deploys").await.ok();
    let before = stored(&stack, "deploys").await;
    assert_eq!(before.token, token(&made));
    assert_eq!((before.last_rotated_at_ms, before.previous_until_ms), (None, None));
    let rotated = rotate(&stack, "deploys").await.ok();
    let StoredSecret { token: now, last_rotated_at_ms, previous_token, previous_until_ms } =
        stored(&stack, "deploys").await;
    assert_eq!(now, token(&rotated));
    assert!(last_rotated_at_ms.is_some());
    assert_eq!((previous_token, previous_until_ms), (None, None), "the old token is nowhere in the row");
}

async fn overlap_keeps_the_previous_token(on: Kind) {
    let mut stack = Setup::on(on).core("--rotation-overlap", "1h").start().await;
    let mut expected_previous = token(&stack.create_secret("deploys").await.ok()).to_owned();
    let other = stack.create_secret("other").await.ok();
    // Rotated twice within the overlap: the token before the last is gone.
    for _ in 0..2 {
        let rotated = rotate(&stack, "deploys").await.ok();
        let row = stored(&stack, "deploys").await;
        assert_eq!(row.token, token(&rotated));
        assert_eq!(row.previous_token, Some(expected_previous));
        assert_eq!(row.previous_until_ms, Some(row.last_rotated_at_ms.unwrap() + HOUR_MS));
        expected_previous = token(&rotated).to_owned();
    }
    let untouched = stored(&stack, "other").await;
    assert_eq!((untouched.token.as_str(), untouched.previous_token), (token(&other), None));

    let before = stored(&stack, "deploys").await;
    stack.stop_core().await;
    stack.start_core().await;
    stack.until_ready(200).await;
    assert_eq!(stored(&stack, "deploys").await, before);
}

async fn own_token_is_kept_as_it_is(on: Kind) {
    let stack = Stack::start(on).await;
    stack.create_secret("deploys").await.ok();
    for own in ["!".repeat(32), "~".repeat(256)] {
        // The same again is no mistake: an answer may have been lost.
        for _ in 0..2 {
            let rotated = stack.call(ROTATE_SECRET, &json!({ "name": "deploys", "token": own })).await.ok();
            assert_eq!(rotated["token"], own);
            assert_eq!(stored(&stack, "deploys").await.token, own);
        }
    }
}

async fn own_token_outside_its_rule(on: Kind) {
    let stack = Stack::start(on).await;
    let made = stack.create_secret("a").await.ok();
    let long = "x".repeat(257);
    let with_space = format!("{} {}", "x".repeat(20), "x".repeat(20));
    for own in
        ["", &"x".repeat(31), &long, &with_space, &"é".repeat(20), &"\t".repeat(40), &"\u{7f}".repeat(40)]
    {
        let answer = stack.call(ROTATE_SECRET, &json!({ "name": "a", "token": own })).await;
        let message = answer.error(400, "InvalidRequest");
        assert!(message.contains("input.token") && message.contains("32"), "{message}");
        assert!(own.is_empty() || !message.contains(own), "the message repeats the token");
    }
    assert_eq!(stored(&stack, "a").await.token, token(&made));
}

async fn names_just_inside(on: Kind) {
    let stack = Stack::start(on).await;
    let longest = "n".repeat(512);
    for name in ["a", "...", ".a", "A-Z_~:.09", &longest] {
        stack.create_secret(name).await.ok();
        assert_eq!(rotate(&stack, name).await.ok()["name"], name);
    }
}

async fn names_just_outside(on: Kind) {
    let stack = Stack::start(on).await;
    let too_long = "n".repeat(513);
    for name in ["", ".", "..", &too_long, "a b", "a/b", "a%b", "é", "a\n", "a#", "a@b", "a(b)"] {
        let message = rotate(&stack, name).await.error(400, "InvalidRequest");
        assert!(message.contains("input.name"), "{name:?}: {message}");
    }
}

async fn input_of_the_wrong_shape(on: Kind) {
    let stack = Stack::start(on).await;
    stack.create_secret("a").await.ok();
    for (input, path) in [
        (json!({}), "input.name"),
        (json!({ "name": null }), "input.name"),
        (json!({ "name": 1 }), "input.name"),
        (json!({ "name": "a", "token": null }), "input.token"),
        (json!({ "name": "a", "token": ["x".repeat(40)] }), "input.token"),
    ] {
        let message = stack.call(ROTATE_SECRET, &input).await.error(400, "InvalidRequest");
        assert!(message.contains(path), "{input}: {message}");
    }
    assert_eq!(stored(&stack, "a").await.last_rotated_at_ms, None);
}

async fn no_such_secret(on: Kind) {
    let stack = Stack::start(on).await;
    rotate(&stack, "deploys").await.error(400, "NotFound");
    stack.create_secret("deploys").await.ok();
    for name in ["Deploys", "deploy", "deploys."] {
        rotate(&stack, name).await.error(400, "NotFound");
    }
    assert_eq!(stored(&stack, "deploys").await.last_rotated_at_ms, None);
}

async fn secrets_of_others(on: Kind) {
    let stack = Stack::start(on).await;
    let bob = stack.newcomer(BOB, Key::p256());
    let made = stack.create_secret("deploys").await.ok();
    let input = json!({ "name": "deploys", "callerDid": stack.alice.did, "caller_did": stack.alice.did });
    let foreign = stack.call_as(&bob, ROTATE_SECRET, &input).await.error(400, "NotFound");
    let missing = stack.call_as(&bob, ROTATE_SECRET, &json!({ "name": "none" })).await.error(400, "NotFound");
    assert_eq!(foreign, missing);
    // Of two with one name, the caller's.
    stack.call_as(&bob, CREATE_SECRET, &json!({ "name": "deploys" })).await.ok();
    let rotated = stack.call_as(&bob, ROTATE_SECRET, &input).await.ok();
    assert_eq!(sealed::secret(&stack.database, BOB, "deploys").await.unwrap().token, token(&rotated));
    assert_eq!(stored(&stack, "deploys").await.token, token(&made));
}

async fn unknown_fields_are_ignored(on: Kind) {
    let stack = Stack::start(on).await;
    stack.create_secret("deploys").await.ok();
    let input = json!({ "name": "deploys", "overlap": "1h", "rotatedAt": 1, "Token": "short" });
    let rotated = stack.call(ROTATE_SECRET, &input).await.ok();
    assert_eq!(stored(&stack, "deploys").await.token, token(&rotated));
}

async fn limit_is_no_matter(on: Kind) {
    let stack = Setup::on(on).core("--max-secrets", "1").start().await;
    stack.create_secret("deploys").await.ok();
    rotate(&stack, "deploys").await.ok();
    stack.create_secret("more").await.error(400, "InvalidRequest");
}

async fn webhooks_go_on_naming_it(on: Kind) {
    let stack = Setup::on(on).core("--probe", "off").start().await;
    stack.create_secret("deploys").await.ok();
    let webhook = |path: &str| json!({ "url": format!("https://hooks.example.com/{path}"), "events": ["chat"], "secretId": "deploys" });
    stack.call(CREATE_WEBHOOK, &webhook("before")).await.ok();
    rotate(&stack, "deploys").await.ok();
    stack.call(CREATE_WEBHOOK, &webhook("after")).await.ok();
}

async fn twenty_at_once(on: Kind) {
    let stack = Setup::on(on).core("--rotation-overlap", "1h").start().await;
    let made = token(&stack.create_secret("deploys").await.ok()).to_owned();
    let answers = join_all((0..20).map(|_| rotate(&stack, "deploys"))).await;
    let rotated: Vec<Value> = answers.iter().map(Answer::ok).collect();
    let row = stored(&stack, "deploys").await;
    let stored_of = |wanted: &str| rotated.iter().filter(|answer| token(answer) == wanted).count();
    assert_eq!(stored_of(&row.token), 1, "the token in use is that of one answer");
    let previous = row.previous_token.unwrap();
    assert_eq!((stored_of(&previous), previous == made), (1, false), "and so is the one before");
    assert_ne!(previous, row.token);
    let shown = stack.query(LIST_SECRETS, &[]).await.ok();
    let last = rotated.iter().find(|answer| token(answer) == row.token).unwrap();
    assert_eq!(shown["secrets"][0]["lastRotatedAt"], last["rotatedAt"]);
}

async fn token_that_no_key_opens_is_replaced(on: Kind) {
    use sea_orm::ConnectionTrait as _;

    let stack = Stack::start(on).await;
    stack.create_secret("lost").await.ok();
    let envelope = format!("01{}", "ee".repeat(60));
    let envelope = if on == Kind::Sqlite { format!("x'{envelope}'") } else { format!(r"'\x{envelope}'") };
    let sql = format!("UPDATE secret SET sealed_token = {envelope}");
    stack.database.connect().await.execute_unprepared(&sql).await.unwrap();
    let rotated = rotate(&stack, "lost").await.ok();
    assert_eq!(stored(&stack, "lost").await.token, token(&rotated));
}

async fn caller_must_be_known(on: Kind) {
    let stack = Stack::start(on).await;
    stack.create_secret("deploys").await.ok();
    let answer = stack.send(stack.post(ROTATE_SECRET).json(&json!({ "name": "deploys" }))).await;
    answer.error(401, "AuthenticationRequired");
    assert!(answer.headers["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
    let of_another_method = stack.alice.token(SERVICE, CREATE_SECRET);
    let answer = stack.call_with(&of_another_method, ROTATE_SECRET, &json!({ "name": "deploys" })).await;
    answer.error(401, "AuthenticationRequired");
    assert_eq!(stored(&stack, "deploys").await.last_rotated_at_ms, None);
}

async fn verbs(on: Kind) {
    let stack = Stack::start(on).await;
    let verbs = [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::PATCH];
    stack.refuses_verbs(ROTATE_SECRET, &verbs, "POST").await;
}

async fn survives_a_restart(on: Kind) {
    let mut stack = Stack::start(on).await;
    stack.create_secret("deploys").await.ok();
    let rotated = rotate(&stack, "deploys").await.ok();
    let before = stored(&stack, "deploys").await;
    assert_eq!(before.token, token(&rotated));
    stack.stop_core().await;
    stack.start_core().await;
    stack.until_ready(200).await;
    assert_eq!(stored(&stack, "deploys").await, before);
    rotate(&stack, "deploys").await.ok();
}
