//! From the public network's stream to requests at receivers: Streamplace's events, and wh records.

use std::time::Duration;

use fakes::jetstream::{Item, Jetstream, Wire};
use fakes::network::Network;
use serde_json::{Value, json};

use crate::harness::database::Kind;
use crate::harness::intake::{CAROL, CHAT, DAVE, FOLLOW, Intake, LIMIT, POST, TOKEN, WH, post_mentioning};
use crate::harness::on_both;
use crate::harness::program::{Program, athook};
use crate::harness::stack::{CREATE_SECRET, CREATE_WEBHOOK, UPDATE_WEBHOOK};
use crate::harness::webhook::id;

on_both! {
    each_type_of_event, one_post_for_two_streamers, blocked_before_the_start, wh_record_from_creation_to_deletion,
    watched_record_hears_what_follows, waits_for_its_secret, backlinks, records_of_a_sync_are_not_told, accounts_that_come_and_go,
    gap_is_healed_by_a_listing, other_wire_changes_nothing, follows_are_read_once_wanted
}

/// The line of the README, with a stand-in for the public host.
#[tokio::test]
async fn line_of_the_readme() {
    let readme =
        std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let line = readme.lines().find(|line| line.contains("--intake on --jetstream")).unwrap();
    let arguments: Vec<&str> = line.strip_prefix("cargo run -- ").unwrap().split(' ').collect();
    let [command @ .., host] = &arguments[..] else { panic!("{line}") };
    assert!(host.starts_with("wss://jetstream.us-east.bsky.network/"), "{host}");
    let jetstream = Jetstream::start().await;
    let folder = tempfile::tempdir().unwrap();
    let ports = ["--gateway-listen", "127.0.0.1:0", "--core-listen", "127.0.0.1:0"];
    let network = Network::start().await;
    let mut dev = Program::start(
        athook(folder.path())
            .args(command)
            .arg(jetstream.url(Wire::V2))
            .args(ports)
            // No directory can be reached from here.
            .args(["--plc-url", &network.url()]),
    );
    dev.printed("athook token").await;
    let mut listen = Program::start(athook(folder.path()).args(["listen", "--port", "0"]));
    listen.printed("athook listens on").await;
    // Read for within two seconds.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let record = json!({
        "$type": CHAT, "text": "hello from the network", "streamer": "did:web:developer.athook.invalid",
        "createdAt": crate::harness::intake::datetime(jetstream.now_us()),
    });
    jetstream.push([Item::create(CAROL, CHAT, "3m6k2xq7v2c2a", &record.to_string())]);
    let printed = listen.printed("verified: webhook-signature and X-Webhook-Signature").await;
    assert!(printed.contains("hello from the network"), "{printed}");
    assert!(listen.end("INT").success() && dev.end("INT").success());
}

const BLOCK: &str = "app.bsky.graph.block";

async fn each_type_of_event(kind: Kind) {
    let mut intake = Intake::start(kind, Wire::V2).await;
    intake.webhook(&["chat", "livestream", "follow", "mention", "stream.received"]).await;
    let alice = intake.alice().to_owned();
    let live = json!({
        "$type": "place.stream.livestream", "title": "Hello", "url": "https://node.example/alice",
        "createdAt": intake.now(),
    });
    let follow = json!({"$type": FOLLOW, "subject": alice, "createdAt": intake.now()}).to_string();
    let origin = json!({"streamer": alice, "server": "did:web:node.example", "updatedAt": intake.now()});
    let origin_key = format!("{alice}::did:web:node.example");
    for (item, expected) in [
        (
            intake.chat(CAROL, "3m6k2xq7v2c2a", "hello"),
            json!({"type": "chat", "data": {
                "streamerDid": alice, "author": {"did": CAROL}, "text": "hello",
                "uri": format!("at://{CAROL}/{CHAT}/3m6k2xq7v2c2a"),
            }}),
        ),
        (
            Item::create(&alice, "place.stream.livestream", "3m6k2xq7v2c2b", &live.to_string()),
            json!({"type": "livestream", "data": {
                "streamerDid": alice, "title": "Hello", "url": "https://node.example/alice",
                "host": "node.example",
            }}),
        ),
        (
            Item::create(CAROL, FOLLOW, "3m6k2xq7v2c2c", &follow),
            json!({"type": "follow", "data": {"streamerDid": alice, "follower": {"did": CAROL}}}),
        ),
        (
            Item::create(CAROL, POST, "3m6k2xq7v2c2d", &post_mentioning(&[&alice, &alice])),
            json!({"type": "mention", "data": {
                "streamerDid": alice, "author": {"did": CAROL}, "text": "look at this",
                "uri": format!("at://{CAROL}/{POST}/3m6k2xq7v2c2d"),
            }}),
        ),
        (
            Item::create(&alice, "place.stream.broadcast.origin", &origin_key, &origin.to_string()),
            json!({"type": "stream.received", "data": {"streamerDid": alice}}),
        ),
    ] {
        intake.push(item);
        let mut body = intake.next().await.json();
        let body = body.as_object_mut().unwrap();
        body.remove("timestamp");
        assert_eq!(without_names(Value::Object(body.clone())), expected);
    }
}

