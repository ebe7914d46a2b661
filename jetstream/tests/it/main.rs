//! The client against a fake host, on real sockets.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod frames;
mod harness;
mod reading;
mod reports;
