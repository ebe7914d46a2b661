//! Deliveries while owners delete, switch off and change what they use: nothing is claimed after the answer,
//! and nothing goes out unsigned where a secret is named.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axum::response::IntoResponse as _;
use http::StatusCode;
use sea_orm::{ConnectionTrait as _, DatabaseConnection};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::faults::load::gateway;
use crate::harness::database::{Database, Kind, rows, until_number};
use crate::harness::gateway::Gateway;
use crate::harness::hook::{Hook, Received};
use crate::harness::identity::{Identity, Key};
use crate::harness::on_both;
use crate::harness::processes::Service;
use crate::harness::publisher::{Publisher, chat};
use crate::harness::stack::{
    CREATE_SECRET, CREATE_WEBHOOK, DELETE_SECRET, DELETE_WEBHOOK, ROTATE_SECRET, Setup, UPDATE_WEBHOOK,
};
use crate::harness::webhook::id;

on_both! {
    nothing_is_claimed_after_the_answer, nothing_goes_out_unsigned, nothing_is_sent_while_the_secret_does_not_open,
}

/// How often a webhook is deleted or switched off while deliveries go on.
const ROUNDS: usize = 12;
/// Requests at the receiver before and after.
const REQUESTS: usize = 15;
/// Changes of what signs.
const CHANGES: usize = 60;

/// One core-service on SQLite and two on Postgres, a gateway, and a publisher that never stops.
struct Site {
    connection: DatabaseConnection,
    gateway: Arc<Gateway>,
    alice: Identity,
    stop: Arc<AtomicBool>,
    publishing: Vec<tokio::task::JoinHandle<()>>,
    _cores: Vec<Service>,
    _database: Database,
}

impl Site {
    async fn start(kind: Kind) -> Self {
        let database = Database::create(kind, false).await;
        let mut cores = Vec::new();
        for _ in 0..if kind == Kind::Postgres { 2 } else { 1 } {
            let core = database
                .core_service_for_loopback()
                .flag("--disable-after", "1000000")
                .flag("--retry-schedule", &["20ms"; 60].join(","));
            cores.push(core.start().await);
        }
        let gateway = gateway(cores[0].address).await;
        let alice = Identity::new("did:plc:alice2222222222222222222", Key::k256());
        gateway.knows(&alice);
        let connection = database.connect().await;
        let stop = Arc::new(AtomicBool::new(false));
        let keys = Arc::new(AtomicUsize::new(0));
        let publishing = cores.iter().map(|core| {
            let publishing = publish(core.address, alice.did.clone(), Arc::clone(&keys), Arc::clone(&stop));
            tokio::spawn(publishing)
        });
        let publishing = publishing.collect();
        Self { connection, gateway, alice, stop, publishing, _cores: cores, _database: database }
    }

    async fn call(&self, nsid: &str, input: &Value) -> Value {
        self.gateway.call(&self.alice, nsid, input).await.ok()
    }

    /// The deliveries that are leased now.
    async fn leased(&self) -> HashSet<String> {
        let sql = "SELECT id FROM delivery WHERE lease IS NOT NULL";
        let rows = rows(&self.connection, sql).await;
        rows.into_iter().map(|row| row.try_get::<Uuid>("", "id").unwrap().to_string()).collect()
    }

    /// Stops publishing.
    async fn stop(self) {
        self.stop.store(true, Ordering::SeqCst);
        for publishing in self.publishing {
            publishing.await.unwrap();
        }
    }
}

/// Publishes events one after the other.
async fn publish(core: SocketAddr, streamer: String, keys: Arc<AtomicUsize>, stop: Arc<AtomicBool>) {
    let publisher = Publisher::of(core);
    while !stop.load(Ordering::SeqCst) {
        let key = keys.fetch_add(1, Ordering::SeqCst).to_string();
        publisher.publish(vec![chat(&streamer, &key, "hello")]).await.unwrap();
    }
}

/// The id of its delivery.
fn delivery(received: &Received) -> String {
    received.header("idempotency-key").to_owned()
}

async fn nothing_is_claimed_after_the_answer(kind: Kind) {
    let site = Site::start(kind).await;
    // Every other request fails, so that first attempts and retries are under way.
    let mut hook = Hook::answering(|number, _| match number % 2 {
        0 => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        _ => StatusCode::NO_CONTENT.into_response(),
    })
    .await;
    let mut healthy = Hook::start().await;
    let create = async |url: String| {
        let fields = json!({ "url": url, "events": ["chat"], "active": true });
        site.call(CREATE_WEBHOOK, &fields).await["webhook"].take()
    };
    create(healthy.url("/healthy")).await;
    let mut webhook = create(hook.url("/hook")).await;
    for round in 0..ROUNDS {
        for _ in 0..REQUESTS {
            hook.next().await;
        }
        let delete = round % 2 == 0;
        if delete {
            site.call(DELETE_WEBHOOK, &json!({ "id": id(&webhook) })).await;
        } else {
            site.call(UPDATE_WEBHOOK, &json!({ "id": id(&webhook), "active": false })).await;
        }
        let mut allowed = site.leased().await;
        while let Some(received) = hook.waiting() {
            allowed.insert(delivery(&received));
        }
        while healthy.waiting().is_some() {}
        for _ in 0..REQUESTS {
            healthy.next().await;
        }
        while let Some(received) = hook.waiting() {
            let late = delivery(&received);
            assert!(allowed.contains(&late), "round {round}: {late} was claimed after the answer");
        }
        webhook = if delete {
            create(hook.url("/hook")).await
        } else {
            site.call(UPDATE_WEBHOOK, &json!({ "id": id(&webhook), "active": true })).await["webhook"].take()
        };
    }
    site.stop().await;
}