/// Handles and avatars are looked up, which other tests are about.
fn without_names(mut body: Value) -> Value {
    body["data"].as_object_mut().unwrap().remove("handle");
    for actor in ["author", "follower"] {
        if let Some(actor) = body["data"].get_mut(actor).and_then(Value::as_object_mut) {
            actor.remove("handle");
            actor.remove("avatarUrl");
        }
    }
    body
}

async fn one_post_for_two_streamers(kind: Kind) {
    let mut intake = Intake::start(kind, Wire::V1).await;
    let bob = intake.stack.newcomer(crate::harness::stack::BOB, crate::harness::identity::Key::k256());
    let input = json!({ "url": intake.hook.url("/bob"), "events": ["mention"], "active": true });
    intake.stack.call_as(&bob, CREATE_WEBHOOK, &input).await.ok();
    intake.webhook(&["mention"]).await;
    let post = post_mentioning(&[intake.alice(), &bob.did]);
    intake.push(Item::create(CAROL, POST, "3m6k2xq7v2c2d", &post));
    let mut got = [intake.next().await, intake.next().await];
    got.sort_by_key(|received| received.path.clone());
    let [of_bob, of_alice] = got;
    assert_eq!(of_bob.json()["data"]["streamerDid"], bob.did);
    assert_eq!(of_alice.json()["data"]["streamerDid"], intake.alice());
    assert_ne!(of_bob.header("webhook-id"), of_alice.header("webhook-id"));
}

async fn blocked_before_the_start(kind: Kind) {
    let prepare = |network: &Network, _: &Jetstream| {
        network.put("did:plc:alice2222222222222222222", BLOCK, "3m6k2xq7v2c2a", json!({"subject": DAVE}));
    };
    let mut intake = Intake::start_with(kind, Wire::V2, prepare, &[]).await;
    let made = intake.webhook(&["chat"]).await;
    intake.push(intake.chat(DAVE, "3m6k2xq7v2c2a", "blocked"));
    intake.push(intake.chat(CAROL, "3m6k2xq7v2c2b", "welcome"));
    intake.next_chat("welcome").await;
    // A block from now on, and its end.
    let alice = intake.alice().to_owned();
    let block = json!({"subject": CAROL}).to_string();
    intake.push(Item::create(&alice, BLOCK, "3m6k2xq7v2c2b", &block));
    intake.push(intake.chat(CAROL, "3m6k2xq7v2c2c", "no longer"));
    intake.push(Item::delete(&alice, BLOCK, "3m6k2xq7v2c2b"));
    intake.push(Item::delete(&alice, BLOCK, "3m6k2xq7v2c2a"));
    intake.push(intake.chat(DAVE, "3m6k2xq7v2c2d", "once more"));
    intake.next_chat("once more").await;
    // A block that nobody follows, as no webhook is active.
    let set_active = |active| json!({ "id": id(&made), "active": active });
    intake.stack.call(UPDATE_WEBHOOK, &set_active(false)).await.ok();
    intake.reloaded().await;
    let block = json!({"subject": DAVE});
    intake.push(Item::create(&alice, BLOCK, "3m6k2xq7v2c2e", &block.to_string()));
    intake.network.put(&alice, BLOCK, "3m6k2xq7v2c2e", block);
    intake.reloaded().await;
    intake.stack.call(UPDATE_WEBHOOK, &set_active(true)).await.ok();
    intake.reloaded().await;
    intake.push(intake.chat(DAVE, "3m6k2xq7v2c2f", "blocked"));
    intake.push(intake.chat(CAROL, "3m6k2xq7v2c2g", "still welcome"));
    intake.next_chat("still welcome").await;
    assert!(intake.hook.waiting().is_none());
}

