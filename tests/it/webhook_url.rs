//! The `url` of createWebhook: its form, and whether it may and can be reached (METHODS.md "Unreachable", DELIVERY.md
//! "Egress rules").

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::harness::database::Kind;
use crate::harness::dns::Dns;
use crate::harness::identity::Key;
use crate::harness::on_both;
use crate::harness::receiver::Receiver;
use crate::harness::stack::{Answer, CREATE_WEBHOOK, Setup, Stack};

async fn create(stack: &Stack, url: &str) -> Answer {
    stack.call(CREATE_WEBHOOK, &json!({ "url": url, "events": ["chat"] })).await
}

async fn unprobed(on: Kind) -> Stack {
    Setup::on(on).core("--probe", "off").core("--allow-private-ranges", "").start().await
}

on_both! {
    url_is_normalised, url_that_breaks_a_rule, url_at_its_limit, http_by_setting,
    private_address_in_every_spelling, names_and_ports_that_are_never_reached,
    probe_connects_and_sends_no_request, addresses_by_dns_answer, receiver_that_never_answers_tls,
    probe_by_look_up_alone, no_probe_looks_nothing_up, probes_are_limited_for_each_did,
    probes_are_limited_for_each_host
}

async fn url_is_normalised(on: Kind) {
    let stack = unprobed(on).await;
    for (given, kept) in [
        ("HTTPS://Hooks.EXAMPLE.com:443/A/../b?q=1#fragment", "https://hooks.example.com/b?q=1"),
        ("https://hooks.example.com", "https://hooks.example.com/"),
        ("https://bücher.example/ü", "https://xn--bcher-kva.example/%C3%BC"),
        ("https://hooks.example.com:8443/x", "https://hooks.example.com:8443/x"),
    ] {
        assert_eq!(create(&stack, given).await.ok()["webhook"]["url"], kept);
    }
}

async fn url_that_breaks_a_rule(on: Kind) {
    let stack = unprobed(on).await;
    for url in [
        "",
        "hooks",
        "/path",
        "https://",
        "https:///",
        "http://hooks.example.com/",
        "ftp://hooks.example.com/",
        "javascript:alert(1)",
        "https://user@hooks.example.com/",
        "https://user:word@hooks.example.com/",
        "https://:word@hooks.example.com/",
        "https://hooks.example.com:99999/",
        "https://hooks example.com/",
        "data:text/plain,x",
        "https://[::1/",
        // The URL parser would mend these; the lexicon's `uri` has no room for them.
        "https:///hooks.example.com/",
        "https:/hooks.example.com/",
        " https://hooks.example.com/",
        "https://hooks.example.com/a b",
        "https://hooks.\nexample.com/",
    ] {
        create(&stack, url).await.error(400, "InvalidUrl");
    }
}

async fn url_at_its_limit(on: Kind) {
    let stack = unprobed(on).await;
    let start = "https://hooks.example.com/";
    let longest = format!("{start}{}", "x".repeat(2048 - start.len()));
    assert_eq!(create(&stack, &longest).await.ok()["webhook"]["url"], longest.as_str());
    let message = create(&stack, &format!("{longest}x")).await.error(400, "InvalidUrl");
    assert!(message.contains("2048") || message.contains("2,048"), "{message}");
}

async fn http_by_setting(on: Kind) {
    let stack = Setup::on(on).core("--probe", "off").core("--allow-http", "true").start().await;
    create(&stack, "http://hooks.example.com/").await.ok();
    create(&stack, "ftp://hooks.example.com/").await.error(400, "InvalidUrl");
}

async fn private_address_in_every_spelling(on: Kind) {
    for probe in ["off", "resolve", "connect"] {
        let stack = Setup::on(on).core("--probe", probe).core("--allow-private-ranges", "").start().await;
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "①②⑦.⓪.⓪.①",
            "[::ffff:127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "[::1]",
            "[::]",
            "0.0.0.0",
            "10.0.0.1",
            "169.254.169.254",
            "[fe80::1]",
            "[fd00::1]",
            "192.168.0.1",
            "100.64.0.1",
            "168.63.129.16",
        ] {
            create(&stack, &format!("https://{host}/")).await.error(400, "InvalidUrl");
        }
    }
}

async fn names_and_ports_that_are_never_reached(on: Kind) {
    let stack = unprobed(on).await;
    for host in [
        "localhost",
        "LOCALHOST.",
        "api.localhost",
        "printer",
        "printer.",
        "printer.local",
        "metadata.internal",
        "core.svc",
        "core-service.athook.svc.cluster.local",
        "x.cluster.local.",
    ] {
        create(&stack, &format!("https://{host}/")).await.error(400, "InvalidUrl");
    }
    for port in [22, 25, 53] {
        create(&stack, &format!("https://hooks.example.com:{port}/")).await.error(400, "InvalidUrl");
    }
}

