//! The intake while the processes that read the network are killed, stopped and moved to other hosts.
//! Everything that was wanted is delivered, each event as one delivery with one id.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use fakes::jetstream::{Item, Jetstream, Wire};
use fakes::network::{Network, tid};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use sea_orm::ConnectionTrait as _;
use serde_json::json;

use crate::harness::database::{Database, Kind, number, rows, until_number};
use crate::harness::direct::Direct;
use crate::harness::hook::{Hook, Received};
use crate::harness::intake::{CAROL, CHAT, FOLLOW, LIMIT, POST, WH, datetime, post_mentioning};
use crate::harness::on_both;
use crate::harness::processes::{Service, Setup};

on_both! { killed_again_and_again }

const STREAMER: &str = "did:plc:streamer2222222222222222";
const NOBODY: &str = "did:plc:nobody222222222222222222";
const KILLS: usize = 20;
/// Events that come before each kill.
const PART: usize = 1_000;
/// Which of them somebody wants: one of so many.
const WANTED: usize = 25;
/// When a process that serves is killed, at the latest.
const LATEST_KILL_MS: u64 = 700;
/// How often a process is stopped while it reads.
const STOPS: usize = 4;
/// Which moments the kills come at.
const SEED: u64 = 7;
const READS: &str = "reading the network";
const LOST: &str = "another process reads the network";

/// Two hosts on which the same happens, with other numbers and clocks, and who wants some of it.
struct World {
    database: Database,
    hosts: [Jetstream; 2],
    network: Network,
    hook: Hook,
    pushed: usize,
    /// Path and record of each delivery that must come.
    expected: BTreeSet<(String, String)>,
    arrived: Arrived,
}

/// How often each delivery arrived, and under which ids.
#[derive(Default)]
struct Arrived(HashMap<(String, String), BTreeMap<(String, String), usize>>);

impl World {
    async fn new(kind: Kind, own_server: bool) -> Self {
        let network = Network::start().await;
        network.add_account(STREAMER, "streamer.example");
        Self {
            database: Database::create(kind, own_server).await,
            hosts: [Jetstream::start().await, Jetstream::numbered(9_000_000, 3_000_000).await],
            network,
            hook: Hook::start().await,
            pushed: 0,
            expected: BTreeSet::new(),
            arrived: Arrived::default(),
        }
    }

    /// A core-service that reads this wire of this host.
    fn core(&self, host: usize, wire: Wire) -> Setup {
        // Steps enough that no delivery of a process that dies twenty times fails for good.
        let schedule = ["100ms"; 60].join(",");
        self.database
            .core_service_for_loopback()
            .flag("--retry-schedule", &schedule)
            .flag("--delivery-timeout", "1s")
            .flag("--intake", "on")
            .flag("--jetstream", &self.hosts[host].url(wire))
            .flag("--plc-url", &self.network.url())
    }

    /// A webhook for chats and mentions, and a wh record for Carol's chat messages. Returns when both are
    /// read for.
    async fn ask(&mut self, core: &Service) {
        let direct = Direct::to(core.address).await;
        let url = self.hook.url("/hook");
        direct.create_active_webhook_for(STREAMER, &url, &["chat", "mention"]).await.unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
        let wh = json!({
            "$type": WH, "scope": {"aturi": format!("at://{CAROL}/{CHAT}")}, "url": self.hook.url("/record"),
            "createdAt": datetime(self.hosts[0].now_us()),
        });
        self.push(&[Item::create(STREAMER, WH, "mine", &wh.to_string())]);
        let connection = self.database.connect().await;
        let active = "SELECT count(*) FROM record_webhook WHERE state = 'active'";
        until_number(&connection, active, 1).await;
    }

    fn push(&self, items: &[Item]) {
        for host in &self.hosts {
            host.push(items.to_owned());
        }
    }

