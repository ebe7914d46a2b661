//! Probes: a connection and a handshake, and not a byte of HTTP.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use egress::error::{Failure, Unreachable};
use rustls::version::{TLS12, TLS13};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::host::{Host, Reply};
use crate::receiver::{Authority, Behaviour, Receiver, Seen};
use crate::{allowing, client, url};
use fakes::dns::Dns;

/// Long enough never to be what ends a test.
const AMPLE: Duration = Duration::from_secs(10);

/// A limit that a test waits for.
const SHORT: Duration = Duration::from_millis(150);

async fn closed_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    listener.local_addr().unwrap().port()
}

#[tokio::test]
async fn https_shakes_hands_and_leaves() {
    let (dns, authority) = (Dns::start().await, Authority::new());
    dns.set("hooks.example.", &["127.0.0.1"]);
    let mut receiver = Receiver::https(&authority, "hooks.example", Behaviour::Hang).await;
    let egress = client(allowing(&["127.0.0.0/8"]), dns.address, Some(&authority.pem()));
    let place = url(&format!("https://hooks.example:{}/secret-path", receiver.port));
    egress.probe(&place, AMPLE, |_| true).await.unwrap();
    assert_eq!(receiver.next().await, Seen::Connection);
    assert_eq!(receiver.next().await, Seen::Tls(Some("hooks.example".to_owned())));
    assert_eq!(receiver.next().await, Seen::Gone);
}

#[tokio::test]
async fn client_certificate_is_wanted() {
    let (dns, authority) = (Dns::start().await, Authority::new());
    dns.set("hooks.example.", &["127.0.0.1"]);
    let egress = client(allowing(&["127.0.0.0/8"]), dns.address, Some(&authority.pem()));
    for version in [&TLS12, &TLS13] {
        let (name, protocols) = ("hooks.example", &["http/1.1"]);
        let demands = authority.acceptor_of_certificates(version, name, protocols);
        let takes = authority.acceptor_of_optional_certificates(version, name, protocols);
        for (acceptor, is_reachable) in [(demands, false), (takes, true)] {
            let host = Host::https(acceptor, |_| Reply::ok()).await;
            let place = url(&format!("https://{name}:{}/", host.port));
            let probed = egress.probe(&place, AMPLE, |_| true).await;
            match probed {
                Ok(()) => assert!(is_reachable, "{version:?}"),
                Err(Unreachable::Failed(Failure::Tls(_))) => assert!(!is_reachable, "{version:?}"),
                Err(other) => panic!("{version:?}: {other:?}"),
            }
            assert_eq!(host.arrived().len(), 0);
        }
    }
}

#[tokio::test]
async fn http_connects_and_leaves() {
    let dns = Dns::start().await;
    let mut receiver = Receiver::http(Behaviour::Hang).await;
    let egress = client(allowing(&["127.0.0.0/8"]), dns.address, None);
    let place = url(&format!("http://localhost:{}/", receiver.port));
    egress.probe(&place, AMPLE, |_| true).await.unwrap();
    assert_eq!(receiver.next().await, Seen::Connection);
    assert_eq!(receiver.next().await, Seen::Gone);
}

#[tokio::test]
async fn closed_private_and_hanging_read_the_same() {
    let dns = Dns::start().await;
    dns.set("private.example.", &["10.0.0.1"]);
    // It takes connections and never answers the TLS handshake.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let egress = client(allowing(&["127.0.0.0/8"]), dns.address, None);

    let closed = url(&format!("https://127.0.0.1:{}/", closed_port().await));
    let closed = egress.probe(&closed, AMPLE, |_| true).await.unwrap_err();
    assert!(matches!(closed, Unreachable::Failed(Failure::Connect(_))));

    let hanging = url(&format!("https://127.0.0.1:{}/", silent.local_addr().unwrap().port()));
    let hanging = egress.probe(&hanging, SHORT, |_| true).await.unwrap_err();
    assert!(matches!(hanging, Unreachable::Failed(Failure::TimedOut(SHORT))));

    let private = url("https://private.example/");
    let private = egress.probe(&private, AMPLE, |_| true).await.unwrap_err();
    assert!(matches!(private, Unreachable::NotAllowed));

    assert_eq!(closed.to_string(), private.to_string());
    assert_eq!(hanging.to_string(), private.to_string());
}

