//! The addresses to listen on: free, or a running athook is there.

use std::net::SocketAddr;
use std::time::Duration;

use gateway::inspection;
use http::StatusCode;
use process::exit::chain;
use url::Url;

use super::Doctor;
use super::finding::Finding;
use crate::both::reachable;

/// How long a process on this machine may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(4);
/// The largest answer that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// Why nobody can listen on an address now, or `None`. Port 0 is free.
fn taken(flag: &str, address: SocketAddr) -> Option<String> {
    process::exit::listen(flag, address).err().map(|error| error.to_string())
}

fn free(what: &'static str, address: SocketAddr, flag: &'static str) -> Vec<Finding> {
    vec![Finding::ok(what, format_args!("{address} is free: it does not run"), flag)]
}

pub(super) async fn gateway(doctor: &Doctor) -> Vec<Finding> {
    const FLAG: &str = "--gateway-listen";
    const WHAT: &str = "gateway";
    let address = doctor.both.gateway_listen;
    let Some(why) = taken(FLAG, address) else { return free(WHAT, address, FLAG) };
    vec![match status(doctor, address, "/xrpc/_health").await {
        Some(StatusCode::OK) => Finding::ok(WHAT, format_args!("one runs at {address}"), FLAG),
        Some(StatusCode::SERVICE_UNAVAILABLE) => {
            let told = format_args!("one runs at {address}, but does not reach its core-service");
            Finding::fail(WHAT, told, "--core-url, --core-token-file")
        }
        _ => Finding::fail(WHAT, why, FLAG),
    }]
}

/// With TLS the gateway calls the one of `--core-url`, else the one in its process.
pub(super) async fn core_service(doctor: &Doctor) -> Vec<Finding> {
    const FLAG: &str = "--core-listen";
    const WHAT: &str = "core-service";
    let address = doctor.both.core.listen();
    let gateway = &doctor.both.gateway;
    if gateway.calls_with_tls() {
        let (url, flags) = (&gateway.core_url, "--core-url, --core-ca, --core-listen");
        return vec![match (serving(doctor, url).await, taken(FLAG, address)) {
            (Ok(told), _) => Finding::ok(WHAT, told, flags),
            (Err(_), None) => return free(WHAT, address, FLAG),
            (Err(why), Some(_)) => Finding::fail(WHAT, why, flags),
        }];
    }
    grpc(doctor, WHAT, FLAG, address).await
}

pub(super) async fn health(doctor: &Doctor) -> Vec<Finding> {
    match doctor.both.core.health_listen() {
        Some(address) => grpc(doctor, "health", "--health-listen", address).await,
        None => Vec::new(),
    }
}

pub(super) async fn metrics(doctor: &Doctor) -> Vec<Finding> {
    const FLAG: &str = "--metrics-listen";
    const WHAT: &str = "metrics";
    let Some(address) = doctor.both.shared.metrics_listen else { return Vec::new() };
    let Some(why) = taken(FLAG, address) else { return free(WHAT, address, FLAG) };
    vec![match status(doctor, address, "/metrics").await {
        Some(StatusCode::OK) => Finding::ok(WHAT, format_args!("they are at {address}"), FLAG),
        _ => Finding::fail(WHAT, why, FLAG),
    }]
}

/// A listener of gRPC in plaintext.
async fn grpc(doctor: &Doctor, what: &'static str, flag: &'static str, address: SocketAddr) -> Vec<Finding> {
    let Some(why) = taken(flag, address) else { return free(what, address, flag) };
    let Ok(url) = reachable(address) else { return vec![Finding::fail(what, why, flag)] };
    vec![match serving(doctor, &url).await {
        Ok(told) => Finding::ok(what, told, flag),
        Err(cause) => {
            Finding::fail(what, format_args!("{why}, or a core-service that is not well: {cause}"), flag)
        }
    }]
}

/// Whether a core-service serves at `url`.
async fn serving(doctor: &Doctor, url: &Url) -> Result<String, String> {
    let reached = inspection::core_service(&doctor.both.gateway, url).await;
    let reached = reached.map_err(|error| format!("{url}: {}", chain(&*error)))?;
    if reached.serving == 0 {
        return Err(format!("{url}: it answers, but does not serve: its log says why"));
    }
    Ok(format!("it serves at {url}, at {} of {} addresses", reached.serving, reached.addresses))
}

/// The status of a GET at a listener on this machine.
async fn status(doctor: &Doctor, address: SocketAddr, path: &str) -> Option<StatusCode> {
    let url = reachable(address).ok()?.join(path).ok()?;
    let answer = doctor.unrestricted.get(&url, "*/*", ANSWER_LIMIT, MAX_ANSWER_BYTES).await.ok()?;
    Some(answer.status)
}