    /// So many events, of which somebody wants a few.
    fn push_part(&mut self, events: usize) {
        let now = datetime(self.hosts[0].now_us());
        let chat = |streamer: &str| {
            json!({"$type": CHAT, "text": "hello", "streamer": streamer, "createdAt": now}).to_string()
        };
        let mut items = Vec::new();
        for number in self.pushed..self.pushed + events {
            let rkey = tid(u64::try_from(number).unwrap() + (1 << 40));
            items.push(match number % (2 * WANTED) {
                0 => {
                    let uri = format!("at://{CAROL}/{CHAT}/{rkey}");
                    self.expected.extend(["/hook", "/record"].map(|path| (path.to_owned(), uri.clone())));
                    Item::create(CAROL, CHAT, &rkey, &chat(STREAMER))
                }
                WANTED => {
                    self.expected.insert(("/hook".to_owned(), format!("at://{CAROL}/{POST}/{rkey}")));
                    Item::create(CAROL, POST, &rkey, &post_mentioning(&[NOBODY, STREAMER]))
                }
                other => match other % 4 {
                    0 => Item::create(NOBODY, POST, &rkey, &post_mentioning(&[CAROL])),
                    1 => Item::create(NOBODY, CHAT, &rkey, &chat(CAROL)),
                    2 => Item::create(NOBODY, FOLLOW, &rkey, &json!({"subject": CAROL}).to_string()),
                    _ => Item::identity(NOBODY),
                },
            });
        }
        self.pushed += events;
        self.push(&items);
    }

    /// Waits for all that must come, and asserts that nothing else came or was made.
    async fn assert_all_arrived(&mut self) -> usize {
        while self.arrived.0.len() < self.expected.len() {
            self.arrived.note(&self.hook.next().await);
        }
        // Until the last outcome is stored, some may come again.
        let connection = self.database.connect().await;
        until_number(&connection, "SELECT count(*) FROM delivery WHERE state <> 1", 0).await;
        while let Some(received) = self.hook.waiting() {
            self.arrived.note(&received);
        }
        let arrived: BTreeSet<_> = self.arrived.0.keys().cloned().collect();
        assert_eq!(arrived, self.expected);
        for (key, ids) in &self.arrived.0 {
            assert_eq!(ids.len(), 1, "{key:?} has several ids: {ids:?}");
        }
        assert_eq!(number(&connection, "SELECT count(*) FROM delivery").await, self.expected.len());
        let events = number(&connection, "SELECT count(*) FROM event").await;
        assert_eq!(events, self.expected.len(), "an event for each, and no other");
        self.arrived.0.values().flat_map(BTreeMap::values).sum::<usize>() - self.expected.len()
    }

    /// Ends the lease, as time does.
    async fn end_lease(&self) {
        let connection = self.database.connect().await;
        connection.execute_unprepared("UPDATE intake SET until_ms = 0").await.unwrap();
    }

    /// The host that was read last.
    async fn stored_host(&self) -> String {
        let connection = self.database.connect().await;
        rows(&connection, "SELECT host FROM intake").await.remove(0).try_get("", "host").unwrap()
    }
}

impl Arrived {
    fn note(&mut self, received: &Received) {
        let body = received.json();
        let record = match received.path.as_str() {
            "/hook" => body["data"]["uri"].as_str().unwrap().to_owned(),
            _ => {
                let part = |name: &str| body[name].as_str().unwrap().to_owned();
                format!("at://{}/{}/{}", part("did"), part("collection"), part("rkey"))
            }
        };
        let ids = ["webhook-id", "idempotency-key"].map(|name| received.header(name).to_owned());
        let times = self.0.entry((received.path.clone(), record)).or_default().entry(ids.into());
        *times.or_default() += 1;
    }
}