#[tokio::test]
async fn plain_http_is_no_tls() {
    let dns = Dns::start().await;
    let answer = Behaviour::Say(b"HTTP/1.1 400 Bad Request\r\n\r\n".into());
    let receiver = Receiver::http(answer).await;
    let egress = client(allowing(&["127.0.0.0/8"]), dns.address, None);
    let place = url(&format!("https://127.0.0.1:{}/", receiver.port));
    let failure = egress.probe(&place, SHORT, |_| true).await.unwrap_err();
    assert!(matches!(failure, Unreachable::Failed(_)));
}

#[tokio::test]
async fn refused_answer_is_not_connected_to() {
    let dns = Dns::start().await;
    let mut receiver = Receiver::http(Behaviour::Hang).await;
    dns.set("hooks.example.", &["127.0.0.1", "10.0.0.1"]);
    let egress = client(allowing(&["127.0.0.0/8"]), dns.address, None);
    let place = url(&format!("http://hooks.example:{}/", receiver.port));
    let refused = egress.probe(&place, AMPLE, |_| true).await;
    assert!(matches!(refused, Err(Unreachable::NotAllowed)));
    assert!(receiver.untouched().await);
}

#[tokio::test]
async fn second_address_answers() {
    let dns = Dns::start().await;
    let mut receiver = Receiver::http(Behaviour::Hang).await;
    dns.set("hooks.example.", &["127.0.0.2", "::1", "127.0.0.1"]);
    let egress = client(allowing(&["127.0.0.0/8", "::1/128"]), dns.address, None);
    let place = url(&format!("http://hooks.example:{}/", receiver.port));
    egress.probe(&place, AMPLE, |_| true).await.unwrap();
    assert_eq!(receiver.next().await, Seen::Connection);
}

#[tokio::test]
async fn first_address_hangs() {
    let dns = Dns::start().await;
    let mut receiver = Receiver::http(Behaviour::Hang).await;
    let hanging = TcpSocket::new_v4().unwrap();
    let address = SocketAddr::from(([127, 0, 0, 2], receiver.port));
    hanging.bind(address).unwrap();
    // A queue of connections that nobody takes: once it is full, more are left without an answer.
    let _queue = hanging.listen(1).unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) = timeout(SHORT, TcpStream::connect(address)).await {
        queued.push(stream.unwrap());
    }
    dns.set("hooks.example.", &["127.0.0.2", "127.0.0.1"]);
    let egress = client(allowing(&["127.0.0.0/8"]), dns.address, None);
    let place = url(&format!("http://hooks.example:{}/", receiver.port));
    egress.probe(&place, AMPLE, |_| true).await.unwrap();
    assert_eq!(receiver.next().await, Seen::Connection);
}

#[tokio::test]
async fn at_most_four_addresses_are_tried() {
    let dns = Dns::start().await;
    let mut receiver = Receiver::http(Behaviour::Hang).await;
    let egress = client(allowing(&["127.0.0.0/8"]), dns.address, None);
    let place = url(&format!("http://hooks.example:{}/", receiver.port));

    let closed = ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"];
    dns.set("hooks.example.", &[&closed[..], &["127.0.0.1"]].concat());
    let failure = egress.probe(&place, AMPLE, |_| true).await;
    assert!(matches!(failure, Err(Unreachable::Failed(Failure::Connect(_)))));

    dns.set("hooks.example.", &[&closed[..3], &["127.0.0.1"]].concat());
    egress.probe(&place, AMPLE, |_| true).await.unwrap();
    assert_eq!(receiver.next().await, Seen::Connection);
}

#[tokio::test]
async fn other_schemes() {
    let dns = Dns::start().await;
    let egress = client(allowing(&["127.0.0.0/8"]), dns.address, None);
    let failure = egress.probe(&url("ftp://hooks.example:8080/"), AMPLE, |_| true).await;
    assert!(matches!(failure, Err(Unreachable::Failed(Failure::Scheme))));
    assert_eq!(dns.seen(), []);
}
