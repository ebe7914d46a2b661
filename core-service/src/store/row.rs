//! Domain types to rows and back.
//!
//! Owns how a value is written in a column, and the opening of what is sealed in a row. Runs no query.

use sea_orm::{DbErr, DerivePartialModel};
use uuid::Uuid;

use super::commit::states::{DELIVERED, PENDING};
use super::row_of_record::CHANGES_OF_RECORDS;
use super::table::{delivery, event, secret, webhook, webhook_state};
use crate::delivery::event::{Payload, StoredEvent, YEARS_1_TO_9999_MS};
use crate::delivery::outcome::Outcome;
use crate::delivery::shown::{DeliveryState, ShownDelivery};
use crate::domain::did::Did;
use crate::domain::event_type::{EventType, EventTypes};
use crate::domain::mute_word::MuteWords;
use crate::domain::rewrite::Rewrite;
use crate::domain::rule::{BrokenField, field, optional_field};
use crate::domain::secret::{NewSecret, Secret};
use crate::domain::webhook::{Disabled, Webhook, WebhookConfig};
use crate::domain::webhook_url::{Schemes, UrlRule, WebhookUrl};
use crate::seal::{OpenError, Purpose, SealKeys};

/// Between the event types of a webhook.
pub(super) const EVENT_SEPARATOR: &str = ",";

pub(super) fn secret(new: &NewSecret, sealed_token: Vec<u8>) -> secret::Model {
    let NewSecret { id, owner, name, token: _sealed, created_at_ms } = new;
    secret::Model {
        id: *id,
        owner_did: owner.to_string(),
        name: name.to_string(),
        sealed_token,
        created_at_ms: *created_at_ms,
        last_rotated_at_ms: None,
        previous_sealed_token: None,
        previous_until_ms: None,
    }
}

/// The columns of a secret that its owner may see. No token is read for them, not even sealed.
#[derive(Debug, DerivePartialModel)]
#[sea_orm(entity = "secret::Entity")]
pub(super) struct ShownSecret {
    name: String,
    created_at_ms: i64,
    last_rotated_at_ms: Option<i64>,
}

/// The secret of a row.
///
/// # Errors
///
/// The name in the row breaks the rules of names.
pub(super) fn shown_secret(row: ShownSecret) -> Result<Secret, DbErr> {
    let ShownSecret { name, created_at_ms, last_rotated_at_ms } = row;
    let name = name.parse().map_err(|rule| DbErr::Type(format!("secret.name: {rule}")))?;
    Ok(Secret { name, created_at_ms, last_rotated_at_ms })
}

/// The row of `webhook`, with its URL sealed and hashed.
pub(super) fn webhook(webhook: &Webhook, sealed_url: Vec<u8>, url_hash: Vec<u8>) -> webhook::Model {
    let Webhook {
        id,
        owner,
        config,
        created_at_ms,
        updated_at_ms,
        last_triggered_at_ms,
        error_count,
        disabled: _in_its_state,
    } = webhook;
    let WebhookConfig {
        url: _sealed,
        events,
        active,
        name,
        description,
        prefix,
        suffix,
        rewrite,
        mute_words,
        streamplace_format,
        secret,
    } = config;
    let events: Vec<&str> = events.iter().map(EventType::as_str).collect();
    let rewrite: Vec<[&str; 2]> = rewrite.iter().map(|rule| [rule.from(), rule.to()]).collect();
    let mute_words: Vec<&str> = mute_words.iter().collect();
    webhook::Model {
        id: *id,
        owner_did: owner.to_string(),
        sealed_url,
        url_hash,
        events: events.join(EVENT_SEPARATOR),
        active: *active,
        name: name.as_ref().map(ToString::to_string),
        description: description.as_ref().map(ToString::to_string),
        prefix: prefix.as_ref().map(ToString::to_string),
        suffix: suffix.as_ref().map(ToString::to_string),
        rewrite: json(&rewrite),
        mute_words: json(&mute_words),
        streamplace_format: *streamplace_format,
        secret_name: secret.as_ref().map(ToString::to_string),
        created_at_ms: *created_at_ms,
        updated_at_ms: *updated_at_ms,
        last_triggered_at_ms: *last_triggered_at_ms,
        error_count: error_count.cast_signed(),
        since_us: None,
    }
}

fn json(texts: &impl serde::Serialize) -> String {
    serde_json::to_string(texts).expect("lists of texts are JSON")
}

/// The webhook of a row, its URL opened.
///
/// # Errors
///
/// `keys` do not open the URL, or a column has a value that [`webhook()`] never writes.
pub(super) fn open_webhook(row: &webhook::Model, keys: &SealKeys) -> Result<Webhook, UnreadableWebhook> {
    let id = row.id;
    opened(row, keys).map_err(|cause| UnreadableWebhook { id, cause })
}

/// The names of the event types that the webhook of a row asks for.
pub(super) fn events(row: &webhook::Model) -> impl Iterator<Item = &str> {
    row.events.split(EVENT_SEPARATOR)
}

