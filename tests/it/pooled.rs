//! Behind a pooler in transaction mode, with `--prepared-statements off`; and few connections without one.

use std::net::SocketAddr;
use std::sync::Arc;

use sea_orm::ConnectionTrait as _;
use serde_json::json;

use crate::faults::database::server_and_name;
use crate::faults::load::gateway;
use crate::faults::sessions::Readiness;
use crate::harness::commands::run;
use crate::harness::database::{Database, Kind};
use crate::harness::identity::{Identity, Key};
use crate::harness::pgbouncer::PgBouncer;
use crate::harness::pooler::Pooler;
use crate::harness::processes::{Service, Setup};
use crate::harness::stack::{CREATE_SECRET, LIST_SECRETS};
use crate::harness::tour::tour;

/// Sessions that PgBouncer has for all clients.
const SESSIONS: u32 = 5;
/// How often it is restarted.
const RESTARTS: usize = 5;

fn core(url: &str) -> Setup {
    Service::core_service(url).flag("--allow-http", "true").flag("--allow-private-ranges", "127.0.0.0/8")
}

fn behind_a_pooler(url: &str) -> Setup {
    core(url).flag("--prepared-statements", "off")
}

async fn pgbouncer(server: SocketAddr, name: &str, sessions: u32) -> (PgBouncer, String) {
    let name = name.to_owned();
    let start = move || {
        let pooler = PgBouncer::start(server, &name, sessions);
        let url = format!("postgres://athook@{}/{name}", pooler.address);
        (pooler, url)
    };
    tokio::task::spawn_blocking(start).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas() {
    let database = Database::create(Kind::Postgres, false).await;
    let (server, name) = server_and_name(&database.url());
    let pooler = Pooler::start(server, &name).await;
    let url = format!("postgres://athook@{}/{name}", pooler.address);
    // Both bring the schema up to date.
    let (one, other) = tokio::join!(behind_a_pooler(&url).start(), behind_a_pooler(&url).start());
    tour(&[one.address, other.address], &database).await;
    one.terminate().await;
    other.terminate().await;
    let export = ["export", "--database-url", &url, "--prepared-statements", "off"];
    let exported = run(&export).await.ok();
    assert!(exported.output.contains("deploys"), "{}", exported.output);
    assert_eq!(pooler.prepared_statements().await, [""; 0]);
}

/// PgBouncer itself, as launchbadge/sqlx#67 and many others met it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pgbouncer_in_transaction_mode() {
    let database = Database::create(Kind::Postgres, false).await;
    let (server, name) = server_and_name(&database.url());
    let (_pooler, url) = pgbouncer(server, &name, SESSIONS).await;
    let (one, other) = tokio::join!(behind_a_pooler(&url).start(), behind_a_pooler(&url).start());
    tour(&[one.address, other.address], &database).await;
    for service in [one, other] {
        let (status, log) = service.terminate().await;
        assert!(status.success() && !log.contains("prepared statement"), "{log}");
    }
    run(&["export", "--database-url", &url, "--prepared-statements", "off"]).await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pgbouncer_restarts() {
    let database = Database::create(Kind::Postgres, false).await;
    let (server, name) = server_and_name(&database.url());
    let (mut pooler, url) = pgbouncer(server, &name, SESSIONS).await;
    let core = behind_a_pooler(&url).flag("--delivery", "off").start().await;
    let gateway = gateway(core.address).await;
    let alice = Arc::new(Identity::new("did:plc:alice2222222222222222222", Key::k256()));
    gateway.knows(&alice);
    let readiness = Readiness::watch(&gateway);
    for round in 0..RESTARTS {
        gateway.call(&alice, CREATE_SECRET, &json!({ "name": format!("before-{round}") })).await.ok();
        pooler.restart();
        gateway.query(&alice, LIST_SECRETS, "").await.ok();
        gateway.call(&alice, CREATE_SECRET, &json!({ "name": format!("after-{round}") })).await.ok();
    }
    readiness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pgbouncer_without_the_flag() {
    let database = Database::create(Kind::Postgres, false).await;
    let (server, name) = server_and_name(&database.url());
    let (_pooler, url) = pgbouncer(server, &name, 1).await;
    // The first leaves its prepared statements in the one session.
    run(&["migrate", "--database-url", &url]).await.ok();
    let ended = run(&["migrate", "--database-url", &url]).await;
    let error = ended.failed(1);
    let what_to_do = "behind a pooler in transaction mode use --prepared-statements off";
    assert!(error.contains("already exists") && error.ends_with(what_to_do), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn few_connections() {
    for (limit, connections) in [(1, "8"), (2, "8"), (3, "3"), (-1, "1")] {
        let database = Database::create(Kind::Postgres, false).await;
        let (server, name) = server_and_name(&database.url());
        let admin = database.connect().await;
        let limit = format!("CREATE ROLE {name} LOGIN CONNECTION LIMIT {limit}");
        for statement in [limit, format!("ALTER DATABASE {name} OWNER TO {name}")] {
            admin.execute_unprepared(&statement).await.unwrap();
        }
        let url = format!("postgres://{name}@{server}/{name}");
        let core = core(&url).flag("--database-connections", connections).start().await;
        tour(&[core.address], &database).await;
        let (status, log) = core.terminate().await;
        assert!(status.success() && !log.contains("unavailable") && !log.contains("53300"), "{log}");
        assert_eq!(log.contains("see CONNECTION LIMIT"), connections == "8", "{log}");
        run(&["export", "--database-url", &url]).await.ok();
        run(&["purge", "--did", "did:plc:alice2222222222222222222", "--database-url", &url]).await.ok();
    }
    let one = ["--database-connections", "1", "--prepared-statements", "off"];
    let ended = run(&[&["migrate", "--database-url", "postgres://h/t"], &one[..]].concat()).await;
    let told = "--database-connections: at least 2 with --prepared-statements off";
    assert!(ended.failed(2).ends_with(told), "{}", ended.log);
}
