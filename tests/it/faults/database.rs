//! The database goes away under load and comes back: stopped, read-only, or behind a network that drops
//! everything.

use std::net::SocketAddr;

use sea_orm::{ConnectionTrait as _, Database as Connect};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::load::{Load, core_service, gateway, unavailable, until_ready, until_unready};
use crate::harness::database::{Database, Kind};
use crate::harness::identity::{Identity, Key};
use crate::harness::stack::CREATE_SECRET;

/// Writes before and after.
const WRITES: usize = 150;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_stops_and_starts() {
    let mut database = Database::create(Kind::Postgres, true).await;
    let core = core_service(&database.url()).start().await;
    let gateway = gateway(core.address).await;
    let mut load = Load::start(&gateway);
    load.acknowledged(WRITES).await;
    database.pause();
    load.failed(20).await;
    database.resume();
    load.acknowledged(WRITES).await;
    until_ready(&gateway).await;
    load.stop().await.is_all_there(&database).await;
}

/// What a failover looks like while the address still leads to the old server, which is a standby now.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_turns_read_only() {
    let database = Database::create(Kind::Postgres, false).await;
    let mut core = core_service(&database.url()).start().await;
    let gateway = gateway(core.address).await;
    let alice = Identity::new("did:plc:alice2222222222222222222", Key::k256());
    gateway.knows(&alice);
    let mut load = Load::start(&gateway);
    load.acknowledged(WRITES).await;
    let (server, name) = server_and_name(&database.url());
    let admin = Connect::connect(format!("postgres://athook@{server}/postgres")).await.unwrap();
    let set = async |change: &str| {
        admin.execute_unprepared(&format!("ALTER DATABASE {name} {change}")).await.unwrap();
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname =";
        admin.execute_unprepared(&format!("{end} '{name}'")).await.unwrap();
    };
    set("SET default_transaction_read_only = on").await;
    load.failed(100).await;
    // The client has a fixed text; the log has the cause, at most once a second, with the ids of requests.
    unavailable(&gateway.call(&alice, CREATE_SECRET, &json!({ "name": "a" })).await);
    let lines = core.logged_times(1, &["the service is unavailable", "read-only transaction"]).await;
    assert!(lines.iter().all(|line| line.contains("\"requests\":\"[")), "{lines:?}");
    until_unready(&gateway).await;
    set("RESET default_transaction_read_only").await;
    load.acknowledged(WRITES).await;
    until_ready(&gateway).await;
    load.stop().await.is_all_there(&database).await;
}

/// Connections stay open, but nothing arrives: only timeouts notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_goes_silent() {
    let database = Database::create(Kind::Postgres, false).await;
    let (server, name) = server_and_name(&database.url());
    let relay = Relay::start(server).await;
    let url = format!("postgres://athook@{}/{name}", relay.address);
    let core = core_service(&url).start().await;
    let gateway = gateway(core.address).await;
    let mut load = Load::start(&gateway);
    load.acknowledged(WRITES).await;
    relay.silent.send_replace(true);
    load.failed(1).await;
    relay.silent.send_replace(false);
    load.acknowledged(WRITES).await;
    until_ready(&gateway).await;
    load.stop().await.is_all_there(&database).await;
}

/// Of `postgres://athook@ADDRESS/NAME`.
pub(crate) fn server_and_name(url: &str) -> (SocketAddr, String) {
    let (server, name) = url.strip_prefix("postgres://athook@").unwrap().split_once('/').unwrap();
    (server.parse().unwrap(), name.to_owned())
}

/// A TCP relay. While it is silent nothing goes through, and connections that were open then stay open and
/// dead.
struct Relay {
    address: SocketAddr,
    silent: watch::Sender<bool>,
    serving: tokio::task::JoinHandle<()>,
}

impl Relay {
    async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (silent, seen) = watch::channel(false);
        let serving = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut seen = seen.clone();
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(server).await.unwrap();
                    let silent = async { drop(seen.wait_for(|silent| *silent).await) };
                    let ended = tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => true,
                        () = silent => false,
                    };
                    if !ended {
                        std::future::pending::<()>().await;
                    }
                });
            }
        });
        Self { address, silent, serving }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
