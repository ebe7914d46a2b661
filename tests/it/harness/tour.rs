//! One of everything that core-services do with a database: calls, publications to each, deliveries, a pause
//! and a purge.

use std::net::SocketAddr;

use proto::athook::operator_service_client::OperatorServiceClient;
use proto::athook::{PauseOriginRequest, ResumeOriginRequest};
use serde_json::json;
use tonic::transport::Endpoint;

use crate::faults::load::gateway;
use crate::harness::database::{Database, until_number};
use crate::harness::direct::Direct;
use crate::harness::hook::Hook;
use crate::harness::identity::{Identity, Key};
use crate::harness::publisher::{Publisher, chat};
use crate::harness::stack::{
    CREATE_SECRET, CREATE_WEBHOOK, DELETE_WEBHOOK, LIST_SECRETS, LIST_WEBHOOKS, ROTATE_SECRET, UPDATE_WEBHOOK,
};
use crate::harness::webhook::id;

/// Events at once, and how often.
const EVENTS: usize = 20;
const PUBLICATIONS: usize = 10;

/// Makes the tour at the core-services of `database` at `cores`. They deliver to loopback.
pub(crate) async fn tour(cores: &[SocketAddr], database: &Database) {
    let gateway = gateway(cores[0]).await;
    let alice = Identity::new("did:plc:alice2222222222222222222", Key::k256());
    gateway.knows(&alice);
    let call = async |nsid, input| gateway.call(&alice, nsid, &input).await.ok();
    let mut hook = Hook::start().await;
    call(CREATE_SECRET, json!({ "name": "deploys" })).await;
    let fields =
        json!({ "url": hook.url("/hook"), "events": ["chat"], "active": true, "secretId": "deploys" });
    let webhook = call(CREATE_WEBHOOK, fields).await["webhook"].take();
    for (publication, core) in (0..PUBLICATIONS).zip(cores.iter().cycle()) {
        let event = |event| chat(&alice.did, &format!("{publication}-{event}"), "hello");
        Publisher::of(*core).publish((0..EVENTS).map(event).collect()).await.unwrap();
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
    let endpoint = Endpoint::from_shared(format!("http://{}", cores[0])).unwrap();
    let mut operator = OperatorServiceClient::new(endpoint.connect().await.unwrap());
    let origin = hook.url("");
    let paused = operator.pause_origin(PauseOriginRequest { origin: origin.clone() }).await.unwrap();
    assert_eq!(paused.into_inner().webhooks, 1);
    operator.resume_origin(ResumeOriginRequest { origin }).await.unwrap();
    call(UPDATE_WEBHOOK, json!({ "id": id(&webhook), "name": "renamed" })).await;
    call(DELETE_WEBHOOK, json!({ "id": id(&webhook) })).await;
    let purged = Direct::to(cores[0]).await.purge(&alice.did).await.unwrap();
    assert_eq!((purged.secrets, purged.webhooks), (1, 0));
    until_number(&connection, "SELECT count(*) FROM event", 0).await;
    call(CREATE_SECRET, json!({ "name": "deploys" })).await;
}
