//! GETs: what is sent, what is taken, and what is not.

use std::time::Duration;

use egress::client::{Answer, Egress};
use egress::error::{BuildError, Failure, GetError, Unreachable};
use egress::policy::Policy;
use egress::resolver::Resolver;

use crate::receiver::{Authority, Behaviour, Receiver, Seen};
use crate::{allowing, client, url};
use fakes::dns::Dns;

/// Long enough never to be what ends a test.
const AMPLE: Duration = Duration::from_secs(30);

/// A limit that a test waits for.
const SHORT: Duration = Duration::from_millis(150);

/// The most that is taken of a body, in bytes.
const MAX_BODY: usize = 1_000;

fn say(head: &str, body: &[u8]) -> Behaviour {
    Behaviour::Say([format!("HTTP/1.1 {head}\r\n\r\n").as_bytes(), body].concat())
}

async fn get(egress: &Egress, place: &str, limit: Duration) -> Result<Answer, GetError> {
    egress.get(&url(place), "application/json", limit, MAX_BODY).await
}

/// A GET from a receiver on this machine, by plain HTTP.
async fn get_from(behaviour: Behaviour, limit: Duration) -> (Result<Answer, GetError>, Receiver) {
    let dns = Dns::start().await;
    let receiver = Receiver::http(behaviour).await;
    let egress = client(allowing(&["127.0.0.0/8"]), dns.address, None);
    let place = format!("http://localhost:{}/", receiver.port);
    (get(&egress, &place, limit).await, receiver)
}

#[tokio::test]
async fn request_and_answer() {
    let dns = Dns::start().await;
    let answer = say("200 OK\r\ncontent-type: application/json\r\ncontent-length: 2", b"{}");
    let mut receiver = Receiver::http(answer).await;
    let port = receiver.port;
    let egress = client(allowing(&["127.0.0.0/8"]), dns.address, None);
    let place = format!("http://user:password@localhost:{port}/a%20b/%C3%BC?q=[1]&r='|'#fragment");
    let answer = get(&egress, &place, AMPLE).await.unwrap();
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"{}"[..]));
    assert_eq!(receiver.next().await, Seen::Connection);
    let version = env!("CARGO_PKG_VERSION");
    let expected = format!(
        "GET /a%20b/%C3%BC?q=[1]&r=%27|%27 HTTP/1.1\r\nhost: localhost:{port}\r\nuser-agent: athook/{version}\r\n\
         accept: application/json\r\nconnection: close\r\n\r\n"
    );
    assert_eq!(receiver.next().await, Seen::Request(expected));
}

#[tokio::test]
async fn redirect_is_not_followed() {
    let mut elsewhere = Receiver::http(say("200 OK", b"")).await;
    let location =
        format!("302 Found\r\nlocation: http://localhost:{}/\r\ncontent-length: 0", elsewhere.port);
    let (answer, _receiver) = get_from(say(&location, b""), AMPLE).await;
    assert_eq!(answer.unwrap().status.as_u16(), 302);
    assert!(elsewhere.untouched().await);
}

#[tokio::test]
async fn any_status_is_an_answer() {
    for status in [204, 404, 410, 429, 500, 503] {
        let (answer, _receiver) = get_from(say(&format!("{status} X"), b""), AMPLE).await;
        assert_eq!(answer.unwrap().status.as_u16(), status);
    }
}

#[tokio::test]
async fn body_of_exactly_the_limit() {
    let body = vec![b'x'; MAX_BODY];
    for head in ["200 OK".to_owned(), format!("200 OK\r\ncontent-length: {MAX_BODY}")] {
        let (answer, _receiver) = get_from(say(&head, &body), AMPLE).await;
        assert_eq!(answer.unwrap().body, body);
    }
}

#[tokio::test]
async fn body_over_the_limit() {
    let body = vec![b'x'; MAX_BODY + 1];
    let announced = say("200 OK\r\ncontent-length: 1001", b"");
    let sent = say("200 OK", &body);
    let chunks = [b"3e8\r\n", &body[1..], b"\r\n1\r\nx\r\n0\r\n\r\n"].concat();
    let chunked = say("200 OK\r\ntransfer-encoding: chunked", &chunks);
    for behaviour in [announced, sent, chunked] {
        let (answer, _receiver) = get_from(behaviour, AMPLE).await;
        assert!(matches!(answer, Err(GetError::TooLarge(MAX_BODY))), "{answer:?}");
    }
}

#[tokio::test]
async fn nothing_is_decompressed() {
    let body = b"\x1f\x8b not to be looked into";
    let head = format!("200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}", body.len());
    let (answer, _receiver) = get_from(say(&head, body), AMPLE).await;
    assert_eq!(&answer.unwrap().body[..], body);
}

#[tokio::test]
async fn head_over_the_limit() {
    let large = format!("200 OK\r\nx-large: {}", "x".repeat(16 * 1024));
    let many = format!("200 OK{}", "\r\nx: y".repeat(101));
    for head in [large, many] {
        let (answer, _receiver) = get_from(say(&head, b""), AMPLE).await;
        assert!(matches!(answer, Err(GetError::Http(_))), "{answer:?}");
    }
}

#[tokio::test]
async fn body_cut_short() {
    let (answer, _receiver) = get_from(say("200 OK\r\ncontent-length: 10", b"five!"), AMPLE).await;
    assert!(matches!(answer, Err(GetError::Http(_))), "{answer:?}");
}

