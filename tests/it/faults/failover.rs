//! A standby of Postgres takes over: the primary dies under load, or becomes read-only while sessions stay
//! open. The address is the same before and after, as that of a service or a proxy is.

use std::net::SocketAddr;

use sea_orm::{ConnectionTrait as _, Database as Connect, DatabaseConnection};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::database::server_and_name;
use super::load::{Load, core_service, gateway, unavailable, until_ready, until_unready};
use crate::harness::database::{Database, Kind, number, until_number};
use crate::harness::identity::{Identity, Key};
use crate::harness::postgres::Server;
use crate::harness::stack::{CREATE_SECRET, LIST_SECRETS};

/// Writes before and after.
const WRITES: usize = 150;

/// An address that leads to one server, then to another. Connections that are open stay where they are.
struct Front {
    address: SocketAddr,
    target: watch::Sender<SocketAddr>,
    serving: tokio::task::JoinHandle<()>,
}

impl Front {
    async fn of(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (target, leads_to) = watch::channel(server);
        let serving = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let target = *leads_to.borrow();
                tokio::spawn(async move {
                    // The server may be gone.
                    let Ok(mut server) = TcpStream::connect(target).await else { return };
                    drop(tokio::io::copy_bidirectional(&mut client, &mut server).await);
                });
            }
        });
        Self { address, target, serving }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A primary with a database, its standby, and an address that leads to the primary.
struct Pair {
    primary: Database,
    standby: Server,
    name: String,
    front: Front,
}

impl Pair {
    /// If `synchronous`, a commit is at the standby when it is acknowledged.
    async fn start(synchronous: bool) -> Self {
        let primary = Database::create(Kind::Postgres, true).await;
        let (address, name) = server_and_name(&primary.url());
        let (standby, primary) = tokio::task::spawn_blocking(move || {
            let Database::Postgres { own: Some(server), .. } = &primary else { panic!("just created") };
            (server.standby(), primary)
        })
        .await
        .unwrap();
        if synchronous {
            let admin = admin(address).await;
            set(&admin, "synchronous_standby_names = '*'").await;
            let streams = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
            until_number(&admin, streams, 1).await;
        }
        Self { primary, standby, name, front: Front::of(address).await }
    }

    fn url(&self) -> String {
        format!("postgres://athook@{}/{}", self.front.address, self.name)
    }

    /// Makes the standby the primary, and leads the address to it. Returns the database there, and the
    /// rest, to be kept.
    async fn promote(self) -> (Database, (Front, Database)) {
        let Self { primary, standby, name, front } = self;
        let admin = admin(standby.address()).await;
        admin.execute_unprepared("SELECT pg_promote()").await.unwrap();
        front.target.send_replace(standby.address());
        (Database::Postgres { name, own: Some(standby) }, (front, primary))
    }
}

async fn admin(server: SocketAddr) -> DatabaseConnection {
    Connect::connect(format!("postgres://athook@{server}/postgres")).await.unwrap()
}