/// The event of a row; `None` if its payload has expired or it can't be read.
pub(super) fn event(row: event::Model) -> Option<StoredEvent> {
    if !YEARS_1_TO_9999_MS.contains(&row.occurred_at_ms) {
        return None;
    }
    if CHANGES_OF_RECORDS.contains(&row.r#type.as_str()) {
        return row.payload.map(StoredEvent::Record);
    }
    let event_type = row.r#type.parse().ok()?;
    let payload = Payload::from_json(event_type, &row.payload?).ok()?;
    let streamer = row.streamer_did.parse().ok()?;
    let of_network = row.intake_at_ms.is_some();
    Some(StoredEvent::Message { streamer, occurred_at_ms: row.occurred_at_ms, payload, of_network })
}

/// The delivery of a row, as the owner of its webhook sees it. `state` is that of the webhook: deliveries of
/// an older generation are cancelled, whether their rows say so or not.
pub(super) fn shown_delivery(
    row: delivery::Model,
    state: &webhook_state::Model,
    event_type: String,
) -> ShownDelivery {
    let cancelled = row.state == PENDING && row.generation != state.generation;
    let shown = match row.state {
        DELIVERED => DeliveryState::Delivered,
        PENDING if !cancelled => DeliveryState::Pending,
        _ => DeliveryState::Failed,
    };
    // With a lease this is the lease's end.
    let due = row.next_at_ms.filter(|_| shown == DeliveryState::Pending && row.lease.is_none());
    ShownDelivery {
        id: row.id,
        event: row.event_id,
        event_type,
        state: shown,
        created_at_ms: row.created_at_ms,
        attempts: row.attempts,
        last_attempt_at_ms: row.last_attempt_at_ms,
        next_attempt_at_ms: due.map(|due| state.held_until_ms.map_or(due, |held| due.max(held))),
        last_outcome: if cancelled { Some(Outcome::Cancelled.to_string()) } else { row.last_outcome },
        last_status: row.last_status,
    }
}

/// A row that can't be read as a webhook. `Display` names the webhook.
#[derive(Debug, thiserror::Error)]
#[error("webhook {id} can't be read")]
pub(super) struct UnreadableWebhook {
    id: Uuid,
    #[source]
    cause: Unreadable,
}

/// The values of the row are not part of it: they are the owner's, and not for the log.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error("its URL does not open")]
    Sealed(#[from] OpenError),
    #[error("its URL is no text")]
    NotText,
    #[error("its URL is none")]
    Url(#[from] UrlRule),
    #[error("a column breaks a rule")]
    Field(#[from] BrokenField),
    #[error("a column has no list")]
    NotAList,
}

fn opened(row: &webhook::Model, keys: &SealKeys) -> Result<Webhook, Unreadable> {
    let webhook::Model {
        id,
        owner_did,
        sealed_url,
        url_hash: _,
        events: _,
        active,
        name,
        description,
        prefix,
        suffix,
        rewrite,
        mute_words,
        streamplace_format,
        secret_name,
        created_at_ms,
        updated_at_ms,
        last_triggered_at_ms,
        error_count,
        since_us: _,
    } = row;
    let owner: Did = field("owner_did", owner_did)?;
    let url = keys.open(Purpose::Url { owner: &owner, webhook: *id }, sealed_url)?;
    let url = String::from_utf8(url).map_err(|_| Unreadable::NotText)?;
    let events: Vec<String> = events(row).map(str::to_owned).collect();
    let rewrite = serde_json::from_str(rewrite).map_err(|_| Unreadable::NotAList)?;
    let mute_words: Vec<String> = serde_json::from_str(mute_words).map_err(|_| Unreadable::NotAList)?;
    let config = WebhookConfig {
        // Whether http is allowed is checked when a URL is set.
        url: WebhookUrl::parse(&url, Schemes::HttpsAndHttp)?,
        events: EventTypes::parse("events", &events)?,
        active: *active,
        name: optional_field("name", name.as_deref())?,
        description: optional_field("description", description.as_deref())?,
        prefix: optional_field("prefix", prefix.as_deref())?,
        suffix: optional_field("suffix", suffix.as_deref())?,
        rewrite: Rewrite::parse("rewrite", rewrite)?,
        mute_words: MuteWords::parse("mute_words", &mute_words)?,
        streamplace_format: *streamplace_format,
        secret: optional_field("secret_name", secret_name.as_deref())?,
    };
    Ok(Webhook {
        id: *id,
        owner,
        config,
        created_at_ms: *created_at_ms,
        updated_at_ms: *updated_at_ms,
        last_triggered_at_ms: *last_triggered_at_ms,
        error_count: error_count.cast_unsigned(),
        disabled: None,
    })
}

/// `webhook` with what deliveries know of it.
pub(super) fn with_state(webhook: Webhook, state: &webhook_state::Model) -> Webhook {
    let reason = state.disabled_reason.clone();
    Webhook {
        last_triggered_at_ms: state.last_triggered_at_ms.or(webhook.last_triggered_at_ms),
        error_count: state.error_count.cast_unsigned(),
        disabled: reason.zip(state.disabled_at_ms).map(|(reason, at_ms)| Disabled { reason, at_ms }),
        ..webhook
    }
}
