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
#[expect(dead_code, reason = "used by what comes next")]
pub(super) mod intake_gap;
#[expect(dead_code, reason = "used by what comes next")]
pub(super) mod intake_sync;
#[expect(dead_code, reason = "used by what comes next")]
pub(super) mod intake_unreadable;
#[expect(dead_code, reason = "used by what comes next")]
pub(super) mod mirror;
#[expect(dead_code, reason = "used by what comes next")]
pub(super) mod mirrored_owner;
#[expect(dead_code, reason = "used by what comes next")]
pub(super) mod on_air;
#[expect(dead_code, reason = "used by what comes next")]
pub(super) mod owner_status;
pub(super) mod paused_origin;
#[expect(dead_code, reason = "used by what comes next")]
pub(super) mod recent_follow;
#[expect(dead_code, reason = "used by what comes next")]
pub(super) mod record_webhook;
#[expect(dead_code, reason = "used by what comes next")]
pub(super) mod reference;
pub(super) mod secret;
pub(super) mod webhook;
pub(super) mod webhook_state;
