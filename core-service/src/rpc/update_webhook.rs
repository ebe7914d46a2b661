//! `WebhookService.UpdateWebhook`, which is `place.stream.server.updateWebhook` (METHODS.md).

use std::str::FromStr;

use proto::athook::{self, UpdateWebhookRequest, UpdateWebhookResponse};

use super::webhook_message::{message, webhook_id};
use super::{Parts, caller};
use crate::domain::event_type::EventTypes;
use crate::domain::mute_word::MuteWords;
use crate::domain::rewrite::Rewrite;
use crate::domain::rule::{BrokenField, Rule, optional_field};
use crate::domain::webhook_change::WebhookChange;
use crate::domain::webhook_url::WebhookUrl;
use crate::error::Error;

/// Changes the fields that are given, after trying to reach a URL that is another one than before.
///
/// # Errors
///
/// The first field that breaks a rule, in the order of METHODS.md's table, or that none is given; then that there
/// is no such webhook of the caller; then the limits on probes, and an unreachable URL: nothing is tried for a
/// webhook that is not there. Then what the store says.
pub(super) async fn update_webhook(
    parts: &Parts,
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
    let url = url.map(|url| WebhookUrl::parse(&url, parts.schemes)).transpose();
    let rewrite = rewrite.into_iter().map(|athook::RewriteRule { from, to }| (from, to)).collect();
    let change = WebhookChange {
        url: url.map_err(Error::BrokenUrl)?,
        events: list(&given, "events", events)
            .map(|events| EventTypes::parse("input.events", &events))
            .transpose()?,
        active,
        name: text("input.name", name)?,
        description: text("input.description", description)?,
        prefix: text("input.prefix", prefix)?,
        suffix: text("input.suffix", suffix)?,
        rewrite: list(&given, "rewrite", rewrite)
            .map(|rewrite| Rewrite::parse("input.rewrite", rewrite))
            .transpose()?,
        mute_words: list(&given, "mute_words", mute_words)
            .map(|words| MuteWords::parse("input.muteWords", &words))
            .transpose()?,
        streamplace_format,
        secret: text("input.secretId", secret_id)?,
    };
    if change.is_empty() {
        return Err(Rule::NothingToChange.at("input").into());
    }
    // After the fields, so that an id that is none looks like one that nobody has.
    let id = webhook_id(&id)?;

    if let Some(url) = &change.url {
        let before = parts.store.webhook(&owner, id).await?;
        if before.config.url != *url {
            parts.prober.try_url(&owner, url).await?;
        }
    }
    let webhook = parts.store.update_webhook(&owner, id, &change, parts.clock.unix_ms()).await?;
    Ok(UpdateWebhookResponse { webhook: Some(message(webhook)) })
}

/// The text to write, if there is one; `""` clears.
fn text<T: FromStr<Err = Rule>>(path: &str, text: Option<String>) -> Result<Option<Option<T>>, BrokenField> {
    text.map(|text| optional_field(path, Some(&text))).transpose()
}

/// The list to write, if there is one. An empty one counts only if it is named: proto3 writes it like none.
fn list<T>(given: &[String], name: &str, list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty() || given.iter().any(|given| given == name)).then_some(list)
}
