//! Behind a pooler in transaction mode, with `--prepared-statements off`.

use serde_json::json;

use crate::faults::database::server_and_name;
use crate::faults::load::gateway;
use crate::harness::commands::run;
use crate::harness::database::{Database, Kind, until_number};
use crate::harness::hook::Hook;
use crate::harness::identity::{Identity, Key};
use crate::harness::pooler::Pooler;
use crate::harness::processes::Service;
use crate::harness::publisher::{Publisher, chat};
use crate::harness::stack::{
    CREATE_SECRET, CREATE_WEBHOOK, DELETE_WEBHOOK, LIST_SECRETS, LIST_WEBHOOKS, ROTATE_SECRET,
};
use crate::harness::webhook::id;

/// Events at once, and how often.
const EVENTS: usize = 20;
const PUBLICATIONS: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas() {
    let database = Database::create(Kind::Postgres, false).await;
    let (server, name) = server_and_name(&database.url());
    let pooler = Pooler::start(server, &name).await;
    let url = format!("postgres://athook@{}/{name}", pooler.address);
    let core = || {
        let core = Service::core_service(&url).flag("--prepared-statements", "off");
        core.flag("--allow-http", "true").flag("--allow-private-ranges", "127.0.0.0/8")
    };
    // Both bring the schema up to date.
    let (one, other) = tokio::join!(core().start(), core().start());
    let gateway = gateway(one.address).await;
    let alice = Identity::new("did:plc:alice2222222222222222222", Key::k256());
    gateway.knows(&alice);
    let call = async |nsid, input| gateway.call(&alice, nsid, &input).await.ok();
    let mut hook = Hook::start().await;
    call(CREATE_SECRET, json!({ "name": "deploys" })).await;
    let fields =
        json!({ "url": hook.url("/hook"), "events": ["chat"], "active": true, "secretId": "deploys" });
    let webhook = call(CREATE_WEBHOOK, fields).await["webhook"].take();
    for publication in 0..PUBLICATIONS {
        let publisher = Publisher::of(if publication % 2 == 0 { one.address } else { other.address });
        let event = |event| chat(&alice.did, &format!("{publication}-{event}"), "hello");
        publisher.publish((0..EVENTS).map(event).collect()).await.unwrap();
        call(ROTATE_SECRET, json!({ "name": "deploys" })).await;
    }
    for _ in 0..EVENTS * PUBLICATIONS {
        assert!(hook.next().await.headers.contains_key("webhook-signature"));
    }
    let connection = database.connect().await;
    let delivered = "SELECT count(*) FROM delivery WHERE state = 1";
    until_number(&connection, delivered, EVENTS * PUBLICATIONS).await;
    for nsid in [LIST_SECRETS, LIST_WEBHOOKS] {
        gateway.query(&alice, nsid, "").await.ok();
    }
    call(DELETE_WEBHOOK, json!({ "id": id(&webhook) })).await;
    one.terminate().await;
    other.terminate().await;
    let export = ["export", "--database-url", &url, "--prepared-statements", "off"];
    let exported = run(&export).await.ok();
    assert!(exported.output.contains("deploys"), "{}", exported.output);
    assert_eq!(pooler.prepared_statements().await, [""; 0]);
}
