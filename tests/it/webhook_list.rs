//! `place.stream.server.listWebhooks`: its parameters, each sentence of METHODS.md on them. Walks through many pages
//! are in `webhook_paging`.

use futures_util::future::join_all;
use http::Method;
use serde_json::{Value, json};

use crate::harness::database::Kind;
use crate::harness::identity::Key;
use crate::harness::logs;
use crate::harness::on_both;
use crate::harness::stack::{LIST_WEBHOOKS, SERVICE, Setup, Stack};
use crate::harness::webhook::{
    id, made, made_by, made_whole, made_with, seal_with_an_unknown_key, start, url,
};

async fn listed(stack: &Stack, params: &[(&str, &str)]) -> Vec<Value> {
    stack.query(LIST_WEBHOOKS, params).await.ok()["webhooks"].as_array().unwrap().clone()
}

async fn refused(stack: &Stack, params: &[(&str, &str)], rule: &str) {
    let message = stack.query(LIST_WEBHOOKS, params).await.error(400, "InvalidRequest");
    assert!(message.contains(rule), "{params:?}: {message}");
}

on_both! {
    none, everything_comes_back_as_it_was_made, newest_first, only_the_callers_own, limit_by_default,
    limit_at_its_limits, parameters_given_twice, filter_by_active, filter_by_event, both_filters,
    cursor_that_was_not_given_out, cursor_of_somebody_else_shows_only_ones_own, cursor_with_another_filter,
    token_is_required, wrong_verb, head_works, url_sealed_with_an_unknown_key_is_left_out,
    largest_page_of_the_largest_webhooks
}

async fn none(on: Kind) {
    let stack = start(on).await;
    assert_eq!(stack.query(LIST_WEBHOOKS, &[]).await.ok(), json!({ "webhooks": [] }));
}

async fn everything_comes_back_as_it_was_made(on: Kind) {
    let stack = start(on).await;
    let whole = made_whole(&stack).await;
    assert_eq!(stack.query(LIST_WEBHOOKS, &[]).await.ok(), json!({ "webhooks": [whole] }));
}

async fn newest_first(on: Kind) {
    let stack = start(on).await;
    let mut made_all = Vec::new();
    for number in 0..20 {
        made_all.push(made(&stack, &number.to_string()).await);
    }
    // Within one millisecond the id decides.
    let place = |webhook: &Value| (webhook["createdAt"].to_string(), id(webhook).to_owned());
    made_all.sort_by_key(place);
    made_all.reverse();
    assert_eq!(listed(&stack, &[]).await, made_all);
}

async fn only_the_callers_own(on: Kind) {
    let stack = start(on).await;
    let bob = stack.newcomer("did:plc:bob22222222222222222222x", Key::p256());
    let (own, of_bob) = (made(&stack, "a").await, made_by(&stack, &bob, "a").await);
    assert_eq!(listed(&stack, &[]).await, [own]);
    assert_eq!(listed(&stack, &[("callerDid", &bob.did), ("caller_did", &bob.did)]).await.len(), 1);
    let answer = stack.query_as(&bob, LIST_WEBHOOKS, &[]).await.ok();
    assert_eq!(answer, json!({ "webhooks": [of_bob] }));
}

async fn limit_by_default(on: Kind) {
    let stack = Setup::on(on).core("--probe", "off").core("--max-webhooks", "51").start().await;
    join_all((0..50).map(async |number| made(&stack, &number.to_string()).await)).await;
    let answer = stack.query(LIST_WEBHOOKS, &[]).await.ok();
    assert_eq!((answer["webhooks"].as_array().unwrap().len(), answer.get("cursor")), (50, None));
    made(&stack, "one-more").await;
    let answer = stack.query(LIST_WEBHOOKS, &[]).await.ok();
    assert_eq!(answer["webhooks"].as_array().unwrap().len(), 50);
    assert!(answer["cursor"].is_string(), "there is one more");
}

