//! `cargo bench --package egress --bench kept`: what kept connections save.
//!
//! Posts to a host in the same process, one delivery after the other, over kept connections and over a new
//! one for each. Both are measured by turns, and the median of the ratios is printed. The time covers both
//! ends. The host lets TLS sessions be resumed, as most do, so a new connection costs less than its first.

#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]

#[path = "../tests/it/host.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod host;
#[path = "../tests/it/receiver.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod receiver;

use std::time::Duration;

use bytes::Bytes;
use egress::client::Egress;
use egress::client::deliveries::{Attempted, ConnectionLimits, Deliverer};
use egress::policy::Policy;
use egress::resolver::Resolver;
use http::HeaderMap;
use tokio::time::Instant;
use url::Url;

use crate::host::{Host, Reply};
use crate::receiver::Authority;

/// How often both are measured.
const ROUNDS: usize = 9;

/// Deliveries of one measurement.
const DELIVERIES: u32 = 200;

#[tokio::main]
async fn main() {
    let authority = Authority::new();
    for protocol in ["http", "http/1.1", "h2"] {
        let host = match protocol {
            "http" => Host::http(|_| Reply::ok()).await,
            _ => Host::https(authority.acceptor_for("localhost", &[protocol]), |_| Reply::ok()).await,
        };
        let scheme = if protocol == "http" { "http" } else { "https" };
        let url: Url = format!("{scheme}://localhost:{}/", host.port).parse().unwrap();
        let (kept, single_use) = (deliverer(&authority, 64), deliverer(&authority, 0));
        let (mut new, mut reused, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let (slow, fast) = (measure(&single_use, &url).await, measure(&kept, &url).await);
            new.push(slow);
            reused.push(fast);
            ratios.push(slow / fast);
        }
        println!(
            "{protocol}: {:.0} µs over a new connection, {:.0} µs over a kept one: {:.1} times",
            median(new) * 1e6,
            median(reused) * 1e6,
            median(ratios)
        );
    }
}

fn deliverer(authority: &Authority, kept: usize) -> Deliverer {
    let policy = Policy::new(vec!["127.0.0.0/8".parse().unwrap()]);
    let resolver = Resolver::new(&["127.0.0.1:9".parse().unwrap()]).unwrap();
    let egress = Egress::new(policy, resolver, Some(&authority.pem())).unwrap();
    Deliverer::new(&egress, ConnectionLimits { handshakes: 64, kept })
}

/// Seconds for each delivery.
async fn measure(deliverer: &Deliverer, url: &Url) -> f64 {
    let start = Instant::now();
    for _ in 0..DELIVERIES {
        let deadline = Instant::now() + Duration::from_secs(15);
        let body = Bytes::from_static(&[b'x'; 1_000]);
        let attempted = deliverer.post(url, HeaderMap::new(), body, deadline).await;
        assert!(matches!(attempted, Attempted::Answered(_)), "{attempted:?}");
    }
    start.elapsed().as_secs_f64() / f64::from(DELIVERIES)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
