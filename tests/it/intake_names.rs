//! Handles and avatars in deliveries of the network's events: looked up before the first attempt, believed
//! only if both sides say the same, and never another in a retry.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use fakes::dns::Dns;
use fakes::jetstream::{Item, Jetstream, Wire};
use fakes::network::{Fault, Network, document};
use http::StatusCode;
use serde_json::{Value, json};

use crate::harness::database::{Database, Kind};
use crate::harness::direct::Direct;
use crate::harness::hook::{Hook, Received};
use crate::harness::intake::{CAROL, CHAT, Intake};
use crate::harness::on_both;

on_both! {
    handle_and_avatar, forged_handle, profile_that_hangs, retried_with_the_same_names,
    killed_after_the_body_was_stored
}

const HANDLE: &str = "carol.example";
const PROFILE: &str = "app.bsky.actor.profile";
const GET_RECORD: &str = "/xrpc/com.atproto.repo.getRecord";
const ALICE: &str = "did:plc:alice2222222222222222222";

/// A DNS server that confirms Carol's handle.
async fn dns_of_carol() -> Dns {
    let dns = Dns::start().await;
    confirm(&dns, HANDLE, CAROL);
    dns
}

fn confirm(dns: &Dns, handle: &str, did: &str) {
    dns.set_texts(&format!("_atproto.{handle}."), &[&[&format!("did={did}")]]);
}

fn add_avatar(network: &Network, cid: &str) -> String {
    let blob = json!({ "$type": "blob", "ref": { "$link": cid }, "mimeType": "image/png", "size": 1 });
    network.put(CAROL, PROFILE, "self", json!({ "avatar": blob }));
    let did = CAROL.replace(':', "%3A");
    format!("{}/xrpc/com.atproto.sync.getBlob?did={did}&cid={cid}", network.url())
}

async fn started(kind: Kind, dns: &Dns, prepare: impl FnOnce(&Network), flags: &[(&str, &str)]) -> Intake {
    let servers = dns.address.to_string();
    let mut all = vec![("--dns-servers", servers.as_str())];
    all.extend_from_slice(flags);
    Intake::start_with(kind, Wire::V2, |network, _| prepare(network), &all).await
}

/// The same with a webhook for chat messages.
async fn with_webhook(kind: Kind, dns: &Dns, prepare: impl FnOnce(&Network)) -> Intake {
    let intake = started(kind, dns, prepare, &[]).await;
    intake.webhook(&["chat"]).await;
    intake
}

/// The author of the next chat message, which says `text`.
async fn author(intake: &mut Intake, rkey: &str, text: &str) -> Value {
    intake.push(intake.chat(CAROL, rkey, text));
    let mut body = intake.next().await.json();
    assert_eq!(body["data"]["text"], text);
    body["data"]["author"].take()
}

async fn handle_and_avatar(kind: Kind) {
    let dns = dns_of_carol().await;
    let mut intake = with_webhook(kind, &dns, |_| {}).await;
    let avatar_url = add_avatar(&intake.network, "bafkreione");
    let expected = json!({ "did": CAROL, "handle": HANDLE, "avatarUrl": avatar_url });
    assert_eq!(author(&mut intake, "3m6k2xq7v2c2a", "one").await, expected);
    // Cached, until the network says that something has changed.
    let avatar_url = add_avatar(&intake.network, "bafkreitwo");
    assert_eq!(author(&mut intake, "3m6k2xq7v2c2b", "two").await, expected);
    intake.push(Item::identity(CAROL));
    let expected = json!({ "did": CAROL, "handle": HANDLE, "avatarUrl": avatar_url });
    assert_eq!(author(&mut intake, "3m6k2xq7v2c2c", "three").await, expected);
}

async fn forged_handle(kind: Kind) {
    let dns = dns_of_carol().await;
    confirm(&dns, HANDLE, ALICE);
    let mut intake = with_webhook(kind, &dns, |_| {}).await;
    assert_eq!(author(&mut intake, "3m6k2xq7v2c2a", "hello").await, json!({ "did": CAROL }));
}

