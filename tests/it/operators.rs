//! `athook.v1.OperatorService`: the largest backlogs, and pauses of webhooks and origins.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::response::IntoResponse as _;
use http::StatusCode;
use proto::athook::operator_service_client::OperatorServiceClient;
use proto::athook::{
    Backlog, ListBacklogsRequest, PauseOriginRequest, PauseWebhookRequest, ResumeOriginRequest,
    ResumeWebhookRequest, UpdateWebhookRequest,
};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use crate::harness::database::{Database, Kind, number, rows, until_number};
use crate::harness::direct::Direct;
use crate::harness::hook::{Hook, Received};
use crate::harness::on_both;
use crate::harness::processes::Service;
use crate::harness::publisher::Publisher;

const ALICE: &str = "did:plc:alice2222222222222222222";
const BOB: &str = "did:plc:bob222222222222222222222";
/// Pauses beside publications, of the webhook and of its origin by turns.
const ROUNDS: usize = 8;
/// Deliveries to somebody else during each pause.
const OTHERS: usize = 10;

on_both! { nothing_is_claimed_after_the_answer, origin_stays_paused, backlogs }

type Client = OperatorServiceClient<Channel>;

async fn client(core: SocketAddr) -> Client {
    let endpoint = Endpoint::from_shared(format!("http://{core}")).unwrap();
    OperatorServiceClient::new(endpoint.connect().await.unwrap())
}

async fn list(client: &mut Client, limit: Option<u32>) -> Result<Vec<Backlog>, Status> {
    Ok(client.list_backlogs(ListBacklogsRequest { limit }).await?.into_inner().backlogs)
}

async fn pause_origin(client: &mut Client, hook: &Hook, paused: bool) -> u64 {
    let origin = hook.url("");
    if paused {
        return client.pause_origin(PauseOriginRequest { origin }).await.unwrap().into_inner().webhooks;
    }
    client.resume_origin(ResumeOriginRequest { origin }).await.unwrap().into_inner().webhooks
}

/// One core-service on SQLite and two on Postgres.
async fn cores(database: &Database, kind: Kind) -> Vec<Service> {
    let mut cores = Vec::new();
    for _ in 0..if kind == Kind::Postgres { 2 } else { 1 } {
        let core = database.core_service_for_loopback().flag("--disable-after", "1000000");
        cores.push(core.flag("--retry-schedule", &["20ms"; 60].join(",")).start().await);
    }
    cores
}

/// Publishes events for alice one after the other. Returns how many.
async fn publish(core: SocketAddr, publisher: usize, stop: Arc<AtomicBool>) -> usize {
    let mut published = 0;
    while !stop.load(Ordering::SeqCst) {
        Publisher::of(core).chat(ALICE, &format!("{publisher}-{published}"), "hello").await;
        published += 1;
    }
    published
}

fn delivery(received: &Received) -> String {
    received.header("idempotency-key").to_owned()
}

async fn nothing_is_claimed_after_the_answer(kind: Kind) {
    let database = Database::create(kind, false).await;
    let connection = database.connect().await;
    let cores = cores(&database, kind).await;
    let direct = Direct::to(cores[0].address).await;
    let mut operator = client(cores.last().unwrap().address).await;
    // Every other request fails, so that first attempts and retries are under way.
    let mut hook = Hook::answering(|number, _| match number % 2 {
        0 => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        _ => StatusCode::NO_CONTENT.into_response(),
    })
    .await;
    let mut other = Hook::start().await;
    direct.create_active_webhook(ALICE, &hook.url("/hook")).await.unwrap();
    let webhook_id = direct.webhooks(ALICE).await.remove(0);
    direct.create_active_webhook(ALICE, &other.url("/other")).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let publishing: Vec<_> = cores
        .iter()
        .enumerate()
        .map(|(number, core)| tokio::spawn(publish(core.address, number, Arc::clone(&stop))))
        .collect();
    for round in 0..ROUNDS {
        for _ in 0..OTHERS {
            hook.next().await;
        }
        let of_origin = round % 2 == 0;
        if of_origin {
            assert_eq!(pause_origin(&mut operator, &hook, true).await, 1);
        } else {
            operator.pause_webhook(PauseWebhookRequest { webhook_id: webhook_id.clone() }).await.unwrap();
        }
        // What is leased now may be attempted, and what was attempted has come.
        let leased = rows(&connection, "SELECT id FROM delivery WHERE lease IS NOT NULL").await;
        let leased = leased.iter().map(|row| row.try_get::<uuid::Uuid>("", "id").unwrap().to_string());
        let mut allowed: BTreeSet<String> = leased.collect();
        while let Some(received) = hook.waiting() {
            allowed.insert(delivery(&received));
        }
        while other.waiting().is_some() {}
        for _ in 0..OTHERS {
            other.next().await;
        }
        while let Some(received) = hook.waiting() {
            let late = delivery(&received);
            assert!(allowed.contains(&late), "round {round}: {late} was claimed after the answer");
        }
        let listed = list(&mut operator, None).await.unwrap();
        let paused = listed.iter().find(|backlog| backlog.webhook_id == webhook_id).unwrap();
        assert_eq!((paused.origin_paused, paused.paused), (of_origin, !of_origin));
        assert!(paused.pending > 0);
        if of_origin {
            pause_origin(&mut operator, &hook, false).await;
        } else {
            operator.resume_webhook(ResumeWebhookRequest { webhook_id: webhook_id.clone() }).await.unwrap();
        }
    }
    stop.store(true, Ordering::SeqCst);
    let mut published = 0;
    for publishing in publishing {
        published += publishing.await.unwrap();
    }
    // Nothing is lost.
    let delivered = "SELECT count(*) FROM delivery WHERE state = 1";
    until_number(&connection, delivered, 2 * published).await;
    assert_eq!(number(&connection, "SELECT count(*) FROM webhook_state WHERE pending <> 0").await, 0);
}

