//! Rows with their secrets sealed, and webhooks opened again.
//!
//! Owns the keys of this process: those that seal, and the one under which URLs are hashed. How the other
//! columns are written is [`row`]'s.

use super::index_key::IndexKey;
use super::row;
use super::table::{secret, webhook};
use crate::domain::did::Did;
use crate::domain::secret::{NewSecret, SecretName, SigningToken};
use crate::domain::webhook::Webhook;
use crate::error::{Error, log_fault};
use crate::randomness::Randomness;
use crate::seal::{Purpose, SealKeys};

/// Seals and opens. Never printed.
#[derive(Debug)]
pub(super) struct Sealer {
    pub(super) keys: SealKeys,
    pub(super) index_key: IndexKey,
    pub(super) randomness: Randomness,
}

impl Sealer {
    /// The row of a new secret.
    pub(super) fn secret(&self, new: &NewSecret) -> Result<secret::Model, Error> {
        Ok(row::secret(new, self.token(&new.owner, &new.name, &new.token)?))
    }

    /// The token of the secret `name` of `owner`, sealed.
    pub(super) fn token(
        &self,
        owner: &Did,
        name: &SecretName,
        token: &SigningToken,
    ) -> Result<Vec<u8>, Error> {
        self.seal(Purpose::Token { owner, name }, token.expose())
    }

    /// The row of `webhook`.
    pub(super) fn webhook(&self, webhook: &Webhook) -> Result<webhook::Model, Error> {
        let Webhook { id, owner, config, .. } = webhook;
        let purpose = Purpose::Url { owner, webhook: *id };
        let sealed_url = self.seal(purpose, config.url.expose().as_str())?;
        Ok(row::webhook(webhook, sealed_url, self.index_key.hash(&config.url)))
    }

    /// The webhook in `row`. If it can't be opened, the cause is logged.
    pub(super) fn open_webhook(&self, row: &webhook::Model) -> Result<Webhook, Error> {
        row::open_webhook(row, &self.keys).map_err(|unreadable| log_fault(Error::Internal, &unreadable))
    }

    /// `text`, sealed for this purpose.
    pub(super) fn seal(&self, purpose: Purpose<'_>, text: &str) -> Result<Vec<u8>, Error> {
        match self.randomness.bytes() {
            Ok(nonce) => Ok(self.keys.seal(nonce, purpose, text.as_bytes())),
            Err(error) => Err(log_fault(Error::Internal, &error)),
        }
    }
}
