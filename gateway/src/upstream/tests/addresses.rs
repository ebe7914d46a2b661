//! Which addresses are called, and how calls spread over them.

use std::collections::HashMap;
use std::sync::Arc;

use hickory_resolver::proto::op::ResponseCode;
use tokio::sync::{Notify, mpsc::unbounded_channel};

use super::super::{Upstream, UpstreamSettings};
use super::dns::Dns;
use super::server::{Server, answer_from};
use super::{Kind, PATIENCE, call, in_rotation, loopback, metrics, upstream};

#[tokio::test]
async fn calls_spread_evenly() {
    let ips = [loopback(), loopback(), loopback()];
    let first = Server::start(ips[0], 0).await;
    let port = first.port();
    let others = [Server::start(ips[1], port).await, Server::start(ips[2], port).await];
    let (upstream, _dns) = upstream(&ips, port).await;
    in_rotation(&upstream, &ips).await;
    let mut answers: HashMap<String, usize> = HashMap::new();
    for _ in 0..30 {
        let answer = call(&upstream, Kind::Procedure, PATIENCE).await.unwrap();
        *answers.entry(answer.token).or_default() += 1;
    }
    assert_eq!(answers, ips.iter().map(|ip| (ip.to_string(), 10)).collect());
    first.leave();
    others.into_iter().for_each(Server::leave);
}

#[tokio::test]
async fn busy_one_is_spared() {
    let (slow, fast) = (loopback(), loopback());
    let (sender, mut receiver) = unbounded_channel();
    let slow_server = Server::handling(slow, 0, move |_| {
        sender.send(()).unwrap();
        Box::pin(std::future::pending())
    })
    .await;
    let (upstream, dns) = upstream(&[slow], slow_server.port()).await;
    let held = tokio::spawn({
        let upstream = upstream.clone();
        async move { call(&upstream, Kind::Procedure, PATIENCE).await }
    });
    receiver.recv().await.unwrap();
    let fast_server = Server::start(fast, slow_server.port()).await;
    dns.set(&[slow, fast]);
    in_rotation(&upstream, &[slow, fast]).await;
    for _ in 0..10 {
        let answer = call(&upstream, Kind::Procedure, PATIENCE).await.unwrap();
        assert_eq!(answer.token, fast.to_string());
    }
    held.abort();
    slow_server.leave();
    fast_server.leave();
}

#[tokio::test]
async fn vanished_address_finishes_what_is_in_flight() {
    let (old, new) = (loopback(), loopback());
    let release = Arc::new(Notify::new());
    let (sender, mut receiver) = unbounded_channel();
    let old_server = Server::handling(old, 0, {
        let release = Arc::clone(&release);
        move |_| {
            sender.send(()).unwrap();
            let release = Arc::clone(&release);
            Box::pin(async move {
                release.notified().await;
                Ok(answer_from(old))
            })
        }
    })
    .await;
    let new_server = Server::start(new, old_server.port()).await;
    let (upstream, dns) = upstream(&[old], old_server.port()).await;
    let held = tokio::spawn({
        let upstream = upstream.clone();
        async move { call(&upstream, Kind::Procedure, PATIENCE).await }
    });
    receiver.recv().await.unwrap();
    dns.set(&[new]);
    in_rotation(&upstream, &[new]).await;
    for _ in 0..5 {
        let answer = call(&upstream, Kind::Procedure, PATIENCE).await.unwrap();
        assert_eq!(answer.token, new.to_string());
    }
    release.notify_one();
    assert_eq!(held.await.unwrap().unwrap().token, old.to_string());
    old_server.leave();
    new_server.leave();
}

#[tokio::test]
async fn localhost_needs_no_look_up() {
    // Other programs use 127.0.0.1 too, so that the port must stay bound all the time.
    let ip = std::net::Ipv4Addr::LOCALHOST.into();
    let server = Server::start(ip, 0).await;
    let upstream = Upstream::start(UpstreamSettings {
        url: format!("http://localhost:{}", server.port()).parse().unwrap(),
        token: None,
        tls: None,
        resolver: Dns::start(&[]).await.resolver(),
        metrics: metrics(),
    })
    .unwrap();
    in_rotation(&upstream, &[ip]).await;
    assert_eq!(call(&upstream, Kind::Query, PATIENCE).await.unwrap().token, "127.0.0.1");
    server.leave();
}

#[tokio::test]
async fn failed_look_up_changes_nothing() {
    for code in [ResponseCode::ServFail, ResponseCode::NXDomain] {
        let (first, second) = (loopback(), loopback());
        let first_server = Server::start(first, 0).await;
        let second_server = Server::start(second, first_server.port()).await;
        let (upstream, mut dns) = upstream(&[first], first_server.port()).await;
        in_rotation(&upstream, &[first]).await;
        let connection = upstream.rotation.borrow()[0].clone();
        dns.fail(code).await;
        dns.set(&[first, second]);
        in_rotation(&upstream, &[first, second]).await;
        let kept = upstream.rotation.borrow().iter().any(|one| Arc::ptr_eq(one, &connection));
        assert!(kept, "{code}: the connection outlives the failure");
        first_server.leave();
        second_server.leave();
    }
}

#[tokio::test]
async fn gateway_started_before_the_name_exists() {
    let ip = loopback();
    let server = Server::start(ip, 0).await;
    let (upstream, mut dns) = upstream(&[], server.port()).await;
    dns.fail(ResponseCode::NXDomain).await;
    dns.set(&[ip]);
    in_rotation(&upstream, &[ip]).await;
    call(&upstream, Kind::Procedure, PATIENCE).await.unwrap();
    server.leave();
}
