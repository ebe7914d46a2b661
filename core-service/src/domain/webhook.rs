//! Webhooks: where events go, which, and in what form.

use uuid::Uuid;

use super::did::Did;
use super::event_type::EventTypes;
use super::mute_word::MuteWords;
use super::rewrite::Rewrite;
use super::secret::SecretName;
use super::text::{Description, Prefix, Suffix, WebhookName};
use super::webhook_url::WebhookUrl;

/// A webhook to be stored.
#[derive(Debug, Clone)]
pub(crate) struct NewWebhook {
    pub(crate) id: Uuid,
    pub(crate) owner: Did,
    pub(crate) url: WebhookUrl,
    pub(crate) events: EventTypes,
    pub(crate) active: bool,
    pub(crate) name: Option<WebhookName>,
    pub(crate) description: Option<Description>,
    pub(crate) prefix: Option<Prefix>,
    pub(crate) suffix: Option<Suffix>,
    pub(crate) rewrite: Rewrite,
    pub(crate) mute_words: MuteWords,
    pub(crate) streamplace_format: bool,
    /// The secret of the same owner that signs deliveries.
    pub(crate) secret: Option<SecretName>,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub(crate) created_at_ms: i64,
}
