//! `WebhookService.UpdateWebhook`, served as `place.stream.server.updateWebhook` (docs/methods.md).

use std::str::FromStr;

use proto::athook::{self, UpdateWebhookRequest, UpdateWebhookResponse};

use super::webhook_message::{message, webhook_id};
use super::{Context, caller};
use crate::domain::event_type::EventTypes;
use crate::domain::mute_word::MuteWords;
use crate::domain::rewrite::Rewrite;
use crate::domain::rule::{BrokenField, Rule, optional_field};
use crate::domain::webhook_change::WebhookChange;
use crate::domain::webhook_url::WebhookUrl;
use crate::error::Error;

/// Changes the fields that are given, after a probe of the URL if that changes.
///
/// # Errors
///
/// In this order: the first field that breaks a rule (as docs/methods.md lists them), or that no field is
/// given; no webhook of the caller has that id; a secret that does not exist; the limits on probes; an
/// unreachable URL; the store's other errors.
pub(super) async fn update_webhook(
    context: &Context,
    request: UpdateWebhookRequest,
) -> Result<UpdateWebhookResponse, Error> {
    let UpdateWebhookRequest {
        caller_did,
        given,
        id,
        url,
        events,
        active,
        name,
        description,
        prefix,
        suffix,
        mute_words,
        rewrite,
        streamplace_format,
        secret_id,
    } = request;
    let owner = caller(&caller_did)?;
    let given = given.map(|mask| mask.paths).unwrap_or_default();
    let url = url.map(|url| WebhookUrl::parse(&url, context.schemes)).transpose();
    let rewrite = rewrite.into_iter().map(|athook::RewriteRule { from, to }| (from, to)).collect();
    let change = WebhookChange {
        url: url.map_err(Error::BrokenUrl)?,
        events: list(&given, "events", events)
            .map(|events| EventTypes::parse("events", &events))
            .transpose()?,
        active,
        name: text("name", name)?,
        description: text("description", description)?,
        prefix: text("prefix", prefix)?,
        suffix: text("suffix", suffix)?,
        rewrite: list(&given, "rewrite", rewrite)
            .map(|rewrite| Rewrite::parse("rewrite", rewrite))
            .transpose()?,
        mute_words: list(&given, "mute_words", mute_words)
            .map(|words| MuteWords::parse("mute_words", &words))
            .transpose()?,
        streamplace_format,
        secret: text("secret_id", secret_id)?,
    };
    if change.is_empty() {
        return Err(Rule::NothingToChange.at("given").into());
    }
    // Only after the fields, so that a malformed id is answered like an unknown one.
    let id = webhook_id(&id)?;

    if let Some(url) = &change.url {
        // No probe on behalf of a webhook that does not exist.
        let before = context.store.webhook(&owner, id).await?;
        if before.config.url != *url {
            if let Some(Some(name)) = &change.secret {
                context.store.check_secret(&owner, name).await?;
            }
            context.prober.probe(&owner, url).await?;
        }
    }
    let webhook = context.store.update_webhook(&owner, id, &change, context.clock.unix_ms()).await?;
    Ok(UpdateWebhookResponse { webhook: Some(message(webhook)) })
}

/// The change of an optional text: `""` clears it.
fn text<T: FromStr<Err = Rule>>(path: &str, text: Option<String>) -> Result<Option<Option<T>>, BrokenField> {
    text.map(|text| optional_field(path, Some(&text))).transpose()
}

/// The change of a list. proto3 can't tell an empty list from an absent one, so an empty list is a change
/// only if the field mask `given` has its name.
fn list<T>(given: &[String], name: &str, list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty() || given.iter().any(|given| given == name)).then_some(list)
}
