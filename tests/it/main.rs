//! The tests of athook: the real pair on real databases, one module a method or capability.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

mod concealment;
mod contract;
mod core_grpc;
mod envelope;
mod faults;
mod foreign_service;
mod hostile_json;
mod http2_flood;
mod malformed;
mod programs;
mod secret_create;
mod service_auth;
mod slow_clients;
mod tidy;
mod tls;
mod webhook_create;
mod webhook_url;