async fn limit_at_its_limits(on: Kind) {
    let stack = start(on).await;
    for number in 0..3 {
        made(&stack, &number.to_string()).await;
    }
    for (limit, count) in [("1", 1), ("2", 2), ("3", 3), ("100", 3)] {
        assert_eq!(listed(&stack, &[("limit", limit)]).await.len(), count);
    }
    for limit in ["0", "-1", "101", "9223372036854775807", "-9223372036854775808"] {
        refused(&stack, &[("limit", limit)], "params.limit: must be 1 to 100").await;
    }
    for limit in ["1.5", "1e1", "abc", "", "+1", "01"] {
        refused(&stack, &[("limit", limit)], "params.limit: expected an integer").await;
    }
    refused(&stack, &[("limit", "9223372036854775808")], "params.limit").await;
}

async fn parameters_given_twice(on: Kind) {
    let stack = start(on).await;
    for (name, value) in [("limit", "1"), ("cursor", "AQ"), ("active", "true"), ("event", "chat")] {
        let rule = format!("params.{name}: given twice");
        refused(&stack, &[(name, value), (name, value)], &rule).await;
    }
    listed(&stack, &[("other", "1"), ("other", "2")]).await;
}

async fn filter_by_active(on: Kind) {
    let stack = start(on).await;
    let on_ = made_with(&stack, "on", json!({ "active": true })).await;
    let off = made_with(&stack, "off", json!({ "active": false })).await;
    assert_eq!(listed(&stack, &[("active", "true")]).await, [on_]);
    assert_eq!(listed(&stack, &[("active", "false")]).await, [off]);
    for wrong in ["", "1", "True", "yes"] {
        refused(&stack, &[("active", wrong)], "params.active: expected true or false").await;
    }
}

async fn filter_by_event(on: Kind) {
    let stack = start(on).await;
    let types = ["chat", "livestream", "follow", "mention", "stream.received"];
    for (number, event) in types.iter().enumerate() {
        made_with(&stack, event, json!({ "events": [event] })).await;
        let next = types[(number + 1) % types.len()];
        made_with(&stack, &format!("{event}/2"), json!({ "events": [next, event] })).await;
    }
    let all = made_with(&stack, "all", json!({ "events": types })).await;
    for event in types {
        let found = listed(&stack, &[("event", event)]).await;
        assert_eq!(found.len(), 4, "{event}: {found:?}");
        for webhook in &found {
            assert!(webhook["events"].as_array().unwrap().contains(&json!(event)), "{event}: {webhook}");
        }
        assert!(found.contains(&all));
    }
    for odd in
        ["", "Chat", "chat ", "stream", "received", "stream_received", "%", "_", ",", "chat,follow", "'"]
    {
        refused(&stack, &[("event", odd)], "params.event: must be one of chat").await;
    }
}

async fn both_filters(on: Kind) {
    let stack = start(on).await;
    let wanted = made_with(&stack, "wanted", json!({ "active": true, "events": ["follow", "chat"] })).await;
    made_with(&stack, "off", json!({ "active": false, "events": ["follow"] })).await;
    made_with(&stack, "other", json!({ "active": true, "events": ["mention"] })).await;
    assert_eq!(listed(&stack, &[("active", "true"), ("event", "follow")]).await, [wanted]);
}

async fn cursor_that_was_not_given_out(on: Kind) {
    let stack = start(on).await;
    for number in 0..2 {
        made(&stack, &number.to_string()).await;
    }
    let first = stack.query(LIST_WEBHOOKS, &[("limit", "1")]).await.ok();
    let cursor = first["cursor"].as_str().unwrap();
    let another_version = format!("B{}", &cursor[1..]);
    let without_its_end = &cursor[..cursor.len() - 1];
    let next_letter = |letter: char| char::from(u8::try_from(letter).unwrap() + 1);
    // Its last letter has bits that say nothing and have to be 0.
    let other_last_bits = format!("{without_its_end}{}", next_letter(cursor.chars().last().unwrap()));
    let longer = format!("{cursor}AA");
    let padded = format!("{cursor}=");
    let spaced = format!(" {cursor}");
    for odd in [
        "",
        "A",
        "garbage",
        "0",
        "'",
        "%",
        "ü",
        "AQ",
        id(&first["webhooks"][0]),
        &another_version,
        without_its_end,
        &cursor[1..],
        &other_last_bits,
        &longer,
        &padded,
        &spaced,
        &cursor.repeat(200),
    ] {
        let answer = stack.query(LIST_WEBHOOKS, &[("cursor", odd)]).await;
        let message = answer.error(400, "InvalidCursor");
        assert!(message.contains("params.cursor"), "{message}");
    }
    assert_eq!(listed(&stack, &[("cursor", cursor)]).await.len(), 1);
}