#[tokio::test]
async fn not_http() {
    let (answer, _receiver) = get_from(Behaviour::Say(b"SSH-2.0-x\r\n\r\n".into()), AMPLE).await;
    assert!(matches!(answer, Err(GetError::Http(_))), "{answer:?}");
}

#[tokio::test]
async fn slow_answers_are_cut_at_the_limit() {
    for behaviour in [Behaviour::Hang, Behaviour::Drip] {
        let (answer, mut receiver) = get_from(behaviour, SHORT).await;
        assert!(matches!(answer, Err(GetError::TimedOut(SHORT))), "{answer:?}");
        assert_eq!(receiver.next().await, Seen::Connection);
        assert!(matches!(receiver.next().await, Seen::Request(_)));
        assert_eq!(receiver.next().await, Seen::Gone);
    }
}

#[tokio::test]
async fn rebinding_between_check_and_connect() {
    let dns = Dns::start().await;
    let mut receiver = Receiver::http(say("200 OK\r\ncontent-length: 0", b"")).await;
    // The second answer would be another machine; it is asked for once only.
    dns.set_in_turn("hooks.example.", &[&["127.0.0.1"], &["127.0.0.2"]]);
    let egress = client(allowing(&["127.0.0.1/32"]), dns.address, None);
    let place = format!("http://hooks.example:{}/", receiver.port);

    assert!(get(&egress, &place, AMPLE).await.is_ok());
    assert_eq!(receiver.next().await, Seen::Connection);
    assert_eq!(dns.seen().len(), 2, "one query for A and one for AAAA");

    let later = get(&egress, &place, AMPLE).await;
    assert!(matches!(later, Err(GetError::Unreachable(Unreachable::NotAllowed))));
}

#[tokio::test]
async fn tls_with_an_extra_authority() {
    let (dns, authority) = (Dns::start().await, Authority::new());
    dns.set("hooks.example.", &["127.0.0.1"]);
    let egress = client(allowing(&["127.0.0.0/8"]), dns.address, Some(&authority.pem()));
    for (host, name) in [
        ("hooks.example", Some("hooks.example")),
        ("hooks.example.", Some("hooks.example")),
        ("127.0.0.1", None),
    ] {
        let proven = name.unwrap_or(host);
        let answer = say("200 OK\r\ncontent-length: 2", b"{}");
        let mut receiver = Receiver::https(&authority, proven, answer).await;
        let answer = get(&egress, &format!("https://{host}:{}/", receiver.port), AMPLE).await;
        assert_eq!(&answer.unwrap().body[..], b"{}", "{host}");
        assert_eq!(receiver.next().await, Seen::Connection);
        assert_eq!(receiver.next().await, Seen::Tls(name.map(str::to_owned)));
    }
}

#[tokio::test]
async fn authority_that_is_trusted_later() {
    let (dns, authority) = (Dns::start().await, Authority::new());
    dns.set("hooks.example.", &["127.0.0.1"]);
    let egress = client(allowing(&["127.0.0.0/8"]), dns.address, None);
    let clone = egress.clone();
    let fetched = async || {
        let answer = say("200 OK\r\ncontent-length: 2", b"{}");
        let receiver = Receiver::https(&authority, "hooks.example", answer).await;
        get(&clone, &format!("https://hooks.example:{}/", receiver.port), AMPLE).await.is_ok()
    };
    assert!(!fetched().await);
    egress.trust(Some(&authority.pem())).unwrap();
    assert!(fetched().await);
    egress.trust(Some("no certificate")).unwrap_err();
    assert!(fetched().await);
    egress.trust(None).unwrap();
    assert!(!fetched().await);
}

#[tokio::test]
async fn tls_that_proves_nothing() {
    let (dns, authority) = (Dns::start().await, Authority::new());
    dns.set("hooks.example.", &["127.0.0.1"]);
    let policy = allowing(&["127.0.0.0/8"]);
    let pem = authority.pem();
    let other_pem = Authority::new().pem();
    for (proven, trusted) in [
        ("hooks.example", None),
        ("hooks.example", Some(other_pem.as_str())),
        ("other.example", Some(pem.as_str())),
    ] {
        let receiver = Receiver::https(&authority, proven, say("200 OK", b"{}")).await;
        let egress = client(policy.clone(), dns.address, trusted);
        let answer = get(&egress, &format!("https://hooks.example:{}/", receiver.port), AMPLE).await;
        let Err(GetError::Unreachable(Unreachable::Failed(Failure::Tls(_)))) = answer else {
            panic!("{proven}: {answer:?}");
        };
    }
}

#[tokio::test]
async fn unwritable_request() {
    let dns = Dns::start().await;
    let egress = client(allowing(&["127.0.0.0/8"]), dns.address, None);
    let answer = egress.get(&url("http://localhost:3000/"), "a\nb", AMPLE, MAX_BODY).await;
    assert!(matches!(answer, Err(GetError::Request(_))));
}

#[test]
fn unusable_authorities() {
    let build = |pem: &str| Egress::new(Policy::new(Vec::new()), Resolver::new(&[]).unwrap(), Some(pem));
    let broken = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
    let empty = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(build(""), Err(BuildError::NoCertificate)));
    assert!(matches!(build("no PEM at all"), Err(BuildError::NoCertificate)));
    assert!(matches!(build(broken), Err(BuildError::Pem(_))));
    assert!(matches!(build(empty), Err(BuildError::Certificate(_))));
    assert!(build(&Authority::new().pem()).is_ok());
}
