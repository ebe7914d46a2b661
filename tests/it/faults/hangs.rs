//! A core-service that takes calls and never answers.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};

use super::load::{gateway, unavailable, until_ready};
use crate::harness::database::{Database, Kind};
use crate::harness::gateway::Gateway;
use crate::harness::identity::{Identity, Key};
use crate::harness::processes::Service;
use crate::harness::stack::CREATE_SECRET;

/// `--deadline` here.
const DEADLINE: Duration = Duration::from_secs(1);
/// Calls at once.
const CALLS: usize = 50;
/// More than the deadline, and less than any other limit.
const SOON: Duration = Duration::from_secs(3);

fn alice() -> Identity {
    Identity::new("did:plc:alice2222222222222222222", Key::k256())
}

/// The operating system accepts connections for it; it never answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_that_never_speaks() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = Gateway::before(listener.local_addr().unwrap()).flag("--deadline", "1s").start().await;
    let alice = alice();
    gateway.knows(&alice);
    let answer = timeout(SOON, gateway.call(&alice, CREATE_SECRET, &json!({ "name": "a" }))).await;
    unavailable(&answer.unwrap());
}

/// A core-service that is stopped (SIGSTOP) after it took connections and calls.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn process_that_is_stopped() {
    let database = Database::create(Kind::Sqlite, false).await;
    let core = Service::core_service(&database.url()).start().await;
    let ready = gateway(core.address).await;
    let hasty = Gateway::before(core.address).flag("--deadline", "1s").start().await;
    until_ready(&hasty).await;
    let alice = alice();
    hasty.knows(&alice);
    ready.knows(&alice);
    let create = |name: &str| json!({ "name": name });
    let hung = async |number: usize| {
        let asked = Instant::now();
        let input = create(&format!("n{number}"));
        let answer = timeout(SOON, hasty.call(&alice, CREATE_SECRET, &input)).await;
        answer.unwrap().error(504, "UpstreamTimeout");
        assert!(asked.elapsed() >= DEADLINE);
    };
    hasty.call(&alice, CREATE_SECRET, &create("before")).await.ok();
    core.signal("STOP");
    join_all((0..CALLS).map(hung)).await;
    core.signal("CONT");
    until_ready(&hasty).await;
    ready.call(&alice, CREATE_SECRET, &create("after")).await.ok();
}
