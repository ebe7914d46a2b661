//! Webhooks as deliveries need them: opened, with the tokens that sign.
//!
//! A webhook was created by a call, or it is a record of its owner's repository.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sea_orm::sea_query::{Condition, ExprTrait as _};
use sea_orm::{ColumnTrait as _, DatabaseTransaction, DbErr, EntityTrait as _, QueryFilter as _};
use uuid::Uuid;

use crate::delivery::event::Says;
use crate::delivery::format::Format;
use crate::delivery::lease::Signing;
use crate::delivery::signature::Tokens;
use crate::delivery::text::{MuteText, Texts};
use crate::domain::did::Did;
use crate::domain::event_type::EventType;
use crate::domain::secret::{SecretName, SigningToken};
use crate::domain::webhook::WebhookConfig;
use crate::domain::webhook_url::WebhookUrl;
use crate::intake::record::RecordSecret;
use crate::seal::Purpose;
use crate::store::row;
use crate::store::row_of_record::{self, OpenedRecord};
use crate::store::sealer::Sealer;
use crate::store::table::{record_webhook, secret, webhook};
use process::exit::chain;

/// Some webhooks, opened.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) targets: Vec<Target>,
    /// Those that can't be read: an operator must act, and their deliveries wait.
    pub(super) unreadable: Vec<webhook::Model>,
}

/// A webhook that is to be called.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) id: Uuid,
    pub(super) owner: Did,
    pub(super) url: WebhookUrl,
    pub(super) signing: Signing,
    /// A hash of scheme, host and port.
    pub(super) origin: Arc<[u8]>,
    pub(super) format: Format,
    /// From when on events of the network are its own, in microseconds of the stream's time.
    pub(super) since_us: Option<i64>,
    /// None of a record.
    config: Option<WebhookConfig>,
}

impl Target {
    pub(super) fn is_record(&self) -> bool {
        self.config.is_none()
    }

    pub(super) fn is_discord(&self) -> bool {
        self.format == Format::Discord
    }

    pub(super) fn may_mute(&self) -> bool {
        self.config.as_ref().is_some_and(|config| config.mute_words.iter().next().is_some())
    }

    /// Whether one of the mute words keeps an event with this text back.
    pub(super) fn mutes(&self, text: Option<&MuteText>) -> bool {
        let words = self.config.as_ref().map(|config| &config.mute_words);
        text.zip(words).is_some_and(|(text, words)| text.is_muted_by(words))
    }

    pub(super) fn asks_for(&self, event_type: EventType) -> bool {
        self.config.as_ref().is_some_and(|config| config.events.iter().any(|one| one == event_type))
    }

    /// The body of a request that says this; empty if there is nothing to send.
    pub(super) fn body(&self, says: Says<'_>) -> Vec<u8> {
        match (says, &self.config) {
            (Says::Message(message), Some(config)) => {
                self.format.body(message, Texts::of(config)).unwrap_or_default()
            }
            (Says::Record(json), _) => json.as_bytes().to_vec(),
            // No record gets a streamer's events.
            (Says::Message(_), None) => Vec::new(),
        }
    }
}

/// What mute words look at.
pub(super) fn mute_text(says: Says<'_>) -> Option<MuteText> {
    match says {
        Says::Message(message) => MuteText::of(message.payload),
        Says::Record(_) => None,
    }
}

/// Opens the webhooks of `rows`. One that can't be read is an error in the log.
pub(super) async fn open(
    transaction: &DatabaseTransaction,
    sealer: &Sealer,
    rows: Vec<webhook::Model>,
    now_ms: i64,
) -> Result<Opened, DbErr> {
    let named = rows.iter().filter_map(|row| Some((row.owner_did.as_str(), row.secret_name.as_deref()?)));
    let secrets = secrets_of(transaction, named.collect()).await?;
    let mut targets = Vec::with_capacity(rows.len());
    let mut unreadable = Vec::new();
    for row in rows {
        match row::open_webhook(&row, &sealer.keys) {
            Ok(webhook) => {
                let secret = webhook.config.secret.as_ref();
                targets.push(Target {
                    signing: named_signing(sealer, &webhook.owner, secret, &secrets, now_ms),
                    origin: sealer.index_key.origin(&webhook.config.url),
                    format: Format::of(webhook.config.url.expose()),
                    id: webhook.id,
                    owner: webhook.owner,
                    url: webhook.config.url.clone(),
                    since_us: row.since_us,
                    config: Some(webhook.config),
                });
            }
            Err(error) => {
                process::once_a_second!(error, causes = chain(&error), "a webhook is not called");
                unreadable.push(row);
            }
        }
    }
    Ok(Opened { targets, unreadable })
}