async fn wh_record_from_creation_to_deletion(kind: Kind) {
    let mut intake = Intake::start(kind, Wire::V2).await;
    intake.stack.call(CREATE_SECRET, &json!({ "name": "deploys", "token": TOKEN })).await.ok();
    intake.reloaded().await;
    let alice = intake.alice().to_owned();
    let scope = format!("at://{CAROL}/app.example.thing");
    let wh = intake.wh(&scope, &json!({"secretId": "deploys"}));
    intake.push(Item::create(&alice, WH, "mine", &wh.to_string()));
    // It is read for within two seconds, with a filter that has the collection.
    intake.jetstream.opened(1).await;
    intake.reloaded().await;
    let record = r#"{"$type":"app.example.thing","b":1.0,"a":{"z":"ä","y":[true,null]}}"#;
    let pushed = Item::create(CAROL, "app.example.thing", "3m6k2xq7v2c2a", record);
    intake.push(pushed);
    let received = intake.next().await;
    assert_eq!(received.path, "/record");
    let verifier = standardwebhooks::Webhook::new(TOKEN).unwrap();
    verifier.verify(&received.body, &received.headers).unwrap();
    let body = received.json();
    let event = received.header("webhook-id").strip_prefix("msg_").unwrap();
    assert_eq!(body["id"], event);
    let (cid, timestamp) = (body["cid"].as_str().unwrap(), body["timestamp"].as_str().unwrap());
    let expected = format!(
        r#"{{"cid":"{cid}","collection":"app.example.thing","did":"{CAROL}","event":"create","id":"{event}","record":{{"$type":"app.example.thing","a":{{"y":[true,null],"z":"ä"}},"b":1}},"rkey":"3m6k2xq7v2c2a","timestamp":"{timestamp}"}}"#
    );
    assert_eq!(String::from_utf8_lossy(&received.body), expected);

    intake.push(Item::update(CAROL, "app.example.thing", "3m6k2xq7v2c2a", record));
    assert_eq!(intake.next().await.json()["event"], "update");
    intake.push(Item::delete(CAROL, "app.example.thing", "3m6k2xq7v2c2a"));
    let deleted = intake.next().await.json();
    assert_eq!(
        (&deleted["event"], deleted.get("record"), deleted.get("cid")),
        (&json!("delete"), None, None)
    );

    // An invalid update revokes it; a valid one brings it back; a deletion ends it.
    let thing = |rkey| Item::create(CAROL, "app.example.thing", rkey, record);
    let invalid = intake.wh("at://carol.example", &json!({}));
    intake.push(Item::update(&alice, WH, "mine", &invalid.to_string()));
    intake.push(thing("3m6k2xq7v2c2b"));
    let only_creations = intake.wh(&scope, &json!({"events": ["create"]}));
    intake.push(Item::update(&alice, WH, "mine", &only_creations.to_string()));
    intake.push(thing("3m6k2xq7v2c2c"));
    intake.push(Item::delete(CAROL, "app.example.thing", "3m6k2xq7v2c2c"));
    intake.push(Item::delete(&alice, WH, "mine"));
    intake.push(thing("3m6k2xq7v2c2d"));
    assert_eq!(intake.next().await.json()["rkey"], "3m6k2xq7v2c2c");
    intake.reloaded().await;
    assert!(intake.hook.waiting().is_none());
}

/// What follows a wh record at once is for it, also where another webhook is told of the record itself.
async fn watched_record_hears_what_follows(kind: Kind) {
    let mut intake = Intake::start(kind, Wire::V2).await;
    intake.stack.call(CREATE_SECRET, &json!({ "name": "other", "token": TOKEN })).await.ok();
    intake.reloaded().await;
    let alice = intake.alice().to_owned();
    let watcher = intake.wh(&format!("at://{alice}/{WH}"), &json!({}));
    let chats = intake.wh(&format!("at://{CAROL}/{CHAT}"), &json!({}));
    intake.push(Item::create(&alice, WH, "watcher", &watcher.to_string()));
    intake.jetstream.opened(1).await;
    intake.reloaded().await;
    intake.push(Item::create(&alice, WH, "chats", &chats.to_string()));
    intake.push(intake.chat(CAROL, "3m6k2xq7v2c2a", "hello"));
    let mut heard = [intake.next().await, intake.next().await].map(|request| request.json()["rkey"].clone());
    heard.sort_by_key(ToString::to_string);
    assert_eq!(heard, [json!("3m6k2xq7v2c2a"), json!("chats")]);
}