async fn cursor_of_somebody_else_shows_only_ones_own(on: Kind) {
    let stack = start(on).await;
    let bob = stack.newcomer("did:plc:bob22222222222222222222x", Key::p256());
    let own = made(&stack, "a").await;
    for number in 0..3 {
        made_by(&stack, &bob, &number.to_string()).await;
    }
    let of_bob = stack.query_as(&bob, LIST_WEBHOOKS, &[("limit", "1")]).await.ok();
    let cursor = of_bob["cursor"].as_str().unwrap();
    for webhook in listed(&stack, &[("cursor", cursor)]).await {
        assert_eq!(webhook, own);
    }
}

async fn cursor_with_another_filter(on: Kind) {
    let stack = start(on).await;
    let oldest = made_with(&stack, "1", json!({ "active": true })).await;
    for number in 2..5 {
        made(&stack, &number.to_string()).await;
    }
    let first = stack.query(LIST_WEBHOOKS, &[("limit", "1"), ("active", "false")]).await.ok();
    let cursor = first["cursor"].as_str().unwrap();
    let next =
        stack.query(LIST_WEBHOOKS, &[("cursor", cursor), ("active", "true"), ("limit", "9")]).await.ok();
    assert_eq!(next, json!({ "webhooks": [oldest] }));
}

async fn token_is_required(on: Kind) {
    let stack = start(on).await;
    let answer = stack.get(&format!("/xrpc/{LIST_WEBHOOKS}")).await;
    answer.error(401, "AuthenticationRequired");
    assert!(answer.headers["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
    // Before the parameters are looked at.
    stack.get(&format!("/xrpc/{LIST_WEBHOOKS}?limit=0")).await.error(401, "AuthenticationRequired");
}

async fn wrong_verb(on: Kind) {
    let stack = start(on).await;
    let answer = stack.send(stack.post(LIST_WEBHOOKS)).await;
    answer.error(400, "InvalidRequest");
    assert_eq!(answer.headers["allow"], "GET, HEAD");
}

async fn head_works(on: Kind) {
    let stack = start(on).await;
    let token = stack.alice.token(SERVICE, LIST_WEBHOOKS);
    let request = stack.request(Method::HEAD, &format!("/xrpc/{LIST_WEBHOOKS}")).bearer_auth(token);
    let answer = stack.send(request).await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, ""));
}

async fn url_sealed_with_an_unknown_key_is_left_out(on: Kind) {
    let stack = start(on).await;
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
        let (mut seen, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let mut params = vec![("limit", limit)];
            params.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let page = stack.query(LIST_WEBHOOKS, &params).await.ok();
            seen.extend(page["webhooks"].as_array().unwrap().clone());
            match page.get("cursor") {
                Some(next) => cursor = Some(next.as_str().unwrap().to_owned()),
                None => break,
            }
        }
        assert_eq!(seen, webhooks, "pages of {limit}");
    }
    for broken in broken {
        let lines = logs::lines(|line| line.contains(id(&broken)) && line.contains("\"ERROR\""));
        assert_eq!(lines.len(), 4, "once for each walk: {lines:?}");
        assert!(lines[0]["causes"].as_str().unwrap().contains("not in the file of seal keys"), "{lines:?}");
    }
}

async fn largest_page_of_the_largest_webhooks(on: Kind) {
    let stack = Setup::on(on).core("--probe", "off").core("--max-webhooks", "100").start().await;
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
