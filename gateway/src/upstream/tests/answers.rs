//! What a call sends, what it returns, and when.

use std::time::Duration;

use proto::error;
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request};
use tonic_health::ServingStatus;

use super::super::{CONNECTION_WAIT, Upstream, UpstreamSettings};
use super::dns::Dns;
use super::retries::assert_bare;
use super::scripted::{Scripted, Step};
use super::server::Server;
use super::{Kind, PATIENCE, call, in_rotation, loopback, metrics, upstream};

#[tokio::test]
async fn token_request_id_and_deadline_arrive() {
    let (sender, mut receiver) = unbounded_channel();
    let ip = loopback();
    let server = Server::with(ip, 0, move |request: Request<_>| {
        sender.send(request.metadata().clone()).unwrap();
        Ok(())
    })
    .await;
    let upstream = Upstream::start(UpstreamSettings {
        url: format!("http://{ip}:{}", server.port()).parse().unwrap(),
        token: Some("a-token-of-24-characters".parse().unwrap()),
        tls: None,
        resolver: Dns::start(&[]).await.resolver(),
        metrics: metrics(),
    })
    .unwrap();
    call(&upstream, Kind::Procedure, Duration::from_secs(8)).await.unwrap();
    let metadata = receiver.recv().await.unwrap();
    assert_eq!(metadata.get("authorization").unwrap(), "Bearer a-token-of-24-characters");
    assert_eq!(metadata.get("x-request-id").unwrap(), "request-1");
    let left = metadata.get("grpc-timeout").unwrap().to_str().unwrap();
    let microseconds: u64 = left.strip_suffix('u').expect("in microseconds").parse().unwrap();
    assert!((1_000_000..=8_000_000).contains(&microseconds), "{left}");
    server.leave();
}

#[tokio::test]
async fn status_of_the_core_service_comes_back_whole() {
    let ip = loopback();
    let server = Server::with(ip, 0, |_| {
        Err(error::status(Code::AlreadyExists, "A_REASON", "there is one", Some(Duration::from_secs(3))))
    })
    .await;
    let (upstream, _dns) = upstream(&[ip], server.port()).await;
    let failure = call(&upstream, Kind::Procedure, PATIENCE).await.unwrap_err();
    assert_eq!((failure.code(), failure.message()), (Code::AlreadyExists, "there is one"));
    let reason = error::reason(&failure).expect("the reason survives");
    assert_eq!((reason.domain.as_str(), reason.reason.as_str()), (error::DOMAIN, "A_REASON"));
    assert_eq!(error::retry_after(&failure), Some(Duration::from_secs(3)));
    server.leave();
}

#[tokio::test]
async fn hanging_rpc_ends_at_the_deadline() {
    let ip = loopback();
    let server = Server::handling(ip, 0, |_| Box::pin(std::future::pending())).await;
    let (upstream, _dns) = upstream(&[ip], server.port()).await;
    in_rotation(&upstream, &[ip]).await;
    let limit = Duration::from_millis(300);
    for kind in [Kind::Procedure, Kind::Query] {
        let started = Instant::now();
        let failure = call(&upstream, kind, limit).await.unwrap_err();
        let took = started.elapsed();
        // The core-service knows the deadline too, and may be the one that ends the call.
        assert!(matches!(failure.code(), Code::DeadlineExceeded | Code::Cancelled), "{failure}");
        assert!(limit <= took + Duration::from_millis(10) && took < limit * 3, "{took:?}");
    }
    server.leave();
}

#[tokio::test]
async fn deadline_that_has_passed_is_not_sent() {
    let ip = loopback();
    let mut server = Scripted::start(ip, Vec::new()).await;
    let (upstream, _dns) = upstream(&[ip], server.port).await;
    in_rotation(&upstream, &[ip]).await;
    let failure = call(&upstream, Kind::Query, Duration::ZERO).await.unwrap_err();
    assert_bare(&failure, Code::DeadlineExceeded);
    call(&upstream, Kind::Query, PATIENCE).await.unwrap();
    assert_eq!(server.taken(), 1, "only the second call");
}

