//! A core-service that is cut off: packets are dropped, and no connection is refused or closed.

use std::net::IpAddr;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::net::TcpListener;
use tokio::task::yield_now;
use tokio::time::Instant;
use tonic::Code;

use super::super::connection::STALL;
use super::super::{CONNECTION_WAIT, Upstream};
use super::dns::Dns;
use super::relay::Relay;
use super::retries::assert_bare;
use super::server::Server;
use super::{Kind, PATIENCE, call, in_rotation, loopback, upstream};

/// The longest time until a core-service that is cut off leaves the rotation, and until it is back once
/// healed.
const PROMISE: Duration = Duration::from_secs(10);

/// Two core-services in the rotation, the one at `near` behind a relay that can be cut.
struct TwoServers {
    near: IpAddr,
    other: IpAddr,
    relay: Relay,
    upstream: Upstream,
    servers: [Server; 2],
    _dns: Dns,
}

impl TwoServers {
    async fn start() -> Self {
        let (near, far, other) = (loopback(), loopback(), loopback());
        let far_server = Server::start(far, 0).await;
        let relay = Relay::start(near, far, far_server.port()).await;
        let other_server = Server::start(other, relay.port).await;
        let (upstream, dns) = upstream(&[near, other], relay.port).await;
        in_rotation(&upstream, &[near, other]).await;
        Self { near, other, relay, upstream, servers: [far_server, other_server], _dns: dns }
    }
}

#[tokio::test]
async fn cut_off_while_idle() {
    let (near, far) = (loopback(), loopback());
    let far_server = Server::start(far, 0).await;
    let relay = Relay::start(near, far, far_server.port()).await;
    let (upstream, _dns) = upstream(&[near], relay.port).await;
    in_rotation(&upstream, &[near]).await;
    call(&upstream, Kind::Procedure, PATIENCE).await.unwrap();
    relay.cut();
    let cut = Instant::now();
    in_rotation(&upstream, &[]).await;
    assert!(cut.elapsed() < PROMISE, "out after {:?}", cut.elapsed());
    relay.heal();
    let healed = Instant::now();
    in_rotation(&upstream, &[near]).await;
    assert!(healed.elapsed() < PROMISE, "back after {:?}", healed.elapsed());
    call(&upstream, Kind::Procedure, PATIENCE).await.unwrap();
    far_server.leave();
}

#[tokio::test]
async fn cut_off_costs_a_deadline_each_at_most() {
    let TwoServers { near, other, relay, upstream, servers, _dns } = TwoServers::start().await;
    relay.cut();
    let cut = Instant::now();
    let deadline = Duration::from_millis(500);
    let mut late = 0;
    while upstream.rotation.borrow().len() == 2 {
        let began = Instant::now();
        match call(&upstream, Kind::Procedure, deadline).await {
            Ok(answer) => assert_eq!(answer.token, other.to_string()),
            Err(failure) => {
                assert_bare(&failure, Code::DeadlineExceeded);
                late += 1;
            }
        }
        assert!(began.elapsed() < deadline * 3, "{:?}", began.elapsed());
    }
    // A health check follows the first call that misses its deadline, before pings would notice.
    assert!(late >= 1 && cut.elapsed() < PROMISE / 2, "{late} late, out after {:?}", cut.elapsed());
    for _ in 0..10 {
        call(&upstream, Kind::Procedure, PATIENCE).await.expect("the other one takes all");
    }
    relay.heal();
    let healed = Instant::now();
    in_rotation(&upstream, &[near, other]).await;
    assert!(healed.elapsed() < PROMISE, "back after {:?}", healed.elapsed());
    servers.into_iter().for_each(Server::leave);
}

#[tokio::test]
async fn burst_passes_by_a_connection_without_answers() {
    let TwoServers { near: _, other, relay, upstream, servers, _dns } = TwoServers::start().await;
    relay.cut();
    let cut = Instant::now();
    // The two take turns, so that one of these calls waits.
    let waiting = [0; 2].map(|_| {
        let upstream = upstream.clone();
        tokio::spawn(async move { call(&upstream, Kind::Procedure, PATIENCE).await })
    });
    let answered = || waiting.iter().filter(|call| call.is_finished()).count();
    while answered() == 0 {
        yield_now().await;
    }
    while cut.elapsed() <= STALL * 2 {
        call(&upstream, Kind::Procedure, PATIENCE).await.expect("the less busy one answers");
    }
    for answer in join_all((0..32).map(|_| call(&upstream, Kind::Procedure, PATIENCE))).await {
        assert_eq!(answer.expect("the other one takes all").token, other.to_string());
    }
    assert_eq!(answered(), 1);
    relay.heal();
    servers.into_iter().for_each(Server::leave);
}

#[tokio::test]
async fn peer_that_accepts_and_says_nothing_is_not_called() {
    let ip = loopback();
    let silent = TcpListener::bind((ip, 0)).await.unwrap();
    let (upstream, _dns) = upstream(&[ip], silent.local_addr().unwrap().port()).await;
    let (_tcp, _) = silent.accept().await.unwrap();
    let began = Instant::now();
    let failure = call(&upstream, Kind::Procedure, PATIENCE).await.unwrap_err();
    assert_bare(&failure, Code::Unavailable);
    assert!(began.elapsed() < CONNECTION_WAIT * 3, "no call was made: {:?}", began.elapsed());
    // The connection is closed, and another one is tried.
    silent.accept().await.unwrap();
}
