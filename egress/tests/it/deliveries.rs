//! Deliveries: one attempt, what is sent, and what becomes of it.

use std::net::Ipv4Addr;
use std::time::Duration;

use bytes::Bytes;
use egress::client::deliveries::{Answered, Attempted, ConnectionLimits, Deliverer, MAX_ANSWER};
use egress::error::AttemptFailure;
use egress::policy::Policy;
use futures_util::future::join_all;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderValue, Version};
use rustls::version::{TLS12, TLS13};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use crate::host::{Host, Reply};
use crate::receiver::{Authority, Behaviour, Receiver, Seen};
use crate::{allowing, client, url};
use fakes::dns::Dns;

/// Long enough never to be what ends a test.
const AMPLE: Duration = Duration::from_secs(30);

/// A limit that a test waits for.
const SHORT: Duration = Duration::from_millis(300);

pub(crate) const LIMITS: ConnectionLimits = ConnectionLimits { handshakes: 1_000, kept: 1_000 };

/// The name that all hosts of these tests have.
const NAME: &str = "hooks.example";

/// A DNS server, an authority, and a client that knows them and may reach loopback.
pub(crate) struct Net {
    pub(crate) dns: Dns,
    pub(crate) authority: Authority,
    pub(crate) deliverer: Deliverer,
}

impl Net {
    pub(crate) async fn new() -> Self {
        Self::with(LIMITS).await
    }

    pub(crate) async fn with(limits: ConnectionLimits) -> Self {
        let (dns, authority) = (Dns::start().await, Authority::new());
        dns.set("hooks.example.", &["127.0.0.1"]);
        let egress = client(allowing(&["127.0.0.0/8"]), dns.address, Some(&authority.pem()));
        Self { dns, authority, deliverer: Deliverer::new(&egress, limits) }
    }

    /// A host of this protocol: `http`, or `http/1.1` or `h2` over TLS. Returns its URL too.
    pub(crate) async fn host(&self, protocol: &str, reply: Reply) -> (Host, String) {
        let script = move |_: &_| reply.clone();
        if protocol == "http" {
            let host = Host::http(script).await;
            let place = format!("http://{NAME}:{}/", host.port);
            return (host, place);
        }
        let host = Host::https(self.authority.acceptor_for(NAME, &[protocol]), script).await;
        let place = format!("https://{NAME}:{}/", host.port);
        (host, place)
    }

    pub(crate) async fn post(&self, place: &str) -> Attempted {
        self.post_within(place, AMPLE).await
    }

    pub(crate) async fn post_within(&self, place: &str, limit: Duration) -> Attempted {
        let body = Bytes::from_static(b"{}");
        self.deliverer.post(&url(place), HeaderMap::new(), body, Instant::now() + limit).await
    }
}

pub(crate) fn answered(attempted: Attempted) -> Answered {
    match attempted {
        Attempted::Answered(answered) => answered,
        Attempted::Failed(failure) => panic!("{failure:?}"),
    }
}

pub(crate) fn failed(attempted: Attempted) -> AttemptFailure {
    match attempted {
        Attempted::Answered(answered) => panic!("{answered:?}"),
        Attempted::Failed(failure) => failure,
    }
}

const PROTOCOLS: [&str; 3] = ["http", "http/1.1", "h2"];

#[tokio::test]
async fn request_over_http1() {
    let net = Net::new().await;
    let answer = b"HTTP/1.1 204 No Content\r\nx-remaining: 3\r\n\r\n".to_vec();
    let mut receiver = Receiver::http(Behaviour::Say(answer)).await;
    let place = format!("http://user:password@{NAME}:{}/a%20b/%C3%BC?q=[1]&r=`{{|}}#fragment", receiver.port);
    let headers = HeaderMap::from_iter([
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        ("webhook-id".parse().unwrap(), HeaderValue::from_static("msg_1")),
    ]);
    let body = Bytes::from_static(b"{\"a\":1}");
    let attempted = net.deliverer.post(&url(&place), headers, body, Instant::now() + AMPLE).await;
    let expected = Answered {
        status: http::StatusCode::NO_CONTENT,
        headers: HeaderMap::from_iter([("x-remaining".parse().unwrap(), HeaderValue::from_static("3"))]),
        body: Bytes::new(),
        ended: true,
    };
    assert_eq!(answered(attempted), expected);
    assert_eq!(receiver.next().await, Seen::Connection);
    let expected = format!(
        "POST /a%20b/%C3%BC?q=[1]&r=`{{|}} HTTP/1.1\r\ncontent-type: application/json\r\nwebhook-id: msg_1\r\n\
         host: {NAME}:{}\r\ncontent-length: 7\r\n\r\n",
        receiver.port
    );
    assert_eq!(receiver.next().await, Seen::Request(expected));
}

