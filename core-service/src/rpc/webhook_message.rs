//! Converts webhooks to messages, and parses their ids.

use proto::athook;
use proto::timestamp;
use uuid::Uuid;

use super::id::id;
use crate::domain::webhook::{Disabled, Webhook, WebhookConfig};
use crate::error::Error;

/// `webhook` as its owner sees it. An empty list is absent in the lexicon's JSON.
pub(super) fn message(webhook: Webhook) -> athook::Webhook {
    let Webhook {
        id,
        owner: _,
        config,
        created_at_ms,
        updated_at_ms,
        last_triggered_at_ms,
        error_count,
        disabled,
    } = webhook;
    let (disabled_reason, disabled_at) =
        disabled.map(|Disabled { reason, at_ms }| (reason, timestamp::of_unix_ms(at_ms))).unzip();
    let WebhookConfig {
        url,
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
    let rewrite = rewrite.into_rules().into_iter().map(|rule| {
        let (from, to) = rule.into_pair();
        athook::RewriteRule { from, to }
    });
    athook::Webhook {
        id: id.to_string(),
        url: url.into_exposed(),
        events: events.iter().map(|event| event.as_str().to_owned()).collect(),
        active: active && disabled_reason.is_none(),
        created_at: Some(timestamp::of_unix_ms(created_at_ms)),
        updated_at: updated_at_ms.map(timestamp::of_unix_ms),
        name: name.map(String::from),
        description: description.map(String::from),
        prefix: prefix.map(String::from),
        suffix: suffix.map(String::from),
        rewrite: rewrite.collect(),
        mute_words: mute_words.into_texts(),
        streamplace_format: Some(streamplace_format),
        secret_id: secret.map(|name| name.to_string()),
        last_triggered: last_triggered_at_ms.map(timestamp::of_unix_ms),
        error_count: Some(error_count.cast_signed()),
        disabled_reason,
        disabled_at,
    }
}

/// Parses a webhook's id.
///
/// # Errors
///
/// [`Error::WebhookNotFound`] for anything but the spelling that [`message`] writes, in small or capital
/// letters: no webhook has such an id.
pub(super) fn webhook_id(text: &str) -> Result<Uuid, Error> {
    id(text).ok_or(Error::WebhookNotFound)
}
