//! Which calls are retried.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use h2::Reason;
use proto::athook::CreateSecretResponse;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tonic::{Code, Status};

use super::super::connection::Connection;
use super::relay::Relay;
use super::scripted::{Scripted, Step};
use super::server::Server;
use super::{Kind, PATIENCE, Upstream, call, in_rotation, loopback, upstream};

#[tokio::test]
async fn refused_stream_is_sent_again() {
    for kind in [Kind::Procedure, Kind::Query] {
        let refused = Step::Reset(Reason::REFUSED_STREAM);
        let ip = loopback();
        let mut server = Scripted::start(ip, vec![refused, refused, Step::Answer]).await;
        let (upstream, _dns) = upstream(&[ip], server.port).await;
        call(&upstream, kind, PATIENCE).await.expect("the third try is answered");
        assert_eq!(server.taken(), 3);
    }
}

#[tokio::test]
async fn tries_end_with_a_peer_that_refuses_all() {
    let ip = loopback();
    let mut server = Scripted::start(ip, vec![Step::Reset(Reason::REFUSED_STREAM); 100]).await;
    let (upstream, _dns) = upstream(&[ip], server.port).await;
    let failure = call(&upstream, Kind::Procedure, PATIENCE).await.unwrap_err();
    assert_bare(&failure, Code::Unavailable);
    assert_eq!(server.taken(), super::super::MAX_TRIES);
}

#[tokio::test]
async fn broken_answer_is_sent_again_for_a_query_only() {
    for broken in [Step::HalfAnswer, Step::Reset(Reason::INTERNAL_ERROR), Step::Reset(Reason::CANCEL)] {
        let ip = loopback();
        let mut server = Scripted::start(ip, vec![broken, broken, broken]).await;
        let (upstream, _dns) = upstream(&[ip], server.port).await;
        let failure = call(&upstream, Kind::Procedure, PATIENCE).await.unwrap_err();
        assert_bare(&failure, Code::Unavailable);
        assert_eq!(server.taken(), 1, "{broken:?}: a procedure is sent once");
        let failure = call(&upstream, Kind::Query, PATIENCE).await.unwrap_err();
        assert_bare(&failure, Code::Unavailable);
        assert_eq!(server.taken(), 2, "{broken:?}: a query is sent twice");
        in_rotation(&upstream, &[ip]).await;
    }
}

#[tokio::test]
async fn unavailable_is_sent_again_for_a_query_only() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let ip = loopback();
    let server = Server::with(ip, 0, move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        Err(Status::unavailable("busy"))
    })
    .await;
    let (upstream, _dns) = upstream(&[ip], server.port()).await;
    let failure = call(&upstream, Kind::Procedure, PATIENCE).await.unwrap_err();
    assert_eq!((failure.code(), failure.message()), (Code::Unavailable, "busy"));
    assert_eq!(count.swap(0, Ordering::Relaxed), 1);
    let failure = call(&upstream, Kind::Query, PATIENCE).await.unwrap_err();
    assert_eq!((failure.code(), failure.message()), (Code::Unavailable, "busy"));
    assert_eq!(count.load(Ordering::Relaxed), 2);
    server.leave();
}

#[tokio::test]
async fn other_codes_are_never_sent_again() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let ip = loopback();
    let server = Server::with(ip, 0, move |_| {
        let code = Code::from_i32(i32::try_from(counted.fetch_add(1, Ordering::Relaxed)).unwrap() + 1);
        Err(Status::new(code, "a message"))
    })
    .await;
    let (upstream, _dns) = upstream(&[ip], server.port()).await;
    for number in 1..=16 {
        // A query is retried after UNAVAILABLE, which the test above covers.
        let code = Code::from_i32(number);
        let kind = if code == Code::Unavailable { Kind::Procedure } else { Kind::Query };
        let failure = call(&upstream, kind, PATIENCE).await.unwrap_err();
        assert_eq!((failure.code(), failure.message()), (code, "a message"));
    }
    assert_eq!(count.load(Ordering::Relaxed), 16);
    server.leave();
}

