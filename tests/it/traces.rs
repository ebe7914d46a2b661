//! Traces: from a client's `traceparent` over both services to the database, and what is in the spans.

mod deliveries;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::future::join_all;
use http::HeaderMap;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::harness::answer::Answer;
use crate::harness::collector::{Collector, Sent, hex};
use crate::harness::database::{Database, Kind};
use crate::harness::gateway::Gateway;
use crate::harness::identity::{Identity, Key};
use crate::harness::logs;
use crate::harness::on_both;
use crate::harness::processes::Service;
use crate::harness::rpc_stub::RpcStub;
use crate::harness::stack::{
    CREATE_SECRET, CREATE_WEBHOOK, DELETE_SECRET, LIST_SECRETS, ROTATE_SECRET, SERVICE, Setup, Stack, read,
};

const GATEWAY: &str = "athook-gateway";
const CORE: &str = "athook-core-service";
const SPAN: &str = "b7ad6b7169203331";

/// The id of a trace of the tests.
fn trace(number: u8) -> String {
    format!("0af7651916cd43dd8448eb211c8031{number:02x}")
}

fn traceparent(trace: &str, sampled: bool) -> String {
    format!("00-{trace}-{SPAN}-0{}", u8::from(sampled))
}

/// A pair whose spans go to the collector.
async fn start(kind: Kind, collector: &Collector, sample: &str) -> Stack {
    let url = collector.url();
    let setup = Setup::on(kind).core("--otlp-endpoint", &url).gateway("--otlp-endpoint", &url);
    setup.core("--otlp-sample", sample).gateway("--otlp-sample", sample).start().await
}

async fn call(stack: &Stack, traceparent: &str, nsid: &str, input: &Value) -> Answer {
    let request = stack.post(nsid).bearer_auth(stack.alice.token(SERVICE, nsid)).json(input);
    stack.send(request.header("traceparent", traceparent)).await
}

/// Asserts that `child` belongs directly to `parent`.
fn below(child: &Sent, parent: &Sent) {
    assert_eq!(child.span.trace_id, parent.span.trace_id);
    assert_eq!(child.span.parent_span_id, parent.span.span_id, "{child:?} {parent:?}");
    assert!(child.span.start_time_unix_nano >= parent.span.start_time_unix_nano);
}

on_both! {
    spans_of_a_request_nest_in_its_trace, every_way_into_the_database_is_traced,
    batches_are_linked_to_all_their_rows
}

async fn spans_of_a_request_nest_in_its_trace(kind: Kind) {
    let collector = Collector::start().await;
    let stack = start(kind, &collector, "0").await;
    let trace = trace(1);
    let answer = call(&stack, &traceparent(&trace, true), CREATE_SECRET, &json!({ "name": "a" })).await;
    answer.ok();
    let rpc = "athook.v1.SecretService/CreateSecret";
    let request = collector.span(GATEWAY, CREATE_SECRET, &trace).await;
    let authenticate = collector.span(GATEWAY, "authenticate", &trace).await;
    let call = collector.span(GATEWAY, rpc, &trace).await;
    let served = collector.span(CORE, rpc, &trace).await;
    let row = collector.span(CORE, "write row", &trace).await;
    let batch = collector.span(CORE, "database batch", &trace).await;
    assert_eq!(hex(&request.span.parent_span_id), SPAN);
    below(&authenticate, &request);
    below(&call, &request);
    below(&served, &call);
    below(&row, &served);
    below(&batch, &row);
    let links: Vec<_> = batch.span.links.iter().map(|link| link.span_id.clone()).collect();
    assert_eq!(links, std::slice::from_ref(&row.span.span_id));

    assert_eq!(request.attribute("http.response.status_code").as_deref(), Some("200"));
    let request_id = answer.headers["x-request-id"].to_str().unwrap();
    assert_eq!(request.attribute("athook.request_id").as_deref(), Some(request_id));
    assert_eq!(logs::access_lines(request_id)[0]["trace_id"], trace);
    for rpc in [&call, &served] {
        assert_eq!(rpc.attribute("rpc.grpc.status_code").as_deref(), Some("0"));
    }
    let system = if kind == Kind::Sqlite { "sqlite" } else { "postgresql" };
    assert_eq!(batch.attribute("db.system.name").as_deref(), Some(system));
}