/// Opens those of the webhooks `ids` that are records in one of these states, which are such of valid ones.
/// One that can't be read is an error in the log.
pub(super) async fn open_records(
    transaction: &DatabaseTransaction,
    sealer: &Sealer,
    ids: &[Uuid],
    states: &[&str],
    now_ms: i64,
) -> Result<Vec<Target>, DbErr> {
    let mut rows = Vec::new();
    for some in ids.chunks(super::STATEMENT_ROWS) {
        let in_state = record_webhook::Entity::find()
            .filter(record_webhook::Column::Id.is_in(some.iter().copied()))
            .filter(record_webhook::Column::State.is_in(states.iter().copied()));
        rows.extend(in_state.all(transaction).await?);
    }
    let named = rows.iter().filter_map(|row| Some((row.owner_did.as_str(), row.secret_name.as_deref()?)));
    let secrets = secrets_of(transaction, named.collect()).await?;
    let mut targets = Vec::with_capacity(rows.len());
    for row in rows {
        let OpenedRecord { owner, url, secret } = match row_of_record::open(&row, &sealer.keys) {
            Ok(opened) => opened,
            Err(error) => {
                process::once_a_second!(error, causes = chain(&error), "a record's webhook is not called");
                continue;
            }
        };
        let signing = match secret {
            None => Signing::None,
            Some(RecordSecret::Inline(newest)) => Signing::With(Tokens { newest, previous: None }),
            Some(RecordSecret::Named(name)) => named_signing(sealer, &owner, Some(&name), &secrets, now_ms),
        };
        targets.push(Target {
            id: row.id,
            owner,
            signing,
            origin: sealer.index_key.origin(&url),
            format: Format::Json,
            url,
            since_us: row.since_us,
            config: None,
        });
    }
    Ok(targets)
}

type Secrets = HashMap<(String, String), secret::Model>;

/// The secrets with these owners and names.
async fn secrets_of(
    transaction: &DatabaseTransaction,
    named: HashSet<(&str, &str)>,
) -> Result<Secrets, DbErr> {
    let mut secrets = HashMap::new();
    let named: Vec<_> = named.into_iter().collect();
    for some in named.chunks(super::STATEMENT_ROWS) {
        let mut any = Condition::any();
        for (owner, name) in some {
            any = any.add(secret::Column::OwnerDid.eq(*owner).and(secret::Column::Name.eq(*name)));
        }
        for row in secret::Entity::find().filter(any).all(transaction).await? {
            secrets.insert((row.owner_did.clone(), row.name.clone()), row);
        }
    }
    Ok(secrets)
}

fn named_signing(
    sealer: &Sealer,
    owner: &Did,
    name: Option<&SecretName>,
    secrets: &Secrets,
    now_ms: i64,
) -> Signing {
    let Some(name) = name else { return Signing::None };
    let Some(row) = secrets.get(&(owner.to_string(), name.to_string())) else {
        return Signing::Unavailable;
    };
    let open = |sealed: &[u8]| token(sealer, owner, name, sealed);
    let Some(newest) = open(&row.sealed_token) else { return Signing::Unavailable };
    let overlap = row.previous_until_ms.is_some_and(|until| now_ms < until);
    let previous = row.previous_sealed_token.as_deref().filter(|_| overlap);
    Signing::With(Tokens { newest, previous: previous.and_then(open) })
}

/// The opened token; none, with an error in the log, if it does not open.
fn token(sealer: &Sealer, owner: &Did, name: &SecretName, sealed: &[u8]) -> Option<SigningToken> {
    let opened = sealer.keys.open(Purpose::Token { owner, name }, sealed);
    let text = match opened {
        Ok(bytes) => String::from_utf8(bytes).ok()?,
        Err(error) => {
            process::once_a_second!(error, causes = chain(&error), "a signing token does not open");
            return None;
        }
    };
    Some(SigningToken::stored(text))
}