#[tokio::test]
async fn request_and_answer_over_each_protocol() {
    let net = Net::new().await;
    for protocol in PROTOCOLS {
        let reply = Reply::Whole(503, vec![("retry-after", "7".to_owned())], b"later".to_vec());
        let (host, place) = net.host(protocol, reply).await;
        let answer = answered(net.post(&place).await);
        assert_eq!((answer.status.as_u16(), &answer.body[..], answer.ended), (503, &b"later"[..], true));
        assert_eq!(answer.headers["retry-after"], "7");
        let [arrived] = &host.arrived()[..] else { panic!("{protocol}: {:?}", host.arrived()) };
        let version = if protocol == "h2" { Version::HTTP_2 } else { Version::HTTP_11 };
        assert_eq!((arrived.version, &arrived.body[..]), (version, &b"{}"[..]), "{protocol}");
        assert_eq!(arrived.headers["content-length"], "2");
        assert!(!arrived.headers.contains_key("accept-encoding"), "{protocol}");
    }
}

#[tokio::test]
async fn redirect_is_not_followed() {
    let net = Net::new().await;
    for protocol in PROTOCOLS {
        let (elsewhere, target) = net.host(protocol, Reply::ok()).await;
        for status in [301, 302, 303, 307, 308] {
            let reply = Reply::Whole(status, vec![(LOCATION.as_str(), target.clone())], Vec::new());
            let (_host, place) = net.host(protocol, reply).await;
            let answer = answered(net.post(&place).await);
            assert_eq!((answer.status.as_u16(), answer.ended), (status, true));
        }
        assert_eq!(elsewhere.connections(), 0);
    }
}

#[tokio::test]
async fn alternative_services_and_cookies_mean_nothing() {
    let net = Net::new().await;
    let (elsewhere, _) = net.host("h2", Reply::ok()).await;
    let fields = vec![
        ("alt-svc", format!("h2=\":{}\"; ma=3600", elsewhere.port)),
        ("set-cookie", "a=b; Path=/".to_owned()),
    ];
    let (host, place) = net.host("h2", Reply::Whole(200, fields, Vec::new())).await;
    for _ in 0..2 {
        answered(net.post(&place).await);
    }
    assert_eq!(elsewhere.connections(), 0);
    assert!(host.arrived().iter().all(|request| !request.headers.contains_key("cookie")));
}

#[tokio::test]
async fn body_around_the_limit() {
    let net = Net::new().await;
    for protocol in PROTOCOLS {
        for (bytes, ended) in [(MAX_ANSWER - 1, true), (MAX_ANSWER, true), (MAX_ANSWER + 1, false)] {
            let body = vec![b'x'; bytes];
            let (_host, place) = net.host(protocol, Reply::Whole(200, Vec::new(), body)).await;
            let answer = answered(net.post(&place).await);
            assert_eq!(answer.body.len(), bytes.min(MAX_ANSWER), "{protocol}");
            // Whether the end was seen together with the last byte is up to the transport.
            assert!(answer.ended == ended || bytes == MAX_ANSWER, "{protocol}, {bytes} bytes");
        }
    }
}

#[tokio::test]
async fn body_without_end() {
    let net = Net::new().await;
    for protocol in PROTOCOLS {
        let (host, place) = net.host(protocol, Reply::Endless).await;
        for _ in 0..20 {
            let answer = answered(net.post(&place).await);
            assert_eq!((answer.body.len(), answer.ended), (MAX_ANSWER, false), "{protocol}");
        }
        let connections = if protocol == "h2" { 1 } else { 20 };
        assert_eq!(host.connections(), connections, "{protocol}");
        // What the sockets hold is lost beside what was read; without an end it would be far more.
        let sent = host.bytes_sent() / 20;
        assert!(sent < 16 << 20, "{protocol}: {sent} bytes for one delivery");
    }
}

