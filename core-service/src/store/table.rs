//! The sea-orm entities of the tables, whose columns and constraints the crate `migrations` makes.
//!
//! Tokens and URLs are sealed here, never in plaintext. Their serde form is a line of an export
//! ([`line`](super::operator::transfer::line)): to add, rename or remove a column changes that format.

pub(super) mod account;
pub(super) mod attempt;
mod base64_text;
pub(super) mod delivery;
pub(super) mod event;
pub(super) mod host_hold;
pub(super) mod index_key;
pub(super) mod intake;
pub(super) mod intake_gap;
pub(super) mod intake_sync;
pub(super) mod intake_unreadable;
pub(super) mod mirror;
pub(super) mod mirrored_owner;
pub(super) mod on_air;
pub(super) mod owner_status;
pub(super) mod paused_origin;
pub(super) mod recent_follow;
pub(super) mod record_webhook;
pub(super) mod reference;
pub(super) mod secret;
pub(super) mod webhook;
pub(super) mod webhook_state;
