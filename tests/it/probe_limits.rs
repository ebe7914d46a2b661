//! Probes that many callers start: they can't keep out a caller whose URL answers, and no third party is
//! connected to often (docs/methods.md, "Unreachable").

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::harness::database::Kind;
use crate::harness::identity::{Identity, Key};
use crate::harness::receiver::Receiver;
use crate::harness::stack::{CREATE_WEBHOOK, LIST_SECRETS, SERVICE, Setup, Stack};
use fakes::dns::Dns;

/// DIDs that attack. The drills let more of them (`tests/drills/strangers.rs`).
const STRANGERS: usize = 120;
/// Calls that each of them has under way: together fewer than the gateway takes at once, and more than the
/// core-service probes at once.
const CALLS: usize = 3;
/// The pause of a stranger whose call was refused. There are enough calls under way without it, and an
/// unoptimised gateway is busy with more.
const PAUSE: Duration = Duration::from_secs(3);
/// Webhooks that alice creates meanwhile.
const WEBHOOKS: usize = 10;

/// A stack with time for all that a test run does beside it.
async fn started(dns: &Dns) -> Stack {
    let dns = dns.address.to_string();
    Setup::on(Kind::Sqlite).core("--dns-servers", &dns).gateway("--deadline", "60s").start().await
}

/// Strangers have URLs tried that `url` makes from the number of the try, as many as they may, while alice
/// creates webhooks at a receiver that answers.
async fn others_are_tried(stack: &Stack, receiver: &Receiver, url: impl Fn(usize) -> String) {
    let strangers: Vec<Identity> = (0..STRANGERS)
        .map(|number| {
            let letters: String =
                format!("{number:03}").bytes().map(|digit| char::from(digit - b'0' + b'a')).collect();
            stack.newcomer(&format!("did:plc:stranger{letters}2222222222222"), Key::k256())
        })
        .collect();
    // The gateway gets to know their keys.
    let known = strangers.iter().map(async |one| drop(stack.query_as(one, LIST_SECRETS, &[]).await.ok()));
    stream::iter(known).buffer_unordered(32).collect::<Vec<()>>().await;
    let (done, tries, began) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let all_places_taken = Notify::new();
    let call = async |stranger: &Identity| {
        let token = stranger.token(SERVICE, CREATE_WEBHOOK);
        while !done.load(Ordering::SeqCst) {
            let input = json!({ "url": url(tries.fetch_add(1, Ordering::SeqCst)), "events": ["chat"] });
            let answer = stack.call_with(&token, CREATE_WEBHOOK, &input).await;
            match answer.status.as_u16() {
                400 => drop(answer.error(400, "InvalidUrl")),
                429 => drop(answer.error(429, "RateLimitExceeded")),
                _ => drop(answer.error(503, "NotEnoughResources")),
            }
            if began.fetch_add(1, Ordering::SeqCst) == STRANGERS {
                all_places_taken.notify_one();
            }
            if answer.status != 400 {
                tokio::time::sleep(PAUSE).await;
            }
        }
    };
    let flood = join_all(strangers.iter().flat_map(|one| std::iter::repeat_n(one, CALLS)).map(call));
    let victim = async {
        all_places_taken.notified().await;
        for number in 0..WEBHOOKS {
            let url = format!("https://hooks.test:{}/{number}", receiver.port);
            let input = json!({ "url": url, "events": ["chat"] });
            stack.call(CREATE_WEBHOOK, &input).await.ok();
        }
        done.store(true, Ordering::SeqCst);
    };
    tokio::join!(flood, victim);
}

/// One after the other: each keeps the machine busy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_with_slow_hosts_keep_nobody_out() {
    dns_that_never_answers().await;
    hosts_that_never_answer_tls().await;
}

async fn dns_that_never_answers() {
    let (dns, receiver) = (Dns::start().await, Receiver::start("hooks.test").await);
    dns.set("hooks.test.", &["127.0.0.1"]);
    // As many names as there may be tries.
    for number in 0..10_000 {
        dns.set_in_turn(&format!("h{number}.silent.test."), &[]);
    }
    let stack = started(&dns).await;
    others_are_tried(&stack, &receiver, |number| format!("https://h{number}.silent.test/")).await;
}

async fn hosts_that_never_answer_tls() {
    let (dns, receiver) = (Dns::start().await, Receiver::start("hooks.test").await);
    dns.set("hooks.test.", &["127.0.0.1"]);
    // It listens on all of 127.0.0.0/8.
    let silent = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let stack = started(&dns).await;
    let url = |number: usize| format!("https://127.{}.{}.2:{port}/", number / 250 % 250 + 1, number % 250);
    others_are_tried(&stack, &receiver, url).await;
}

/// 100 names under a wildcard that lead to one address.
#[tokio::test]
async fn connections_are_limited_for_each_address() {
    let (dns, receiver) = (Dns::start().await, Receiver::start("hooks.test").await);
    let stack = Setup::on(Kind::Sqlite)
        .core("--dns-servers", &dns.address.to_string())
        .core("--allow-http", "true")
        .start()
        .await;
    let mut reached = 0;
    for caller in ["a", "b", "c", "d"] {
        let caller = stack.newcomer(&format!("did:plc:caller{caller}22222222222222222"), Key::k256());
        for number in 0..25 {
            let host = format!("{number}.{}.test", &caller.did["did:plc:".len()..]);
            dns.set(&format!("{host}."), &["127.0.0.1"]);
            let input = json!({ "url": format!("http://{host}:{}/", receiver.port), "events": ["chat"] });
            let answer = stack.call_as(&caller, CREATE_WEBHOOK, &input).await;
            if reached < 60 {
                answer.ok();
                reached += 1;
            } else {
                answer.error(429, "RateLimitExceeded");
                let wait: u64 = answer.header("retry-after").parse().unwrap();
                assert!((1..=60).contains(&wait), "{wait}");
            }
        }
    }
    assert_eq!(receiver.connections(), 60);
}
