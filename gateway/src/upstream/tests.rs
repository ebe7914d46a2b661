//! Tests against real servers on loopback addresses that can be killed, cut off and restarted.

mod addresses;
mod answers;
mod cut_off;
mod dns;
mod relay;
mod restarts;
mod retries;
mod scripted;
mod server;
mod tls;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use prometheus_client::registry::Registry;
use prost::Message as _;
use proto::athook::{CreateSecretRequest, CreateSecretResponse};
use tokio::time::{Instant, timeout};
use tonic::Status;

use super::connection::Connection;
use super::metrics::UpstreamMetrics;
use super::{Call, Upstream, UpstreamSettings};
use dns::Dns;

/// The rpc that the tests call.
const PATH: PathAndQuery = PathAndQuery::from_static("/athook.v1.SecretService/CreateSecret");

/// The longest time that a test waits for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// A loopback address that no other test uses.
fn loopback() -> IpAddr {
    static LAST: AtomicU8 = AtomicU8::new(0);
    Ipv4Addr::new(127, 1, 0, 1 + LAST.fetch_add(1, Ordering::Relaxed)).into()
}

/// The upstream of `core.test`, and the DNS server that knows its addresses.
async fn upstream(ips: &[IpAddr], port: u16) -> (Upstream, Dns) {
    let dns = Dns::start(ips).await;
    let url = format!("http://core.test:{port}").parse().unwrap();
    let settings =
        UpstreamSettings { url, token: None, tls: None, resolver: dns.resolver(), metrics: metrics() };
    (Upstream::start(settings).unwrap(), dns)
}

fn metrics() -> UpstreamMetrics {
    UpstreamMetrics::new(&mut Registry::default(), std::iter::empty())
}

/// Waits until exactly the connections to `ips` are in the rotation.
async fn in_rotation(upstream: &Upstream, ips: &[IpAddr]) {
    let expected = |connections: &Vec<Arc<Connection>>| {
        connections.len() == ips.len()
            && connections.iter().all(|one| one.is_open() && ips.contains(&one.address().ip()))
    };
    let mut rotation = upstream.rotation.clone();
    let waited = timeout(PATIENCE, rotation.wait_for(expected)).await;
    waited.expect("the rotation changes in time").expect("the upstream is alive");
}

/// Whether a call may be processed twice.
#[derive(Clone, Copy)]
enum Kind {
    Procedure,
    Query,
}

async fn call(upstream: &Upstream, kind: Kind, limit: Duration) -> Result<CreateSecretResponse, Status> {
    let request = CreateSecretRequest { name: "a-name".into(), ..CreateSecretRequest::default() };
    let call = Call {
        deadline: Instant::now() + limit,
        idempotent: matches!(kind, Kind::Query),
        request_id: "request-1".into(),
        trace: process::traces::TraceContext::default(),
    };
    let answer = upstream.call(&PATH, Bytes::from(request.encode_to_vec()), call).await?;
    Ok(CreateSecretResponse::decode(answer).expect("the answer decodes"))
}
