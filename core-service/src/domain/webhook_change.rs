//! Changes of a webhook: which fields to write, and the webhook that results.
//!
//! Owns what updateWebhook does to the fields (docs/methods.md). The rules of a field are in its own type;
//! whether a new URL is unique is decided by the store, and whether it can be reached by the probe.

use super::event_type::EventTypes;
use super::mute_word::MuteWords;
use super::rewrite::Rewrite;
use super::secret::SecretName;
use super::text::{Description, Prefix, Suffix, WebhookName};
use super::webhook::{Webhook, WebhookConfig};
use super::webhook_url::WebhookUrl;

/// The fields to write. `None` keeps the present value, `Some(None)` clears it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct WebhookChange {
    pub(crate) url: Option<WebhookUrl>,
    pub(crate) events: Option<EventTypes>,
    pub(crate) active: Option<bool>,
    pub(crate) name: Option<Option<WebhookName>>,
    pub(crate) description: Option<Option<Description>>,
    pub(crate) prefix: Option<Option<Prefix>>,
    pub(crate) suffix: Option<Option<Suffix>>,
    pub(crate) rewrite: Option<Rewrite>,
    pub(crate) mute_words: Option<MuteWords>,
    pub(crate) streamplace_format: Option<bool>,
    pub(crate) secret: Option<Option<SecretName>>,
}

impl WebhookChange {
    /// Whether no field is given.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// `webhook` after the change, made at `at_ms` (milliseconds since 1970-01-01T00:00:00Z). `active: true`
    /// resets the error count, also of a webhook that is active already.
    pub(crate) fn apply(self, webhook: Webhook, at_ms: i64) -> Webhook {
        let kept = webhook.config;
        let config = WebhookConfig {
            url: self.url.unwrap_or(kept.url),
            events: self.events.unwrap_or(kept.events),
            active: self.active.unwrap_or(kept.active),
            name: self.name.unwrap_or(kept.name),
            description: self.description.unwrap_or(kept.description),
            prefix: self.prefix.unwrap_or(kept.prefix),
            suffix: self.suffix.unwrap_or(kept.suffix),
            rewrite: self.rewrite.unwrap_or(kept.rewrite),
            mute_words: self.mute_words.unwrap_or(kept.mute_words),
            streamplace_format: self.streamplace_format.unwrap_or(kept.streamplace_format),
            secret: self.secret.unwrap_or(kept.secret),
        };
        let error_count = if self.active == Some(true) { 0 } else { webhook.error_count };
        Webhook { config, updated_at_ms: Some(at_ms), error_count, ..webhook }
    }
}

#[cfg(test)]
mod tests {
    use proptest::option::of;
    use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
    use uuid::Uuid;

    use super::*;
    use crate::domain::webhook_url::Schemes;

    fn url(path: &str) -> WebhookUrl {
        WebhookUrl::parse(&format!("https://example.com/{path}"), Schemes::Https).unwrap()
    }

    fn events() -> impl Strategy<Value = EventTypes> {
        let types = prop_oneof![Just("chat"), Just("livestream"), Just("follow"), Just("stream.received")];
        proptest::collection::vec(types.prop_map(str::to_owned), 1..4)
            .prop_map(|types| EventTypes::parse("events", &types).unwrap())
    }

    fn rewrite() -> impl Strategy<Value = Rewrite> {
        proptest::collection::vec(("[a-z]{1,3}", "[a-z]{0,3}"), 0..3)
            .prop_map(|pairs| Rewrite::parse("rewrite", pairs).unwrap())
    }

    fn mute_words() -> impl Strategy<Value = MuteWords> {
        proptest::collection::vec("[a-z]{1,3}", 0..3)
            .prop_map(|words| MuteWords::parse("mute_words", &words).unwrap())
    }

    fn text<T: std::str::FromStr<Err: std::fmt::Debug> + std::fmt::Debug>() -> impl Strategy<Value = T> {
        "[a-z]{1,3}".prop_map(|text| text.parse().unwrap())
    }

    fn changes() -> impl Strategy<Value = WebhookChange> {
        let texts = (of(of(text())), of(of(text())), of(of(text())), of(of(text())), of(of(text())));
        let lists = (of(events()), of(rewrite()), of(mute_words()));
        let others = (of("[a-z]{0,3}".prop_map(|path| url(&path))), of(any::<bool>()), of(any::<bool>()));
        (texts, lists, others).prop_map(|(texts, lists, others)| {
            let (name, description, prefix, suffix, secret) = texts;
            let (events, rewrite, mute_words) = lists;
            let (url, active, streamplace_format) = others;
            WebhookChange {
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
            }
        })
    }

