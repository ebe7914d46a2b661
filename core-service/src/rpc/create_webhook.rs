//! `WebhookService.CreateWebhook`, which is `place.stream.server.createWebhook` (METHODS.md).

use proto::athook::{self, CreateWebhookRequest, CreateWebhookResponse};

use super::timestamp::timestamp;
use super::{Parts, caller};
use crate::domain::event_type::EventTypes;
use crate::domain::mute_word::MuteWords;
use crate::domain::rewrite::Rewrite;
use crate::domain::rule::{field, optional_field};
use crate::domain::webhook::NewWebhook;
use crate::domain::webhook_url::WebhookUrl;
use crate::error::Error;

/// Makes a webhook, after trying to reach its URL.
///
/// # Errors
///
/// The first field that breaks a rule, in the order of METHODS.md's table (the URL's own rules first, all
/// others before anything is tried); then the limits on probes; an unreachable URL; and what the store says.
pub(super) async fn create_webhook(
    parts: &Parts,
    request: CreateWebhookRequest,
) -> Result<CreateWebhookResponse, Error> {
    let CreateWebhookRequest {
        caller_did,
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
    let url = WebhookUrl::parse(&url, parts.schemes).map_err(Error::BrokenUrl)?;
    let events = EventTypes::parse("input.events", &events)?;
    let name = optional_field("input.name", name.as_deref())?;
    let description = optional_field("input.description", description.as_deref())?;
    let prefix = optional_field("input.prefix", prefix.as_deref())?;
    let suffix = optional_field("input.suffix", suffix.as_deref())?;
    let rewrite = rewrite.into_iter().map(|athook::RewriteRule { from, to }| (from, to));
    let rewrite = Rewrite::parse("input.rewrite", rewrite.collect())?;
    let mute_words = MuteWords::parse("input.muteWords", &mute_words)?;
    // Unlike the texts, "" is no secret's name: it is refused.
    let secret = secret_id.map(|name| field("input.secretId", &name)).transpose()?;

    parts.prober.try_url(&owner, &url).await?;

    let created_at_ms = parts.clock.unix_ms();
    let new = NewWebhook {
        id: parts.new_id(created_at_ms)?,
        owner,
        url,
        events,
        active: active.unwrap_or(false),
        name,
        description,
        prefix,
        suffix,
        rewrite,
        mute_words,
        streamplace_format: streamplace_format.unwrap_or(false),
        secret,
        created_at_ms,
    };
    parts.store.create_webhook(&new).await?;
    Ok(CreateWebhookResponse { webhook: Some(message(&new)) })
}

fn message(new: &NewWebhook) -> athook::Webhook {
    let NewWebhook {
        id,
        owner: _,
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
        created_at_ms,
    } = new;
    let rewrite = rewrite
        .iter()
        .map(|rule| athook::RewriteRule { from: rule.from().to_owned(), to: rule.to().to_owned() });
    athook::Webhook {
        id: id.to_string(),
        url: url.expose().to_string(),
        events: events.iter().map(|event| event.to_string()).collect(),
        active: *active,
        created_at: Some(timestamp(*created_at_ms)),
        updated_at: None,
        name: name.as_ref().map(ToString::to_string),
        description: description.as_ref().map(ToString::to_string),
        prefix: prefix.as_ref().map(ToString::to_string),
        suffix: suffix.as_ref().map(ToString::to_string),
        rewrite: rewrite.collect(),
        mute_words: mute_words.iter().map(str::to_owned).collect(),
        streamplace_format: Some(*streamplace_format),
        secret_id: secret.as_ref().map(ToString::to_string),
        last_triggered: None,
        error_count: Some(0),
    }
}