async fn profile_that_hangs(kind: Kind) {
    let dns = dns_of_carol().await;
    let mut intake = with_webhook(kind, &dns, |network| network.set_fault(GET_RECORD, Fault::Hang)).await;
    let begun = Instant::now();
    let expected = json!({ "did": CAROL, "handle": HANDLE });
    assert_eq!(author(&mut intake, "3m6k2xq7v2c2a", "one").await, expected);
    let waited = begun.elapsed();
    assert!(waited >= Duration::from_secs(2) && waited < Duration::from_secs(4), "{waited:?}");
    // Once for all.
    let begun = Instant::now();
    assert_eq!(author(&mut intake, "3m6k2xq7v2c2b", "two").await, expected);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

async fn retried_with_the_same_names(kind: Kind) {
    let dns = dns_of_carol().await;
    let fails = Arc::new(AtomicBool::new(true));
    let failing = Arc::clone(&fails);
    let answer = move |_, _: &Received| match failing.load(Ordering::SeqCst) {
        true => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        false => StatusCode::NO_CONTENT.into_response(),
    };
    let mut intake = started(kind, &dns, |_| {}, &[("--retry-schedule", "100ms,100ms,100ms,100ms,1s")]).await;
    intake.hook = Hook::answering(answer).await;
    intake.webhook(&["chat"]).await;
    intake.push(intake.chat(CAROL, "3m6k2xq7v2c2a", "hello"));
    let first = intake.next().await;
    assert_eq!(first.json()["data"]["author"]["handle"], HANDLE);
    let host = intake.network.url();
    intake.network.set_document(CAROL, document(CAROL, "other.example", &host));
    confirm(&dns, "other.example", CAROL);
    intake.push(Item::identity(CAROL));
    fails.store(false, Ordering::SeqCst);
    let second = intake.next().await;
    assert_eq!(second.body, first.body);
    assert_eq!(second.header("webhook-id"), first.header("webhook-id"));
}

/// One process reads, another delivers: a new handle is told by the one to the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_replica_hears_of_a_new_handle() {
    let (dns, jetstream, network) = (dns_of_carol().await, Jetstream::start().await, Network::start().await);
    network.add_account(CAROL, HANDLE);
    network.add_account(ALICE, "alice.example");
    let database = Database::create(Kind::Postgres, false).await;
    let core = || {
        database
            .core_service_for_loopback()
            .flag("--plc-url", &network.url())
            .flag("--dns-servers", &dns.address.to_string())
    };
    let url = jetstream.url(Wire::V2);
    let reads = core().flag("--delivery", "off").flag("--intake", "on").flag("--jetstream", &url);
    let (reader, _deliverer) = (reads.start().await, core().start().await);
    let mut hook = Hook::start().await;
    Direct::to(reader.address).await.create_active_webhook(ALICE, &hook.url("/hook")).await.unwrap();
    // What was created is read for two seconds later at most.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let record =
        json!({ "text": "hello", "streamer": ALICE, "createdAt": "2100-01-01T00:00:00Z" }).to_string();
    jetstream.push([Item::create(CAROL, CHAT, "a", &record)]);
    assert_eq!(hook.next().await.json()["data"]["author"]["handle"], HANDLE);
    network.set_document(CAROL, document(CAROL, "other.example", &network.url()));
    confirm(&dns, "other.example", CAROL);
    jetstream.push([Item::identity(CAROL)]);
    for number in 0.. {
        jetstream.push([Item::create(CAROL, CHAT, &format!("b{number}"), &record)]);
        if hook.next().await.json()["data"]["author"]["handle"] == "other.example" {
            break;
        }
        assert!(number < 1_000, "nobody has told it");
    }
}

/// Who is killed while a receiver answers may have been heard: the next attempt says the same.
async fn killed_after_the_body_was_stored(kind: Kind) {
    let (dns, jetstream, network) = (dns_of_carol().await, Jetstream::start().await, Network::start().await);
    network.add_account(CAROL, HANDLE);
    network.add_account(ALICE, "alice.example");
    let database = Database::create(kind, false).await;
    let core = |database: &Database| {
        database
            .core_service_for_loopback()
            .flag("--retry-schedule", "100ms")
            .flag("--delivery-timeout", "1s")
            .flag("--intake", "on")
            .flag("--jetstream", &jetstream.url(Wire::V2))
            .flag("--plc-url", &network.url())
            .flag("--dns-servers", &dns.address.to_string())
    };
    // The first answer does not end.
    let answer = |number: usize, _: &Received| match number {
        0 => {
            Response::new(Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>()))
        }
        _ => StatusCode::NO_CONTENT.into_response(),
    };
    let mut hook = Hook::answering(answer).await;
    let first_core = core(&database).start().await;
    let direct = Direct::to(first_core.address).await;
    direct.create_active_webhook(ALICE, &hook.url("/hook")).await.unwrap();
    // What was created is read for two seconds later at most.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let record = json!({ "text": "hello", "streamer": ALICE, "createdAt": "2100-01-01T00:00:00Z" });
    jetstream.push([Item::create(CAROL, CHAT, "3m6k2xq7v2c2a", &record.to_string())]);
    let first = hook.next().await;
    first_core.kill();
    assert_eq!(first.json()["data"]["author"]["handle"], HANDLE);
    network.set_document(CAROL, document(CAROL, "other.example", &network.url()));
    confirm(&dns, "other.example", CAROL);
    let _second_core = core(&database).start().await;
    let second = hook.next().await;
    assert_eq!(second.body, first.body);
    assert_eq!(second.header("webhook-id"), first.header("webhook-id"));
}