async fn set(admin: &DatabaseConnection, setting: &str) {
    admin.execute_unprepared(&format!("ALTER SYSTEM SET {setting}")).await.unwrap();
    admin.execute_unprepared("SELECT pg_reload_conf()").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn primary_crashes() {
    let mut pair = Pair::start(true).await;
    let core = core_service(&pair.url()).start().await;
    let gateway = gateway(core.address).await;
    let mut load = Load::start(&gateway);
    load.acknowledged(WRITES).await;
    pair.primary.crash();
    load.failed(1).await;
    let (database, _kept) = pair.promote().await;
    load.acknowledged(WRITES).await;
    until_ready(&gateway).await;
    load.stop().await.is_all_there(&database).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn primary_becomes_read_only() {
    let pair = Pair::start(false).await;
    let (primary, name) = server_and_name(&pair.primary.url());
    let mut core = core_service(&pair.url()).start().await;
    let gateway = gateway(core.address).await;
    let alice = Identity::new("did:plc:alice2222222222222222222", Key::k256());
    gateway.knows(&alice);
    let create = async |name: &str| gateway.call(&alice, CREATE_SECRET, &json!({ "name": name })).await;
    create("before").await.ok();

    // Everything leads to a server that is read-only: no write succeeds, reads do.
    let admin = admin(primary).await;
    set(&admin, "default_transaction_read_only = on").await;
    until_number(&admin, "SELECT (current_setting('default_transaction_read_only') = 'on')::integer", 1)
        .await;
    unavailable(&create("nowhere").await);
    gateway.query(&alice, LIST_SECRETS, "").await.ok();
    until_unready(&gateway).await;
    core.logged("cannot execute").await;

    // Sessions stay open at the old primary. It has written nothing since, so that the standby has it all.
    let written = "SELECT (pg_current_wal_lsn() <= coalesce((SELECT replay_lsn FROM pg_stat_replication), '0/0'))::integer";
    until_number(&admin, written, 1).await;
    let (database, _kept) = pair.promote().await;
    until_ready(&gateway).await;
    create("after").await.ok();
    let promoted = database.connect().await;
    assert_eq!(number(&promoted, "SELECT count(*) FROM secret").await, 2, "{name}");

    // None of its sessions is used any more, neither to write nor to read.
    for caller in 0..8 {
        create(&format!("more-{caller}")).await.ok();
    }
    assert_eq!(gateway.query(&alice, LIST_SECRETS, "").await.ok()["secrets"].as_array().unwrap().len(), 10);
}

/// The same where the standby has taken over by the time of the first write: no call fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn primary_is_read_only_once_the_standby_has_taken_over() {
    let pair = Pair::start(false).await;
    let (primary, name) = server_and_name(&pair.primary.url());
    let core = core_service(&pair.url()).flag("--delivery", "off").start().await;
    let gateway = gateway(core.address).await;
    let alice = Identity::new("did:plc:alice2222222222222222222", Key::k256());
    gateway.knows(&alice);
    let create = async |name: &str| gateway.call(&alice, CREATE_SECRET, &json!({ "name": name })).await;
    create("before").await.ok();
    let sessions = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'");
    let admin = admin(primary).await;
    assert!(number(&admin, &sessions).await >= 2, "sessions are open");
    let written = "SELECT (pg_current_wal_lsn() <= coalesce((SELECT replay_lsn FROM pg_stat_replication), '0/0'))::integer";
    until_number(&admin, written, 1).await;
    set(&admin, "default_transaction_read_only = on").await;
    let (_database, _kept) = pair.promote().await;
    for number in 0..6 {
        create(&format!("after-{number}")).await.ok();
    }
    assert_eq!(gateway.query(&alice, LIST_SECRETS, "").await.ok()["secrets"].as_array().unwrap().len(), 7);
    until_number(&admin, &sessions, 0).await;
}

/// Until it has its name again, it is not there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn database_is_renamed() {
    let database = Database::create(Kind::Postgres, false).await;
    let (server, name) = server_and_name(&database.url());
    let mut core = core_service(&database.url()).start().await;
    let gateway = gateway(core.address).await;
    let alice = Identity::new("did:plc:alice2222222222222222222", Key::k256());
    gateway.knows(&alice);
    let create = async |name: &str| gateway.call(&alice, CREATE_SECRET, &json!({ "name": name })).await;
    create("before").await.ok();
    let admin = admin(server).await;
    let rename = async |from: &str, to: &str| {
        for statement in [
            format!("ALTER DATABASE {from} ALLOW_CONNECTIONS false"),
            format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{from}'"),
        ] {
            admin.execute_unprepared(&statement).await.unwrap();
        }
        until_number(&admin, &format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{from}'"), 0)
            .await;
        for statement in [
            format!("ALTER DATABASE {from} RENAME TO {to}"),
            format!("ALTER DATABASE {to} ALLOW_CONNECTIONS true"),
        ] {
            admin.execute_unprepared(&statement).await.unwrap();
        }
    };
    let other = format!("{name}_other");
    rename(&name, &other).await;
    unavailable(&create("nowhere").await);
    until_unready(&gateway).await;
    core.logged("the server has no such database (SQLSTATE 3D000)").await;
    rename(&other, &name).await;
    until_ready(&gateway).await;
    create("after").await.ok();
}
