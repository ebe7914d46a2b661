//! The `url` of `place.stream.server.updateWebhook`: as in createWebhook, and tried only if it is another one.

use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::harness::database::Kind;
use crate::harness::identity::Key;
use crate::harness::on_both;
use crate::harness::receiver::Receiver;
use crate::harness::stack::{Answer, CREATE_WEBHOOK, DELETE_WEBHOOK, GET_WEBHOOK, Stack, UPDATE_WEBHOOK};
use crate::harness::webhook::{id, made, not_found, start, url};

async fn set_url(stack: &Stack, webhook: &Value, url: &str) -> Answer {
    stack.call(UPDATE_WEBHOOK, &json!({ "id": id(webhook), "url": url })).await
}

async fn create(stack: &Stack, url: &str) -> Answer {
    stack.call(CREATE_WEBHOOK, &json!({ "url": url, "events": ["chat"] })).await
}

on_both! {
    url_is_normalised, url_that_breaks_a_rule, duplicate_url, url_that_was_left_is_free,
    only_another_url_is_tried, nothing_is_tried_for_a_webhook_that_is_not_there, url_that_can_not_be_reached,
    tries_are_limited_as_in_create
}

async fn url_is_normalised(on: Kind) {
    let stack = start(on).await;
    let webhook = made(&stack, "a").await;
    let updated = set_url(&stack, &webhook, "HTTPS://Other.Example.COM:443/x/../b?q#fragment").await.ok();
    assert_eq!(updated["webhook"]["url"], "https://other.example.com/b?q");
    let got = stack.query(GET_WEBHOOK, &[("id", id(&webhook))]).await.ok();
    assert_eq!(got, updated);
}

async fn url_that_breaks_a_rule(on: Kind) {
    let stack = start(on).await;
    let webhook = made(&stack, "a").await;
    let too_long = url(&"x".repeat(2048));
    for url in [
        "",
        "hooks",
        "http://hooks.example.com/",
        "https://user@hooks.example.com/",
        "https://10.0.0.1/",
        "https://printer.local/",
        "https://hooks.example.com:22/",
        &too_long,
    ] {
        set_url(&stack, &webhook, url).await.error(400, "InvalidUrl");
    }
    let got = stack.query(GET_WEBHOOK, &[("id", id(&webhook))]).await.ok();
    assert_eq!(got["webhook"], webhook);
}

async fn duplicate_url(on: Kind) {
    let stack = start(on).await;
    let (one, other) = (made(&stack, "one").await, made(&stack, "other").await);
    for spelling in
        [url("other"), url("x/../other#fragment"), "HTTPS://HOOKS.example.com:443/other".to_owned()]
    {
        let fields = json!({ "id": id(&one), "url": spelling, "name": "never" });
        stack.call(UPDATE_WEBHOOK, &fields).await.error(400, "DuplicateWebhook");
    }
    let got = stack.query(GET_WEBHOOK, &[("id", id(&one))]).await.ok();
    assert_eq!(got["webhook"], one, "nothing was written");
    // The one it has, in any spelling, is none; nor is that of another caller.
    set_url(&stack, &other, &url("b/../other#x")).await.ok();
    let bob = stack.newcomer("did:plc:bob22222222222222222222x", Key::k256());
    let input = json!({ "url": url("of-bob"), "events": ["chat"] });
    stack.call_as(&bob, CREATE_WEBHOOK, &input).await.ok();
    set_url(&stack, &one, &url("of-bob")).await.ok();
}

async fn url_that_was_left_is_free(on: Kind) {
    let stack = start(on).await;
    let (one, other) = (made(&stack, "one").await, made(&stack, "other").await);
    set_url(&stack, &one, &url("new")).await.ok();
    set_url(&stack, &other, &url("one")).await.ok();
    create(&stack, &url("other")).await.ok();
    create(&stack, &url("new")).await.error(400, "DuplicateWebhook");
    stack.call(DELETE_WEBHOOK, &json!({ "id": id(&one) })).await.ok();
    create(&stack, &url("new")).await.ok();
}

async fn only_another_url_is_tried(on: Kind) {
    let receiver = Receiver::start("hooks.test").await;
    let stack = Stack::start(on).await;
    let webhook = create(&stack, &receiver.url("/a")).await.ok()["webhook"].take();
    let before = receiver.connections();
    set_url(&stack, &webhook, &receiver.url("/a")).await.ok();
    set_url(&stack, &webhook, &receiver.url("/x/../a#fragment")).await.ok();
    stack.call(UPDATE_WEBHOOK, &json!({ "id": id(&webhook), "name": "x" })).await.ok();
    assert_eq!(receiver.connections(), before, "the URL that it has is not tried again");
    set_url(&stack, &webhook, &receiver.url("/b")).await.ok();
    assert_eq!((receiver.connections(), receiver.bytes()), (before + 1, 0));
}

async fn nothing_is_tried_for_a_webhook_that_is_not_there(on: Kind) {
    let receiver = Receiver::start("hooks.test").await;
    let stack = Stack::start(on).await;
    let bob = stack.newcomer("did:plc:bob22222222222222222222x", Key::p256());
    let input = json!({ "url": receiver.url("/a"), "events": ["chat"] });
    let of_bob = stack.call_as(&bob, CREATE_WEBHOOK, &input).await.ok()["webhook"].take();
    let before = receiver.connections();
    not_found(&set_url(&stack, &of_bob, &receiver.url("/b")).await);
    let unknown = json!({ "id": "01979f2e-7a3b-7c4d-8e5f-60718293a4b5" });
    not_found(&set_url(&stack, &unknown, &receiver.url("/b")).await);
    assert_eq!(receiver.connections(), before);
}

async fn url_that_can_not_be_reached(on: Kind) {
    let receiver = Receiver::start("hooks.test").await;
    let stack = Stack::start(on).await;
    let webhook = create(&stack, &receiver.url("/a")).await.ok()["webhook"].take();
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let answer = set_url(&stack, &webhook, &format!("https://127.0.0.1:{closed}/")).await;
    let message = answer.error(400, "InvalidUrl");
    assert_eq!(
        message,
        create(&stack, "https://10.0.0.1/").await.error(400, "InvalidUrl"),
        "one text for all"
    );
    let got = stack.query(GET_WEBHOOK, &[("id", id(&webhook))]).await.ok();
    assert_eq!(got["webhook"], webhook);
}

async fn tries_are_limited_as_in_create(on: Kind) {
    let receiver = Receiver::start("hooks.test").await;
    let stack = Stack::start(on).await;
    let webhook = create(&stack, &receiver.url("/0")).await.ok()["webhook"].take();
    for number in 1..30 {
        set_url(&stack, &webhook, &receiver.url(&format!("/{number}"))).await.ok();
    }
    let tried = receiver.connections();
    let answer = set_url(&stack, &webhook, &receiver.url("/30")).await;
    answer.error(429, "RateLimitExceeded");
    assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
    create(&stack, &receiver.url("/30")).await.error(429, "RateLimitExceeded");
    assert_eq!(receiver.connections(), tried);
    set_url(&stack, &webhook, &receiver.url("/29")).await.ok();
    stack.call(UPDATE_WEBHOOK, &json!({ "id": id(&webhook), "active": true })).await.ok();
}