async fn every_way_into_the_database_is_traced(kind: Kind) {
    let collector = Collector::start().await;
    let stack = start(kind, &collector, "0").await;
    stack.create_secret("a").await.ok();
    for (number, nsid, rpc) in [
        (1, ROTATE_SECRET, "athook.v1.SecretService/RotateSecret"),
        (2, DELETE_SECRET, "athook.v1.SecretService/DeleteSecret"),
    ] {
        call(&stack, &traceparent(&trace(number), true), nsid, &json!({ "name": "a" })).await;
        let served = collector.span(CORE, rpc, &trace(number)).await;
        let row = collector.span(CORE, "write row", &trace(number)).await;
        below(&row, &served);
        below(&collector.span(CORE, "database change", &trace(number)).await, &row);
    }
    let list = stack.request(http::Method::GET, &format!("/xrpc/{LIST_SECRETS}"));
    let list = list.bearer_auth(stack.alice.token(SERVICE, LIST_SECRETS));
    stack.send(list.header("traceparent", traceparent(&trace(3), true))).await.ok();
    let served = collector.span(CORE, "athook.v1.SecretService/ListSecrets", &trace(3)).await;
    below(&collector.span(CORE, "database read", &trace(3)).await, &served);
    let input = json!({ "url": "https://127.0.0.1:65534/", "events": ["chat"] });
    call(&stack, &traceparent(&trace(4), true), CREATE_WEBHOOK, &input).await.error(400, "InvalidUrl");
    let served = collector.span(CORE, "athook.v1.WebhookService/CreateWebhook", &trace(4)).await;
    below(&collector.span(CORE, "probe", &trace(4)).await, &served);
    let request = collector.span(GATEWAY, CREATE_WEBHOOK, &trace(4)).await;
    assert_eq!(request.attribute("error.type").as_deref(), Some("InvalidUrl"));
}

async fn batches_are_linked_to_all_their_rows(kind: Kind) {
    const ROWS: u8 = 20;
    let collector = Collector::start().await;
    let stack = start(kind, &collector, "0").await;
    let headers: Vec<_> = (1..=ROWS).map(|number| traceparent(&trace(number), true)).collect();
    let inputs: Vec<_> = (1..=ROWS).map(|number| json!({ "name": format!("s{number}") })).collect();
    let calls = headers.iter().zip(&inputs).map(|(header, input)| call(&stack, header, CREATE_SECRET, input));
    for answer in join_all(calls).await {
        answer.ok();
    }
    let linked = |spans: &[Sent]| {
        let named = |name: &'static str| spans.iter().filter(move |sent| sent.span.name == name);
        let rows: BTreeSet<_> = named("write row").map(|sent| sent.span.span_id.clone()).collect();
        let links: Vec<_> = named("database batch")
            .flat_map(|sent| &sent.span.links)
            .map(|link| link.span_id.clone())
            .collect();
        (links.len() == usize::from(ROWS)).then_some((rows, links))
    };
    let (rows, links) = collector.until(linked).await;
    assert_eq!(links.into_iter().collect::<BTreeSet<_>>(), rows);
}

#[tokio::test]
async fn spans_hold_nothing_of_the_client() {
    const ODD: &str = "oddity";
    let collector = Collector::start().await;
    let stack = start(Kind::Sqlite, &collector, "1").await;
    let made = stack.create_secret(ODD).await.ok()["token"].as_str().unwrap().to_owned();
    stack.create_secret(ODD).await.error(400, "AlreadyExists");
    let url = format!("https://{ODD}.invalid/{ODD}");
    stack.call(CREATE_WEBHOOK, &json!({ "url": url, "events": ["chat"] })).await.error(400, "InvalidUrl");
    for path in [format!("/{ODD}"), format!("/xrpc/{ODD}"), format!("/xrpc/com.example.{ODD}?{ODD}={ODD}")] {
        let request = stack.request(http::Method::GET, &path);
        stack.send(request.header("tracestate", format!("{ODD}={ODD}")).header("baggage", ODD)).await;
    }
    stack.get("/readyz").await;
    let enough = |spans: &[Sent]| {
        let of = |service: &str| spans.iter().filter(|sent| sent.service == service).count();
        (of(GATEWAY) >= 12 && of(CORE) >= 8).then(|| spans.to_vec())
    };
    let spans = collector.until(enough).await;
    let text = format!("{spans:?}");
    for hidden in [ODD, made.as_str(), stack.alice.did.as_str(), "did:", "Bearer", "127.0.0.1"] {
        assert!(!text.contains(hidden), "{hidden} is in {text}");
    }
    let names: BTreeSet<_> = spans.iter().map(|sent| sent.span.name.as_str()).collect();
    let expected = [
        "athook.v1.SecretService/CreateSecret",
        "athook.v1.WebhookService/CreateWebhook",
        "authenticate",
        "database batch",
        "other",
        CREATE_SECRET,
        CREATE_WEBHOOK,
        "probe",
        "write row",
    ];
    assert_eq!(names, BTreeSet::from(expected), "no probe of health is traced");
}

#[tokio::test]
async fn client_decides_whether_it_is_traced() {
    let collector = Collector::start().await;
    let stack = start(Kind::Sqlite, &collector, "1").await;
    call(&stack, &traceparent(&trace(1), false), CREATE_SECRET, &json!({ "name": "a" })).await.ok();
    // A malformed one is ignored. Spans are sent in order, so nothing of the call before comes later.
    call(&stack, &traceparent("nonsense", true), CREATE_SECRET, &json!({ "name": "b" })).await.ok();
    let last =
        collector.until(|spans| spans.iter().find(|sent| sent.span.name == CREATE_SECRET).cloned()).await;
    assert!(last.span.parent_span_id.is_empty());
    collector.span(CORE, "database batch", &hex(&last.span.trace_id)).await;
    assert!(collector.all().iter().all(|sent| sent.span.trace_id == last.span.trace_id));
}

