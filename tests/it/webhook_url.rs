//! The `url` of createWebhook and updateWebhook: its form, and whether it may and can be reached
//! (docs/methods.md).

use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::harness::answer::{Answer, error};
use crate::harness::database::Kind;
use crate::harness::identity::Key;
use crate::harness::private_hosts::PRIVATE_HOSTS;
use crate::harness::receiver::Receiver;
use crate::harness::stack::{BOB, CREATE_WEBHOOK, LIST_WEBHOOKS, Setup, Stack, UPDATE_WEBHOOK};
use crate::harness::table::Table;
use crate::harness::webhook::{create, id};
use fakes::dns::Dns;

/// The one text for whatever may not or can't be reached.
const UNREACHABLE: &str = "input.url: the address can't be reached";

fn setup(probe: &str) -> Setup {
    Setup::on(Kind::Sqlite).core("--probe", probe)
}

/// A stack that looks nothing up, connects to nobody, and lets nothing private be reached.
async fn unprobed() -> Stack {
    setup("off").core("--allow-private-ranges", "").start().await
}

/// A stack that probes with this DNS server.
async fn with_dns(probe: &str, dns: &Dns) -> Stack {
    setup(probe).core("--dns-servers", &dns.address.to_string()).start().await
}

/// Asserts that the URL can't be reached.
async fn unreachable(stack: &Stack, url: &str) {
    assert_eq!(create(stack, url).await.whole(), error(400, "InvalidUrl", UNREACHABLE), "{url}");
}

/// Asserts that there have been too many probes. Returns for how many seconds to wait.
fn too_many(answer: &Answer) -> u64 {
    assert_eq!(answer.error(429, "RateLimitExceeded"), "too many webhook URLs were tried; try again later");
    answer.header("retry-after").parse().unwrap()
}

#[tokio::test]
async fn url_is_normalised() {
    let stack = unprobed().await;
    for (number, (given, stored)) in [
        ("HTTPS://Hooks.EXAMPLE.com:443/A/../b?q=1#fragment", "https://hooks.example.com/b?q=1"),
        ("https://hooks.example.com", "https://hooks.example.com/"),
        ("https://bücher.example/ü", "https://xn--bcher-kva.example/%C3%BC"),
        ("https://hooks.example.com:8443/x", "https://hooks.example.com:8443/x"),
    ]
    .into_iter()
    .enumerate()
    {
        let webhook = create(&stack, given).await.ok()["webhook"].take();
        assert_eq!(webhook["url"], stored);
        let away = json!({ "id": id(&webhook), "url": format!("https://other.example.com/{number}") });
        stack.call(UPDATE_WEBHOOK, &away).await.ok();
        let back = stack.call(UPDATE_WEBHOOK, &json!({ "id": id(&webhook), "url": given })).await.ok();
        assert_eq!(back["webhook"]["url"], stored);
    }
}

#[tokio::test]
async fn url_that_breaks_a_rule() {
    let stack = unprobed().await;
    let start = "https://hooks.example.com/";
    let longest = format!("{start}{}", "x".repeat(2048 - start.len()));
    let webhook = create(&stack, &longest).await.ok()["webhook"].take();
    assert_eq!(webhook["url"], longest.as_str());
    let mut table = Table::default();
    let too_long = format!("{longest}x");
    for (message, urls) in [
        (
            "must be an absolute URL",
            &[
                "",
                "hooks",
                "/path",
                "https://",
                "https:///",
                "https://hooks.example.com:99999/",
                "https://hooks example.com/",
                "https://[::1/",
                // The URL parser would mend these; the lexicon's format `uri` does not have them.
                "https:///hooks.example.com/",
                "https:/hooks.example.com/",
                " https://hooks.example.com/",
                "https://hooks.example.com/a b",
                "https://hooks.\nexample.com/",
            ][..],
        ),
        (
            "must be https",
            &[
                "http://hooks.example.com/",
                "ftp://hooks.example.com/",
                "javascript:alert(1)",
                "data:text/plain,x",
            ],
        ),
        (
            "must not have a user name or password",
            &[
                "https://user@hooks.example.com/",
                "https://user:word@hooks.example.com/",
                "https://:word@hooks.example.com/",
            ],
        ),
        ("must be at most 2048 bytes", &[&too_long]),
        (
            "the address can't be reached",
            &[
                "https://localhost/",
                "https://LOCALHOST./",
                "https://api.localhost/",
                "https://printer/",
                "https://printer./",
                "https://printer.local/",
                "https://metadata.internal/",
                "https://core.svc/",
                "https://core-service.athook.svc.cluster.local/",
                "https://x.cluster.local./",
                "https://hooks.example.com:22/",
                "https://hooks.example.com:25/",
                "https://hooks.example.com:53/",
            ],
        ),
    ] {
        let expected = error(400, "InvalidUrl", &format!("input.url: {message}"));
        for url in urls {
            table.check(format!("create {url:?}"), create(&stack, url).await.whole(), expected.clone());
            let input = json!({ "id": id(&webhook), "url": url, "name": "never" });
            let updated = stack.call(UPDATE_WEBHOOK, &input).await;
            table.check(format!("update {url:?}"), updated.whole(), expected.clone());
        }
    }
    table.finish();
    assert_eq!(stack.query(LIST_WEBHOOKS, &[]).await.ok(), json!({ "webhooks": [webhook] }));
}

