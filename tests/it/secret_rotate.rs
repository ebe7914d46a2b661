//! `place.wisp.v2.secret.rotate`. The rules for names and tokens are in `secret_rules`, what holds for every
//! method in `conformance`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};

use crate::harness::answer::Answer;
use crate::harness::database::Kind;
use crate::harness::identity::Key;
use crate::harness::on_both;
use crate::harness::sealed::{self, StoredSecret};
use crate::harness::stack::{BOB, CREATE_SECRET, CREATE_WEBHOOK, ROTATE_SECRET, Setup, Stack};

on_both! {
    old_token_stops_at_once, overlap_keeps_the_previous_token, no_such_secret, secrets_of_others,
    limit_does_not_matter, webhooks_go_on_naming_it, twenty_at_once, token_that_no_key_opens_is_replaced
}

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

#[tokio::test]
async fn token_is_made_and_shown_once() {
    let stack = Stack::start(Kind::Sqlite).await;
    let made = stack.create_secret("deploys").await.ok();
    let rotated = rotate(&stack, "deploys").await.ok();
    let (now, at) = (token(&rotated), rotated["rotatedAt"].as_str().unwrap());
    assert_eq!(rotated, json!({ "name": "deploys", "token": now, "rotatedAt": at }));
    assert_ne!(now, token(&made));
    assert_eq!(STANDARD.decode(now.strip_prefix("whsec_").unwrap()).unwrap().len(), 24);
    assert!(at.len() == 24 && at.ends_with('Z'), "RFC 3339 with milliseconds and Z: {at}");
}

async fn old_token_stops_at_once(kind: Kind) {
    let stack = Stack::start(kind).await;
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

async fn overlap_keeps_the_previous_token(kind: Kind) {
    let stack = Setup::on(kind).core("--rotation-overlap", "1h").start().await;
    let mut previous = token(&stack.create_secret("deploys").await.ok()).to_owned();
    let other = stack.create_secret("other").await.ok();
    // After two rotations within the overlap, the token before the last two is gone.
    for _ in 0..2 {
        let rotated = rotate(&stack, "deploys").await.ok();
        let row = stored(&stack, "deploys").await;
        assert_eq!(row.token, token(&rotated));
        assert_eq!(row.previous_token, Some(previous));
        assert_eq!(row.previous_until_ms, Some(row.last_rotated_at_ms.unwrap() + HOUR_MS));
        previous = token(&rotated).to_owned();
    }
    let untouched = stored(&stack, "other").await;
    assert_eq!((untouched.token.as_str(), untouched.previous_token), (token(&other), None));
}

async fn no_such_secret(kind: Kind) {
    let stack = Stack::start(kind).await;
    rotate(&stack, "deploys").await.error(400, "NotFound");
    stack.create_secret("deploys").await.ok();
    for name in ["Deploys", "deploy", "deploys."] {
        rotate(&stack, name).await.error(400, "NotFound");
    }
    assert_eq!(stored(&stack, "deploys").await.last_rotated_at_ms, None);
}

async fn secrets_of_others(kind: Kind) {
    let stack = Stack::start(kind).await;
    let bob = stack.newcomer(BOB, Key::p256());
    let made = stack.create_secret("deploys").await.ok();
    let input = json!({ "name": "deploys" });
    stack.call_as(&bob, ROTATE_SECRET, &input).await.error(400, "NotFound");
    // Of two secrets with one name, the caller's is rotated.
    stack.call_as(&bob, CREATE_SECRET, &input).await.ok();
    let rotated = stack.call_as(&bob, ROTATE_SECRET, &input).await.ok();
    assert_eq!(sealed::secret(&stack.database, BOB, "deploys").await.unwrap().token, token(&rotated));
    assert_eq!(stored(&stack, "deploys").await.token, token(&made));
}

async fn limit_does_not_matter(kind: Kind) {
    let stack = Setup::on(kind).core("--max-secrets", "1").start().await;
    stack.create_secret("deploys").await.ok();
    rotate(&stack, "deploys").await.ok();
    stack.create_secret("more").await.invalid("the limit of 1 secrets is reached");
}

async fn webhooks_go_on_naming_it(kind: Kind) {
    let stack = Setup::on(kind).core("--probe", "off").start().await;
    stack.create_secret("deploys").await.ok();
    let webhook = |path: &str| json!({ "url": format!("https://hooks.example.com/{path}"), "events": ["chat"], "secretId": "deploys" });
    stack.call(CREATE_WEBHOOK, &webhook("before")).await.ok();
    rotate(&stack, "deploys").await.ok();
    stack.call(CREATE_WEBHOOK, &webhook("after")).await.ok();
}

async fn twenty_at_once(kind: Kind) {
    let stack = Setup::on(kind).core("--rotation-overlap", "1h").start().await;
    let made = token(&stack.create_secret("deploys").await.ok()).to_owned();
    let answers = join_all((0..20).map(|_| rotate(&stack, "deploys"))).await;
    let rotated: Vec<Value> = answers.iter().map(Answer::ok).collect();
    let row = stored(&stack, "deploys").await;
    let answers_with = |wanted: &str| rotated.iter().filter(|answer| token(answer) == wanted).count();
    assert_eq!(answers_with(&row.token), 1, "the token in use is that of one answer");
    let previous = row.previous_token.unwrap();
    assert_eq!((answers_with(&previous), previous == made), (1, false), "and so is the one before");
    assert_ne!(previous, row.token);
    let last = rotated.iter().find(|answer| token(answer) == row.token).unwrap();
    assert_eq!(stack.secrets().await[0]["lastRotatedAt"], last["rotatedAt"]);
}

async fn token_that_no_key_opens_is_replaced(kind: Kind) {
    let stack = Stack::start(kind).await;
    stack.create_secret("lost").await.ok();
    let envelope = format!("01{}", "ee".repeat(60));
    let envelope = if kind == Kind::Sqlite { format!("x'{envelope}'") } else { format!(r"'\x{envelope}'") };
    let sql = format!("UPDATE secret SET sealed_token = {envelope}");
    stack.database.connect().await.execute_unprepared(&sql).await.unwrap();
    let rotated = rotate(&stack, "lost").await.ok();
    assert_eq!(stored(&stack, "lost").await.token, token(&rotated));
}
