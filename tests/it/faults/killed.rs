//! The core-service is killed and starts again.

use super::load::{Load, core_service, gateway, unavailable, until_ready};
use crate::harness::database::{Database, Kind};
use crate::harness::gateway::Gateway;
use crate::harness::identity::{Identity, Key};
use crate::harness::on_both;
use crate::harness::processes::Service;
use crate::harness::stack::CREATE_SECRET;

/// How often it dies.
const DEATHS: usize = 3;
/// Writes between one death and the next.
const WRITES: usize = 150;

on_both! { acknowledged_writes_outlive_the_process }

async fn acknowledged_writes_outlive_the_process(kind: Kind) {
    let database = Database::create(kind, false).await;
    let mut core = core_service(&database.url()).start().await;
    let gateway = gateway(core.address).await;
    let mut load = Load::start(&gateway);
    for _ in 0..DEATHS {
        load.acknowledged(WRITES).await;
        let address = core.address;
        core.kill();
        core = core_service(&database.url()).at(address).start().await;
    }
    load.acknowledged(WRITES).await;
    load.stop().await.is_all_there(&database).await;
}

#[tokio::test]
async fn gateway_is_first() {
    let database = Database::create(Kind::Sqlite, false).await;
    // A port that was just free, for a core-service that starts later.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gateway = Gateway::before(address).start().await;
    let alice = Identity::new("did:plc:alice2222222222222222222", Key::k256());
    gateway.knows(&alice);
    unavailable(&gateway.call(&alice, CREATE_SECRET, &serde_json::json!({ "name": "early" })).await);
    let _core = Service::core_service(&database.url()).at(address).start().await;
    until_ready(&gateway).await;
    gateway.call(&alice, CREATE_SECRET, &serde_json::json!({ "name": "late" })).await.ok();
}
