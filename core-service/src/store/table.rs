//! The tables, as sea-orm sees them. Their columns and constraints are made in crate `migrations`.
//!
//! Tokens and URLs are sealed here, never in plaintext. Their serde form is a line of an export
//! ([`line`](super::operator::transfer::line)): to add, rename or remove a column changes that format.

pub(super) mod account;
mod base64_text;
pub(super) mod index_key;
pub(super) mod secret;
pub(super) mod webhook;
