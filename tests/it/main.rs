//! The tests of athook: the real pair on real databases, one module a method or capability.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

mod accounts;
mod concealment;
mod conformance;
mod contract;
mod core_grpc;
mod core_token;
mod deliveries;
mod delivery_answers;
mod delivery_races;
mod delivery_refused;
mod docs;
mod envelope;
mod examples;
mod faults;
mod first_delivery;
mod foreign_service;
mod framing;
mod hostile_json;
mod http2_flood;
mod log_floods;
mod malformed;
mod observability;
mod probe_limits;
mod programs;
mod purge;
mod reseal;
mod restarts;
mod secret_create;
mod secret_delete;
mod secret_list;
mod secret_rotate;
mod secret_rules;
mod service_auth;
mod slow_clients;
mod slow_receivers;
mod strangers;
mod tidy;
mod tls;
mod tools;
mod traces;
mod transfer;
mod unread_answers;
mod webhook_create;
mod webhook_delete;
mod webhook_get;
mod webhook_ids;
mod webhook_list;
mod webhook_paging;
mod webhook_rules;
mod webhook_update;
mod webhook_update_races;
mod webhook_url;