    /// A webhook that some change made: any configuration at all.
    fn webhooks() -> impl Strategy<Value = Webhook> {
        (changes(), of(0..9_i64), of(0..9_i64), 0..9_u32).prop_map(|(change, updated, triggered, errors)| {
            let config = WebhookConfig {
                url: url("first"),
                events: EventTypes::parse("events", &["mention".to_owned()]).unwrap(),
                active: false,
                name: None,
                description: None,
                prefix: None,
                suffix: None,
                rewrite: Rewrite::parse("rewrite", Vec::new()).unwrap(),
                mute_words: MuteWords::parse("mute_words", &[]).unwrap(),
                streamplace_format: false,
                secret: None,
            };
            let new = Webhook::new(Uuid::from_u128(1), "did:plc:a".parse().unwrap(), config, 1);
            Webhook {
                updated_at_ms: updated,
                last_triggered_at_ms: triggered,
                error_count: errors,
                ..change.apply(new, 1)
            }
        })
    }

    proptest! {
        #[test]
        fn given_fields_are_written_and_others_kept(change in changes(), webhook in webhooks()) {
            let after = change.clone().apply(webhook.clone(), 77).config;
            let before = webhook.config;
            prop_assert_eq!(after.url, change.url.unwrap_or(before.url));
            prop_assert_eq!(after.events, change.events.unwrap_or(before.events));
            prop_assert_eq!(after.active, change.active.unwrap_or(before.active));
            prop_assert_eq!(after.name, change.name.unwrap_or(before.name));
            prop_assert_eq!(after.description, change.description.unwrap_or(before.description));
            prop_assert_eq!(after.prefix, change.prefix.unwrap_or(before.prefix));
            prop_assert_eq!(after.suffix, change.suffix.unwrap_or(before.suffix));
            prop_assert_eq!(after.rewrite, change.rewrite.unwrap_or(before.rewrite));
            prop_assert_eq!(after.mute_words, change.mute_words.unwrap_or(before.mute_words));
            let streamplace_format = change.streamplace_format.unwrap_or(before.streamplace_format);
            prop_assert_eq!(after.streamplace_format, streamplace_format);
            prop_assert_eq!(after.secret, change.secret.unwrap_or(before.secret));
        }

        #[test]
        fn what_the_owner_does_not_decide_is_kept(change in changes(), webhook in webhooks()) {
            let after = change.clone().apply(webhook.clone(), 77);
            prop_assert_eq!(after.updated_at_ms, Some(77));
            let errors = if change.active == Some(true) { 0 } else { webhook.error_count };
            prop_assert_eq!(after.error_count, errors);
            let Webhook { config, updated_at_ms, error_count, .. } = after.clone();
            prop_assert_eq!(after, Webhook { config, updated_at_ms, error_count, ..webhook });
        }

        #[test]
        fn twice_is_once(change in changes(), webhook in webhooks()) {
            let once = change.clone().apply(webhook, 77);
            prop_assert_eq!(change.apply(once.clone(), 77), once);
        }

        #[test]
        fn change_of_nothing_changes_nothing(change in changes(), webhook in webhooks()) {
            let after = WebhookChange::default().apply(webhook.clone(), 77);
            prop_assert_eq!(&after.config, &webhook.config);
            prop_assert_eq!(change.is_empty(), change == WebhookChange::default());
            if change.is_empty() {
                prop_assert_eq!(change.apply(webhook, 77), after);
            }
        }

        #[test]
        fn later_change_of_the_same_fields_wins(one in changes(), webhook in webhooks()) {
            let all = WebhookChange {
                url: Some(url("last")),
                events: Some(EventTypes::parse("events", &["follow".to_owned()]).unwrap()),
                active: Some(false),
                name: Some(None),
                description: Some(None),
                prefix: Some(None),
                suffix: Some(None),
                rewrite: Some(Rewrite::parse("rewrite", Vec::new()).unwrap()),
                mute_words: Some(MuteWords::parse("mute_words", &[]).unwrap()),
                streamplace_format: Some(false),
                secret: Some(None),
            };
            let directly = all.clone().apply(webhook.clone(), 78).config;
            let config = all.apply(one.apply(webhook, 77), 78).config;
            prop_assert_eq!(&config, &directly);
            prop_assert!(config.name.is_none() && config.secret.is_none());
        }
    }
}