async fn probe_connects_and_sends_no_request(on: Kind) {
    let receiver = Receiver::start("hooks.test").await;
    let stack = Stack::start(on).await;
    create(&stack, &receiver.url("/a")).await.ok();
    create(&stack, &receiver.url("/b")).await.ok();
    assert!(receiver.connections() >= 2);
    assert_eq!(receiver.bytes(), 0, "the probe speaks TLS and no HTTP");
}

async fn addresses_by_dns_answer(on: Kind) {
    let receiver = Receiver::start("hooks.test").await;
    let dns = Dns::start().await;
    dns.set("hooks.test.", &["127.0.0.1"]);
    dns.set("mixed.test.", &["127.0.0.1", "10.0.0.1"]);
    dns.set("private.test.", &["10.0.0.1"]);
    dns.set("private6.test.", &["fd00::1"]);
    let stack = Setup::on(on).core("--dns-servers", &dns.address.to_string()).start().await;
    let port = receiver.port;
    create(&stack, &format!("https://hooks.test:{port}/a")).await.ok();
    let mut texts = BTreeSet::new();
    for host in ["mixed.test", "private.test", "private6.test", "unknown.test"] {
        texts.insert(create(&stack, &format!("https://{host}:{port}/a")).await.error(400, "InvalidUrl"));
    }
    // A certificate for another name.
    dns.set("other.test.", &["127.0.0.1"]);
    texts.insert(create(&stack, &format!("https://other.test:{port}/a")).await.error(400, "InvalidUrl"));
    // Nobody listens.
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    texts.insert(create(&stack, &format!("https://hooks.test:{closed}/a")).await.error(400, "InvalidUrl"));
    assert_eq!(texts.len(), 1, "one text for closed, filtered, private and unknown: {texts:?}");
    for (name, _) in dns.seen() {
        assert!(
            name.ends_with(".test.") && name.matches('.').count() == 2,
            "a search domain was tried: {name}"
        );
    }
}

async fn receiver_that_never_answers_tls(on: Kind) {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let stack = Stack::start(on).await;
    create(&stack, &format!("https://127.0.0.1:{port}/")).await.error(400, "InvalidUrl");
    stack.create_secret("still-here").await.ok();
}

async fn probe_by_look_up_alone(on: Kind) {
    let dns = Dns::start().await;
    dns.set("hooks.test.", &["127.0.0.1"]);
    dns.set("private.test.", &["10.0.0.1"]);
    let stack = Setup::on(on)
        .core("--probe", "resolve")
        .core("--dns-servers", &dns.address.to_string())
        .start()
        .await;
    // Nobody listens on port 9, and nobody needs to.
    create(&stack, "https://hooks.test:8443/a").await.ok();
    create(&stack, "https://private.test:8443/a").await.error(400, "InvalidUrl");
    create(&stack, "https://unknown.test:8443/a").await.error(400, "InvalidUrl");
}

async fn no_probe_looks_nothing_up(on: Kind) {
    let dns = Dns::start().await;
    let stack =
        Setup::on(on).core("--probe", "off").core("--dns-servers", &dns.address.to_string()).start().await;
    create(&stack, "https://unknown.test/a").await.ok();
    assert_eq!(dns.seen(), []);
}

async fn probes_are_limited_for_each_did(on: Kind) {
    let dns = Dns::start().await;
    let stack = Setup::on(on)
        .core("--probe", "resolve")
        .core("--dns-servers", &dns.address.to_string())
        .start()
        .await;
    for number in 0..30 {
        create(&stack, &format!("https://host{number}.test/")).await.error(400, "InvalidUrl");
    }
    let answer = create(&stack, "https://host30.test/").await;
    answer.error(429, "RateLimitExceeded");
    let wait: u64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    let bob = stack.newcomer("did:plc:bob22222222222222222222x", Key::k256());
    let input: Value = json!({ "url": "https://host30.test/", "events": ["chat"] });
    stack.call_as(&bob, CREATE_WEBHOOK, &input).await.error(400, "InvalidUrl");
    // What breaks a rule of its form is told without a probe.
    create(&stack, "nonsense").await.error(400, "InvalidUrl");
}

async fn probes_are_limited_for_each_host(on: Kind) {
    let dns = Dns::start().await;
    let stack = Setup::on(on)
        .core("--probe", "resolve")
        .core("--dns-servers", &dns.address.to_string())
        .start()
        .await;
    for caller in ["a", "b", "c"] {
        let caller = stack.newcomer(&format!("did:plc:caller{caller}22222222222222222"), Key::k256());
        for number in 0..20 {
            let input = json!({ "url": format!("https://victim.test/{number}"), "events": ["chat"] });
            stack.call_as(&caller, CREATE_WEBHOOK, &input).await.error(400, "InvalidUrl");
        }
    }
    create(&stack, "https://victim.test/60").await.error(429, "RateLimitExceeded");
    create(&stack, "https://other.test/").await.error(400, "InvalidUrl");
}
