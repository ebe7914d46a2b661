//! The tables, as sea-orm sees them. Their columns and constraints are made in crate `migrations`.
//!
//! Rows are plain and sealed: no token and no URL is in clear here.

pub(super) mod account;
pub(super) mod index_key;
pub(super) mod secret;
pub(super) mod webhook;