#[tokio::test]
async fn nothing_is_decompressed() {
    let net = Net::new().await;
    // A gzip head, and what a decoder would unfold without end.
    let bomb = [b"\x1f\x8b\x08\0\0\0\0\0\0\xff".as_slice(), &[0xff; 1_000]].concat();
    for protocol in PROTOCOLS {
        for coding in ["gzip", "br", "zstd", "deflate"] {
            let fields = vec![(CONTENT_ENCODING.as_str(), coding.to_owned())];
            let (_host, place) = net.host(protocol, Reply::Whole(200, fields, bomb.clone())).await;
            let answer = answered(net.post(&place).await);
            assert_eq!((&answer.body[..], answer.ended), (&bomb[..], true), "{protocol} {coding}");
        }
    }
}

#[tokio::test]
async fn slow_head_and_slow_body() {
    let net = Net::new().await;
    for protocol in PROTOCOLS {
        for reply in [Reply::Hang, Reply::Drip(Duration::from_secs(1), 3_600)] {
            let (host, place) = net.host(protocol, reply).await;
            let start = Instant::now();
            let failure = failed(net.post_within(&place, SHORT).await);
            assert!(matches!(failure, AttemptFailure::Timeout(_)), "{protocol}: {failure:?}");
            assert!(start.elapsed() < 10 * SHORT, "{protocol}: {:?}", start.elapsed());
            assert_eq!(host.arrived().len(), 1, "{protocol}");
            until(|| host.open() == 0).await;
        }
    }
}

#[tokio::test]
async fn head_over_the_limit() {
    let net = Net::new().await;
    for protocol in PROTOCOLS {
        let (host, place) =
            net.host(protocol, Reply::Whole(200, vec![("x", "y".repeat(17 * 1024))], Vec::new())).await;
        let failure = failed(net.post(&place).await);
        assert!(matches!(failure, AttemptFailure::Connect(_)), "{protocol}: {failure:?}");
        host.now(|_| Reply::Whole(200, (0..2_000).map(|_| ("a", "b".to_owned())).collect(), Vec::new()));
        let failure = failed(net.post(&place).await);
        assert!(matches!(failure, AttemptFailure::Connect(_)), "{protocol}: {failure:?}");
        host.now(|_| Reply::Whole(200, vec![("x", "y".repeat(12 * 1024))], Vec::new()));
        answered(net.post(&place).await);
        assert_eq!(host.arrived().len(), 3, "{protocol}");
    }
}

#[tokio::test]
async fn broken_answers() {
    let net = Net::new().await;
    for answer in [
        &b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfive!"[..],
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200",
        b"SSH-2.0-x\r\n\r\n",
        b"",
    ] {
        let mut receiver = Receiver::http(Behaviour::Say(answer.to_vec())).await;
        let failure = failed(net.post(&format!("http://{NAME}:{}/", receiver.port)).await);
        assert!(matches!(failure, AttemptFailure::Connect(_)), "{failure:?}");
        assert_eq!(receiver.next().await, Seen::Connection);
        assert!(matches!(receiver.next().await, Seen::Request(_)));
        assert_eq!(receiver.next().await, Seen::Gone);
        assert!(receiver.untouched().await, "a new connection is not tried again");
    }
}

#[tokio::test]
async fn reset_without_an_answer() {
    let net = Net::new().await;
    for protocol in PROTOCOLS {
        let (host, place) = net.host(protocol, Reply::Reset).await;
        let failure = failed(net.post(&place).await);
        assert!(matches!(failure, AttemptFailure::Connect(_)), "{protocol}: {failure:?}");
        assert_eq!((host.connections(), host.arrived().len()), (1, 1), "{protocol}");
    }
}

