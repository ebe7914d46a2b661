//! What a row must be like, so that an import takes it.
//!
//! A row is accepted if the core-service could have written it, because whatever reads the database later
//! relies on that. Types, unknown fields and missing ones are serde's business, and what only other rows can
//! tell, such as uniqueness, is the database's.

use std::ops::RangeInclusive;

use crate::delivery::event::{IdempotencyKey, Payload, Publisher, YEARS_1_TO_9999_MS};
use crate::delivery::outcome::Outcome;
use crate::domain::did::Did;
use crate::domain::event_type::EventType;
use crate::domain::rule::{field, storable};
use crate::domain::secret::SecretName;
use crate::store::commit::states::{DELIVERED, FAILED, PENDING};
use crate::store::index_key::{ID, ORIGIN_BYTES};
use crate::store::row::EVENT_SEPARATOR;
use crate::store::row_of_record::CHANGES_OF_RECORDS;
use crate::store::table::{
    account, attempt, delivery, event, host_hold, index_key, paused_origin, secret, webhook, webhook_state,
};

use super::line::LineFault;

/// Bytes of the hash of a URL or of an event's content: those of a SHA-256.
const HASH_BYTES: usize = 32;

/// What a webhook is turned off for.
const DISABLED_REASONS: [&str; 2] = ["gone", "failing"];
/// Statuses of HTTP answers.
const STATUSES: RangeInclusive<i32> = 100..=999;
/// The most of anything that is counted: the core-service goes on counting from there.
const COUNTS: RangeInclusive<i64> = 0..=1_000_000_000;

pub(super) fn index_key(row: &index_key::Model) -> Result<(), LineFault> {
    if row.id != ID {
        return Err(LineFault::Column { field: "id", what: "1" });
    }
    not_empty("sealed_key", &row.sealed_key)
}

pub(super) fn account(row: &account::Model) -> Result<(), LineFault> {
    field::<Did>("did", &row.did)?;
    count("secrets", row.secrets)?;
    count("webhooks", row.webhooks)
}

pub(super) fn secret(row: &secret::Model) -> Result<(), LineFault> {
    field::<Did>("owner_did", &row.owner_did)?;
    field::<SecretName>("name", &row.name)?;
    if row.previous_sealed_token.is_some() != row.previous_until_ms.is_some() {
        return Err(LineFault::Column {
            field: "previous_until_ms",
            what: "there when previous_sealed_token is",
        });
    }
    times(&[
        ("created_at_ms", Some(row.created_at_ms)),
        ("last_rotated_at_ms", row.last_rotated_at_ms),
        ("previous_until_ms", row.previous_until_ms),
    ])?;
    not_empty("sealed_token", &row.sealed_token)?;
    match &row.previous_sealed_token {
        Some(sealed) => not_empty("previous_sealed_token", sealed),
        None => Ok(()),
    }
}

pub(super) fn webhook(row: &webhook::Model) -> Result<(), LineFault> {
    field::<Did>("owner_did", &row.owner_did)?;
    if let Some(name) = &row.secret_name {
        field::<SecretName>("secret_name", name)?;
    }
    for event in row.events.split(EVENT_SEPARATOR) {
        field::<EventType>("events", event)?;
    }
    if serde_json::from_str::<Vec<[String; 2]>>(&row.rewrite).is_err() {
        return Err(LineFault::Column { field: "rewrite", what: "a JSON array of [from, to]" });
    }
    if serde_json::from_str::<Vec<String>>(&row.mute_words).is_err() {
        return Err(LineFault::Column { field: "mute_words", what: "a JSON array of strings" });
    }
    if row.url_hash.len() != HASH_BYTES {
        return Err(LineFault::Column { field: "url_hash", what: "32 bytes" });
    }
    for (field, text) in [
        ("name", &row.name),
        ("description", &row.description),
        ("prefix", &row.prefix),
        ("suffix", &row.suffix),
    ] {
        self::text(field, text.as_deref())?;
    }
    times(&[
        ("created_at_ms", Some(row.created_at_ms)),
        ("updated_at_ms", row.updated_at_ms),
        ("last_triggered_at_ms", row.last_triggered_at_ms),
    ])?;
    not_empty("sealed_url", &row.sealed_url)?;
    count("error_count", row.error_count)
}

pub(super) fn webhook_state(row: &webhook_state::Model) -> Result<(), LineFault> {
    // Empty: the URL did not open when the first event was stored.
    if !row.origin.is_empty() && row.origin.len() != ORIGIN_BYTES {
        return Err(LineFault::Column { field: "origin", what: "16 bytes, or none" });
    }
    let disabled = row.disabled_reason.as_deref().zip(row.disabled_at_ms);
    if row.disabled_reason.is_some() != row.disabled_at_ms.is_some() {
        return Err(LineFault::Column { field: "disabled_at_ms", what: "there when disabled_reason is" });
    }
    if disabled.is_some_and(|(reason, _)| !DISABLED_REASONS.contains(&reason)) {
        return Err(LineFault::Column { field: "disabled_reason", what: "gone or failing" });
    }
    times(&[
        ("due_at_ms", row.due_at_ms),
        ("held_until_ms", row.held_until_ms),
        ("failing_since_ms", row.failing_since_ms),
        ("last_triggered_at_ms", row.last_triggered_at_ms),
        ("disabled_at_ms", row.disabled_at_ms),
        ("cancelling_since_ms", row.cancelling_since_ms),
    ])?;
    count("dropped", row.dropped)?;
    count("generation", row.generation)?;
    count("pending", row.pending)?;
    count("error_count", row.error_count)
}

