//! Webhooks: which events go to which URL, and in what form.

use uuid::Uuid;

use super::did::Did;
use super::event_type::EventTypes;
use super::mute_word::MuteWords;
use super::rewrite::Rewrite;
use super::secret::SecretName;
use super::text::{Description, Prefix, Suffix, WebhookName};
use super::webhook_url::WebhookUrl;

/// A webhook. Times are milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Webhook {
    /// A UUIDv7 of the time of creation.
    pub(crate) id: Uuid,
    pub(crate) owner: Did,
    pub(crate) config: WebhookConfig,
    pub(crate) created_at_ms: i64,
    /// The last change by its owner; `None` before the first.
    pub(crate) updated_at_ms: Option<i64>,
    /// The last delivery that succeeded.
    pub(crate) last_triggered_at_ms: Option<i64>,
    /// Consecutive failed deliveries.
    pub(crate) error_count: u32,
    /// Set when athook has turned it off, until its owner turns it on again.
    pub(crate) disabled: Option<Disabled>,
}

/// Why and when a webhook was turned off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Disabled {
    /// `gone` or `failing`.
    pub(crate) reason: String,
    pub(crate) at_ms: i64,
}

/// The fields of a webhook that its owner sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WebhookConfig {
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
}

impl Webhook {
    /// A new webhook: neither changed nor triggered yet.
    pub(crate) fn new(id: Uuid, owner: Did, config: WebhookConfig, created_at_ms: i64) -> Self {
        Self {
            id,
            owner,
            config,
            created_at_ms,
            updated_at_ms: None,
            last_triggered_at_ms: None,
            error_count: 0,
            disabled: None,
        }
    }
}
