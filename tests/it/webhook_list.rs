//! `place.stream.server.listWebhooks`: its parameters. Walks through many pages are in `webhook_paging`, what
//! holds for every method in `conformance`.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::answer::{error, invalid};
use crate::harness::database::Kind;
use crate::harness::identity::Key;
use crate::harness::logs;
use crate::harness::on_both;
use crate::harness::stack::{BOB, LIST_WEBHOOKS, Setup, Stack};
use crate::harness::table::Table;
use crate::harness::webhook::{
    id, made, made_by, made_whole, made_with, pages, seal_with_an_unknown_key, start, url,
};

on_both! {
    everything_comes_back_as_it_was_made, newest_first, only_the_callers_own, limit_by_default, filters,
    cursor_of_somebody_else_shows_only_ones_own, cursor_with_another_filter, largest_page_of_the_largest_webhooks
}

async fn listed(stack: &Stack, params: &[(&str, &str)]) -> Vec<Value> {
    stack.query(LIST_WEBHOOKS, params).await.ok()["webhooks"].as_array().unwrap().clone()
}

async fn everything_comes_back_as_it_was_made(kind: Kind) {
    let stack = start(kind).await;
    assert_eq!(stack.query(LIST_WEBHOOKS, &[]).await.ok(), json!({ "webhooks": [] }));
    let whole = made_whole(&stack).await;
    assert_eq!(stack.query(LIST_WEBHOOKS, &[]).await.ok(), json!({ "webhooks": [whole] }));
}

async fn newest_first(kind: Kind) {
    let stack = start(kind).await;
    let mut made_all = Vec::new();
    for number in 0..20 {
        made_all.push(made(&stack, &number.to_string()).await);
    }
    // Within one millisecond the id decides.
    made_all.sort_by_key(|webhook| (webhook["createdAt"].to_string(), id(webhook).to_owned()));
    made_all.reverse();
    assert_eq!(listed(&stack, &[]).await, made_all);
}

async fn only_the_callers_own(kind: Kind) {
    let stack = start(kind).await;
    let bob = stack.newcomer(BOB, Key::p256());
    let (own, of_bob) = (made(&stack, "a").await, made_by(&stack, &bob, "a").await);
    assert_eq!(listed(&stack, &[]).await, [own]);
    let answer = stack.query_as(&bob, LIST_WEBHOOKS, &[]).await.ok();
    assert_eq!(answer, json!({ "webhooks": [of_bob] }));
}

async fn limit_by_default(kind: Kind) {
    let stack = Setup::on(kind).core("--probe", "off").core("--max-webhooks", "51").start().await;
    join_all((0..50).map(async |number| made(&stack, &number.to_string()).await)).await;
    let answer = stack.query(LIST_WEBHOOKS, &[]).await.ok();
    assert_eq!((answer["webhooks"].as_array().unwrap().len(), answer.get("cursor")), (50, None));
    made(&stack, "one-more").await;
    let answer = stack.query(LIST_WEBHOOKS, &[]).await.ok();
    assert_eq!(answer["webhooks"].as_array().unwrap().len(), 50);
    assert!(answer["cursor"].is_string(), "there is one more");
}

#[tokio::test]
async fn parameters_outside_their_rules() {
    let stack = start(Kind::Sqlite).await;
    for number in 0..3 {
        made(&stack, &number.to_string()).await;
    }
    for (limit, count) in [("1", 1), ("2", 2), ("3", 3), ("100", 3)] {
        assert_eq!(listed(&stack, &[("limit", limit)]).await.len(), count);
    }
    let mut table = Table::default();
    for (name, rule, values) in [
        ("limit", "must be 1 to 100", &["0", "-1", "101", "9223372036854775807", "-9223372036854775808"][..]),
        ("limit", "expected an integer", &["abc", "+1"]),
        ("limit", "expected an integer without fraction or exponent", &["1.5", "1e1"]),
        ("limit", "expected an integer without leading zeros", &["01"]),
        ("limit", "the integer is out of range", &["9223372036854775808"]),
        ("active", "expected true or false", &["1", "True", "yes"]),
        (
            "event",
            "must be one of chat, livestream, follow, mention, stream.received",
            &["Chat", "chat ", "stream", "received", "stream_received", "%", "_", ",", "chat,follow", "'"],
        ),
    ] {
        for value in values {
            let answer = stack.query(LIST_WEBHOOKS, &[(name, value)]).await;
            table.check(
                format!("{name}={value:?}"),
                answer.whole(),
                invalid(&format!("params.{name}: {rule}")),
            );
        }
    }
    table.finish();
}

async fn filters(kind: Kind) {
    let stack = start(kind).await;
    let types = ["chat", "livestream", "follow", "mention", "stream.received"];
    for (number, event) in types.iter().enumerate() {
        made_with(&stack, event, json!({ "events": [event], "active": true })).await;
        let next = types[(number + 1) % types.len()];
        made_with(&stack, &format!("{event}/2"), json!({ "events": [next, event] })).await;
    }
    made_with(&stack, "all", json!({ "events": types, "active": true })).await;
    let all = listed(&stack, &[]).await;
    assert_eq!(all.len(), 11);
    let is = |webhook: &Value, event: &str, active: &str| {
        (event.is_empty() || webhook["events"].as_array().unwrap().contains(&json!(event)))
            && (active.is_empty() || webhook["active"] == (active == "true"))
    };
    for event in types.into_iter().chain([""]) {
        for active in ["true", "false", ""] {
            let params: Vec<_> = [("event", event), ("active", active)]
                .into_iter()
                .filter(|(_, value)| !value.is_empty())
                .collect();
            let expected: Vec<_> = all.iter().filter(|webhook| is(webhook, event, active)).cloned().collect();
            assert_eq!(listed(&stack, &params).await, expected, "{params:?}");
        }
    }
}