#[tokio::test]
async fn client_certificate_is_wanted() {
    let net = Net::new().await;
    for version in [&TLS12, &TLS13] {
        for protocol in ["http/1.1", "h2"] {
            let acceptor = net.authority.acceptor_of_certificates(version, NAME, &[protocol]);
            let host = Host::https(acceptor, |_| Reply::ok()).await;
            for _ in 0..20 {
                let failure = failed(net.post(&format!("https://{NAME}:{}/", host.port)).await);
                assert!(matches!(failure, AttemptFailure::Tls(_)), "{version:?} {protocol}: {failure:?}");
            }
            assert_eq!((host.connections(), host.arrived().len()), (20, 0));
        }
    }
}

#[tokio::test]
async fn certificate_that_proves_nothing() {
    let net = Net::new().await;
    for (authority, name) in [(&net.authority, "other.example"), (&Authority::new(), NAME)] {
        let host = Host::https(authority.acceptor_for(name, &["h2", "http/1.1"]), |_| Reply::ok()).await;
        let failure = failed(net.post(&format!("https://{NAME}:{}/", host.port)).await);
        assert!(matches!(failure, AttemptFailure::Tls(_)), "{failure:?}");
        assert_eq!(host.arrived().len(), 0);
    }
}

#[tokio::test]
async fn handshake_that_hangs() {
    let net = Net::new().await;
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let failure = failed(net.post_within(&format!("https://{NAME}:{port}/"), SHORT).await);
    assert!(matches!(failure, AttemptFailure::Timeout(_)), "{failure:?}");
}

#[tokio::test]
async fn no_connection() {
    let net = Net::new().await;
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap().port();
    let failure = failed(net.post(&format!("https://{NAME}:{closed}/")).await);
    assert!(matches!(failure, AttemptFailure::Connect(_)), "{failure:?}");

    let failure = failed(net.post("https://nowhere.example/").await);
    assert!(matches!(failure, AttemptFailure::Dns(_)), "{failure:?}");

    net.dns.set("mixed.example.", &["127.0.0.1", "10.0.0.1"]);
    net.dns.set("private.example.", &["169.254.169.254"]);
    for place in [
        "https://mixed.example/",
        "https://private.example/",
        "https://10.0.0.1/",
        "https://[::ffff:0:7f00:1]/",
        "https://core/",
        "https://hooks.example:22/",
        "ftp://hooks.example:8080/",
        "data:text/plain,x",
    ] {
        let failure = failed(net.post(place).await);
        assert!(matches!(failure, AttemptFailure::Refused(_)), "{place}: {failure:?}");
    }
}

#[tokio::test]
async fn private_at_delivery() {
    let net = Net::new().await;
    let deliverer = Deliverer::new(&client(Policy::new(Vec::new()), net.dns.address, None), LIMITS);
    net.dns.set_in_turn("hooks.example.", &[&["203.1.113.7"], &["127.0.0.1"]]);
    let egress = client(Policy::new(Vec::new()), net.dns.address, None);
    let (host, place) = net.host("http", Reply::ok()).await;
    assert!(egress.resolve(&url(&place)).await.is_ok(), "public when the webhook is made");
    let deadline = Instant::now() + AMPLE;
    let failure = failed(deliverer.post(&url(&place), HeaderMap::new(), Bytes::new(), deadline).await);
    assert!(matches!(failure, AttemptFailure::Refused(_)), "{failure:?}");
    assert_eq!(host.connections(), 0);
}

#[tokio::test]
async fn receivers_that_drip_hold_up_nobody() {
    const RECEIVERS: usize = 600;
    let net = Net::new().await;
    let (slow, slow_place) = net.host("http", Reply::Drip(Duration::from_secs(1), 3_600)).await;
    let (_healthy, place) = net.host("http/1.1", Reply::ok()).await;
    let slow_ones = join_all((0..RECEIVERS).map(|_| net.post_within(&slow_place, Duration::from_secs(6))));
    let healthy = async {
        until(|| slow.arrived().len() == RECEIVERS).await;
        for _ in 0..50 {
            let start = Instant::now();
            answered(net.post(&place).await);
            assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
        }
    };
    let (slow_ones, ()) = tokio::join!(slow_ones, healthy);
    for attempted in slow_ones {
        assert!(matches!(failed(attempted), AttemptFailure::Timeout(_)));
    }
}

/// Waits until something is true that is brought about elsewhere.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        sleep(Duration::from_millis(2)).await;
    }
}