async fn waits_for_its_secret(kind: Kind) {
    let mut intake = Intake::start(kind, Wire::V2).await;
    intake.stack.call(CREATE_SECRET, &json!({ "name": "other", "token": TOKEN })).await.ok();
    intake.reloaded().await;
    let alice = intake.alice().to_owned();
    let wh = intake.wh(&format!("at://{CAROL}/{CHAT}"), &json!({"secretId": "later"}));
    intake.push(Item::create(&alice, WH, "mine", &wh.to_string()));
    intake.push(intake.chat(CAROL, "3m6k2xq7v2c2a", "hello"));
    intake.reloaded().await;
    assert!(intake.hook.waiting().is_none());
    intake.stack.call(CREATE_SECRET, &json!({ "name": "later", "token": TOKEN })).await.ok();
    let received = intake.next().await;
    standardwebhooks::Webhook::new(TOKEN).unwrap().verify(&received.body, &received.headers).unwrap();
    // Records don't hinder a deletion.
    let delete = crate::harness::stack::DELETE_SECRET;
    assert_eq!(intake.stack.call(delete, &json!({ "name": "later" })).await.status, 200);
}

async fn backlinks(kind: Kind) {
    let flags = [("--intake-network", "on")];
    let mut intake = Intake::start_with(kind, Wire::V2, |_, _| {}, &flags).await;
    intake.stack.call(CREATE_SECRET, &json!({ "name": "other", "token": TOKEN })).await.ok();
    intake.reloaded().await;
    let alice = intake.alice().to_owned();
    let scope = json!({"scope": {"aturi": format!("at://{alice}/app.bsky.feed.post"), "backlinks": true}});
    let wh = intake.wh("at://did:plc:none", &scope);
    intake.push(Item::create(&alice, WH, "mine", &wh.to_string()));
    intake.reloaded().await;
    let like =
        |of: &str| json!({"subject": {"uri": format!("at://{alice}/app.bsky.feed.post/{of}")}}).to_string();
    intake.push(Item::create(CAROL, "app.bsky.feed.like", "3m6k2xq7v2c2a", &like("x")));
    intake.push(Item::create(CAROL, "app.bsky.feed.like", "3m6k2xq7v2c2b", r#"{"subject":"nobody"}"#));
    assert_eq!(intake.next().await.json()["rkey"], "3m6k2xq7v2c2a");
    // The old reference counts for the update and the new one, which is none, for nobody.
    intake.push(Item::update(CAROL, "app.bsky.feed.like", "3m6k2xq7v2c2a", r#"{"subject":"nobody"}"#));
    assert_eq!(intake.next().await.json()["event"], "update");
    intake.push(Item::update(CAROL, "app.bsky.feed.like", "3m6k2xq7v2c2b", &like("y")));
    assert_eq!(intake.next().await.json()["rkey"], "3m6k2xq7v2c2b");
    intake.push(Item::delete(CAROL, "app.bsky.feed.like", "3m6k2xq7v2c2a"));
    // Read at once with a wh record, behind which the batch is stored.
    let other = intake.wh("at://did:plc:none", &json!({}));
    let record = Item::create(&alice, WH, "other", &other.to_string());
    intake.jetstream.push([record, Item::delete(CAROL, "app.bsky.feed.like", "3m6k2xq7v2c2b")]);
    let deleted = intake.next().await.json();
    assert_eq!((&deleted["event"], &deleted["rkey"]), (&json!("delete"), &json!("3m6k2xq7v2c2b")));
}

async fn records_of_a_sync_are_not_told(kind: Kind) {
    let mut intake = Intake::start(kind, Wire::V2).await;
    intake.webhook(&["chat"]).await;
    let rev = "3m6k2xq7v2c2z";
    intake.push(Item::sync(CAROL, rev));
    for number in 0..50 {
        let record = json!({
            "$type": CHAT, "text": format!("old {number}"), "streamer": intake.alice(), "createdAt": intake.now(),
        });
        let rkey = format!("3m6k2xq7v2c{}{}", (b'a' + number / 20) as char, (b'a' + number % 20) as char);
        intake.push(Item::resync(CAROL, rev, CHAT, &rkey, &record.to_string()));
    }
    intake.push(intake.chat(CAROL, "3m6k2xq7v2d2a", "new"));
    intake.next_chat("new").await;
}

async fn accounts_that_come_and_go(kind: Kind) {
    let mut intake = Intake::start(kind, Wire::V2).await;
    intake.webhook(&["chat"]).await;
    let alice = intake.alice().to_owned();
    intake.push(intake.chat(CAROL, "3m6k2xq7v2c2a", "before"));
    intake.next_chat("before").await;
    intake.push(Item::account(&alice, false, Some("deactivated")));
    intake.push(intake.chat(CAROL, "3m6k2xq7v2c2b", "meanwhile"));
    intake.push(Item::account(&alice, true, None));
    intake.reloaded().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    intake.push(intake.chat(CAROL, "3m6k2xq7v2c2c", "after"));
    intake.next_chat("after").await;
}

async fn gap_is_healed_by_a_listing(kind: Kind) {
    let flags = [("--metrics-listen", "127.0.0.1:0")];
    let mut intake = Intake::start_with(kind, Wire::V2, |_, _| {}, &flags).await;
    intake.stack.call(CREATE_SECRET, &json!({ "name": "other", "token": TOKEN })).await.ok();
    intake.push(Item::identity(CAROL));
    intake.reloaded().await;
    let alice = intake.alice().to_owned();
    intake.stack.stop_core().await;
    // Written while athook was down, and gone from the stream when it is back.
    let wh = intake.wh(&format!("at://{CAROL}/{CHAT}"), &json!({}));
    intake.network.put(&alice, WH, "mine", wh.clone());
    intake.push(Item::create(&alice, WH, "mine", &wh.to_string()));
    intake.push(Item::identity(CAROL));
    intake.jetstream.skip_numbers(1000);
    intake.push(Item::identity(CAROL));
    intake.jetstream.keep(1);
    intake.stack.start_core().await;
    let url = format!("http://{}/metrics", intake.stack.core_watch.metrics_address().unwrap());
    let gaps = async {
        while !reqwest::get(&url)
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
            .contains("\nathook_core_intake_gaps_total 1\n")
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LIMIT, gaps).await.expect("the gap is counted");
    intake.reloaded().await;
    intake.push(intake.chat(CAROL, "3m6k2xq7v2c2a", "hello"));
    assert_eq!(intake.next().await.json()["rkey"], "3m6k2xq7v2c2a");
}

async fn other_wire_changes_nothing(kind: Kind) {
    let mut intake = Intake::start(kind, Wire::V1).await;
    let made = intake.webhook(&["chat"]).await;
    intake.push(intake.chat(CAROL, "3m6k2xq7v2c2a", "one"));
    intake.next_chat("one").await;
    intake.jetstream.cut();
    intake.jetstream.opened(1).await;
    intake.push(intake.chat(CAROL, "3m6k2xq7v2c2b", "two"));
    intake.next_chat("two").await;
    let change = json!({ "id": id(&made), "active": false });
    intake.stack.call(UPDATE_WEBHOOK, &change).await.ok();
    intake.push(intake.chat(CAROL, "3m6k2xq7v2c2c", "three"));
    intake.reloaded().await;
    assert!(intake.hook.waiting().is_none());
}

async fn follows_are_read_once_wanted(kind: Kind) {
    let mut intake = Intake::start(kind, Wire::V2).await;
    let asked = |intake: &Intake| intake.jetstream.requests().iter().any(|url| url.contains(FOLLOW));
    assert!(!asked(&intake));
    intake.webhook(&["follow"]).await;
    assert!(asked(&intake), "{:?}", intake.jetstream.requests());
    let follow = json!({"$type": FOLLOW, "subject": intake.alice(), "createdAt": intake.now()}).to_string();
    intake.push(Item::create(CAROL, FOLLOW, "3m6k2xq7v2c2c", &follow));
    assert_eq!(intake.next().await.json()["type"], "follow");
}