#[tokio::test]
async fn http_by_setting() {
    let stack = setup("off").core("--allow-http", "true").start().await;
    create(&stack, "http://hooks.example.com/").await.ok();
    let answer = create(&stack, "ftp://hooks.example.com/").await;
    assert_eq!(answer.error(400, "InvalidUrl"), "input.url: must be https or http");
}

#[tokio::test]
async fn refused_and_translated_by_setting() {
    let stack = setup("off")
        .core("--allow-private-ranges", "10.0.0.0/8")
        .core("--refuse-ranges", "10.9.0.0/16,198.0.0.0/8,2606:4700::/32")
        .core("--nat64", "on")
        .start()
        .await;
    for host in ["10.9.0.1", "198.0.2.1", "[2606:4700::1]", "[64:ff9b::10.9.0.1]", "[64:ff9b::127.0.0.1]"] {
        unreachable(&stack, &format!("https://{host}/")).await;
    }
    for host in ["10.8.0.1", "197.0.2.1", "[2606:4701::1]", "[64:ff9b::10.8.0.1]", "[64:ff9b::8.8.8.8]"] {
        create(&stack, &format!("https://{host}/")).await.ok();
    }
}

#[tokio::test]
async fn private_address_in_every_spelling() {
    for probe in ["off", "resolve", "connect"] {
        let stack = setup(probe).core("--allow-private-ranges", "").start().await;
        for host in PRIVATE_HOSTS {
            unreachable(&stack, &format!("https://{host}/")).await;
        }
    }
}

#[tokio::test]
async fn probe_connects_and_sends_no_request() {
    let receiver = Receiver::start("hooks.test").await;
    let stack = Stack::start(Kind::Sqlite).await;
    create(&stack, &receiver.url("/a")).await.ok();
    create(&stack, &receiver.url("/b")).await.ok();
    assert!(receiver.connections() >= 2);
    assert_eq!(receiver.bytes(), 0, "the probe speaks TLS and no HTTP");
}

#[tokio::test]
async fn addresses_by_dns_answer() {
    let receiver = Receiver::start("hooks.test").await;
    let dns = Dns::start().await;
    dns.set("hooks.test.", &["127.0.0.1"]);
    dns.set("mixed.test.", &["127.0.0.1", "10.0.0.1"]);
    dns.set("private.test.", &["10.0.0.1"]);
    dns.set("private6.test.", &["fd00::1"]);
    // Its certificate is for another name.
    dns.set("other.test.", &["127.0.0.1"]);
    let stack = with_dns("connect", &dns).await;
    create(&stack, &format!("https://hooks.test:{}/a", receiver.port)).await.ok();
    for host in ["mixed.test", "private.test", "private6.test", "unknown.test", "other.test"] {
        unreachable(&stack, &format!("https://{host}:{}/a", receiver.port)).await;
    }
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    unreachable(&stack, &format!("https://hooks.test:{closed}/a")).await;
    for (name, _) in dns.seen() {
        assert!(
            name.ends_with(".test.") && name.matches('.').count() == 2,
            "a search domain was tried: {name}"
        );
    }
}

#[tokio::test]
async fn receiver_that_never_answers_tls() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stack = Stack::start(Kind::Sqlite).await;
    unreachable(&stack, &format!("https://127.0.0.1:{}/", silent.local_addr().unwrap().port())).await;
    stack.create_secret("still-here").await.ok();
}

#[tokio::test]
async fn probe_by_look_up_alone() {
    let dns = Dns::start().await;
    dns.set("hooks.test.", &["127.0.0.1"]);
    dns.set("private.test.", &["10.0.0.1"]);
    let stack = with_dns("resolve", &dns).await;
    // Nobody listens on port 8443, and nobody needs to.
    create(&stack, "https://hooks.test:8443/a").await.ok();
    unreachable(&stack, "https://private.test:8443/a").await;
    unreachable(&stack, "https://unknown.test:8443/a").await;
}

