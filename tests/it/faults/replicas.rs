//! Two core-services on one database: they start together, and count together.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::load::gateway;
use crate::harness::answer::{Answer, so_many_succeed};
use crate::harness::database::{Database, Kind, assert_counted, number};
use crate::harness::gateway::Gateway;
use crate::harness::hook::Hook;
use crate::harness::identity::{Identity, Key};
use crate::harness::processes::Service;
use crate::harness::publisher::Publisher;
use crate::harness::stack::{
    CREATE_SECRET, CREATE_WEBHOOK, DELETE_SECRET, DELETE_WEBHOOK, ROTATE_SECRET, UPDATE_WEBHOOK,
};

/// Creations that race.
const RACING: usize = 256;
/// Events that one core-service stores and another delivers, one after the other.
const HANDED_OVER: u32 = 10;
/// How often a core-service looks what others have stored, if it hears nothing from them.
const POLL: Duration = Duration::from_secs(1);

/// On SQLite one process serves: `restarts::second_process_on_one_sqlite_file`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_start_on_an_empty_database() {
    let database = Database::create(Kind::Postgres, false).await;
    let url = database.url();
    let start = async || {
        let core = Service::core_service(&url).start().await;
        let gateway = gateway(core.address).await;
        (core, gateway)
    };
    let (one, other) = tokio::join!(start(), start());
    let alice = Identity::new("did:plc:alice2222222222222222222", Key::k256());
    for (_, gateway) in [&one, &other] {
        gateway.knows(&alice);
    }
    // Both use the same index key: a URL stored by one is a duplicate for the other.
    let hook = json!({ "url": "https://hooks.example/a", "events": ["chat"] });
    one.1.call(&alice, CREATE_WEBHOOK, &hook).await.ok();
    other.1.call(&alice, CREATE_WEBHOOK, &hook).await.error(400, "DuplicateWebhook");
}

/// Two pairs on one database, and a caller whom both know.
struct Two {
    database: Database,
    gateways: [Arc<Gateway>; 2],
    alice: Identity,
    _cores: [Service; 2],
}

impl Two {
    async fn start() -> Self {
        let database = Database::create(Kind::Postgres, false).await;
        let (one, other) = tokio::join!(
            Service::core_service(&database.url()).start(),
            Service::core_service(&database.url()).start()
        );
        let gateways = [gateway(one.address).await, gateway(other.address).await];
        let alice = Identity::new("did:plc:alice2222222222222222222", Key::k256());
        for gateway in &gateways {
            gateway.knows(&alice);
        }
        Self { database, gateways, alice, _cores: [one, other] }
    }

    /// Sends all inputs at once, to one pair and the other by turns.
    async fn race(&self, nsid: &str, inputs: impl Iterator<Item = Value>) -> Vec<Answer> {
        let calls = inputs
            .zip(self.gateways.iter().cycle())
            .map(async |(input, gateway)| gateway.call(&self.alice, nsid, &input).await);
        join_all(calls).await
    }

    /// Sends all calls at once, each so many times, to one pair and the other by turns.
    async fn race_all(&self, times: usize, calls: &[(&str, Value)]) -> Vec<Answer> {
        let calls = std::iter::repeat_n(calls, times).flatten();
        let calls = calls
            .zip(self.gateways.iter().cycle())
            .map(async |((nsid, input), gateway)| gateway.call(&self.alice, nsid, input).await);
        join_all(calls).await
    }

    async fn rows(&self, table: &str) -> usize {
        let connection = self.database.connect().await;
        assert_counted(&connection).await;
        number(&connection, &format!("SELECT count(*) FROM {table}")).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exactly_the_limit_of_secrets() {
    let two = Two::start().await;
    let answers = two.race(CREATE_SECRET, (0..RACING).map(|number| json!({ "name": format!("n{number}") })));
    so_many_succeed(&answers.await, 100, "InvalidRequest");
    assert_eq!(two.rows("secret").await, 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exactly_the_limit_of_webhooks() {
    let two = Two::start().await;
    let input = |number| json!({ "url": format!("https://hooks.example/{number}"), "events": ["chat"] });
    // First up to one below the limit: then the race is for the last one.
    so_many_succeed(&two.race(CREATE_WEBHOOK, (0..49).map(input)).await, 49, "");
    so_many_succeed(&two.race(CREATE_WEBHOOK, (49..49 + RACING).map(input)).await, 1, "TooManyWebhooks");
    assert_eq!(two.rows("webhook").await, 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn same_url_makes_one_webhook() {
    let two = Two::start().await;
    let input = json!({ "url": "https://hooks.example/a", "events": ["chat"] });
    let answers = two.race(CREATE_WEBHOOK, std::iter::repeat_n(input, RACING)).await;
    so_many_succeed(&answers, 1, "DuplicateWebhook");
    assert_eq!(two.rows("webhook").await, 1);
}

/// Every call that changes something makes the account row of an owner who has nothing, and its end removes
/// the row again, while the other core-service is about to lock it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_come_and_go() {
    let two = Two::start().await;
    let id = "01979f2e-7a3b-7c4d-8e5f-60718293a4b5";
    let hook = "https://hooks.example/a";
    let calls = [
        (CREATE_SECRET, json!({ "name": "a" })),
        (DELETE_SECRET, json!({ "name": "a" })),
        (ROTATE_SECRET, json!({ "name": "none" })),
        (CREATE_WEBHOOK, json!({ "url": hook, "events": ["chat"], "secretId": "none" })),
        (UPDATE_WEBHOOK, json!({ "id": id, "name": "x" })),
        (DELETE_SECRET, json!({ "name": "a" })),
        (DELETE_WEBHOOK, json!({ "id": id })),
    ];
    for answer in two.race_all(40, &calls).await {
        assert!([200, 400].contains(&answer.status.as_u16()), "{answer:?}");
    }
    for gateway in &two.gateways {
        gateway.call(&two.alice, DELETE_SECRET, &json!({ "name": "a" })).await;
    }
    let connection = two.database.connect().await;
    assert_eq!(number(&connection, "SELECT count(*) FROM secret").await, 0);
    assert_eq!(number(&connection, "SELECT count(*) FROM account").await, 0);
}

/// Each event is published just after a claim: a core-service that hears nothing takes a second for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delivered_at_once_by_another() {
    let database = Database::create(Kind::Postgres, false).await;
    let core = |delivery| {
        Service::core_service(&database.url())
            .flag("--allow-http", "true")
            .flag("--allow-private-ranges", "127.0.0.0/8")
            .flag("--delivery", delivery)
    };
    let (serving, _delivering) = tokio::join!(core("off").start(), core("only").start());
    let gateway = gateway(serving.address).await;
    let alice = Identity::new("did:plc:alice2222222222222222222", Key::k256());
    gateway.knows(&alice);
    let mut hook = Hook::start().await;
    let input = json!({ "url": hook.url("/hook"), "events": ["chat"], "active": true });
    gateway.call(&alice, CREATE_WEBHOOK, &input).await.ok();
    let publisher = Publisher::of(serving.address);
    publisher.chat(&alice.did, "first", "hello").await;
    hook.next().await;
    let begun = Instant::now();
    for number in 0..HANDED_OVER {
        publisher.chat(&alice.did, &number.to_string(), "hello").await;
        hook.next().await;
    }
    let took = begun.elapsed();
    assert!(took < POLL * HANDED_OVER / 2, "{HANDED_OVER} events took {took:?}");
}
