//! Postgres ends sessions while nobody uses them. No call fails for it, and readiness stays on.

use std::sync::Arc;

use sea_orm::{ConnectionTrait as _, Database as Connect, DatabaseConnection};
use serde_json::json;
use tokio::task::JoinSet;

use super::database::server_and_name;
use super::load::{Load, core_service, gateway};
use crate::harness::database::{Database, Kind, number, until_number};
use crate::harness::gateway::Gateway;
use crate::harness::identity::{Identity, Key};
use crate::harness::publisher::Publisher;
use crate::harness::stack::{CREATE_SECRET, LIST_SECRETS, read};

/// How often the sessions are ended.
const ROUNDS: usize = 15;
/// Writes between two ends, under load.
const WRITES: usize = 30;
/// Writes at once, and reads: more than there are connections for.
const AT_ONCE: usize = 10;

/// Asks `/readyz` until it is stopped, and wants it to be ready each time.
pub(crate) struct Readiness(tokio::task::JoinHandle<()>);

impl Readiness {
    /// Begins to ask.
    pub(crate) fn watch(gateway: &Gateway) -> Self {
        let url = format!("http://{}/readyz", gateway.address);
        Self(tokio::spawn(async move {
            let client = reqwest::Client::new();
            loop {
                assert_eq!(read(client.get(&url)).await.status, 200, "/readyz blinks");
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        }))
    }

    /// It was ready each time.
    pub(crate) async fn stop(self) {
        self.0.abort();
        let ended = self.0.await.unwrap_err();
        assert!(ended.is_cancelled(), "{ended}");
    }
}

/// Calls that all need a session at the same time; each must succeed.
async fn at_once(gateway: &Arc<Gateway>, caller: &Arc<Identity>, round: usize) {
    let mut calls = JoinSet::new();
    for call in 0..AT_ONCE {
        let (gateway, caller) = (Arc::clone(gateway), Arc::clone(caller));
        calls.spawn(async move {
            gateway.query(&caller, LIST_SECRETS, "").await.ok();
            let name = json!({ "name": format!("n{round}-{call}") });
            gateway.call(&caller, CREATE_SECRET, &name).await.ok();
        });
    }
    while let Some(ended) = calls.join_next().await {
        ended.unwrap();
    }
}

fn sessions(name: &str) -> String {
    format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'")
}

/// Ends all sessions of the database, and returns when they are gone.
async fn end_all(admin: &DatabaseConnection, name: &str) {
    let ids = format!("SELECT array_agg(pid)::text AS pids FROM pg_stat_activity WHERE datname = '{name}'");
    let pids: Option<String> =
        crate::harness::database::rows(admin, &ids).await[0].try_get("", "pids").unwrap();
    let Some(pids) = pids else { return };
    let end = format!("SELECT pg_terminate_backend(pid) FROM unnest('{pids}'::integer[]) pid");
    admin.execute_unprepared(&end).await.unwrap();
    let left = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = ANY('{pids}'::integer[])");
    until_number(admin, &left, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ended_by_an_administrator() {
    let database = Database::create(Kind::Postgres, false).await;
    let (server, name) = server_and_name(&database.url());
    let admin = Connect::connect(format!("postgres://athook@{server}/postgres")).await.unwrap();
    let core = core_service(&database.url()).start().await;
    let gateway = gateway(core.address).await;
    let alice = Arc::new(Identity::new("did:plc:alice2222222222222222222", Key::k256()));
    gateway.knows(&alice);
    let readiness = Readiness::watch(&gateway);
    for round in 0..ROUNDS {
        at_once(&gateway, &alice, round).await;
        assert!(number(&admin, &sessions(&name)).await > 4, "there is something to end");
        end_all(&admin, &name).await;
        // The first to find out is now a read, now a write of a caller, now a publication.
        match round % 3 {
            0 => drop(gateway.query(&alice, LIST_SECRETS, "").await.ok()),
            1 => drop(
                gateway.call(&alice, CREATE_SECRET, &json!({ "name": format!("first-{round}") })).await.ok(),
            ),
            _ => drop(Publisher::of(core.address).chat(&alice.did, &format!("{round}"), "hello").await),
        }
    }
    readiness.stop().await;
    let (status, log) = core.terminate().await;
    assert!(status.success() && !log.contains("the service is unavailable"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ended_for_idling() {
    let database = Database::create(Kind::Postgres, false).await;
    let (server, name) = server_and_name(&database.url());
    let admin = Connect::connect(format!("postgres://athook@{server}/postgres")).await.unwrap();
    admin
        .execute_unprepared(&format!("ALTER DATABASE {name} SET idle_session_timeout = '400ms'"))
        .await
        .unwrap();
    // Without deliveries, nothing but the health check uses sessions in between.
    let core = core_service(&database.url()).flag("--delivery", "off").start().await;
    let gateway = gateway(core.address).await;
    let alice = Arc::new(Identity::new("did:plc:alice2222222222222222222", Key::k256()));
    gateway.knows(&alice);
    let readiness = Readiness::watch(&gateway);
    for round in 0..ROUNDS / 2 {
        at_once(&gateway, &alice, round).await;
        until_number(&admin, &sessions(&name), 0).await;
        gateway.call(&alice, CREATE_SECRET, &json!({ "name": format!("first-{round}") })).await.ok();
    }
    readiness.stop().await;
}

/// Under load, sessions are ended wherever they are in a transaction.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ended_in_the_middle() {
    let database = Database::create(Kind::Postgres, false).await;
    let (server, name) = server_and_name(&database.url());
    let admin = Connect::connect(format!("postgres://athook@{server}/postgres")).await.unwrap();
    let core = core_service(&database.url()).start().await;
    let gateway = gateway(core.address).await;
    let readiness = Readiness::watch(&gateway);
    let mut load = Load::start(&gateway);
    for _ in 0..ROUNDS {
        load.acknowledged(WRITES).await;
        end_all(&admin, &name).await;
    }
    load.acknowledged(WRITES).await;
    readiness.stop().await;
    let done = load.stop().await;
    assert_eq!(done.failures(), 0);
    done.is_all_there(&database).await;
}