#[tokio::test]
async fn no_probe_looks_nothing_up() {
    let dns = Dns::start().await;
    let stack = with_dns("off", &dns).await;
    create(&stack, "https://unknown.test/a").await.ok();
    assert_eq!(dns.seen(), []);
}

#[tokio::test]
async fn probes_are_limited_for_each_did() {
    let dns = Dns::start().await;
    let stack = with_dns("resolve", &dns).await;
    for number in 0..30 {
        unreachable(&stack, &format!("https://host{number}.test/")).await;
    }
    let wait = too_many(&create(&stack, "https://host30.test/").await);
    assert!((1..=60).contains(&wait), "{wait}");
    let bob = stack.newcomer(BOB, Key::k256());
    let input: Value = json!({ "url": "https://host30.test/", "events": ["chat"] });
    stack.call_as(&bob, CREATE_WEBHOOK, &input).await.error(400, "InvalidUrl");
    // The form of a URL is checked without a probe.
    create(&stack, "nonsense").await.error(400, "InvalidUrl");
}

#[tokio::test]
async fn probes_are_limited_for_each_host() {
    let dns = Dns::start().await;
    let stack = with_dns("resolve", &dns).await;
    for caller in ["a", "b", "c"] {
        let caller = stack.newcomer(&format!("did:plc:caller{caller}22222222222222222"), Key::k256());
        for number in 0..20 {
            let input = json!({ "url": format!("https://victim.test/{number}"), "events": ["chat"] });
            stack.call_as(&caller, CREATE_WEBHOOK, &input).await.error(400, "InvalidUrl");
        }
    }
    too_many(&create(&stack, "https://victim.test/60").await);
    unreachable(&stack, "https://other.test/").await;
}

async fn set_url(stack: &Stack, webhook: &Value, url: &str) -> Answer {
    stack.call(UPDATE_WEBHOOK, &json!({ "id": id(webhook), "url": url })).await
}

#[tokio::test]
async fn update_probes_only_another_url() {
    let receiver = Receiver::start("hooks.test").await;
    let stack = Stack::start(Kind::Sqlite).await;
    let webhook = create(&stack, &receiver.url("/a")).await.ok()["webhook"].take();
    let before = receiver.connections();
    set_url(&stack, &webhook, &receiver.url("/a")).await.ok();
    set_url(&stack, &webhook, &receiver.url("/x/../a#fragment")).await.ok();
    stack.call(UPDATE_WEBHOOK, &json!({ "id": id(&webhook), "name": "x" })).await.ok();
    assert_eq!(receiver.connections(), before, "the URL that it has is not tried again");
    set_url(&stack, &webhook, &receiver.url("/b")).await.ok();
    assert_eq!((receiver.connections(), receiver.bytes()), (before + 1, 0));

    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let answer = set_url(&stack, &webhook, &format!("https://127.0.0.1:{closed}/")).await;
    assert_eq!(answer.error(400, "InvalidUrl"), UNREACHABLE);
    let listed = stack.query(LIST_WEBHOOKS, &[]).await.ok();
    assert_eq!(listed["webhooks"][0]["url"], receiver.url("/b"));
}

#[tokio::test]
async fn update_probes_nothing_for_a_webhook_that_is_not_there() {
    let receiver = Receiver::start("hooks.test").await;
    let stack = Setup::on(Kind::Sqlite).start().await;
    let bob = stack.newcomer(BOB, Key::p256());
    let input = json!({ "url": receiver.url("/a"), "events": ["chat"] });
    let of_bob = stack.call_as(&bob, CREATE_WEBHOOK, &input).await.ok()["webhook"].take();
    let before = receiver.connections();
    for webhook in [of_bob, json!({ "id": "01979f2e-7a3b-7c4d-8e5f-60718293a4b5" })] {
        set_url(&stack, &webhook, &receiver.url("/b")).await.error(400, "WebhookNotFound");
    }
    assert_eq!(receiver.connections(), before);
}

#[tokio::test]
async fn probes_of_updates_count_as_well() {
    let receiver = Receiver::start("hooks.test").await;
    let stack = Stack::start(Kind::Sqlite).await;
    let webhook = create(&stack, &receiver.url("/0")).await.ok()["webhook"].take();
    for number in 1..30 {
        set_url(&stack, &webhook, &receiver.url(&format!("/{number}"))).await.ok();
    }
    let tried = receiver.connections();
    too_many(&set_url(&stack, &webhook, &receiver.url("/30")).await);
    too_many(&create(&stack, &receiver.url("/30")).await);
    assert_eq!(receiver.connections(), tried);
    // Nothing is tried for the URL that it has, nor for other fields.
    set_url(&stack, &webhook, &receiver.url("/29")).await.ok();
    stack.call(UPDATE_WEBHOOK, &json!({ "id": id(&webhook), "active": true })).await.ok();
}
