//! `/site/resolve-handle`, in front of a DNS server of the test.

use fakes::dns::Dns;
use http::{Method, StatusCode};
use serde_json::json;

use super::start;
use crate::harness::answer::{Whole, error, invalid};
use crate::harness::gateway::{Gateway, Setup};
use crate::harness::rpc_stub::RpcStub;

const DID: &str = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
const PATH: &str = "/site/resolve-handle?handle=";
const NOT_FOUND: &str = "the handle names no DID, by DNS or by https, or its host does not answer";

async fn asking(dns: &Dns, prepare: impl FnOnce(Setup) -> Setup) -> (RpcStub, Gateway) {
    let servers = dns.address.to_string();
    start(|setup| prepare(setup.flag("--dns-servers", &servers))).await
}

async fn resolve(gateway: &Gateway, handle: &str) -> Whole {
    let answer = gateway.request(Method::GET, &format!("{PATH}{handle}")).send().await.unwrap();
    assert_eq!(answer.headers()["cache-control"], "no-store");
    (answer.status().as_u16(), answer.text().await.unwrap())
}

fn found() -> Whole {
    (200, json!({ "did": DID }).to_string())
}

fn not_found() -> Whole {
    error(404, "HandleNotFound", NOT_FOUND)
}

fn name(dns: &Dns, handle: &str, texts: &[&str]) {
    let records: Vec<&[&str]> = texts.iter().map(std::slice::from_ref).collect();
    dns.set_texts(&format!("_atproto.{handle}."), &records);
}

/// How often TXT records of the handle were asked for.
fn asked(dns: &Dns, handle: &str) -> usize {
    let name = format!("_atproto.{handle}.");
    dns.seen().iter().filter(|(seen, _)| *seen == name).count()
}

#[tokio::test]
async fn by_dns() {
    let dns = Dns::start().await;
    let (_stub, gateway) = asking(&dns, |setup| setup).await;
    let did = format!("did={DID}");
    name(&dns, "alice.example", &["v=spf1", &did]);
    name(&dns, "two.example", &[&did, &did]);
    name(&dns, "none.example", &["did=nothing"]);
    // Many at once are one look-up, and later ones are served from the cache, under any spelling.
    let many = (0..5).map(|_| resolve(&gateway, "alice.example"));
    assert_eq!(futures_util::future::join_all(many).await, vec![found(); 5]);
    assert_eq!(resolve(&gateway, "Alice.EXAMPLE").await, found());
    assert_eq!(asked(&dns, "alice.example"), 1);
    for handle in ["two.example", "none.example", "nobody.example"] {
        assert_eq!(resolve(&gateway, handle).await, not_found(), "{handle}");
        assert_eq!(resolve(&gateway, handle).await, not_found(), "{handle}");
        assert_eq!(asked(&dns, handle), 1, "{handle}");
    }
}

#[tokio::test]
async fn refused() {
    let dns = Dns::start().await;
    let (_stub, gateway) = asking(&dns, |setup| setup).await;
    let rule = invalid("handle: expected a handle, such as alice.example.com");
    for handle in ["", "localhost", "127.0.0.1", "10.0.0.1", "[::1]", DID, "a.example/../x", "a.example:80"] {
        assert_eq!(resolve(&gateway, handle).await, rule, "{handle}");
    }
    assert_eq!(
        resolve(&gateway, "a.example&handle=b.example").await,
        invalid("handle: is given more than once")
    );
    let bare = gateway.request(Method::GET, "/site/resolve-handle").send().await.unwrap();
    assert_eq!((bare.status().as_u16(), bare.text().await.unwrap()), invalid("handle: is required"));
    assert!(dns.seen().is_empty(), "{:?}", dns.seen());
}

#[tokio::test]
async fn private_hosts_are_not_asked() {
    let dns = Dns::start().await;
    let (_stub, gateway) = asking(&dns, |setup| setup).await;
    for (handle, address) in [
        ("loopback.example", "127.0.0.1"),
        ("metadata.example", "169.254.169.254"),
        ("mapped.example", "::ffff:10.0.0.1"),
        ("own.example", "::1"),
    ] {
        dns.set(&format!("{handle}."), &[address]);
        name(&dns, handle, &[]);
        assert_eq!(resolve(&gateway, handle).await, not_found(), "{handle}");
    }
    // Names that are refused whatever they lead to.
    for handle in ["metadata.google.internal", "a.localhost", "printer.local"] {
        name(&dns, handle, &[&format!("did={DID}")]);
        assert_ne!(resolve(&gateway, handle).await.0, 200, "{handle}");
        assert_eq!(asked(&dns, handle), 0, "{handle}");
    }
}

#[tokio::test]
async fn thirty_a_minute() {
    let dns = Dns::start().await;
    let proxied = |setup: Setup| {
        setup.flag("--trusted-proxies", "127.0.0.1").flag("--client-address-header", "x-forwarded-for")
    };
    let (_stub, gateway) = asking(&dns, proxied).await;
    name(&dns, "alice.example", &[&format!("did={DID}")]);
    let ask = async |client: &str| {
        let request = gateway.request(Method::GET, &format!("{PATH}alice.example"));
        request.header("x-forwarded-for", client).send().await.unwrap()
    };
    let mut refused = None;
    // One more may come every two seconds.
    for number in 0..60 {
        let answer = ask(&format!("2001:db8::{number:x}")).await;
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            assert!(number >= 30, "{number}");
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("a limit");
    let wait: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=2).contains(&wait), "{wait}");
    let message = "too many look-ups of handles; Retry-After says when to come back";
    assert_eq!((429, refused.text().await.unwrap()), error(429, "RateLimitExceeded", message));
    for other in ["2001:db8:0:1::1", "192.0.2.1"] {
        assert_eq!(ask(other).await.status(), StatusCode::OK, "{other}");
    }
}