/// From before its first webhook, over a restart, and for a webhook that moves there or away.
async fn origin_stays_paused(kind: Kind) {
    let database = Database::create(kind, false).await;
    let connection = database.connect().await;
    let setup = || database.core_service_for_loopback().flag("--max-pending", "2");
    let core = setup().start().await;
    let (mut paused, mut other) = (Hook::start().await, Hook::start().await);
    assert_eq!(pause_origin(&mut client(core.address).await, &paused, true).await, 0);
    let direct = Direct::to(core.address).await;
    direct.create_active_webhook(ALICE, &paused.url("/a")).await.unwrap();
    direct.create_active_webhook(BOB, &other.url("/b")).await.unwrap();
    let publisher = Publisher::of(core.address);
    let mut deliveries = Vec::new();
    for key in ["1", "2", "3"] {
        deliveries.push(publisher.chat(ALICE, key, "hello").await.deliveries);
    }
    assert_eq!(deliveries, [1, 1, 0], "they count for --max-pending");
    assert!(core.terminate().await.0.success());

    let core = setup().start().await;
    let direct = Direct::to(core.address).await;
    let publisher = Publisher::of(core.address);
    publisher.chat(BOB, "b1", "hello").await;
    other.next().await;
    until_number(&connection, "SELECT count(*) FROM delivery WHERE state = 1", 1).await;
    // Bob's moves to the paused origin, alice's away from it.
    let change = |did: &str, id: &str, url: String| UpdateWebhookRequest {
        caller_did: did.to_owned(),
        id: id.to_owned(),
        url: Some(url),
        given: Some(prost_types::FieldMask { paths: vec!["url".to_owned()] }),
        ..Default::default()
    };
    let bobs = direct.webhooks(BOB).await.remove(0);
    direct.update_webhook(change(BOB, &bobs, paused.url("/b"))).await;
    publisher.chat(BOB, "b2", "hello").await;
    assert_eq!(
        number(&connection, "SELECT count(*) FROM delivery WHERE state = 0 AND lease IS NULL").await,
        3
    );
    let alices = direct.webhooks(ALICE).await.remove(0);
    direct.update_webhook(change(ALICE, &alices, other.url("/a"))).await;
    for _ in 0..2 {
        assert_eq!(other.next().await.path, "/a");
    }
    assert!(paused.waiting().is_none());
    assert_eq!(pause_origin(&mut client(core.address).await, &paused, false).await, 1);
    assert_eq!(paused.next().await.path, "/b");
    until_number(&connection, "SELECT count(*) FROM delivery WHERE state = 1 AND attempts = 1", 4).await;
    assert!(paused.waiting().is_none() && other.waiting().is_none());
}

