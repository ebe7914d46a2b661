//! Which deliveries share a connection, and for how long.

use std::time::Duration;

use egress::client::deliveries::ConnectionLimits;
use egress::error::AttemptFailure;
use futures_util::future::join_all;
use tokio::time::{advance, pause, resume};

use crate::deliveries::{LIMITS, Net, answered, failed, until};
use crate::host::{Host, Reply};

const SHORT: Duration = Duration::from_millis(300);

const PROTOCOLS: [&str; 3] = ["http", "http/1.1", "h2"];

/// Lets time go by. The clock stands still only meanwhile: paused, it would run ahead of the network.
async fn after(time: Duration) {
    pause();
    advance(time).await;
    resume();
}

/// The connection of each request.
fn connections(host: &Host) -> Vec<usize> {
    host.arrived().iter().map(|arrived| arrived.connection).collect()
}

#[tokio::test]
async fn one_after_the_other() {
    let net = Net::new().await;
    for protocol in PROTOCOLS {
        let (host, place) = net.host(protocol, Reply::ok()).await;
        for _ in 0..5 {
            answered(net.post(&place).await);
        }
        assert_eq!(connections(&host), [1; 5], "{protocol}");
    }
}

#[tokio::test]
async fn at_the_same_time_over_http2() {
    let net = Net::new().await;
    let (host, place) = net.host("h2", Reply::ok()).await;
    answered(net.post(&place).await);
    for attempted in join_all((0..50).map(|_| net.post(&place))).await {
        answered(attempted);
    }
    assert_eq!(connections(&host), [1; 51]);
}

#[tokio::test]
async fn other_origins_have_their_own() {
    let net = Net::new().await;
    net.dns.set("other.example.", &["127.0.0.1"]);
    let (host, place) = net.host("http", Reply::ok()).await;
    answered(net.post(&place).await);
    answered(net.post(&place.replace("hooks", "other")).await);
    assert_eq!(connections(&host), [1, 2]);
}

#[tokio::test]
async fn idle_for_a_minute() {
    let net = Net::new().await;
    for protocol in PROTOCOLS {
        let (host, place) = net.host(protocol, Reply::ok()).await;
        answered(net.post(&place).await);
        after(Duration::from_secs(58)).await;
        answered(net.post(&place).await);
        after(Duration::from_secs(61)).await;
        answered(net.post(&place).await);
        assert_eq!(connections(&host), [1, 1, 2], "{protocol}");
        after(Duration::from_secs(61)).await;
        after(Duration::from_secs(61)).await;
        until(|| host.open() == 0).await;
    }
}

#[tokio::test]
async fn never_older_than_five_minutes() {
    let net = Net::new().await;
    for protocol in PROTOCOLS {
        let (host, place) = net.host(protocol, Reply::ok()).await;
        // A request every 50 seconds: the one after 250 is the last.
        for _ in 0..7 {
            answered(net.post(&place).await);
            after(Duration::from_secs(50)).await;
        }
        assert_eq!(connections(&host), [1, 1, 1, 1, 1, 1, 2], "{protocol}");
        until(|| host.open() == 1).await;
    }
}

#[tokio::test]
async fn dead_connection_is_replaced_at_once() {
    let net = Net::new().await;
    for protocol in PROTOCOLS {
        let (host, place) = net.host(protocol, Reply::ok()).await;
        answered(net.post(&place).await);
        host.now(|arrived| if arrived.connection == 1 { Reply::Reset } else { Reply::ok() });
        answered(net.post(&place).await);
        assert_eq!(connections(&host), [1, 1, 2], "{protocol}");
    }
}

#[tokio::test]
async fn only_one_more_try() {
    let net = Net::new().await;
    for protocol in PROTOCOLS {
        let (host, place) = net.host(protocol, Reply::ok()).await;
        answered(net.post(&place).await);
        host.now(|_| Reply::Reset);
        let failure = failed(net.post(&place).await);
        assert!(matches!(failure, AttemptFailure::Connect(_)), "{protocol}: {failure:?}");
        assert_eq!(connections(&host), [1, 1, 2], "{protocol}");
    }
}

#[tokio::test]
async fn answer_that_had_begun_is_not_asked_for_again() {
    let net = Net::new().await;
    for protocol in PROTOCOLS {
        let (host, place) = net.host(protocol, Reply::ok()).await;
        answered(net.post(&place).await);
        host.now(|_| Reply::Whole(200, vec![("x", "y".repeat(17 * 1024))], Vec::new()));
        let failure = failed(net.post(&place).await);
        assert!(matches!(failure, AttemptFailure::Connect(_)), "{protocol}: {failure:?}");
        assert_eq!(connections(&host), [1, 1], "{protocol}");
    }
}

#[tokio::test]
async fn closed_while_idle() {
    let net = Net::new().await;
    for protocol in PROTOCOLS {
        let (host, place) = net.host(protocol, Reply::ok()).await;
        for round in 1..=10 {
            answered(net.post(&place).await);
            // At once, so that now and then the request meets the close or GOAWAY on its way.
            host.say_goodbye();
            assert!(connections(&host).len() >= round, "{protocol}");
        }
        assert!(host.connections() > 1, "{protocol}");
        until(|| host.open() == 0).await;
    }
}

