//! `place.stream.server.createWebhook`: each row of its table in METHODS.md. What concerns reaching the URL is in
//! `webhook_url`.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::database::Kind;
use crate::harness::identity::Key;
use crate::harness::on_both;
use crate::harness::stack::{Answer, CREATE_WEBHOOK, Setup, Stack};

/// A stack that looks nothing up and connects to nobody, for what does not concern reaching the URL.
async fn start(on: Kind) -> Stack {
    Setup::on(on).core("--probe", "off").start().await
}

fn input(url: &str) -> Value {
    json!({ "url": url, "events": ["chat"] })
}

fn with(field: &str, value: Value) -> Value {
    let mut input = input("https://hooks.example.com/a");
    input[field] = value;
    input
}

async fn refused(stack: &Stack, field: &str, value: Value, path: &str, rule: &str) {
    let message = stack.call(CREATE_WEBHOOK, &with(field, value)).await.error(400, "InvalidRequest");
    assert!(message.contains(path) && message.contains(rule), "{field}: {message}");
}

async fn accepted(stack: &Stack, number: usize, field: &str, value: Value) -> Value {
    let mut input = with(field, value);
    input["url"] = json!(format!("https://hooks.example.com/{field}/{number}"));
    stack.call(CREATE_WEBHOOK, &input).await.ok()["webhook"].clone()
}

on_both! {
    least_input, everything_given_comes_back, events_repeat_and_keep_their_order, events_outside_their_rule,
    texts_at_their_limits, empty_texts_and_lists_are_left_out, rewrite_at_its_limits,
    mute_words_at_their_limits, booleans_are_true_or_false, required_fields_are_required,
    secret_must_be_the_callers_own, duplicate_url, limit_reached, one_place_left_and_twenty_at_once,
    one_url_twenty_times_at_once
}

async fn least_input(on: Kind) {
    let stack = start(on).await;
    let made = stack.call(CREATE_WEBHOOK, &input("https://hooks.example.com/a")).await.ok();
    assert_eq!(made.as_object().unwrap().len(), 1, "{made}");
    let webhook = &made["webhook"];
    let id: uuid::Uuid = webhook["id"].as_str().unwrap().parse().unwrap();
    assert_eq!(id.get_version_num(), 7);
    assert_eq!(webhook["url"], "https://hooks.example.com/a");
    assert_eq!(webhook["events"], json!(["chat"]));
    assert_eq!(webhook["active"], false, "the lexicon's default");
    let created = webhook["createdAt"].as_str().unwrap();
    assert!(created.len() == 24 && created.ends_with('Z'), "{created}");
    for absent in
        ["name", "description", "prefix", "suffix", "rewrite", "muteWords", "secretId", "lastTriggered"]
    {
        assert!(webhook.get(absent).is_none(), "{absent}: {webhook}");
    }
}

