//! A client of Jetstream, AT Protocol's stream of public records as JSON: both wires, `/subscribe` (v1) and
//! `network.bsky.jetstream.subscribeEvents` (v2).
//!
//! Owns the connection: hosts in the order of preference, reconnecting, compression, gaps. Knows no database:
//! it resumes from the [`Position`](event::Position) that its caller acknowledged last, so that a caller who
//! acknowledges what is committed loses nothing.

pub mod event;