#[tokio::test]
async fn goodbye_with_a_request_in_flight() {
    let net = Net::new().await;
    let (host, place) = net.host("h2", Reply::ok()).await;
    answered(net.post(&place).await);
    host.now(|_| Reply::Drip(Duration::from_millis(10), 100));
    let slow = net.post(&place);
    let other = async {
        until(|| host.arrived().len() == 2).await;
        host.now(|_| Reply::ok());
        host.say_goodbye();
        answered(net.post(&place).await);
    };
    let (slow, ()) = tokio::join!(slow, other);
    assert_eq!(answered(slow).body.len(), 100);
    assert_eq!(connections(&host)[..2], [1, 1]);
}

#[tokio::test]
async fn timed_out_stream_takes_its_connection_along() {
    let net = Net::new().await;
    for protocol in PROTOCOLS {
        let (host, place) = net.host(protocol, Reply::ok()).await;
        answered(net.post(&place).await);
        host.now(|_| Reply::Hang);
        failed(net.post_within(&place, SHORT).await);
        host.now(|_| Reply::ok());
        answered(net.post(&place).await);
        assert_eq!(connections(&host), [1, 1, 2], "{protocol}");
        until(|| host.open() == 1).await;
    }
}

#[tokio::test]
async fn timed_out_stream_ends_no_other() {
    let net = Net::new().await;
    let (host, place) = net.host("h2", Reply::ok()).await;
    answered(net.post(&place).await);
    host.now(|_| Reply::Drip(Duration::from_millis(10), 100));
    let long = net.post(&place);
    let short = async {
        until(|| host.arrived().len() == 2).await;
        host.now(|_| Reply::Hang);
        failed(net.post_within(&place, SHORT).await);
    };
    let (long, ()) = tokio::join!(long, short);
    assert_eq!(answered(long).body.len(), 100);
    assert_eq!(connections(&host), [1; 3]);
    until(|| host.open() == 0).await;
}

#[tokio::test]
async fn name_that_turns_inward_while_a_connection_is_kept() {
    let net = Net::new().await;
    for protocol in PROTOCOLS {
        net.dns.set("hooks.example.", &["127.0.0.1"]);
        let (host, place) = net.host(protocol, Reply::ok()).await;
        answered(net.post(&place).await);
        let asked = net.dns.seen().len();
        net.dns.set("hooks.example.", &["10.0.0.1"]);
        answered(net.post(&place).await);
        assert_eq!(net.dns.seen().len(), asked, "a kept connection leads where it led");
        after(Duration::from_secs(61)).await;
        let failure = failed(net.post(&place).await);
        assert!(matches!(failure, AttemptFailure::Refused(_)), "{protocol}: {failure:?}");
        assert_eq!(connections(&host), [1, 1], "{protocol}");
    }
}

#[tokio::test]
async fn new_connection_for_a_dead_one_is_checked_too() {
    let net = Net::new().await;
    let (host, place) = net.host("http", Reply::ok()).await;
    answered(net.post(&place).await);
    net.dns.set("hooks.example.", &["10.0.0.1"]);
    host.now(|_| Reply::Reset);
    let failure = failed(net.post(&place).await);
    assert!(matches!(failure, AttemptFailure::Refused(_)), "{failure:?}");
    assert_eq!(host.connections(), 1);
}

#[tokio::test]
async fn no_place_to_keep_a_connection() {
    let net = Net::with(ConnectionLimits { kept: 1, ..LIMITS }).await;
    for protocol in PROTOCOLS {
        let (first, first_place) = net.host(protocol, Reply::ok()).await;
        let (second, second_place) = net.host(protocol, Reply::ok()).await;
        for _ in 0..3 {
            answered(net.post(&first_place).await);
            answered(net.post(&second_place).await);
        }
        assert_eq!(connections(&first), [1; 3], "{protocol}");
        assert_eq!(connections(&second), [1, 2, 3], "{protocol}");
        until(|| second.open() == 0).await;
        // The next pair of hosts needs the place.
        after(Duration::from_secs(61)).await;
        after(Duration::from_secs(61)).await;
        until(|| first.open() == 0).await;
    }
}

#[tokio::test]
async fn handshakes_in_flight_are_bounded() {
    let net = Net::with(ConnectionLimits { handshakes: 2, ..LIMITS }).await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_place = format!("https://hooks.example:{}/", silent.local_addr().unwrap().port());
    let (host, place) = net.host("h2", Reply::ok()).await;
    let hanging = join_all((0..2).map(|_| net.post_within(&silent_place, 4 * SHORT)));
    let waiting = async {
        let _first = silent.accept().await.unwrap();
        let _second = silent.accept().await.unwrap();
        let failure = failed(net.post_within(&place, SHORT).await);
        assert!(matches!(failure, AttemptFailure::Timeout(_)), "{failure:?}");
        assert_eq!(host.connections(), 0);
        answered(net.post(&place).await);
    };
    tokio::join!(hanging, waiting);
}
