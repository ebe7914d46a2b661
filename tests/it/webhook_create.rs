//! `place.stream.server.createWebhook`. The rules of its fields are in `webhook_rules`, those of the URL in
//! `webhook_url`, what holds for every method in `conformance`.

use futures_util::future::join_all;
use serde_json::json;

use crate::harness::answer::one_succeeds;
use crate::harness::database::Kind;
use crate::harness::identity::Key;
use crate::harness::on_both;
use crate::harness::stack::{BOB, CREATE_WEBHOOK, Setup, Stack};
use crate::harness::webhook::{create, id, made, made_by, made_with, start, url};

on_both! {
    least_input, everything_given_comes_back, secret_must_be_the_callers_own, duplicate_url, limit_reached,
    one_place_left_and_twenty_at_once, one_url_twenty_times_at_once
}

async fn least_input(kind: Kind) {
    let stack = start(kind).await;
    let webhook = made(&stack, "a").await;
    let parsed: uuid::Uuid = id(&webhook).parse().unwrap();
    assert_eq!(parsed.get_version_num(), 7);
    let created = webhook["createdAt"].as_str().unwrap();
    assert!(created.len() == 24 && created.ends_with('Z'), "RFC 3339 with milliseconds and Z: {created}");
    let expected = json!({
        "id": id(&webhook), "url": url("a"), "events": ["chat"], "active": false, "createdAt": created,
        "streamplaceFormat": false, "errorCount": 0,
    });
    assert_eq!(webhook, expected, "defaults are written, absent fields are left out");
}

async fn everything_given_comes_back(kind: Kind) {
    let stack = start(kind).await;
    stack.create_secret("deploys").await.ok();
    let input = json!({
        "url": "https://hooks.example.com/a?b=c",
        "events": ["livestream", "chat", "stream.received", "mention", "follow"],
        "active": true,
        "name": "Möwe",
        "description": "what it is for",
        "prefix": "> ",
        "suffix": " <",
        "rewrite": [{ "from": "a", "to": "b" }, { "from": "c", "to": "" }],
        "muteWords": ["one", "two words"],
        "streamplaceFormat": true,
        "secretId": "deploys",
    });
    let made = stack.call(CREATE_WEBHOOK, &input).await.ok();
    for (field, value) in input.as_object().unwrap() {
        assert_eq!(&made["webhook"][field], value, "{field}");
    }
}

async fn secret_must_be_the_callers_own(kind: Kind) {
    let stack = start(kind).await;
    let bob = stack.newcomer(BOB, Key::k256());
    stack.create_secret("deploys").await.ok();
    let with_secret = |name: &str| json!({ "url": url("a"), "events": ["chat"], "secretId": name });
    let unknown = "input.secretId: must name a secret of the caller";
    for name in ["missing", "Deploys"] {
        stack.call(CREATE_WEBHOOK, &with_secret(name)).await.invalid(unknown);
    }
    stack.call_as(&bob, CREATE_WEBHOOK, &with_secret("deploys")).await.invalid(unknown);
    // Before the URL is tried.
    let unreachable = json!({ "url": "https://127.0.0.1/", "events": ["chat"], "secretId": "missing" });
    stack.call(CREATE_WEBHOOK, &unreachable).await.invalid(unknown);
    let made = made_with(&stack, "a", json!({ "secretId": "deploys" })).await;
    assert_eq!(made["secretId"], "deploys");
}

async fn duplicate_url(kind: Kind) {
    let stack = start(kind).await;
    let bob = stack.newcomer(BOB, Key::k256());
    create(&stack, "https://hooks.example.com/a").await.ok();
    // The same URL after normalisation.
    for url in [
        "https://hooks.example.com/a",
        "HTTPS://Hooks.Example.COM:443/a",
        "https://hooks.example.com/b/../a",
        "https://hooks.example.com/a#fragment",
        "https:hooks.example.com/a",
        "https://hooks.example.com/a?",
        "https://hooks.example.com./a",
        "https://hooks.example.com.:443/a?#fragment",
    ] {
        create(&stack, url).await.error(400, "DuplicateWebhook");
    }
    create(&stack, "https://hooks.example.com/A").await.ok();
    made_by(&stack, &bob, "a").await;
}

/// A stack where a caller may have two webhooks.
async fn two_at_most(kind: Kind) -> Stack {
    Setup::on(kind).core("--probe", "off").core("--max-webhooks", "2").start().await
}

async fn limit_reached(kind: Kind) {
    let stack = two_at_most(kind).await;
    for path in ["a", "b"] {
        made(&stack, path).await;
    }
    let message = create(&stack, &url("c")).await.error(400, "TooManyWebhooks");
    assert_eq!(message, "the limit of 2 webhooks is reached");
    create(&stack, &url("a")).await.error(400, "DuplicateWebhook");
}

async fn one_place_left_and_twenty_at_once(kind: Kind) {
    let stack = two_at_most(kind).await;
    made(&stack, "first").await;
    let answers =
        join_all((0..20).map(async |number: u8| create(&stack, &url(&number.to_string())).await)).await;
    one_succeeds(&answers, "TooManyWebhooks");
}

async fn one_url_twenty_times_at_once(kind: Kind) {
    let stack = start(kind).await;
    let url = url("a");
    let answers = join_all((0..20).map(|_| create(&stack, &url))).await;
    one_succeeds(&answers, "DuplicateWebhook");
}
