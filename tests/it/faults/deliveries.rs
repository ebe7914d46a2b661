//! Deliveries while the core-service is killed again and again, or Postgres restarts or crashes. No answered
//! event is lost; what arrives twice has the same id.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::net::TcpStream;

use super::database::server_and_name;
use crate::harness::database::{Database, Kind, until_number};
use crate::harness::direct::Direct;
use crate::harness::hook::{Hook, Received};
use crate::harness::on_both;
use crate::harness::processes::Setup;
use crate::harness::publisher::{Publisher, chat};

on_both! { killed_again_and_again }

const STREAMER: &str = "did:plc:streamer2222222222222222";
const KILLS: usize = 20;
const WEBHOOKS: usize = 4;
const EVENTS: usize = 2_500;
/// While Postgres restarts.
const EVENTS_OVER_RESTARTS: usize = 500;
/// Events of one publication.
const GROUP: usize = 25;
/// Which moments the kills come at.
const SEED: u64 = 7;

fn core(database: &Database, address: Option<SocketAddr>) -> Setup {
    // Steps enough that no delivery of a process that dies twenty times fails for good.
    let schedule = ["100ms"; 60].join(",");
    let setup = database
        .core_service_for_loopback()
        .flag("--retry-schedule", &schedule)
        .flag("--delivery-timeout", "1s");
    match address {
        Some(address) => setup.at(address),
        None => setup,
    }
}

/// Publishes all events, each group again until it is answered. Returns the ids that were answered.
async fn publish_all(replicas: Vec<SocketAddr>, events: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for group in 0..events / GROUP {
        let events = || (0..GROUP).map(|one| chat(STREAMER, &format!("{group}-{one}"), "hello")).collect();
        let mut turn = group;
        let results = loop {
            turn += 1;
            let publisher = Publisher::of(replicas[turn % replicas.len()]);
            match publisher.publish(events()).await {
                Ok(results) => break results,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        for result in results {
            assert_eq!(result.deliveries as usize, WEBHOOKS);
            ids.push(result.event_id);
        }
    }
    ids
}

async fn killed_again_and_again(kind: Kind) {
    let database = Database::create(kind, false).await;
    let mut hook = Hook::start().await;
    let replicas = if kind == Kind::Postgres { 2 } else { 1 };
    let mut cores = Vec::new();
    for _ in 0..replicas {
        cores.push(core(&database, None).start().await);
    }
    let addresses: Vec<SocketAddr> = cores.iter().map(|core| core.address).collect();
    let direct = Direct::to(addresses[0]).await;
    for one in 0..WEBHOOKS {
        direct.create_active_webhook(STREAMER, &hook.url(&format!("/{one}"))).await.unwrap();
    }
    let publishing = tokio::spawn(publish_all(addresses, EVENTS));

    let mut arrived = Arrived::default();
    let mut random = StdRng::seed_from_u64(SEED);
    let mut until_kill = random.random_range(0..400);
    let mut kills = 0;
    while kills < KILLS || arrived.0.len() < EVENTS * WEBHOOKS {
        if kills < KILLS && until_kill == 0 {
            let one = random.random_range(0..cores.len());
            let killed = cores.remove(one);
            let address = killed.address;
            killed.kill();
            cores.insert(one, core(&database, Some(address)).start().await);
            kills += 1;
            until_kill = random.random_range(0..400);
            if arrived.0.len() == EVENTS * WEBHOOKS {
                continue;
            }
        }
        arrived.note(&hook.next().await);
        until_kill = usize::saturating_sub(until_kill, 1);
    }
    let ids = publishing.await.unwrap();
    let duplicates = arrived.duplicates_of(&ids);
    println!("{} deliveries, {kills} kills, {duplicates} arrived again", ids.len() * WEBHOOKS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_restarts() {
    postgres_comes_back(Database::pause, "restarts").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_crashes() {
    postgres_comes_back(Database::crash, "crashes").await;
}

/// The engines of both replicas go on by themselves when their database comes back.
async fn postgres_comes_back(end: impl Fn(&mut Database), how: &str) {
    let mut database = Database::create(Kind::Postgres, true).await;
    let (server, _name) = server_and_name(&database.url());
    let mut hook = Hook::start().await;
    let cores = [core(&database, None).start().await, core(&database, None).start().await];
    let direct = Direct::to(cores[0].address).await;
    for one in 0..WEBHOOKS {
        direct.create_active_webhook(STREAMER, &hook.url(&format!("/{one}"))).await.unwrap();
    }
    let addresses = cores.each_ref().map(|core| core.address).to_vec();
    let publishing = tokio::spawn(publish_all(addresses, EVENTS_OVER_RESTARTS));
    let deliveries = EVENTS_OVER_RESTARTS * WEBHOOKS;
    let mut arrived = Arrived::default();
    for restart_at in [deliveries / 4, deliveries / 2] {
        while arrived.0.len() < restart_at {
            arrived.note(&hook.next().await);
        }
        end(&mut database);
        while TcpStream::connect(server).await.is_ok() {}
        database.resume();
    }
    while arrived.0.len() < deliveries {
        arrived.note(&hook.next().await);
    }
    let ids = publishing.await.unwrap();
    let duplicates = arrived.duplicates_of(&ids);
    println!("{deliveries} deliveries, two {how} of Postgres, {duplicates} arrived again");
    let connection = database.connect().await;
    until_number(&connection, "SELECT count(*) FROM delivery WHERE state = 1", deliveries).await;
}

/// How often each delivery arrived, and under which ids. A key is the path and the `webhook-id`.
#[derive(Default)]
struct Arrived(HashMap<(String, String), BTreeMap<String, usize>>);

impl Arrived {
    fn note(&mut self, received: &Received) {
        let key = (received.path.clone(), received.header("webhook-id").to_owned());
        *self.0.entry(key).or_default().entry(received.header("idempotency-key").to_owned()).or_default() +=
            1;
    }

    /// Asserts that each of these events arrived at every webhook, as one delivery. Returns how many arrived
    /// again.
    fn duplicates_of(&self, ids: &[String]) -> usize {
        let mut duplicates = 0;
        for id in ids {
            for one in 0..WEBHOOKS {
                let key = (format!("/{one}"), format!("msg_{id}"));
                let deliveries = self.0.get(&key).unwrap_or_else(|| panic!("{key:?} is lost"));
                assert_eq!(deliveries.len(), 1, "{key:?} has several deliveries");
                duplicates += deliveries.values().sum::<usize>() - 1;
            }
        }
        duplicates
    }
}