#[tokio::test]
async fn collector_behind_tls() {
    let collector = Collector::with_tls().await;
    // The core-service trusts the tests' certificate authority; otherwise it would send nothing.
    let stack = Setup::on(Kind::Sqlite).core("--otlp-endpoint", &collector.url()).start().await;
    stack.create_secret("a").await.ok();
    let spans = collector.until(|spans| (spans.len() >= 3).then(|| spans.to_vec())).await;
    assert!(spans.iter().all(|sent| sent.service == CORE));
}

/// The headers of the one call that reaches a core-service behind a gateway with these flags.
async fn forwarded(flags: &[(&str, &str)]) -> HeaderMap {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&seen);
    let stub = RpcStub::start(Arc::new(move |_: &str, _, headers: &HeaderMap| {
        kept.lock().unwrap().push(headers.clone());
        Ok(Bytes::new())
    }))
    .await;
    let mut gateway = Gateway::before(stub.address);
    for (flag, value) in flags {
        gateway = gateway.flag(flag, value);
    }
    let gateway = gateway.start().await;
    let caller = Identity::new("did:web:gardener.invalid", Key::k256());
    gateway.knows(&caller);
    let token = caller.token(crate::harness::identity::SERVICE, LIST_SECRETS);
    let request = reqwest::Client::new()
        .get(format!("http://{}/xrpc/{LIST_SECRETS}", gateway.address))
        .bearer_auth(token)
        .header("traceparent", traceparent(&trace(1), true))
        .header("tracestate", "vendor=state")
        .header("baggage", "key=value");
    read(request).await.ok();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 1);
    seen[0].clone()
}

#[tokio::test]
async fn traceparent_alone_is_forwarded_and_only_when_tracing() {
    let collector = Collector::start().await;
    let off = forwarded(&[]).await;
    let on = forwarded(&[("--otlp-endpoint", &collector.url())]).await;
    let names = |headers: &HeaderMap| headers.keys().map(ToString::to_string).collect::<BTreeSet<_>>();
    assert!(
        names(&off).iter().all(|name| !["traceparent", "tracestate", "baggage"].contains(&name.as_str()))
    );
    let more: Vec<_> = names(&on).difference(&names(&off)).cloned().collect();
    assert_eq!(more, ["traceparent"]);
    let call = collector.span(GATEWAY, "athook.v1.SecretService/ListSecrets", &trace(1)).await;
    assert_eq!(on["traceparent"], format!("00-{}-{}-01", trace(1), hex(&call.span.span_id)));
}

/// Both services as processes whose spans go to `url`, and a caller whom they know.
async fn processes(url: &str, folder: &std::path::Path, database: &Database) -> (Service, Service, Identity) {
    let core = Service::core_service(&database.url()).flag("--otlp-endpoint", url).start().await;
    let caller = Identity::new("did:web:gardener.invalid", Key::k256());
    std::fs::write(folder.join("caller.json"), caller.document().to_string()).unwrap();
    let mut gateway = Service::gateway(core.address, folder).flag("--otlp-endpoint", url).start().await;
    gateway.logged("connected to the core-service").await;
    (core, gateway, caller)
}

async fn create_secret(gateway: SocketAddr, caller: &Identity) {
    let token = caller.token(crate::harness::identity::SERVICE, CREATE_SECRET);
    let url = format!("http://{gateway}/xrpc/{CREATE_SECRET}");
    let request = reqwest::Client::new().post(url).bearer_auth(token).json(&json!({ "name": "a" }));
    read(request.header("traceparent", traceparent(&trace(1), true))).await.ok();
}

#[tokio::test]
async fn last_spans_are_sent_at_the_end() {
    let collector = Collector::start().await;
    let folder = tempfile::tempdir().unwrap();
    let database = Database::create(Kind::Sqlite, false).await;
    let (core, gateway, caller) = processes(&collector.url(), folder.path(), &database).await;
    create_secret(gateway.address, &caller).await;
    for process in [gateway, core] {
        let (status, log) = process.terminate().await;
        assert!(status.success(), "{log}");
    }
    // The processes have ended: all their spans have arrived.
    let names: BTreeSet<_> = collector.all().into_iter().map(|sent| sent.span.name).collect();
    for name in [CREATE_SECRET, "athook.v1.SecretService/CreateSecret", "database batch"] {
        assert!(names.contains(name), "{name} is not in {names:?}");
    }
}

#[tokio::test]
async fn collector_that_hangs_holds_nobody_up() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let database = Database::create(Kind::Sqlite, false).await;
    let (core, gateway, caller) = processes(&url, folder.path(), &database).await;
    create_secret(gateway.address, &caller).await;
    let begun = tokio::time::Instant::now();
    let (status, log) = gateway.terminate().await;
    assert!(status.success() && log.contains("the last spans were not sent"), "{log}");
    let (status, log) = core.terminate().await;
    assert!(status.success(), "{log}");
    assert!(begun.elapsed().as_secs() < 15, "they end although nobody takes their spans: {log}");
}
