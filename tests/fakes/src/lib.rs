//! Stand-ins for the hosts of the AT Protocol network, in the process of a test: real sockets, hostile ways.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

pub mod dns;
pub mod jetstream;
pub mod network;
