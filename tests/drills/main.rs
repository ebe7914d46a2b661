//! The drills: athook on several hosts, while processes restart, networks drop packets and names move.
//!
//! Each drill has its own hosts: network namespaces with an address each, joined by a router ([`network`]).
//! On them run two gateways, up to three core-services, one Postgres, a PLC directory and a DNS server
//! ([`site`]). Clients call it as they would through a Kubernetes Service ([`balancer`], [`load`]).
//!
//! A binary of its own beside `tests/it`: drills measure time under load, and cargo runs one test binary
//! after another, so that nothing else is on the processors meanwhile. For the same reason they take turns
//! ([`namespaces::enter`]). They need no root: a user namespace makes them root of their own hosts.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod balancer;
#[expect(dead_code, reason = "the other tests need more of it")]
mod harness;
mod load;
mod namespaces;
mod network;
mod site;

mod cut_off;
mod deliveries;
mod names;
mod postgres_gone;
mod restarts;
mod strangers;
