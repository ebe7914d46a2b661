//! What operators see beside the logs: the metrics of a running pair, and the dashboard and alerts that use
//! them.

mod deliveries;
mod exposition;
mod queries;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use http::{Method, StatusCode};
use serde_json::json;

use self::exposition::Reading;
use crate::harness::database::{Database, Kind};
use crate::harness::directory::Reply;
use crate::harness::identity::Key;
use crate::harness::on_both;
use crate::harness::processes::Service;
use crate::harness::stack::{
    CREATE_SECRET, CREATE_WEBHOOK, DELETE_SECRET, LIST_SECRETS, ROTATE_SECRET, SERVICE, Setup, Stack,
};

/// A text that only a client can have put into the metrics.
const ODD: &str = "oddity";

/// A pair whose metrics can be read.
async fn start(kind: Kind) -> Stack {
    let metrics = ["--metrics-listen", "127.0.0.1:0"];
    Setup::on(kind).core(metrics[0], metrics[1]).gateway(metrics[0], metrics[1]).start().await
}

async fn scrape(address: SocketAddr) -> String {
    let answer = reqwest::get(format!("http://{address}/metrics")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let format = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(answer.headers()["content-type"], format);
    answer.text().await.unwrap()
}

/// The text of `/metrics` for a client with this `Accept`, and its media type.
async fn scrape_as(address: SocketAddr, accept: &str) -> (String, String) {
    let request = reqwest::Client::new().get(format!("http://{address}/metrics")).header("accept", accept);
    let answer = request.send().await.unwrap();
    let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
    assert_eq!(answer.headers()["vary"], "accept");
    (kind, answer.text().await.unwrap())
}

#[tokio::test]
async fn format_that_the_client_wants() {
    let stack = start(Kind::Sqlite).await;
    for watch in [&stack.gateway_watch, &stack.core_watch] {
        let address = watch.metrics_address().unwrap();
        let (kind, plain) = scrape_as(address, "text/plain;version=0.0.4;q=1,*/*;q=0.1").await;
        assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
        let (kind, open_metrics) =
            scrape_as(address, "application/openmetrics-text;version=1.0.0,text/plain;q=0.5").await;
        assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
        // The same series; only what is said about them differs.
        let names = |text: &str| -> Vec<String> {
            let samples = text.lines().filter(|line| !line.starts_with('#'));
            samples.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
        };
        assert_eq!(names(&plain), names(&open_metrics));
        assert!(plain.contains("# TYPE athook_log_lines_lost_total counter\n"), "{plain}");
        assert!(!plain.contains("# EOF") && open_metrics.ends_with("# EOF\n"));
    }
}

/// The metrics of both services.
async fn scraped(stack: &Stack) -> (Reading, String) {
    let mut reading = Reading::default();
    let mut text = String::new();
    for watch in [&stack.gateway_watch, &stack.core_watch] {
        let body = scrape(watch.metrics_address().unwrap()).await;
        reading.samples.extend(Reading::parse(&body).samples);
        text.push_str(&body);
    }
    (reading, text)
}

/// Every NSID that is served.
fn nsids() -> Vec<String> {
    let methods = gateway::bound(None, None).unwrap();
    methods.iter().map(|method| method.nsid().to_owned()).collect()
}

/// Calls every method, rightly and wrongly, and the other paths.
async fn call_everything(stack: &Stack) {
    stack.create_secret("deploys").await.ok();
    stack.create_secret("deploys").await.error(400, "AlreadyExists");
    stack.call(ROTATE_SECRET, &json!({ "name": "deploys" })).await.ok();
    stack.query(LIST_SECRETS, &[]).await.ok();
    stack.call(DELETE_SECRET, &json!({ "name": "none" })).await.error(400, "NotFound");
    let webhook = |url: &str| json!({ "url": url, "events": ["chat"] });
    stack.call(CREATE_WEBHOOK, &webhook("https://10.0.0.1/")).await.error(400, "InvalidUrl");
    stack.call(CREATE_WEBHOOK, &webhook("https://127.0.0.1:65534/")).await.error(400, "InvalidUrl");
    for nsid in nsids() {
        // A verb that the method does not take, and a body that is not JSON.
        stack.get(&format!("/xrpc/{nsid}")).await;
        stack.call_raw(&nsid, "{").await;
        stack.post(&nsid).send().await.unwrap();
    }
    for path in ["/livez", "/readyz", "/xrpc/_health", "/.well-known/did.json"] {
        stack.get(path).await;
    }
    stack.send(stack.request(Method::OPTIONS, "/xrpc/a").header("origin", "https://a.example")).await;
}

/// Requests with [`ODD`] wherever a client can put text.
async fn call_oddly(stack: &Stack) {
    for path in [
        format!("/xrpc/com.example.{ODD}"),
        format!("/xrpc/{ODD}"),
        format!("/{ODD}/metrics"),
        format!("/xrpc/{CREATE_SECRET}?{ODD}={ODD}"),
        "/metrics".to_owned(),
    ] {
        for verb in [Method::GET, Method::POST, Method::from_bytes(b"ODDITY").unwrap()] {
            let request = stack.request(verb, &path).header("user-agent", ODD).header("x-request-id", ODD);
            let answer = stack.send(request).await;
            assert_ne!(answer.status, StatusCode::OK, "the public port serves no metrics");
        }
    }
    for did in
        [format!("did:plc:{ODD}"), format!("did:web:{ODD}.example"), format!("did:web:localhost%3A9:{ODD}")]
    {
        let stranger = crate::harness::identity::Identity::new(&did, Key::p256());
        stack.call_as(&stranger, CREATE_SECRET, &json!({ "name": ODD })).await;
        stack.directory.set(&did, Reply::Status(500));
        stack.call_as(&stranger, CREATE_SECRET, &json!({ "name": ODD })).await;
    }
    let forged = stack.alice.token(SERVICE, CREATE_SECRET) + ODD;
    stack.call_with(&forged, CREATE_SECRET, &json!({ "name": ODD })).await;
    stack.create_secret(ODD).await.ok();
    let url = format!("https://{ODD}.invalid/{ODD}");
    stack.call(CREATE_WEBHOOK, &json!({ "url": url, "events": ["chat"] })).await.error(400, "InvalidUrl");
}

on_both! { what_happens_is_counted, dashboard_and_alerts_ask_for_what_there_is }

async fn what_happens_is_counted(kind: Kind) {
    let stack = start(kind).await;
    stack.create_secret("deploys").await.ok();
    stack.create_secret("deploys").await.error(400, "AlreadyExists");
    stack
        .call(CREATE_WEBHOOK, &json!({ "url": "https://10.0.0.1/", "events": ["chat"] }))
        .await
        .error(400, "InvalidUrl");
    stack
        .call(CREATE_WEBHOOK, &json!({ "url": "https://127.0.0.1:65534/", "events": ["chat"] }))
        .await
        .error(400, "InvalidUrl");
    stack.get("/nowhere").await.error(404, "NotFound");
    stack.query(LIST_SECRETS, &[]).await.ok();
    stack.call(DELETE_SECRET, &json!({ "name": "deploys" })).await;
    let (reading, _) = scraped(&stack).await;
    let rpc = "athook.v1.SecretService/CreateSecret";
    let readers = if kind == Kind::Postgres { 3.0 } else { 4.0 };
    for (name, labels, value) in [
        (
            "athook_gateway_requests_total",
            vec![("nsid", CREATE_SECRET), ("code", "200"), ("error", "none")],
            1.0,
        ),
        ("athook_gateway_requests_total", vec![("nsid", CREATE_SECRET), ("error", "AlreadyExists")], 1.0),
        (
            "athook_gateway_requests_total",
            vec![("nsid", CREATE_WEBHOOK), ("code", "400"), ("error", "InvalidUrl")],
            2.0,
        ),
        ("athook_gateway_requests_total", vec![("nsid", "other"), ("code", "404")], 1.0),
        ("athook_gateway_request_seconds_count", vec![("nsid", CREATE_SECRET)], 2.0),
        ("athook_gateway_requests_in_flight", vec![], 0.0),
        ("athook_gateway_upstream_calls_total", vec![("rpc", rpc), ("code", "OK")], 1.0),
        ("athook_gateway_upstream_calls_total", vec![("rpc", rpc), ("code", "ALREADY_EXISTS")], 1.0),
        ("athook_gateway_upstream_connections", vec![], 1.0),
        ("athook_gateway_lookups_total", vec![("kind", "plc"), ("outcome", "found")], 1.0),
        ("athook_gateway_keys_total", vec![("source", "missed")], 1.0),
        ("athook_gateway_keys_total", vec![("source", "fresh")], 5.0),
        ("athook_gateway_signatures_total", vec![("verdict", "bad")], 0.0),
        ("athook_core_rpcs_total", vec![("method", "CreateSecret"), ("code", "OK")], 1.0),
        ("athook_core_rpcs_total", vec![("method", "CreateWebhook"), ("code", "INVALID_ARGUMENT")], 2.0),
        ("athook_core_rpc_seconds_count", vec![("method", "CreateSecret")], 2.0),
        ("athook_core_rpcs_in_flight", vec![], 0.0),
        ("athook_core_connections", vec![], 1.0),
        ("athook_core_rows_total", vec![("outcome", "written")], 1.0),
        ("athook_core_rows_total", vec![("outcome", "exists")], 1.0),
        ("athook_core_batch_rows_sum", vec![], 2.0),
        ("athook_core_transaction_seconds_count", vec![("kind", "batch")], 2.0),
        ("athook_core_transaction_seconds_count", vec![("kind", "change")], 1.0),
        ("athook_core_transaction_seconds_count", vec![("kind", "read")], 1.0),
        ("athook_core_probes_total", vec![("outcome", "refused")], 1.0),
        ("athook_core_probes_total", vec![("outcome", "unreachable")], 1.0),
        ("athook_core_probe_seconds_count", vec![], 1.0),
        ("athook_core_database_up", vec![], 1.0),
        ("athook_core_database_errors_total", vec![], 0.0),
        ("athook_core_queue_rows", vec![], 0.0),
        ("athook_core_pool_connections_limit", vec![("pool", "read")], readers),
        ("athook_core_sealed_values_unopened_total", vec![], 0.0),
    ] {
        assert_eq!(reading.sum(name, &labels), value, "{name} {labels:?}");
    }
    assert!(reading.sum("athook_core_statement_seconds_count", &[("verb", "insert")]) >= 2.0);
}

#[tokio::test]
async fn no_client_names_a_label() {
    let stack = start(Kind::Sqlite).await;
    let (before, _) = scraped(&stack).await;
    call_everything(&stack).await;
    call_oddly(&stack).await;
    let (after, text) = scraped(&stack).await;
    assert!(!text.contains(ODD), "{text}");
    for hidden in [stack.alice.did.as_str(), "localhost", "127.0.0.1", "deploys", "did:"] {
        assert!(!text.contains(hidden), "{hidden} is in the metrics");
    }
    // No new series: all labels exist from the start.
    let (before, after) = (before.series(), after.series());
    assert_eq!(after.difference(&before).collect::<Vec<_>>(), Vec::<&(&str, &BTreeMap<_, _>)>::new());
    let nsids: BTreeSet<String> =
        after.iter().filter_map(|(_, labels)| labels.get("nsid").cloned()).collect();
    let own = ["_health", "livez", "readyz", "did.json", "site", "preflight", "other"].map(str::to_owned);
    assert_eq!(nsids, self::nsids().into_iter().chain(own).collect());
}

async fn dashboard_and_alerts_ask_for_what_there_is(kind: Kind) {
    let stack = start(kind).await;
    call_everything(&stack).await;
    let (reading, _) = scraped(&stack).await;
    let mut wrong = Vec::new();
    let alerts = queries::alerts();
    let rules = alerts.iter().map(|alert| (alert.name.clone(), alert.query.clone()));
    let panels = queries::panels();
    assert!(alerts.len() >= 10 && panels.len() >= 20, "the queries are elsewhere");
    for (place, query) in rules.chain(panels) {
        let problems = queries::problems(&query, &reading);
        wrong.extend(problems.into_iter().map(|problem| format!("{place}: {problem}: {query}")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn alerts_say_what_to_do() {
    let mut names = BTreeSet::new();
    for alert in queries::alerts() {
        assert!(!alert.annotation("summary").is_empty() && alert.annotation("description").len() > 20);
        let anchor = format!("deploy/RUNBOOK.md#{}", alert.name.to_lowercase());
        assert_eq!(alert.annotation("runbook_url"), anchor);
        assert!(names.insert(alert.name.clone()), "twice: {}", alert.name);
    }
}

#[test]
fn queries_for_what_is_not_there_are_noticed() {
    let reading = Reading::parse(
        "# HELP eggs Eggs.\n# TYPE eggs counter\neggs_total{kind=\"good\"} 1\neggs_total{kind=\"bad\"} 0\n# EOF\n",
    );
    for good in [
        "sum by (kind) (rate(eggs_total{kind=~\"good|bad\"}[5m])) > 0",
        "eggs_total{kind!=\"bad\",job=\"a\"}",
    ] {
        assert_eq!(queries::problems(good, &reading), Vec::<String>::new(), "{good}");
    }
    for bad in [
        "rate(egg_total[5m])",
        "eggs",
        "sum by (colour) (eggs_total)",
        "eggs_total{colour=\"brown\"}",
        "eggs_total{kind=\"ugly\"}",
        "eggs_total{kind=~\"good|ugly\"}",
        "eggs_total{kind!=\"ugly\"}",
        "eggs_total / on (colour) eggs_total",
        "eggs_total >",
        "1",
    ] {
        assert_ne!(queries::problems(bad, &reading), Vec::<String>::new(), "{bad}");
    }
}

#[tokio::test]
async fn metrics_are_served_until_the_end() {
    let database = Database::create(Kind::Sqlite, false).await;
    let mut core = Service::core_service(&database.url())
        .flag("--metrics-listen", "127.0.0.1:0")
        .flag("--shutdown-delay", "3s")
        .start()
        .await;
    let line = core.logged("metrics are served").await.remove(0);
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    let metrics: SocketAddr = line["address"].as_str().unwrap().parse().unwrap();
    let before = Reading::parse(&scrape(metrics).await);
    assert_eq!(before.sum("athook_core_database_up", &[]), 1.0);
    core.signal("TERM");
    core.logged("stopping").await;
    Reading::parse(&scrape(metrics).await);
    let (status, _) = core.terminate().await;
    assert!(status.success());
    assert!(tokio::net::TcpStream::connect(metrics).await.is_err());
}

/// A process that is killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn both_in_one_process_share_an_endpoint() {
    let folder = tempfile::tempdir().unwrap();
    let free = "127.0.0.1:0";
    let mut athook = Command::new(env!("CARGO_BIN_EXE_athook"))
        .args(["--gateway-listen", free, "--core-listen", free, "--metrics-listen", free])
        .env_clear()
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(athook.stderr.take().unwrap()).lines();
    let _running = Running(athook);
    let mut metrics = None;
    // The last line of the start.
    for line in &mut log {
        let line: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        if line["message"] == "metrics are served" {
            metrics = line["address"].as_str().map(|address| address.parse().unwrap());
        }
        if line["message"] == "connected to the core-service" {
            break;
        }
    }
    let reading = Reading::parse(&scrape(metrics.unwrap()).await);
    for name in ["athook_gateway_upstream_connections", "athook_core_database_up", "athook_build_info"] {
        assert_eq!(reading.sum(name, &[]), 1.0, "{name}");
    }
}