/// The webhook names a secret and says so in its prefix, or names none and says that; all the while the
/// secret is rotated, and deleted where it can be.
async fn nothing_goes_out_unsigned(kind: Kind) {
    let site = Site::start(kind).await;
    let mut hook = Hook::start().await;
    let make = json!({ "name": "deploys" });
    let mut tokens = vec![site.call(CREATE_SECRET, &make).await["token"].as_str().unwrap().to_owned()];
    let fields = json!({ "url": hook.url("/hook"), "events": ["chat"], "active": true, "secretId": "deploys",
                         "prefix": "signed " });
    let webhook = site.call(CREATE_WEBHOOK, &fields).await["webhook"].take();
    let change = async |secret: &str, prefix: &str| {
        let change = json!({ "id": id(&webhook), "secretId": secret, "prefix": prefix });
        site.gateway.call(&site.alice, UPDATE_WEBHOOK, &change).await
    };
    let mut received = Vec::new();
    for round in 0..CHANGES {
        received.push(hook.next().await);
        match round % 3 {
            0 => {
                let rotated = site.call(ROTATE_SECRET, &make).await;
                tokens.push(rotated["token"].as_str().unwrap().to_owned());
                let delete = json!({ "name": "deploys" });
                site.gateway.call(&site.alice, DELETE_SECRET, &delete).await.error(400, "InvalidRequest");
            }
            1 => {
                change("", "plain ").await.ok();
                received.push(hook.next().await);
                // The secret is named again, or deleted: one of them is refused.
                let delete = json!({ "name": "deploys" });
                let (named, deleted) = tokio::join!(
                    change("deploys", "signed "),
                    site.gateway.call(&site.alice, DELETE_SECRET, &delete)
                );
                assert_ne!(named.status == 200, deleted.status == 200, "{named:?} {deleted:?}");
                if deleted.status == 200 {
                    tokens.push(site.call(CREATE_SECRET, &make).await["token"].as_str().unwrap().to_owned());
                }
            }
            _ => drop(change("deploys", "signed ").await.ok()),
        }
    }
    site.stop().await;
    while let Some(last) = hook.waiting() {
        received.push(last);
    }
    let mut counts = (0, 0);
    for one in received {
        let body = one.json();
        let text = body["data"]["text"].as_str().unwrap();
        let signed = ["webhook-signature", "x-webhook-signature"].map(|name| one.headers.contains_key(name));
        if text.starts_with("plain ") {
            assert_eq!(signed, [false, false]);
            counts.0 += 1;
            continue;
        }
        assert_eq!(signed, [true, true], "sent unsigned: {one:?}");
        let verifies = |token: &String| {
            standardwebhooks::Webhook::new(token).unwrap().verify(&one.body, &one.headers).is_ok()
        };
        assert!(tokens.iter().any(verifies), "signed by nobody: {one:?}");
        counts.1 += 1;
    }
    println!("{} went out unsigned as they should, {} signed", counts.0, counts.1);
    assert!(counts.0 > 0 && counts.1 > 0);
}

async fn nothing_is_sent_while_the_secret_does_not_open(kind: Kind) {
    let stack = Setup::on(kind).core("--allow-http", "true").start().await;
    let mut hook = Hook::start().await;
    let make = json!({ "name": "deploys" });
    stack.call(CREATE_SECRET, &make).await.ok();
    let fields =
        json!({ "url": hook.url("/hook"), "events": ["chat"], "active": true, "secretId": "deploys" });
    stack.call(CREATE_WEBHOOK, &fields).await.ok();
    let connection = stack.database.connect().await;
    let nothing = if kind == Kind::Sqlite { "x'00'" } else { r"'\x00'" };
    connection.execute_unprepared(&format!("UPDATE secret SET sealed_token = {nothing}")).await.unwrap();
    let publisher = Publisher::of(stack.core);
    publisher.chat(&stack.alice.did, "k", "hello").await;
    let waits = "SELECT count(*) FROM delivery WHERE state = 0 AND attempts = 0 AND last_outcome = 'secret' AND \
                 lease IS NULL";
    until_number(&connection, waits, 1).await;
    assert!(hook.waiting().is_none());
    let rotated = stack.call(ROTATE_SECRET, &make).await.ok();
    let received = hook.next().await;
    let token = standardwebhooks::Webhook::new(rotated["token"].as_str().unwrap()).unwrap();
    token.verify(&received.body, &received.headers).unwrap();
    until_number(&connection, "SELECT count(*) FROM delivery WHERE state = 1 AND attempts = 1", 1).await;
}
