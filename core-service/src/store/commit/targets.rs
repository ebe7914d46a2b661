//! Webhooks as deliveries need them: opened, with the tokens that sign.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sea_orm::sea_query::{Condition, ExprTrait as _};
use sea_orm::{ColumnTrait as _, DatabaseTransaction, DbErr, EntityTrait as _, QueryFilter as _};

use crate::delivery::event::Message;
use crate::delivery::format::Format;
use crate::delivery::lease::Signing;
use crate::delivery::signature::Tokens;
use crate::delivery::text::{MuteText, Texts};
use crate::domain::did::Did;
use crate::domain::secret::{SecretName, SigningToken};
use crate::domain::webhook::Webhook;
use crate::seal::Purpose;
use crate::store::row;
use crate::store::sealer::Sealer;
use crate::store::table::{secret, webhook};
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
    pub(super) webhook: Webhook,
    pub(super) signing: Signing,
    /// A hash of scheme, host and port.
    pub(super) origin: Arc<[u8]>,
    pub(super) format: Format,
}

impl Target {
    pub(super) fn is_discord(&self) -> bool {
        self.format == Format::Discord
    }

    /// Whether one of the mute words keeps an event with this text back.
    pub(super) fn mutes(&self, text: Option<&MuteText>) -> bool {
        text.is_some_and(|text| text.is_muted_by(&self.webhook.config.mute_words))
    }

    /// The body of a request that says `message`; empty if there is nothing to send.
    pub(super) fn body(&self, message: Message<'_>) -> Vec<u8> {
        let config = &self.webhook.config;
        self.format.body(message, Texts::of(config)).unwrap_or_default()
    }
}

/// Opens the webhooks of `rows`. One that can't be read is an error in the log.
pub(super) async fn open(
    transaction: &DatabaseTransaction,
    sealer: &Sealer,
    rows: Vec<webhook::Model>,
    now_ms: i64,
) -> Result<Opened, DbErr> {
    let secrets = secrets_of(transaction, &rows).await?;
    let mut targets = Vec::with_capacity(rows.len());
    let mut unreadable = Vec::new();
    for row in rows {
        match row::open_webhook(&row, &sealer.keys) {
            Ok(webhook) => targets.push(Target {
                signing: signing(sealer, &webhook, &secrets, now_ms),
                origin: sealer.index_key.origin(&webhook.config.url),
                format: Format::of(webhook.config.url.expose()),
                webhook,
            }),
            Err(error) => {
                process::once_a_second!(error, causes = chain(&error), "a webhook is not called");
                unreadable.push(row);
            }
        }
    }
    Ok(Opened { targets, unreadable })
}

type Secrets = HashMap<(String, String), secret::Model>;

async fn secrets_of(
    transaction: &DatabaseTransaction,
    webhooks: &[webhook::Model],
) -> Result<Secrets, DbErr> {
    let named: HashSet<(&str, &str)> = webhooks
        .iter()
        .filter_map(|row| Some((row.owner_did.as_str(), row.secret_name.as_deref()?)))
        .collect();
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

fn signing(sealer: &Sealer, webhook: &Webhook, secrets: &Secrets, now_ms: i64) -> Signing {
    let Some(name) = &webhook.config.secret else { return Signing::None };
    let Some(row) = secrets.get(&(webhook.owner.to_string(), name.to_string())) else {
        return Signing::Unavailable;
    };
    let open = |sealed: &[u8]| token(sealer, &webhook.owner, name, sealed);
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
