//! Addresses that the egress rules refuse are refused at each attempt, not only when a webhook is made.

use serde_json::json;

use crate::harness::database::{Database, Kind, until_number};
use crate::harness::direct::Direct;
use crate::harness::hook::Hook;
use crate::harness::on_both;
use crate::harness::private_hosts::PRIVATE_HOSTS;
use crate::harness::processes::{Service, Setup as Process};
use crate::harness::publisher::Publisher;
use crate::harness::stack::{CREATE_WEBHOOK, Setup};
use fakes::dns::Dns;

on_both! { names_that_turn_inward, addresses_that_were_allowed }

const STREAMER: &str = "did:plc:streamer2222222222222222";

/// Waits until each of so many deliveries was refused once.
async fn until_refused(database: &Database, deliveries: usize) {
    let connection = database.connect().await;
    let refused = "SELECT count(*) FROM attempt JOIN delivery ON id = delivery_id WHERE state = 0 AND \
                   outcome = 'refused' AND status IS NULL AND number = 1 AND attempts = 1";
    until_number(&connection, refused, deliveries).await;
}

/// Webhooks that were made when all was allowed.
async fn addresses_that_were_allowed(kind: Kind) {
    let database = Database::create(kind, false).await;
    let core = |ranges: &str| -> Process {
        Service::core_service(&database.url())
            .flag("--allow-http", "true")
            .flag("--allow-private-ranges", ranges)
            .flag("--retry-schedule", "1h")
    };
    let mut hook = Hook::start().await;
    let port = hook.address.port();
    let everything = core("0.0.0.0/0,::/0").start().await;
    let direct = Direct::to(everything.address).await;
    for (number, host) in PRIVATE_HOSTS.iter().enumerate() {
        let url = format!("http://{host}:{port}/{number}");
        direct.create_active_webhook(STREAMER, &url).await.unwrap_or_else(|code| panic!("{url}: {code}"));
    }
    let reachable = "did:plc:reachable2222222222222222";
    direct.create_active_webhook(reachable, &hook.url("/reachable")).await.unwrap();
    Publisher::of(everything.address).chat(reachable, "k", "hello").await;
    assert_eq!(hook.next().await.path, "/reachable");
    drop(direct);
    everything.terminate().await;

    let nothing = core("").start().await;
    let published = Publisher::of(nothing.address).chat(STREAMER, "l", "hello").await;
    assert_eq!(published.deliveries as usize, PRIVATE_HOSTS.len());
    until_refused(&database, PRIVATE_HOSTS.len()).await;
    assert!(hook.waiting().is_none());
}

/// Names whose addresses were public when their webhooks were made.
async fn names_that_turn_inward(kind: Kind) {
    let dns = Dns::start().await;
    let names: [(&str, &[&str]); 5] = [
        ("rebound.test", &["127.0.0.1"]),
        ("mixed.test", &["203.1.113.7", "127.0.0.1"]),
        ("compatible.test", &["::7f00:1"]),
        ("mapped.test", &["::ffff:127.0.0.1"]),
        ("translated.test", &["::ffff:0:7f00:1"]),
    ];
    for (name, _) in names {
        dns.set(&format!("{name}."), &["203.1.113.7"]);
    }
    let stack = Setup::on(kind)
        .core("--allow-http", "true")
        .core("--allow-private-ranges", "")
        .core("--probe", "resolve")
        .core("--dns-servers", &dns.address.to_string())
        .core("--retry-schedule", "1h")
        .start()
        .await;
    let mut hook = Hook::start().await;
    for (name, _) in names {
        let url = format!("http://{name}:{}/", hook.address.port());
        let input = json!({ "url": url, "events": ["chat"], "active": true });
        stack.call(CREATE_WEBHOOK, &input).await.ok();
    }
    for (name, later) in names {
        dns.set(&format!("{name}."), later);
    }
    let published = Publisher::of(stack.core).chat(&stack.alice.did, "k", "hello").await;
    assert_eq!(published.deliveries as usize, names.len());
    until_refused(&stack.database, names.len()).await;
    assert!(hook.waiting().is_none());
}
