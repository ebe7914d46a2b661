//! Domain types to rows.

use super::table::{secret, webhook};
use crate::domain::event_type::EventType;
use crate::domain::secret::NewSecret;
use crate::domain::webhook::NewWebhook;

/// Between the event types of a webhook.
const EVENT_SEPARATOR: &str = ",";

pub(super) fn secret(new: &NewSecret, sealed_token: Vec<u8>) -> secret::Model {
    let NewSecret { id, owner, name, token: _sealed, created_at_ms } = new;
    secret::Model {
        id: *id,
        owner_did: owner.to_string(),
        name: name.to_string(),
        sealed_token,
        created_at_ms: *created_at_ms,
        last_rotated_at_ms: None,
    }
}

pub(super) fn webhook(new: &NewWebhook, sealed_url: Vec<u8>, url_hash: Vec<u8>) -> webhook::Model {
    let NewWebhook {
        id,
        owner,
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
        created_at_ms,
    } = new;
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
        updated_at_ms: None,
        last_triggered_at_ms: None,
        error_count: 0,
    }
}

fn json(texts: &impl serde::Serialize) -> String {
    serde_json::to_string(texts).expect("lists of texts are JSON")
}