async fn backlogs(kind: Kind) {
    let database = Database::create(kind, false).await;
    let connection = database.connect().await;
    let core = database.core_service_for_loopback().flag("--retry-schedule", "1h,1h").start().await;
    let direct = Direct::to(core.address).await;
    let busy = Hook::answering(|_, _| StatusCode::SERVICE_UNAVAILABLE.into_response()).await;
    let limited =
        Hook::answering(|_, _| (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "7200")]).into_response())
            .await;
    let fine = Hook::start().await;
    for (did, url) in [(ALICE, busy.url("/")), (ALICE, fine.url("/")), (BOB, limited.url("/"))] {
        direct.create_active_webhook(did, &url).await.unwrap();
    }
    let publisher = Publisher::of(core.address);
    for (did, key) in [(ALICE, "1"), (ALICE, "2"), (BOB, "3"), (BOB, "4"), (BOB, "5")] {
        publisher.chat(did, key, "hello").await;
    }
    // Of bob's one or two are attempted, and hold the others.
    let of_alice = "SELECT count(*) FROM attempt JOIN delivery d ON d.id = delivery_id JOIN webhook w \
                    ON w.id = webhook_id WHERE owner_did =";
    until_number(&connection, &format!("{of_alice} '{ALICE}'"), 4).await;
    until_number(&connection, "SELECT count(*) FROM webhook_state WHERE held_until_ms IS NOT NULL", 1).await;
    until_number(&connection, "SELECT count(*) FROM delivery WHERE lease IS NOT NULL", 0).await;
    let mut operator = client(core.address).await;
    let listed = list(&mut operator, None).await.unwrap();
    let seen: Vec<_> = listed
        .iter()
        .map(|one| {
            (one.owner_did.as_str(), one.pending, one.last_outcome.as_deref(), one.held_until.is_some())
        })
        .collect();
    assert_eq!(seen, [(BOB, 3, Some("http"), true), (ALICE, 2, Some("http"), false)]);
    let now = process::clock::Clock::system().unix_ms() / 1000;
    let due = |backlog: &Backlog| backlog.oldest_due_at.unwrap().seconds - now;
    assert!(due(&listed[0]) < 10, "the second waits since it was published");
    assert!((3000..5000).contains(&due(&listed[1])), "{}", due(&listed[1]));
    assert!((7000..7300).contains(&(listed[0].held_until.unwrap().seconds - now)));
    assert_eq!(listed[0].webhook_id, direct.webhooks(BOB).await[0]);
    assert!(listed.iter().all(|one| !one.paused && !one.origin_paused && one.error_count == 0));
    assert_eq!(list(&mut operator, Some(1)).await.unwrap(), listed[..1]);
    for limit in [0, 101] {
        let refused = list(&mut operator, Some(limit)).await.unwrap_err();
        let message = "limit: must be 1 to 100";
        assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, message));
    }
}

#[tokio::test]
async fn what_is_refused() {
    let database = Database::create(Kind::Sqlite, false).await;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let core = database
        .core_service_for_loopback()
        .flag("--core-token-file", &file("shared", "a-shared-token-of-the-tests\n"))
        .flag("--publisher-tokens-file", &file("own", "chat-server publisher-token-of-tests\n"))
        .start()
        .await;
    let mut operator = client(core.address).await;
    let with = |token: &str| {
        let mut request = Request::new(ListBacklogsRequest { limit: None });
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        request
    };
    let refused = operator.list_backlogs(with("publisher-token-of-tests")).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    operator.list_backlogs(with("a-shared-token-of-the-tests")).await.unwrap();

    let open = Database::create(Kind::Sqlite, false).await;
    let core = open.core_service_for_loopback().start().await;
    let mut operator = client(core.address).await;
    for webhook_id in ["", "nothing", "01234567-89ab-7def-8123-456789abcdef"] {
        let request = PauseWebhookRequest { webhook_id: webhook_id.to_owned() };
        assert_eq!(operator.pause_webhook(request).await.unwrap_err().code(), Code::NotFound);
        let request = ResumeWebhookRequest { webhook_id: webhook_id.to_owned() };
        assert_eq!(operator.resume_webhook(request).await.unwrap_err().code(), Code::NotFound);
    }
    let message = "origin: must be an origin such as https://hooks.example.com: http or https, a host, perhaps a port, no path";
    for origin in ["", "hooks.example.com", "https://hooks.example.com/path"] {
        let request = PauseOriginRequest { origin: origin.to_owned() };
        let refused = operator.pause_origin(request).await.unwrap_err();
        assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, message));
        let request = ResumeOriginRequest { origin: origin.to_owned() };
        assert_eq!(operator.resume_origin(request).await.unwrap_err().code(), Code::InvalidArgument);
    }
}