#[tokio::test]
async fn caller_that_goes_away_ends_the_call() {
    let (sender, mut receiver) = unbounded_channel();
    let ended = CancellationToken::new();
    let ip = loopback();
    let server = Server::handling(ip, 0, {
        let ended = ended.clone();
        move |_| {
            sender.send(()).unwrap();
            let working = ended.clone().drop_guard();
            Box::pin(async move {
                let _working = working;
                std::future::pending().await
            })
        }
    })
    .await;
    let (upstream, _dns) = upstream(&[ip], server.port()).await;
    let calling = tokio::spawn(async move { call(&upstream, Kind::Procedure, PATIENCE).await });
    receiver.recv().await.unwrap();
    assert!(!ended.is_cancelled());
    calling.abort();
    timeout(PATIENCE, ended.cancelled()).await.expect("the core-service stops working on it");
    server.leave();
}

#[tokio::test]
async fn answer_at_the_size_limit() {
    let limit = proto::MAX_ANSWER_BYTES;
    let ip = loopback();
    let script = vec![Step::Bytes(limit), Step::Bytes(limit + 1)];
    let mut server = Scripted::start(ip, script).await;
    let (upstream, _dns) = upstream(&[ip], server.port).await;
    let path = super::PATH;
    let call = || super::super::Call {
        deadline: Instant::now() + PATIENCE,
        idempotent: false,
        request_id: "request-1".into(),
        trace: process::traces::TraceContext::default(),
    };
    let answer = upstream.call(&path, bytes::Bytes::new(), call()).await.expect("just inside");
    assert_eq!(answer.len(), limit);
    let failure = upstream.call(&path, bytes::Bytes::new(), call()).await.unwrap_err();
    assert_bare(&failure, Code::Unavailable);
    assert_eq!(server.taken(), 2);
}

#[tokio::test]
async fn ok_without_a_message_is_no_answer() {
    let ip = loopback();
    let server = Scripted::start(ip, vec![Step::NoMessage]).await;
    let (upstream, _dns) = upstream(&[ip], server.port).await;
    let failure = call(&upstream, Kind::Procedure, PATIENCE).await.unwrap_err();
    assert_eq!(failure.code(), Code::Internal);
}

#[tokio::test]
async fn nobody_there() {
    let ip = loopback();
    let (upstream, _dns) = upstream(&[ip], 9).await;
    let started = Instant::now();
    let failure = call(&upstream, Kind::Query, PATIENCE).await.unwrap_err();
    assert_bare(&failure, Code::Unavailable);
    assert!(started.elapsed() >= CONNECTION_WAIT, "it waits a little");
    let short = CONNECTION_WAIT / 4;
    let started = Instant::now();
    let failure = call(&upstream, Kind::Query, short).await.unwrap_err();
    assert_bare(&failure, Code::Unavailable);
    assert!(started.elapsed() < CONNECTION_WAIT, "but not beyond the deadline");
    assert!(!upstream.healthy(Instant::now() + short).await);
}

#[tokio::test]
async fn healthy_while_one_is_serving() {
    let (first, second) = (loopback(), loopback());
    let first_server = Server::start(first, 0).await;
    let second_server = Server::start(second, first_server.port()).await;
    let (upstream, _dns) = upstream(&[first, second], first_server.port()).await;
    in_rotation(&upstream, &[first, second]).await;
    let healthy = async || upstream.healthy(Instant::now() + PATIENCE).await;
    assert!(healthy().await);
    first_server.set_health(ServingStatus::NotServing).await;
    assert!(healthy().await);
    second_server.set_health(ServingStatus::NotServing).await;
    assert!(!healthy().await);
    // What is on its way out still serves.
    call(&upstream, Kind::Procedure, PATIENCE).await.unwrap();
    first_server.set_health(ServingStatus::Serving).await;
    assert!(healthy().await);
    first_server.leave();
    second_server.leave();
}

#[tokio::test]
async fn last_clone_ends_everything() {
    let ip = loopback();
    let server = Server::start(ip, 0).await;
    let (upstream, _dns) = upstream(&[ip], server.port()).await;
    in_rotation(&upstream, &[ip]).await;
    let clone = upstream.clone();
    drop(upstream);
    call(&clone, Kind::Procedure, PATIENCE).await.expect("a clone is enough");
    let mut rotation = clone.rotation.clone();
    drop(clone);
    let ended = async { while rotation.changed().await.is_ok() {} };
    timeout(PATIENCE, ended).await.expect("the background tasks end");
    server.leave();
}
