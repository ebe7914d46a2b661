//! The core-service stops, is killed, and restarts.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::Code;

use super::retries::assert_bare;
use super::server::Server;
use super::{Kind, PATIENCE, call, in_rotation, loopback, upstream};

#[tokio::test]
async fn killed_and_restarted_on_the_same_port() {
    let ip = loopback();
    let server = Server::start(ip, 0).await;
    let port = server.port();
    let (upstream, _dns) = upstream(&[ip], port).await;
    call(&upstream, Kind::Procedure, PATIENCE).await.unwrap();
    server.kill().await;
    in_rotation(&upstream, &[]).await;
    let failure = call(&upstream, Kind::Procedure, PATIENCE).await.unwrap_err();
    assert_bare(&failure, Code::Unavailable);
    let server = Server::start(ip, port).await;
    in_rotation(&upstream, &[ip]).await;
    call(&upstream, Kind::Procedure, PATIENCE).await.unwrap();
    server.leave();
}

#[tokio::test]
async fn gateway_started_first() {
    let ip = loopback();
    let server = Server::start(ip, 0).await;
    let port = server.port();
    server.kill().await;
    let (upstream, _dns) = upstream(&[ip], port).await;
    let failure = call(&upstream, Kind::Query, PATIENCE).await.unwrap_err();
    assert_bare(&failure, Code::Unavailable);
    let server = Server::start(ip, port).await;
    in_rotation(&upstream, &[ip]).await;
    call(&upstream, Kind::Query, PATIENCE).await.unwrap();
    server.leave();
}

#[tokio::test]
async fn replaced_between_two_look_ups() {
    let (old, new) = (loopback(), loopback());
    let old_server = Server::start(old, 0).await;
    let new_server = Server::start(new, old_server.port()).await;
    let (upstream, dns) = upstream(&[old], old_server.port()).await;
    in_rotation(&upstream, &[old]).await;
    dns.set(&[new]);
    old_server.shut_down().await;
    let answer = call(&upstream, Kind::Procedure, PATIENCE).await.expect("the new one is looked for at once");
    assert_eq!(answer.token, new.to_string());
    new_server.leave();
}

#[tokio::test]
async fn killed_with_calls_in_flight() {
    let (first, second) = (loopback(), loopback());
    let (sender, mut receiver) = unbounded_channel();
    let hanging = Server::handling(first, 0, move |_| {
        sender.send(()).unwrap();
        Box::pin(std::future::pending())
    })
    .await;
    let port = hanging.port();
    let (upstream, dns) = upstream(&[first], port).await;
    let mut calls = Vec::new();
    for kind in [Kind::Procedure, Kind::Query] {
        let upstream = upstream.clone();
        calls.push(tokio::spawn(async move { call(&upstream, kind, PATIENCE).await }));
        receiver.recv().await.unwrap();
    }
    let other = Server::start(second, port).await;
    dns.set(&[first, second]);
    in_rotation(&upstream, &[first, second]).await;
    hanging.kill().await;
    let [procedure, query] = <[_; 2]>::try_from(calls).unwrap();
    // It may have been processed, so that it is not retried.
    assert_bare(&procedure.await.unwrap().unwrap_err(), Code::Unavailable);
    assert_eq!(query.await.unwrap().unwrap().token, second.to_string());
    in_rotation(&upstream, &[second]).await;
    for _ in 0..20 {
        let answer = call(&upstream, Kind::Procedure, PATIENCE).await.expect("the other one takes all");
        assert_eq!(answer.token, second.to_string());
    }
    other.leave();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn graceful_restarts_lose_nothing() {
    graceful_restarts(&[loopback(), loopback()], 6).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn graceful_restarts_of_the_only_one_lose_nothing() {
    graceful_restarts(&[loopback()], 3).await;
}

/// Makes calls without a pause while one server after the other restarts.
async fn graceful_restarts(ips: &[IpAddr], rounds: usize) {
    const CALLERS: usize = 8;
    let mut servers = vec![Server::start(ips[0], 0).await];
    let port = servers[0].port();
    for ip in &ips[1..] {
        servers.push(Server::start(*ip, port).await);
    }
    let (upstream, _dns) = upstream(ips, port).await;
    let (counter, mut answered) = watch::channel(0);
    let counter = Arc::new(counter);
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (upstream, counter) = (upstream.clone(), Arc::clone(&counter));
        callers.spawn(async move {
            while counter.receiver_count() > 0 {
                call(&upstream, Kind::Procedure, PATIENCE).await.expect("no call is lost");
                counter.send_modify(|count| *count += 1);
            }
        });
    }
    for round in 0..rounds {
        in_rotation(&upstream, ips).await;
        let before = *answered.borrow();
        answered.wait_for(|count| *count > before + 2 * CALLERS).await.unwrap();
        servers.remove(0).shut_down().await;
        servers.push(Server::start(ips[round % ips.len()], port).await);
    }
    drop(answered);
    callers.join_all().await;
    servers.into_iter().for_each(Server::leave);
}