async fn everything_given_comes_back(on: Kind) {
    let stack = start(on).await;
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

async fn events_repeat_and_keep_their_order(on: Kind) {
    let stack = start(on).await;
    let webhook = accepted(&stack, 0, "events", json!(["mention", "chat", "mention", "chat"])).await;
    assert_eq!(webhook["events"], json!(["mention", "chat"]));
}

async fn events_outside_their_rule(on: Kind) {
    let stack = start(on).await;
    refused(&stack, "events", json!([]), "input.events", "at least one").await;
    refused(
        &stack,
        "events",
        json!(["chat", "raid"]),
        "input.events[1]",
        "chat, livestream, follow, mention",
    )
    .await;
    refused(&stack, "events", json!(["Chat"]), "input.events[0]", "chat").await;
    refused(&stack, "events", json!("chat"), "input.events", "expected an array").await;
    refused(&stack, "events", json!(["chat", 1]), "input.events[1]", "expected a string").await;
    refused(&stack, "events", Value::Null, "input.events", "expected an array").await;
}

async fn texts_at_their_limits(on: Kind) {
    let stack = start(on).await;
    for (field, limit) in [("name", 100), ("description", 500), ("prefix", 100), ("suffix", 100)] {
        // Bytes count, not characters: é has two.
        for (number, text) in ["x".repeat(limit), "é".repeat(limit / 2)].into_iter().enumerate() {
            let webhook = accepted(&stack, number, field, json!(text)).await;
            assert_eq!(webhook[field], text);
        }
        let path = format!("input.{field}");
        refused(&stack, field, json!("x".repeat(limit + 1)), &path, &limit.to_string()).await;
        refused(&stack, field, json!("é".repeat(limit / 2) + "x"), &path, &limit.to_string()).await;
        refused(&stack, field, json!("a\u{0}b"), &path, "U+0000").await;
        refused(&stack, field, json!(5), &path, "expected a string").await;
        refused(&stack, field, Value::Null, &path, "expected a string").await;
    }
}

async fn empty_texts_and_lists_are_left_out(on: Kind) {
    let stack = start(on).await;
    for field in ["name", "description", "prefix", "suffix"] {
        assert!(accepted(&stack, 0, field, json!("")).await.get(field).is_none());
    }
    for field in ["rewrite", "muteWords"] {
        assert!(accepted(&stack, 0, field, json!([])).await.get(field).is_none());
    }
}

async fn rewrite_at_its_limits(on: Kind) {
    let stack = start(on).await;
    let rule = |from: &str, to: &str| json!({ "from": from, "to": to });
    let (longest, too_long) = ("x".repeat(100), "x".repeat(101));
    let rules = vec![rule("a", "b"); 50];
    assert_eq!(accepted(&stack, 0, "rewrite", json!(rules)).await["rewrite"], json!(rules));
    accepted(&stack, 1, "rewrite", json!([rule(&longest, &longest)])).await;
    refused(&stack, "rewrite", json!(vec![rule("a", "b"); 51]), "input.rewrite", "50").await;
    refused(&stack, "rewrite", json!([rule("a", "b"), rule("", "b")]), "input.rewrite[1].from", "1").await;
    refused(&stack, "rewrite", json!([rule(&too_long, "b")]), "input.rewrite[0].from", "100").await;
    refused(&stack, "rewrite", json!([rule("a", &too_long)]), "input.rewrite[0].to", "100").await;
    refused(&stack, "rewrite", json!([{ "from": "a" }]), "input.rewrite[0].to", "required").await;
    refused(&stack, "rewrite", json!([{ "from": "a", "to": 1 }]), "input.rewrite[0].to", "expected a string")
        .await;
    refused(&stack, "rewrite", json!({}), "input.rewrite", "expected an array").await;
}

async fn mute_words_at_their_limits(on: Kind) {
    let stack = start(on).await;
    let words: Vec<String> = (0..100).map(|number| format!("w{number}")).collect();
    assert_eq!(accepted(&stack, 0, "muteWords", json!(words)).await["muteWords"], json!(words));
    accepted(&stack, 1, "muteWords", json!(["x".repeat(100)])).await;
    refused(&stack, "muteWords", json!(vec!["w"; 101]), "input.muteWords", "100").await;
    refused(&stack, "muteWords", json!(["a", "x".repeat(101)]), "input.muteWords[1]", "100").await;
    for (blank, rule) in [("", "1 to 100"), (" ", "blank"), ("\t\u{3000}", "blank")] {
        refused(&stack, "muteWords", json!(["a", "b", blank]), "input.muteWords[2]", rule).await;
    }
}

async fn booleans_are_true_or_false(on: Kind) {
    let stack = start(on).await;
    for field in ["active", "streamplaceFormat"] {
        for (number, value) in [true, false].into_iter().enumerate() {
            assert_eq!(accepted(&stack, number, field, json!(value)).await[field], value);
        }
        for wrong in [json!("true"), json!(1), Value::Null] {
            refused(&stack, field, wrong, &format!("input.{field}"), "expected a boolean").await;
        }
    }
}

async fn required_fields_are_required(on: Kind) {
    let stack = start(on).await;
    let only_events = stack.call(CREATE_WEBHOOK, &json!({ "events": ["chat"] })).await;
    assert!(only_events.error(400, "InvalidRequest").contains("input.url: required"));
    let only_url = stack.call(CREATE_WEBHOOK, &json!({ "url": "https://hooks.example.com/" })).await;
    assert!(only_url.error(400, "InvalidRequest").contains("input.events: required"));
}

async fn secret_must_be_the_callers_own(on: Kind) {
    let stack = start(on).await;
    let bob = stack.newcomer("did:plc:bob22222222222222222222x", Key::k256());
    stack.create_secret("deploys").await.ok();
    refused(&stack, "secretId", json!("missing"), "input.secretId", "secret").await;
    refused(&stack, "secretId", json!("a b"), "input.secretId", "record key").await;
    refused(&stack, "secretId", json!(""), "input.secretId", "record key").await;
    let answer = stack.call_as(&bob, CREATE_WEBHOOK, &with("secretId", json!("deploys"))).await;
    answer.error(400, "InvalidRequest");
    assert_eq!(accepted(&stack, 0, "secretId", json!("deploys")).await["secretId"], "deploys");
}

async fn duplicate_url(on: Kind) {
    let stack = start(on).await;
    let bob = stack.newcomer("did:plc:bob22222222222222222222x", Key::k256());
    stack.call(CREATE_WEBHOOK, &input("https://hooks.example.com/a")).await.ok();
    // The same address in other spellings, once it is normalised.
    for url in [
        "https://hooks.example.com/a",
        "HTTPS://Hooks.Example.COM:443/a",
        "https://hooks.example.com/b/../a",
        "https://hooks.example.com/a#fragment",
        "https:hooks.example.com/a",
    ] {
        stack.call(CREATE_WEBHOOK, &input(url)).await.error(400, "DuplicateWebhook");
    }
    stack.call(CREATE_WEBHOOK, &input("https://hooks.example.com/A")).await.ok();
    stack.call_as(&bob, CREATE_WEBHOOK, &input("https://hooks.example.com/a")).await.ok();
}

async fn limit_reached(on: Kind) {
    let stack = Setup::on(on).core("--probe", "off").core("--max-webhooks", "2").start().await;
    for path in ["a", "b"] {
        stack.call(CREATE_WEBHOOK, &input(&format!("https://hooks.example.com/{path}"))).await.ok();
    }
    let answer = stack.call(CREATE_WEBHOOK, &input("https://hooks.example.com/c")).await;
    assert!(answer.error(400, "TooManyWebhooks").contains('2'));
    stack.call(CREATE_WEBHOOK, &input("https://hooks.example.com/a")).await.error(400, "DuplicateWebhook");
}

async fn one_place_left_and_twenty_at_once(on: Kind) {
    let stack = Setup::on(on).core("--probe", "off").core("--max-webhooks", "2").start().await;
    stack.call(CREATE_WEBHOOK, &input("https://hooks.example.com/first")).await.ok();
    let inputs: Vec<Value> =
        (0..20).map(|number| input(&format!("https://hooks.example.com/{number}"))).collect();
    let answers = join_all(inputs.iter().map(|input| stack.call(CREATE_WEBHOOK, input))).await;
    one_made(&answers, "TooManyWebhooks");
}

async fn one_url_twenty_times_at_once(on: Kind) {
    let stack = start(on).await;
    let input = input("https://hooks.example.com/a");
    let answers = join_all((0..20).map(|_| stack.call(CREATE_WEBHOOK, &input))).await;
    one_made(&answers, "DuplicateWebhook");
}

fn one_made(answers: &[Answer], others: &str) {
    let made = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(made, 1);
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        answer.error(400, others);
    }
}