pub(super) fn event(row: &event::Model) -> Result<(), LineFault> {
    field::<Publisher>("publisher", &row.publisher)?;
    field::<IdempotencyKey>("idempotency_key", &row.idempotency_key)?;
    field::<Did>("streamer_did", &row.streamer_did)?;
    if row.content_hash.len() != HASH_BYTES {
        return Err(LineFault::Column { field: "content_hash", what: "32 bytes" });
    }
    if CHANGES_OF_RECORDS.contains(&row.r#type.as_str()) {
        text("payload", row.payload.as_deref())?;
    } else if let Some(json) = &row.payload {
        let event_type: EventType = field("type", &row.r#type)?;
        let what = "the JSON of an event of this type";
        let payload =
            Payload::from_json(event_type, json).map_err(|_| LineFault::Column { field: "payload", what })?;
        payload.checked("payload")?;
    } else {
        field::<EventType>("type", &row.r#type)?;
    }
    times(&[("occurred_at_ms", Some(row.occurred_at_ms)), ("created_at_ms", Some(row.created_at_ms))])?;
    text("traceparent", row.traceparent.as_deref())?;
    count("deliveries", row.deliveries)
}

pub(super) fn delivery(row: &delivery::Model) -> Result<(), LineFault> {
    if ![PENDING, DELIVERED, FAILED].contains(&row.state) {
        return Err(LineFault::Column { field: "state", what: "0, 1 or 2" });
    }
    let pending = row.state == PENDING;
    if row.next_at_ms.is_some() != pending {
        return Err(LineFault::Column { field: "next_at_ms", what: "there when the delivery is pending" });
    }
    if row.ended_at_ms.is_some() == pending {
        return Err(LineFault::Column { field: "ended_at_ms", what: "there when the delivery has ended" });
    }
    if let Some(word) = &row.last_outcome {
        outcome("last_outcome", word)?;
    }
    if row.attempts_before > row.attempts {
        return Err(LineFault::Column { field: "attempts_before", what: "at most attempts" });
    }
    status("last_status", row.last_status)?;
    times(&[
        ("next_at_ms", row.next_at_ms),
        ("last_attempt_at_ms", row.last_attempt_at_ms),
        ("ended_at_ms", row.ended_at_ms),
        ("created_at_ms", Some(row.created_at_ms)),
        ("redelivered_at_ms", row.redelivered_at_ms),
    ])?;
    count("attempts", row.attempts)?;
    count("generation", row.generation)?;
    count("attempts_before", row.attempts_before)
}

pub(super) fn attempt(row: &attempt::Model) -> Result<(), LineFault> {
    if row.number < 1 {
        return Err(LineFault::Column { field: "number", what: "1 or more" });
    }
    outcome("outcome", &row.outcome)?;
    status("status", row.status)?;
    text("response", row.response.as_deref())?;
    times(&[("at_ms", Some(row.at_ms)), ("next_at_ms", row.next_at_ms)])?;
    count("duration_ms", row.duration_ms)
}

pub(super) fn host_hold(row: &host_hold::Model) -> Result<(), LineFault> {
    times(&[("held_until_ms", Some(row.held_until_ms))])?;
    not_empty("host", row.host.as_bytes())?;
    text("host", Some(&row.host))
}

pub(super) fn paused_origin(row: &paused_origin::Model) -> Result<(), LineFault> {
    if row.origin.len() != ORIGIN_BYTES {
        return Err(LineFault::Column { field: "origin", what: "16 bytes" });
    }
    times(&[("paused_at_ms", Some(row.paused_at_ms))])
}

fn outcome(field: &'static str, word: &str) -> Result<(), LineFault> {
    match word.parse::<Outcome>() {
        Ok(_) => Ok(()),
        Err(_) => Err(LineFault::Column { field, what: "the outcome of an attempt" }),
    }
}

fn status(field: &'static str, status: Option<i32>) -> Result<(), LineFault> {
    if status.is_some_and(|status| !STATUSES.contains(&status)) {
        return Err(LineFault::Column { field, what: "the status of an HTTP answer" });
    }
    Ok(())
}

/// Postgres can't store U+0000.
fn text(field: &str, text: Option<&str>) -> Result<(), LineFault> {
    Ok(storable(text.unwrap_or_default(), 0, usize::MAX).map_err(|rule| rule.at(field))?)
}

fn not_empty(field: &'static str, bytes: &[u8]) -> Result<(), LineFault> {
    if bytes.is_empty() {
        return Err(LineFault::Column { field, what: "not empty" });
    }
    Ok(())
}

fn count(field: &'static str, count: impl Into<i64>) -> Result<(), LineFault> {
    if !COUNTS.contains(&count.into()) {
        return Err(LineFault::Column { field, what: "0 to 1,000,000,000" });
    }
    Ok(())
}

/// Times are shown in messages that know no others.
fn times(columns: &[(&'static str, Option<i64>)]) -> Result<(), LineFault> {
    for (field, ms) in columns {
        if ms.is_some_and(|ms| !YEARS_1_TO_9999_MS.contains(&ms)) {
            return Err(LineFault::Column { field, what: "a time of the years 1 to 9999" });
        }
    }
    Ok(())
}