async fn killed_again_and_again(kind: Kind) {
    let mut world = World::new(kind, false).await;
    let replicas = if kind == Kind::Postgres { 2 } else { 1 };
    let mut cores = Vec::new();
    for _ in 0..replicas {
        cores.push(world.core(0, Wire::V2).start().await);
    }
    world.ask(&cores[0]).await;
    let mut random = StdRng::seed_from_u64(SEED);
    for kill in 0..KILLS {
        world.push_part(PART);
        tokio::time::sleep(Duration::from_millis(random.random_range(0..LATEST_KILL_MS))).await;
        let killed = if kind == Kind::Postgres && kill == 0 {
            cores.iter().position(|core| core.log().contains(READS)).unwrap()
        } else {
            random.random_range(0..cores.len())
        };
        // Each process reads another wire or host than the one before it.
        let setup = world.core(kill / 2 % 2, [Wire::V2, Wire::V1][kill % 2]);
        cores.remove(killed).kill();
        if kind == Kind::Postgres && kill == 0 {
            // The other replica has the lease once it has ended by itself.
            cores[0].logged(READS).await;
        } else if kind == Kind::Postgres {
            world.end_lease().await;
        }
        cores.insert(killed, setup.start().await);
        if kind == Kind::Postgres && kill % 5 == 4 {
            // One that ends in order gives the lease back.
            let (ended, log) = cores.remove(killed).terminate().await;
            assert!(ended.success(), "{log}");
            cores.insert(killed, world.core(kill % 2, Wire::V2).start().await);
        }
    }
    let again = world.assert_all_arrived().await;
    println!("{} events, {} deliveries, {again} arrived again", world.pushed, world.expected.len());
}

/// Whoever is stopped for longer than its lease lasts still thinks that it reads when it goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_think_they_read() {
    let mut world = World::new(Kind::Postgres, false).await;
    let mut first = world.core(0, Wire::V2).start().await;
    first.logged(READS).await;
    world.ask(&first).await;
    let second = world.core(1, Wire::V1).start().await;
    let mut pair = [(first, 0), (second, 1)];
    for _ in 0..STOPS {
        let [(reader, _), (other, _)] = &mut pair;
        let reads = other.log().matches(READS).count() + 1;
        let losses = reader.log().matches(LOST).count() + 1;
        world.push_part(2 * PART);
        // It has begun to write what was pushed, and goes on.
        world.arrived.note(&world.hook.next().await);
        reader.signal("STOP");
        world.end_lease().await;
        other.logged_times(reads, &[READS]).await;
        world.push_part(PART);
        until_read(&world, &pair[1]).await;
        pair[0].0.signal("CONT");
        let of_the_other = world.stored_host().await;
        let until_it_knows = async {
            while pair[0].0.log().matches(LOST).count() < losses {
                assert_eq!(world.stored_host().await, of_the_other, "only the holder writes");
            }
        };
        tokio::time::timeout(LIMIT, until_it_knows).await.expect("it finds out");
        pair.reverse();
    }
    world.assert_all_arrived().await;
}

/// What is read meanwhile waits, and the place in the stream with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_stops_while_the_network_is_read() {
    let mut world = World::new(Kind::Postgres, true).await;
    let core = world.core(0, Wire::V2).start().await;
    world.ask(&core).await;
    for _ in 0..2 {
        world.push_part(PART);
        world.arrived.note(&world.hook.next().await);
        world.database.pause();
        world.push_part(PART);
        // Longer than the pauses between tries of what the database refuses.
        tokio::time::sleep(Duration::from_secs(6)).await;
        world.database.resume();
    }
    world.assert_all_arrived().await;
    let connection = world.database.connect().await;
    assert_eq!(
        number(&connection, "SELECT count(*) FROM intake_unreadable").await,
        0,
        "nothing is set aside"
    );
}

/// Waits until the one that reads has stored its place on its host.
async fn until_read(world: &World, (_, host): &(Service, usize)) {
    let wire = [Wire::V2, Wire::V1][*host];
    let url = world.hosts[*host].url(wire);
    let connection = world.database.connect().await;
    let sql = format!("SELECT count(*) FROM intake WHERE host = '{url}'");
    until_number(&connection, &sql, 1).await;
}
