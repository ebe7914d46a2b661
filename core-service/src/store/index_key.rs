//! The index key: URLs are hashed with it, so that the database can tell whether two are the same, and
//! nothing else.
//!
//! It is made once for each database and kept there, sealed.

use std::sync::Arc;

use ring::hmac;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ConnectionTrait, DbErr, EntityTrait as _};

use super::table::index_key;
use super::told::Told;
use super::transaction::Failure;
use crate::domain::webhook_url::WebhookUrl;
use crate::randomness::{NoRandomness, Randomness};
use crate::seal::{OpenError, Purpose, SealKeys};

/// The id of the one row.
pub(super) const ID: i32 = 1;
/// The normal form of URLs in this release: without the final dot of the host and without an empty query.
pub(super) const URL_FORM: i32 = 1;
/// Bytes of the key: those of a SHA-256.
const KEY_BYTES: usize = 32;
/// Bytes of the hash of an origin: two origins have the same by chance never.
pub(super) const ORIGIN_BYTES: usize = 16;

/// The key of this database. Never printed.
pub(super) struct IndexKey(hmac::Key);

/// The key can't be loaded or made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IndexKeyError {
    #[error("the database does not keep it")]
    Database(#[source] Told),
    #[error("it can't be made")]
    Randomness(#[source] NoRandomness),
    #[error("the file of seal keys that this database was made with is not there")]
    NoKeys,
    #[error("the seal keys do not open it; is this the file that this database was made with?")]
    Sealed(#[source] OpenError),
}

impl From<Failure> for IndexKeyError {
    fn from(failure: Failure) -> Self {
        Self::Database(failure.told())
    }
}

impl IndexKey {
    /// Loads the key from `database`. If there is none, makes one; when several processes make one at the
    /// same time, one wins and all use that one.
    ///
    /// # Errors
    ///
    /// The database fails, or `keys` do not open its key.
    pub(super) async fn load_or_make(
        database: &impl ConnectionTrait,
        keys: &SealKeys,
        randomness: Randomness,
    ) -> Result<Self, IndexKeyError> {
        let kept = match load(database).await? {
            Some(kept) => kept,
            None => {
                make(database, keys, randomness).await?;
                let missing = || DbErr::RecordNotFound("the index key".to_owned());
                load(database).await?.ok_or_else(|| IndexKeyError::Database(missing().into()))?
            }
        };
        let key = keys.open(Purpose::IndexKey, &kept).map_err(IndexKeyError::Sealed)?;
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &key)))
    }

    /// The hash of `url`: the same for the same URL.
    pub(super) fn hash(&self, url: &WebhookUrl) -> Vec<u8> {
        hmac::sign(&self.0, url.expose().as_str().as_bytes()).as_ref().to_vec()
    }

    /// A hash of the origin of `url`: scheme, host and port.
    pub(super) fn origin(&self, url: &WebhookUrl) -> Arc<[u8]> {
        self.hash_of_origin(&url.expose().origin().ascii_serialization())
    }

    /// The same for an origin in the form of the WHATWG.
    pub(super) fn hash_of_origin(&self, origin: &str) -> Arc<[u8]> {
        Arc::from(&hmac::sign(&self.0, origin.as_bytes()).as_ref()[..ORIGIN_BYTES])
    }
}

impl std::fmt::Debug for IndexKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Checks that `keys` open the key of `database`, if it has one.
///
/// # Errors
///
/// The database fails, or they don't.
pub(super) async fn check(
    database: &impl ConnectionTrait,
    keys: Option<&SealKeys>,
) -> Result<(), IndexKeyError> {
    let Some(kept) = load(database).await? else { return Ok(()) };
    let keys = keys.ok_or(IndexKeyError::NoKeys)?;
    keys.open(Purpose::IndexKey, &kept).map(drop).map_err(IndexKeyError::Sealed)
}

async fn load(database: &impl ConnectionTrait) -> Result<Option<Vec<u8>>, IndexKeyError> {
    let row = index_key::Entity::find_by_id(ID).one(database).await.map_err(Told::from);
    let row = row.map_err(IndexKeyError::Database)?;
    Ok(row.map(|row| row.sealed_key))
}

async fn make(
    database: &impl ConnectionTrait,
    keys: &SealKeys,
    randomness: Randomness,
) -> Result<(), IndexKeyError> {
    let key: [u8; KEY_BYTES] = randomness.bytes().map_err(IndexKeyError::Randomness)?;
    let nonce = randomness.bytes().map_err(IndexKeyError::Randomness)?;
    let sealed_key = keys.seal(nonce, Purpose::IndexKey, &key);
    // There is no webhook yet.
    let row = index_key::Model { id: ID, sealed_key, url_form: URL_FORM };
    let unless_there = OnConflict::column(index_key::Column::Id).do_nothing().to_owned();
    index_key::Entity::insert(index_key::ActiveModel::from(row))
        .on_conflict(unless_there)
        .exec_without_returning(database)
        .await
        .map(drop)
        .map_err(|error| IndexKeyError::Database(error.into()))
}
