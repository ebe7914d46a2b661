//! `WebhookService.CreateWebhook`, served as `place.stream.server.createWebhook` (docs/methods.md).

use proto::athook::{self, CreateWebhookRequest, CreateWebhookResponse};

use super::webhook_message::message;
use super::{Context, caller};
use crate::domain::event_type::EventTypes;
use crate::domain::mute_word::MuteWords;
use crate::domain::rewrite::Rewrite;
use crate::domain::rule::{field, optional_field};
use crate::domain::secret::SecretName;
use crate::domain::webhook::{Webhook, WebhookConfig};
use crate::domain::webhook_url::WebhookUrl;
use crate::error::Error;

/// Creates a webhook, after a probe of its URL.
///
/// # Errors
///
/// In this order: the first field that breaks a rule (`input.url` first, then as docs/methods.md lists them);
/// a secret that does not exist; the limits on probes; an unreachable URL; the store's errors.
pub(super) async fn create_webhook(
    context: &Context,
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
    let url = WebhookUrl::parse(&url, context.schemes).map_err(Error::BrokenUrl)?;
    let events = EventTypes::parse("events", &events)?;
    let name = optional_field("name", name.as_deref())?;
    let description = optional_field("description", description.as_deref())?;
    let prefix = optional_field("prefix", prefix.as_deref())?;
    let suffix = optional_field("suffix", suffix.as_deref())?;
    let rewrite = rewrite.into_iter().map(|athook::RewriteRule { from, to }| (from, to));
    let rewrite = Rewrite::parse("rewrite", rewrite.collect())?;
    let mute_words = MuteWords::parse("mute_words", &mute_words)?;
    // Unlike in the texts, "" does not count as absent here: no secret has that name.
    let secret: Option<SecretName> = secret_id.map(|name| field("secret_id", &name)).transpose()?;

    if let Some(name) = &secret {
        context.store.check_secret(&owner, name).await?;
    }
    context.prober.probe(&owner, &url).await?;

    let created_at_ms = context.clock.unix_ms();
    let config = WebhookConfig {
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
    };
    let new = Webhook::new(context.new_id(created_at_ms)?, owner, config, created_at_ms);
    context.store.create_webhook(&new).await?;
    Ok(CreateWebhookResponse { webhook: Some(message(new)) })
}
