//! Receivers that are slow hold up nobody else, and what they send is bounded.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use proto::athook::Outcome;

use crate::harness::database::{Database, Kind, until_number};
use crate::harness::direct::Direct;
use crate::harness::healthy::Healthy;
use crate::harness::on_both;
use crate::harness::processes::Setup;
use crate::harness::publisher::Publisher;
use crate::harness::slow::{Manner, Slow};

on_both! { byte_a_second, many_deliveries_to_one_that_waits, receivers_that_hang, body_without_end }

/// Whose webhooks lead to slow receivers.
const SLOW: &str = "did:plc:slow22222222222222222222";
/// Receivers that send a byte a second.
const DRIPPING: usize = 600;
/// Deliveries to a receiver that waits.
const WAITING: usize = 700;
/// Receivers that never answer.
const HANGING: usize = 1_500;
/// Of 1,024 places, those that webhooks without a success may hold.
const PLACES: usize = 768;
/// What 99 of 100 deliveries to a healthy receiver take at most beside them.
const P99: Duration = Duration::from_secs(1);
/// The memory of the core-service, in MiB.
const MAX_MEMORY: u64 = 200;
/// Deliveries to the healthy receiver meanwhile.
const HEALTHY: usize = 50;
/// Bytes that one answer may send, most of which wait in sockets.
const MAX_ANSWER: usize = 16 << 20;

/// A core-service for many webhooks on loopback.
fn core(database: &Database) -> Setup {
    database.core_service_for_loopback().flag("--max-webhooks", "10000")
}

/// Creates a webhook of [`SLOW`] for each URL.
async fn create(core: SocketAddr, urls: impl Iterator<Item = String>) {
    let direct = Direct::to(core).await;
    let created = stream::iter(urls).map(|url| {
        let direct = direct.clone();
        async move { direct.create_active_webhook(SLOW, &url).await.unwrap() }
    });
    created.buffer_unordered(16).collect::<Vec<()>>().await;
}

/// Publishes an event to all webhooks of [`SLOW`].
async fn publish_to_slow(core: SocketAddr, webhooks: usize) {
    let published = Publisher::of(core).chat(SLOW, "slow", "hello").await;
    assert_eq!((published.outcome(), published.deliveries as usize), (Outcome::Stored, webhooks));
}

async fn byte_a_second(kind: Kind) {
    let database = Database::create(kind, false).await;
    let core = core(&database).start().await;
    let slow = Slow::start(Manner::Drips).await;
    create(core.address, (0..DRIPPING).map(|number| slow.url_of_origin(number))).await;
    let mut healthy = Healthy::start(core.address, &database).await;
    publish_to_slow(core.address, DRIPPING).await;
    slow.arrived(DRIPPING).await;
    healthy.deliver(HEALTHY).await;
    assert_eq!(slow.closed_so_far(), 0, "the healthy receiver did not have to wait for any of the others");
    slow.closed(DRIPPING).await;
    let connection = database.connect().await;
    // Not before `--delivery-timeout`, and little later.
    let timed_out = "SELECT count(*) FROM attempt WHERE outcome = 'timeout' AND status IS NULL AND \
                     number = 1 AND duration_ms BETWEEN 15000 AND 25000 AND next_at_ms >= at_ms + 20000";
    until_number(&connection, timed_out, DRIPPING).await;
    healthy.deliver(1).await;
}

async fn many_deliveries_to_one_that_waits(kind: Kind) {
    let database = Database::create(kind, false).await;
    // It takes longer than the healthy one needs, however slow the machine is.
    let core = core(&database).flag("--delivery-timeout", "60s").start().await;
    let slow = Slow::start(Manner::Waits(204)).await;
    create(core.address, (0..WAITING).map(|number| slow.url(number))).await;
    let mut healthy = Healthy::start(core.address, &database).await;
    publish_to_slow(core.address, WAITING).await;
    // Three quarters of the places of an origin.
    slow.arrived(48).await;
    healthy.deliver(HEALTHY).await;
    assert_eq!((slow.arrived_so_far(), slow.closed_so_far()), (48, 0));
    slow.release();
    let connection = database.connect().await;
    let delivered = "SELECT count(*) FROM delivery WHERE state = 1 AND attempts = 1";
    until_number(&connection, delivered, WAITING + 1 + HEALTHY).await;
    assert_eq!(slow.arrived_so_far(), WAITING);
}

async fn receivers_that_hang(kind: Kind) {
    let database = Database::create(kind, false).await;
    let core = core(&database).start().await;
    let slow = Slow::start(Manner::Waits(204)).await;
    create(core.address, (0..HANGING).map(|number| slow.url_of_origin(number))).await;
    let mut healthy = Healthy::start(core.address, &database).await;
    publish_to_slow(core.address, HANGING).await;
    slow.arrived(PLACES).await;
    let mut times = healthy.deliver(HEALTHY).await;
    assert_eq!((slow.arrived_so_far(), slow.closed_so_far()), (PLACES, 0));
    // Until the attempts time out, and the others have had their turn.
    while slow.arrived_so_far() < HANGING {
        times.extend(healthy.deliver(1).await);
    }
    times.sort_unstable();
    let (p99, memory) = (times[times.len() * 99 / 100], core.peak_memory_mib());
    println!("{} deliveries beside {HANGING} that hang: p99 {p99:?}, {memory} MiB", times.len());
    assert!(p99 < P99, "{p99:?}");
    assert!(memory < MAX_MEMORY, "{memory} MiB");
}

async fn body_without_end(kind: Kind) {
    for (status, outcome, state) in [(200, "ok", 1), (500, "http", 0), (404, "http", 2)] {
        let database = Database::create(kind, false).await;
        let core = core(&database).start().await;
        let slow = Slow::start(Manner::NeverEnds(status)).await;
        create(core.address, std::iter::once(slow.url(0))).await;
        publish_to_slow(core.address, 1).await;
        slow.closed(1).await;
        let sent = slow.bytes_sent();
        assert!(sent < MAX_ANSWER, "{sent} bytes for one delivery");
        let connection = database.connect().await;
        let beginning = "x".repeat(1024);
        let ended = format!(
            "SELECT count(*) FROM attempt JOIN delivery ON id = delivery_id WHERE outcome = '{outcome}' AND \
             status = {status} AND response = '{beginning}' AND duration_ms < 15000 AND state = {state}"
        );
        until_number(&connection, &ended, 1).await;
    }
}
