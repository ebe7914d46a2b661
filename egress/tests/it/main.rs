//! The egress rules and the guarded client, against a DNS server and receivers on loopback.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod addresses;
mod deliveries;
mod embedded;
mod gets;
mod host;
mod lookups;
mod names_and_ports;
mod probes;
mod receiver;
mod reuse;

use std::net::SocketAddr;

use egress::client::Egress;
use egress::policy::Policy;
use egress::resolver::Resolver;
use ipnet::IpNet;
use url::Url;

/// A URL of the test.
fn url(text: &str) -> Url {
    Url::parse(text).expect(text)
}

/// The rules with the given ranges allowed.
fn allowing(ranges: &[&str]) -> Policy {
    Policy::new(networks(ranges))
}

fn networks(ranges: &[&str]) -> Vec<IpNet> {
    ranges.iter().map(|range| range.parse().expect(range)).collect()
}

/// A client that asks `dns` and trusts `extra_ca`.
fn client(policy: Policy, dns: SocketAddr, extra_ca: Option<&str>) -> Egress {
    Egress::new(policy, Resolver::new(&[dns]).unwrap(), extra_ca).unwrap()
}