#[tokio::test]
async fn query_is_sent_again_to_another() {
    let (refusing, good) = (loopback(), loopback());
    let mut good_server = Scripted::start(good, vec![Step::Hold]).await;
    let port = good_server.port;
    let refusing_server = Server::with(refusing, port, |_| Err(Status::unavailable("busy"))).await;
    let (upstream, dns) = upstream(&[good], port).await;
    let held = begin_call(&upstream);
    good_server.step().await;
    dns.set(&[refusing, good]);
    in_rotation(&upstream, &[refusing, good]).await;
    // The good one is the busier of the two, so that each query tries the other first.
    for _ in 0..10 {
        call(&upstream, Kind::Query, PATIENCE).await.expect("the good one answers");
    }
    assert_eq!(good_server.taken(), 10);
    held.abort();
    refusing_server.leave();
}

#[tokio::test]
async fn goaway_with_a_call_in_flight_loses_no_other() {
    let ip = loopback();
    let mut server = Scripted::start(ip, vec![Step::Hold]).await;
    let (upstream, _dns) = upstream(&[ip], server.port).await;
    let held = begin_call(&upstream);
    server.step().await;
    server.send_goaway();
    for _ in 0..10 {
        call(&upstream, Kind::Procedure, PATIENCE).await.expect("a new connection takes it");
    }
    assert!(!held.is_finished(), "a GOAWAY does not end what is in flight");
}

#[tokio::test]
async fn goaway_is_noticed_without_another_call() {
    let ip = loopback();
    let mut server = Scripted::start(ip, vec![Step::Hold]).await;
    let (upstream, _dns) = upstream(&[ip], server.port).await;
    let held = begin_call(&upstream);
    server.step().await;
    let old = upstream.rotation.borrow()[0].clone();
    server.send_goaway();
    let mut rotation = upstream.rotation.clone();
    let replaced = |connections: &Vec<Arc<Connection>>| connections.iter().any(|one| !Arc::ptr_eq(one, &old));
    timeout(PATIENCE, rotation.wait_for(replaced)).await.expect("replaced in time").unwrap();
    assert!(!held.is_finished(), "a GOAWAY does not end what is in flight");
}

#[tokio::test]
async fn goaway_while_a_call_waits_for_a_stream_loses_nothing() {
    let ip = loopback();
    let mut server = Scripted::with_streams(ip, vec![Step::Hold], 1).await;
    let (upstream, _dns) = upstream(&[ip], server.port).await;
    let held = begin_call(&upstream);
    server.step().await;
    let waiting = begin_call(&upstream);
    let connection = upstream.rotation.borrow()[0].clone();
    while connection.in_flight() < 2 {
        tokio::task::yield_now().await;
    }
    server.send_goaway();
    waiting.await.unwrap().expect("a new connection takes it");
    assert!(!held.is_finished(), "a GOAWAY does not end what is in flight");
}

#[tokio::test]
async fn stream_after_the_last_of_a_goaway_is_sent_again() {
    let (near, far) = (loopback(), loopback());
    let mut server = Scripted::start(far, vec![Step::Hold, Step::Answer]).await;
    let relay = Relay::start(near, far, server.port).await;
    let (upstream, _dns) = upstream(&[near], relay.port).await;
    let calling = begin_call(&upstream);
    server.step().await;
    // GOAWAY with NO_ERROR: stream 1, a health check, is the last that is processed.
    relay.inject(vec![0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
    calling.await.unwrap().expect("a new connection takes it");
    assert_eq!(server.taken(), 1, "the second time");
}

fn begin_call(upstream: &Upstream) -> JoinHandle<Result<CreateSecretResponse, Status>> {
    let upstream = upstream.clone();
    tokio::spawn(async move { call(&upstream, Kind::Procedure, PATIENCE).await })
}

/// Checks that a failure was made by the gateway and shows nothing of the peer or the transport.
pub(super) fn assert_bare(failure: &Status, code: Code) {
    assert_eq!(failure.code(), code);
    assert!(failure.details().is_empty() && failure.metadata().is_empty(), "{failure:?}");
    for word in ["h2", "hyper", "stream", "127."] {
        assert!(!failure.message().contains(word), "{failure}");
    }
}