#[tokio::test]
async fn cursor_that_was_not_given_out() {
    let stack = start(Kind::Sqlite).await;
    for number in 0..2 {
        made(&stack, &number.to_string()).await;
    }
    let first = stack.query(LIST_WEBHOOKS, &[("limit", "1")]).await.ok();
    let cursor = first["cursor"].as_str().unwrap();
    let (start, last) = cursor.split_at(cursor.len() - 1);
    // The last letter has bits that carry nothing and have to be 0.
    let other_last_bits = format!("{start}{}", char::from(last.as_bytes()[0] + 1));
    let changed = [
        start,
        &cursor[1..],
        &format!("B{}", &cursor[1..]),
        &other_last_bits,
        &format!("{cursor}AA"),
        &format!("{cursor}="),
        &format!(" {cursor}"),
        &cursor.repeat(200),
    ];
    let mut table = Table::default();
    let expected = error(400, "InvalidCursor", "params.cursor: must be one that this service gave out");
    let webhook = id(&first["webhooks"][0]);
    for odd in ["A", "garbage", "0", "'", "%", "ü", "AQ", webhook].into_iter().chain(changed) {
        let answer = stack.query(LIST_WEBHOOKS, &[("cursor", odd)]).await;
        table.check(odd, answer.whole(), expected.clone());
    }
    table.finish();
    assert_eq!(listed(&stack, &[("cursor", cursor)]).await.len(), 1);
}

async fn cursor_of_somebody_else_shows_only_ones_own(kind: Kind) {
    let stack = start(kind).await;
    let bob = stack.newcomer(BOB, Key::p256());
    let own = made(&stack, "a").await;
    for number in 0..3 {
        made_by(&stack, &bob, &number.to_string()).await;
    }
    let of_bob = stack.query_as(&bob, LIST_WEBHOOKS, &[("limit", "1")]).await.ok();
    let cursor = of_bob["cursor"].as_str().unwrap();
    assert_eq!(listed(&stack, &[("cursor", cursor)]).await, [own]);
}

async fn cursor_with_another_filter(kind: Kind) {
    let stack = start(kind).await;
    let oldest = made_with(&stack, "1", json!({ "active": true })).await;
    for number in 2..5 {
        made(&stack, &number.to_string()).await;
    }
    let first = stack.query(LIST_WEBHOOKS, &[("limit", "1"), ("active", "false")]).await.ok();
    let cursor = first["cursor"].as_str().unwrap();
    let next = stack.query(LIST_WEBHOOKS, &[("cursor", cursor), ("active", "true"), ("limit", "9")]).await;
    assert_eq!(next.ok(), json!({ "webhooks": [oldest] }));
}

#[tokio::test]
async fn url_sealed_with_an_unknown_key_is_left_out() {
    let stack = start(Kind::Sqlite).await;
    for number in 0..5 {
        made(&stack, &number.to_string()).await;
    }
    let mut webhooks = listed(&stack, &[]).await;
    // The first page of one, and the end of the first page of four, are not readable.
    for broken in [0, 3] {
        seal_with_an_unknown_key(&stack, &webhooks[broken]).await;
    }
    let broken = [webhooks.remove(3), webhooks.remove(0)];
    for limit in ["1", "2", "4", "5"] {
        let pages = pages(&stack, &[("limit", limit)]).await;
        assert_eq!(pages.concat(), webhooks, "pages of {limit}");
    }
    // The log has at most one such line a second.
    let told =
        |line: &str| broken.iter().any(|broken| line.contains(id(broken))) && line.contains("\"ERROR\"");
    let lines = logs::lines(told);
    assert!(!lines.is_empty());
    for line in lines {
        assert!(line["causes"].as_str().unwrap().contains("not in the file of seal keys"), "{line}");
    }
}

async fn largest_page_of_the_largest_webhooks(kind: Kind) {
    let stack = Setup::on(kind).core("--probe", "off").core("--max-webhooks", "100").start().await;
    let secret = "s".repeat(512);
    stack.create_secret(&secret).await.ok();
    let make = async |number: usize| {
        let start = url(&format!("{number}/"));
        let fields = json!({
            "url": format!("{start}{}", "u".repeat(2048 - start.len())),
            "events": ["chat", "livestream", "follow", "mention", "stream.received"],
            "name": "n".repeat(100),
            "description": "d".repeat(500),
            "prefix": "p".repeat(100),
            "suffix": "s".repeat(100),
            "rewrite": vec![json!({ "from": "f".repeat(100), "to": "t".repeat(100) }); 50],
            "muteWords": vec!["w".repeat(100); 100],
            "secretId": secret,
        });
        made_with(&stack, "", fields).await
    };
    let made_all = join_all((0..100).map(make)).await;
    let answer = stack.query(LIST_WEBHOOKS, &[("limit", "100")]).await;
    assert!(answer.body.len() > 2_000_000, "{} bytes", answer.body.len());
    let listed = answer.ok();
    assert_eq!((listed["webhooks"].as_array().unwrap().len(), listed.get("cursor")), (100, None));
    assert!(made_all.iter().all(|webhook| listed["webhooks"].as_array().unwrap().contains(webhook)));
}
