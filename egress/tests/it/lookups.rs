//! Names, by DNS answers.

use std::error::Error as _;
use std::net::{Ipv4Addr, SocketAddr};

use egress::error::{Failure, LookupError, Unreachable};
use egress::policy::Policy;
use egress::resolver::Resolver;
use hickory_resolver::proto::rr::RecordType;
use tokio::net::UdpSocket;

use crate::{allowing, client, url};
use fakes::dns::Dns;

const PUBLIC: &str = "203.1.113.7";
const PUBLIC_IPV6: &str = "2606:4700::1111";

async fn resolve(policy: Policy, dns: &Dns, place: &str) -> Result<Vec<SocketAddr>, Unreachable> {
    client(policy, dns.address, None).resolve(&url(place)).await
}

fn guarded() -> Policy {
    Policy::new(Vec::new())
}

#[tokio::test]
async fn public_answers() {
    let dns = Dns::start().await;
    dns.set("hooks.example.", &[PUBLIC, PUBLIC_IPV6]);
    let addresses = resolve(guarded(), &dns, "https://hooks.example/").await.unwrap();
    let expected: Vec<SocketAddr> = [format!("{PUBLIC}:443"), format!("[{PUBLIC_IPV6}]:443")]
        .map(|address| address.parse().unwrap())
        .into();
    assert_eq!(addresses, expected);
}

#[tokio::test]
async fn one_private_answer_among_public_ones() {
    let dns = Dns::start().await;
    for private in ["10.0.0.1", "127.0.0.1", "fd00::1", "::ffff:8.8.8.8"] {
        dns.set("hooks.example.", &[PUBLIC, private, PUBLIC_IPV6]);
        let refused = resolve(guarded(), &dns, "https://hooks.example/").await;
        assert!(matches!(refused, Err(Unreachable::NotAllowed)), "{private}");
    }
}

#[tokio::test]
async fn private_answer() {
    let dns = Dns::start().await;
    dns.set("hooks.example.", &["10.0.0.1"]);
    let refused = resolve(guarded(), &dns, "https://hooks.example/").await;
    assert!(matches!(refused, Err(Unreachable::NotAllowed)));
    let allowed = resolve(allowing(&["10.0.0.0/8"]), &dns, "https://hooks.example/").await;
    assert_eq!(allowed.unwrap(), ["10.0.0.1:443".parse().unwrap()]);
}

#[tokio::test]
async fn public_first_and_private_later() {
    let dns = Dns::start().await;
    dns.set_in_turn("hooks.example.", &[&[PUBLIC], &["10.0.0.1"]]);
    let egress = client(guarded(), dns.address, None);
    let place = url("https://hooks.example/");
    assert!(egress.resolve(&place).await.is_ok());
    assert!(matches!(egress.resolve(&place).await, Err(Unreachable::NotAllowed)));
}

#[tokio::test]
async fn no_such_name() {
    let dns = Dns::start().await;
    let failure = resolve(guarded(), &dns, "https://hooks.example/").await.unwrap_err();
    assert!(matches!(failure, Unreachable::Failed(Failure::Lookup(LookupError::Dns(_)))));
    assert_eq!(failure.to_string(), Unreachable::NotAllowed.to_string());
    assert_eq!(failure.source().unwrap().to_string(), "the look-up failed");
}

#[tokio::test]
async fn name_without_addresses() {
    let dns = Dns::start().await;
    dns.set("hooks.example.", &[]);
    let failure = resolve(guarded(), &dns, "https://hooks.example/").await;
    assert!(matches!(failure, Err(Unreachable::Failed(Failure::Lookup(_)))));
}

#[tokio::test]
async fn only_the_absolute_name_is_asked_for() {
    for host in ["hooks.example", "hooks.example."] {
        let dns = Dns::start().await;
        _ = resolve(guarded(), &dns, &format!("https://{host}/")).await;
        let mut seen = dns.seen();
        seen.sort();
        let expected = [RecordType::A, RecordType::AAAA].map(|kind| ("hooks.example.".to_owned(), kind));
        assert_eq!(seen, expected);
    }
}

#[tokio::test]
async fn single_label_without_a_policy() {
    let dns = Dns::start().await;
    dns.set("plc.", &["10.0.0.1"]);
    let addresses = resolve(Policy::unrestricted(), &dns, "http://plc:2582/").await;
    assert_eq!(addresses.unwrap(), ["10.0.0.1:2582".parse().unwrap()]);
}

