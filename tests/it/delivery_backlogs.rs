//! Very many deliveries of one webhook cost others nothing, and their end is answered at once.

use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait as _, DatabaseConnection};
use serde_json::{Value, json};

use crate::faults::load::{gateway, until_ready};
use crate::harness::database::{Database, Kind, number};
use crate::harness::direct::Direct;
use crate::harness::healthy::Healthy;
use crate::harness::identity::{Identity, Key};
use crate::harness::on_both;
use crate::harness::processes::{Service, Setup};
use crate::harness::publisher::Publisher;
use crate::harness::slow::{Manner, Slow};
use crate::harness::stack::{CREATE_WEBHOOK, DELETE_WEBHOOK, UPDATE_WEBHOOK};
use crate::harness::webhook::id;

on_both! { due_at_one_that_hangs, switched_off, deleted }

const HANGING: &str = "did:plc:hanging22222222222222222";
/// Deliveries that are due at the webhook that hangs.
const DUE: usize = 100_000;
/// Deliveries that wait when their webhook is switched off or deleted.
const WAITING: usize = 1_000_000;
/// How long the answer to that may take.
const AT_ONCE: Duration = Duration::from_secs(1);
/// How long the first step may take to be seen.
const LIMIT: Duration = Duration::from_secs(30);
/// Deliveries whose cost is measured.
const MEASURED: usize = 200;
/// How much more a delivery may cost with a backlog of somebody else.
const MORE: f64 = 1.3;

fn core(database: &Database) -> Setup {
    database.core_service_for_loopback().flag("--max-pending", "10000000").flag("--delivery-timeout", "300s")
}

/// Gives the only webhook that had a delivery so many more that are due. No core-service may run meanwhile.
async fn add_due(connection: &DatabaseConnection, kind: Kind, rows: usize) {
    let (row_id, numbers) = match kind {
        Kind::Sqlite => {
            let numbers =
                format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})");
            ("CAST(printf('%016d', i) AS BLOB)", numbers)
        }
        Kind::Postgres => {
            ("lpad(i::text, 32, '0')::uuid", format!("WITH n AS (SELECT generate_series(1, {rows}) AS i)"))
        }
    };
    let insert = format!(
        "{numbers} INSERT INTO delivery \
         (id, event_id, webhook_id, generation, state, next_at_ms, retried, attempts, created_at_ms) \
         SELECT {row_id}, event_id, webhook_id, generation, 0, created_at_ms, false, 0, created_at_ms \
         FROM delivery, n"
    );
    connection.execute_unprepared(&insert).await.unwrap();
    let state = format!("UPDATE webhook_state SET pending = pending + {rows}, due_at_ms = 1");
    connection.execute_unprepared(&state).await.unwrap();
}

/// A core-service with a webhook that hangs while deliveries of it are due, and a healthy one.
struct Site {
    core: Service,
    slow: Slow,
    healthy: Healthy,
    _database: Database,
}

impl Site {
    async fn start(kind: Kind, due: usize) -> Self {
        let database = Database::create(kind, false).await;
        let slow = Slow::start(Manner::Waits(204)).await;
        let first = core(&database).start().await;
        Direct::to(first.address).await.create_active_webhook(HANGING, &slow.url(0)).await.unwrap();
        Publisher::of(first.address).chat(HANGING, "k", "hello").await;
        slow.arrived(1).await;
        first.kill();
        add_due(&database.connect().await, kind, due).await;
        let core = core(&database).start().await;
        slow.arrived(2).await;
        let healthy = Healthy::start(core.address, &database).await;
        Self { core, slow, healthy, _database: database }
    }
}

/// Two alike but for the backlog are measured by turns, so that both meet the same noise of the machine.
async fn due_at_one_that_hangs(kind: Kind) {
    let mut sites = [Site::start(kind, 1).await, Site::start(kind, DUE).await];
    let mut times = [Vec::new(), Vec::new()];
    let before = sites.each_ref().map(|site| site.core.processor_time());
    for _ in 0..MEASURED {
        for (site, times) in sites.iter_mut().zip(&mut times) {
            times.extend(site.healthy.deliver(1).await);
        }
    }
    let after = sites.each_ref().map(|site| site.core.processor_time());
    let [alone, beside] = times.map(|mut times| {
        times.sort_unstable();
        times[MEASURED / 2]
    });
    let [used_alone, used_beside] = [after[0] - before[0], after[1] - before[1]];
    println!(
        "{MEASURED} deliveries: median {alone:?} and processor {used_alone:?} alone, {beside:?} and {used_beside:?} \
         beside {DUE} that are due"
    );
    assert!(beside.as_secs_f64() <= MORE * alone.as_secs_f64(), "{alone:?} and {beside:?}");
    assert!(
        used_beside.as_secs_f64() <= MORE * used_alone.as_secs_f64(),
        "{used_alone:?} and {used_beside:?}"
    );
    for site in sites {
        assert_eq!(site.slow.arrived_so_far(), 2, "a receiver that hangs gets one request at a time");
    }
}

async fn switched_off(kind: Kind) {
    ended(kind, UPDATE_WEBHOOK, |webhook| json!({ "id": id(webhook), "active": false })).await;
}

async fn deleted(kind: Kind) {
    ended(kind, DELETE_WEBHOOK, |webhook| json!({ "id": id(webhook) })).await;
}

/// Calls a procedure that ends very many deliveries.
async fn ended(kind: Kind, nsid: &str, input: impl Fn(&Value) -> Value) {
    let database = Database::create(kind, false).await;
    let connection = database.connect().await;
    let alice = Identity::new(HANGING, Key::k256());
    let slow = Slow::start(Manner::Waits(204)).await;
    let first = core(&database).start().await;
    let gateway = gateway(first.address).await;
    gateway.knows(&alice);
    let fields = json!({ "url": slow.url(0), "events": ["chat"], "active": true });
    let webhook = gateway.call(&alice, CREATE_WEBHOOK, &fields).await.ok()["webhook"].take();
    Publisher::of(first.address).chat(HANGING, "k", "hello").await;
    slow.arrived(1).await;
    let address = first.address;
    first.kill();
    let begun = Instant::now();
    add_due(&connection, kind, WAITING).await;
    println!("{WAITING} rows in {:?}", begun.elapsed());
    let core = core(&database).at(address).start().await;
    slow.arrived(2).await;
    let mut healthy = Healthy::start(core.address, &database).await;

    until_ready(&gateway).await;
    let asked = Instant::now();
    gateway.call(&alice, nsid, &input(&webhook)).await.ok();
    let took = asked.elapsed();
    println!("answered after {took:?}");
    assert!(took < AT_ONCE, "{took:?}");

    // Their rows say so in steps, and others are delivered meanwhile.
    let waiting = "SELECT count(*) FROM delivery WHERE next_at_ms IS NOT NULL";
    let before = number(&connection, waiting).await;
    let begun = Instant::now();
    let mut after = before;
    while after >= before {
        assert!(begun.elapsed() < LIMIT, "{before} waited, {after} wait");
        healthy.deliver(10).await;
        after = number(&connection, waiting).await;
    }
    println!("{before} waited, {after} wait");
    assert!(after > 0, "all in one step");
    let cancelled =
        "SELECT count(*) FROM delivery WHERE state = 2 AND last_outcome = 'cancelled' AND lease IS NULL";
    assert!(number(&connection, cancelled).await > 0);
    assert_eq!(slow.arrived_so_far(), 2);
}
