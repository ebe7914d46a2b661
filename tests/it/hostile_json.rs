//! Bodies that mean harm: each is refused with a clear word, and the pair goes on.

use std::fmt::Write as _;

use serde_json::json;

use crate::harness::database::Kind;
use crate::harness::on_both;
use crate::harness::stack::{CREATE_SECRET, CREATE_WEBHOOK, Setup, Stack};

/// Asserts that a body is refused, and that the message has these words.
async fn refused(stack: &Stack, nsid: &str, body: impl Into<reqwest::Body>, words: &str) {
    let message = stack.call_raw(nsid, body).await.error(400, "InvalidRequest");
    assert!(message.contains(words), "{words:?} is not in {message:?}");
}

on_both! {
    broken_json, not_an_object, bytes_that_are_no_text, depth, duplicate_keys, unknown_fields_are_ignored,
    wrong_types_are_named_with_their_path, huge_numbers, lone_surrogates, nul_in_any_string,
    long_keys_and_many_keys
}

async fn broken_json(on: Kind) {
    let stack = Stack::start(on).await;
    for body in [
        "",
        " ",
        "{",
        "}",
        "{\"name\"}",
        "{\"name\":}",
        "{\"name\":\"a\"",
        "{\"name\":\"a\",}",
        "{name:\"a\"}",
        "{'name':'a'}",
        "{\"name\":\"a\"} x",
        "{\"name\":\"a\"}{}",
        "\u{feff}{\"name\":\"a\"}",
        "{\"name\":\"a\nb\"}",
        "{\"name\":\"\\x\"}",
        "{\"name\":01}",
        "{\"name\":NaN}",
        "// {}\n{\"name\":\"a\"}",
    ] {
        refused(&stack, CREATE_SECRET, body, "").await;
    }
    stack.create_secret("a").await.ok();
}

async fn not_an_object(on: Kind) {
    let stack = Stack::start(on).await;
    for body in ["[]", "[{\"name\":\"a\"}]", "null", "true", "1", "\"name\""] {
        refused(&stack, CREATE_SECRET, body, "object").await;
    }
}

async fn bytes_that_are_no_text(on: Kind) {
    let stack = Stack::start(on).await;
    for bytes in [
        &b"{\"name\":\"a\xff\"}"[..],
        b"{\"na\xc3me\":\"a\"}",
        b"\xff\xfe{\x00}\x00",
        b"\x00\x00\x00\x00",
        b"\x1f\x8b\x08",
    ] {
        refused(&stack, CREATE_SECRET, bytes.to_vec(), "").await;
    }
}

async fn depth(on: Kind) {
    let stack = Stack::start(on).await;
    for deep in ["[", "{\"a\":"] {
        refused(&stack, CREATE_SECRET, deep.repeat(10_000), "").await;
        let ignored = format!("{{\"name\":\"a\",\"ignored\":{}", deep.repeat(10_000));
        refused(&stack, CREATE_SECRET, ignored, "").await;
    }
    let balanced = format!("{{\"name\":\"a\",\"ignored\":{}{}}}", "[".repeat(1000), "]".repeat(1000));
    refused(&stack, CREATE_SECRET, balanced, "").await;
    let shallow = format!("{{\"name\":\"a\",\"ignored\":{}{}}}", "[".repeat(98), "]".repeat(98));
    stack.call_raw(CREATE_SECRET, shallow).await.ok();
}

async fn duplicate_keys(on: Kind) {
    let stack = Setup::on(on).core("--probe", "off").start().await;
    refused(&stack, CREATE_SECRET, r#"{"name":"a","name":"b"}"#, "input.name").await;
    refused(&stack, CREATE_SECRET, r#"{"name":"a","\u006eame":"b"}"#, "input.name").await;
    refused(&stack, CREATE_SECRET, r#"{"name":"a","token":null,"name":"a"}"#, "input.").await;
    let nested =
        r#"{"url":"https://a.example/","events":["chat"],"rewrite":[{"from":"a","to":"b","to":"c"}]}"#;
    refused(&stack, CREATE_WEBHOOK, nested, "input.rewrite[0].to").await;
    // In what is not decoded nobody looks.
    stack.call_raw(CREATE_SECRET, r#"{"name":"a","ignored":{"x":1,"x":2}}"#).await.ok();
}

async fn unknown_fields_are_ignored(on: Kind) {
    let stack = Stack::start(on).await;
    let input = json!({ "name": "a", "Name": "b", "$type": "x", "": null, "ignored": [1, { "deep": [] }] });
    assert_eq!(stack.call(CREATE_SECRET, &input).await.ok()["name"], "a");
}

async fn wrong_types_are_named_with_their_path(on: Kind) {
    let stack = Stack::start(on).await;
    for value in ["null", "1", "1e400", "-0", "true", "[]", "{}", "[\"a\"]"] {
        refused(&stack, CREATE_SECRET, format!("{{\"name\":{value}}}"), "input.name: expected a string")
            .await;
    }
    refused(&stack, CREATE_SECRET, r#"{"name":"a","token":null}"#, "input.token: expected a string").await;
    let events = r#"{"url":"https://a.example/","events":["chat",{}]}"#;
    refused(&stack, CREATE_WEBHOOK, events, "input.events[1]: expected a string").await;
}

async fn huge_numbers(on: Kind) {
    let stack = Stack::start(on).await;
    let digits = "9".repeat(40_000);
    refused(&stack, CREATE_SECRET, format!("{{\"name\":{digits}}}"), "").await;
    stack.call_raw(CREATE_SECRET, format!("{{\"name\":\"a\",\"ignored\":{digits}}}")).await;
    stack.create_secret("b").await.ok();
}

async fn lone_surrogates(on: Kind) {
    let stack = Stack::start(on).await;
    for body in [
        r#"{"name":"\ud800"}"#,
        r#"{"name":"\udc00a"}"#,
        r#"{"name":"\ud800\u0061"}"#,
        r#"{"\ud800":1,"name":"a"}"#,
    ] {
        refused(&stack, CREATE_SECRET, body, "").await;
    }
}

async fn nul_in_any_string(on: Kind) {
    let stack = Setup::on(on).core("--probe", "off").start().await;
    refused(&stack, CREATE_SECRET, r#"{"name":"a\u0000b"}"#, "U+0000").await;
    refused(&stack, CREATE_SECRET, r#"{"name":"a","ignored":["\u0000"]}"#, "U+0000").await;
    let webhook = |field: &str| format!(r#"{{"url":"https://a.example/","events":["chat"],{field}}}"#);
    for (field, path) in [
        (r#""description":"\u0000""#, "input.description"),
        (r#""muteWords":["a","b\u0000"]"#, "input.muteWords[1]"),
        (r#""rewrite":[{"from":"a","to":"\u0000"}]"#, "input.rewrite[0].to"),
    ] {
        refused(&stack, CREATE_WEBHOOK, webhook(field), path).await;
    }
}

async fn long_keys_and_many_keys(on: Kind) {
    let stack = Stack::start(on).await;
    refused(&stack, CREATE_SECRET, format!("{{\"{}\":1}}", "k".repeat(60_000)), "input.name: required").await;
    let mut many = String::from("{");
    for number in 0..6_000 {
        write!(many, "\"k{number}\":1,").unwrap();
    }
    stack.call_raw(CREATE_SECRET, many + "\"name\":\"a\"}").await.ok();
}