#[tokio::test]
async fn refused_names_are_not_asked_for() {
    let dns = Dns::start().await;
    for place in [
        "https://core/",
        "https://x.local/",
        "https://localhost/",
        "https://hooks.example:22/",
        "https://10.0.0.1/",
    ] {
        let refused = resolve(guarded(), &dns, place).await;
        assert!(matches!(refused, Err(Unreachable::NotAllowed)), "{place}");
    }
    assert_eq!(dns.seen(), []);
}

#[tokio::test]
async fn localhost_needs_no_dns() {
    let dns = Dns::start().await;
    let both = ["127.0.0.1:3000", "[::1]:3000"].map(|address| address.parse::<SocketAddr>().unwrap());
    for host in ["localhost", "localhost.", "app.localhost"] {
        let place = format!("http://{host}:3000/");
        let ipv4 = resolve(allowing(&["127.0.0.1/32"]), &dns, &place).await.unwrap();
        assert_eq!(ipv4, both[..1]);
        let all = resolve(allowing(&["127.0.0.1/32", "::1/128"]), &dns, &place).await;
        assert_eq!(all.unwrap(), both);
        let unrestricted = resolve(Policy::unrestricted(), &dns, &place).await;
        assert_eq!(unrestricted.unwrap(), both);
    }
    assert_eq!(dns.seen(), []);
}

#[tokio::test]
async fn literals_need_no_dns() {
    let dns = Dns::start().await;
    for (place, address) in [
        ("https://203.1.113.7/", "203.1.113.7:443"),
        ("http://[2606:4700::1111]:8080/", "[2606:4700::1111]:8080"),
    ] {
        let addresses = resolve(guarded(), &dns, place).await.unwrap();
        assert_eq!(addresses, [address.parse().unwrap()]);
    }
    assert_eq!(dns.seen(), []);
}

#[tokio::test]
async fn unusual_names() {
    let dns = Dns::start().await;
    for host in ["my_host.example", "_x.example", "xn--mnchen-3ya.example"] {
        dns.set(&format!("{host}."), &[PUBLIC]);
        assert!(resolve(guarded(), &dns, &format!("https://{host}/")).await.is_ok(), "{host}");
    }
}

#[tokio::test]
async fn not_a_dns_name() {
    let dns = Dns::start().await;
    let long_label = format!("https://{}.example/", "a".repeat(64));
    let failure = resolve(guarded(), &dns, &long_label).await;
    assert!(matches!(failure, Err(Unreachable::Failed(Failure::Lookup(LookupError::Name(_))))));
}

#[tokio::test]
async fn another_policy_on_the_same_resolver() {
    let dns = Dns::start().await;
    dns.set("hooks.example.", &["10.0.0.1"]);
    let guarded = client(guarded(), dns.address, None);
    let open = guarded.with_policy(allowing(&["10.0.0.0/8"]));
    let place = url("https://hooks.example/");
    assert!(open.resolve(&place).await.is_ok());
    assert!(guarded.resolve(&place).await.is_err());
    assert!(open.policy().check_address("10.0.0.1".parse().unwrap()).is_ok());
}

#[tokio::test(start_paused = true)]
async fn servers_that_never_answer() {
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let resolver = Resolver::new(&[silent.local_addr().unwrap()]).unwrap();
    let start = tokio::time::Instant::now();
    resolver.lookup("hooks.example").await.unwrap_err();
    assert!(start.elapsed() <= egress::resolver::LOOKUP_LIMIT, "{:?}", start.elapsed());
}

#[tokio::test]
async fn texts_of_a_name() {
    let dns = Dns::start().await;
    dns.set_texts("_atproto.alice.example.", &[&["did=did:plc:", "a"], &["v=spf1"]]);
    dns.set("alice.example.", &[PUBLIC]);
    let egress = client(guarded(), dns.address, None);
    for name in ["_atproto.alice.example", "_atproto.alice.example."] {
        assert_eq!(egress.texts(name).await.unwrap(), ["did=did:plc:a", "v=spf1"]);
    }
    for name in ["alice.example", "nobody.example"] {
        assert!(matches!(egress.texts(name).await, Err(LookupError::Dns(_))), "{name}");
    }
    let long = format!("{}.example", "a".repeat(64));
    assert!(matches!(egress.texts(&long).await, Err(LookupError::Name(_))));
}
