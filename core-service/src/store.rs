//! Persistence: a concrete store that speaks domain types.
//!
//! Owns every query, the connections, sealing on the way in and opening on the way out. The database decides
//! uniqueness and limits, in the transaction that writes ([`batch`]); writes share commits ([`writer`]).

pub(crate) mod batch;
pub(crate) mod database;
mod fault;
mod index_key;
mod metrics;
pub(crate) mod operator;
pub(crate) mod purge;
mod row;
mod secrets;
mod settle;
mod table;
mod transaction;
mod webhooks;
mod writer;

#[cfg(test)]
mod tests;

use std::time::Duration;

use process::metrics::Metrics;
use sea_orm::{ColumnTrait as _, DatabaseConnection, DbErr, EntityTrait as _, QueryFilter as _};
use tokio::time::{Instant, sleep, timeout};

use self::batch::{Limits, Row};
use self::database::{Database, DatabaseUrl};
use self::fault::Fault;
use self::index_key::{IndexKey, IndexKeyError};
use self::settle::Outcome;
use self::table::{account as account_table, index_key as index_key_table};
use self::writer::Writer;
use crate::METRICS;
use crate::domain::rule::Rule;
use crate::domain::secret::NewSecret;
use crate::domain::webhook::Webhook;
use crate::error::{Error, log_fault};
use crate::randomness::Randomness;
use crate::seal::{Purpose, SealKeys};
use process::exit::chain;

/// How long a start waits for a database that can't be reached or is busy.
const START_LIMIT: Duration = Duration::from_secs(10);
/// How long it waits before it tries again.
const START_RETRY: Duration = Duration::from_millis(500);
/// How long the end waits for writes under way and for the connections to close.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// The store. Shared by all calls.
#[derive(Debug)]
pub(crate) struct Store {
    database: Database,
    writer: Writer,
    limits: Limits,
    keys: SealKeys,
    index_key: IndexKey,
    randomness: Randomness,
}

/// A store that can't be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("the database can't be used: {url}")]
    Database {
        url: DatabaseUrl,
        #[source]
        error: DbErr,
    },
    #[error("the index key can't be used: {url}")]
    IndexKey {
        url: DatabaseUrl,
        #[source]
        error: IndexKeyError,
    },
}

/// Brings the schema of the database at `url` up to date, and closes it again.
///
/// # Errors
///
/// The database can't be reached within 10 s, or refuses.
pub(crate) async fn migrate(url: &DatabaseUrl) -> Result<(), OpenError> {
    connect_and_migrate(url).await?.close().await;
    Ok(())
}

async fn connect_and_migrate(url: &DatabaseUrl) -> Result<Database, OpenError> {
    let deadline = Instant::now() + START_LIMIT;
    let mut told = false;
    loop {
        let attempt = async {
            let database = Database::connect(url).await?;
            let usable = async {
                migrations::run(&database.writing).await?;
                can_write(&database.writing).await
            };
            match usable.await {
                Ok(()) => Ok(database),
                Err(error) => {
                    database.close().await;
                    Err(error)
                }
            }
        };
        let error = match attempt.await {
            Ok(database) => return Ok(database),
            Err(error) => error,
        };
        // A statement that fails will fail again, and so will a file that can't be written.
        let lasting = matches!(fault::kind(&error), Fault::Statement | Fault::Unusable);
        if lasting || Instant::now() + START_RETRY >= deadline {
            return Err(OpenError::Database { url: url.clone(), error });
        }
        if !told {
            tracing::warn!(causes = chain(&error), "waiting for the database: {url}");
            told = true;
        }
        sleep(START_RETRY).await;
    }
}

/// Writes nothing, with a statement that could. SQLite opens a file that can only be read without a word.
async fn can_write(database: &DatabaseConnection) -> Result<(), DbErr> {
    let nobody = account_table::Column::Did.eq("");
    account_table::Entity::delete_many().filter(nobody).exec(database).await.map(drop)
}

impl Store {
    /// Connects, brings the schema up to date, and makes or opens the index key. What is done from then on is counted
    /// in `metrics`.
    ///
    /// # Errors
    ///
    /// The database can't be reached within 10 s or refuses, or `keys` do not open what it holds.
    pub(crate) async fn open(
        url: &DatabaseUrl,
        limits: Limits,
        keys: SealKeys,
        randomness: Randomness,
        metrics: &Metrics,
    ) -> Result<Self, OpenError> {
        let database = connect_and_migrate(url).await?;
        let index_key = IndexKey::load_or_make(&database.writing, &keys, randomness)
            .await
            .map_err(|error| OpenError::IndexKey { url: url.clone(), error })?;
        let (database, writer) = metrics.register(METRICS, |registry| {
            let database = database.counted(registry);
            registry.register(
                "sealed_values_unopened",
                "Sealed values that did not open: the key is not in the file, or they were moved or changed",
                keys.unopened(),
            );
            let writer = Writer::start(&database, limits, registry);
            (database, writer)
        });
        Ok(Self { database, writer, limits, keys, index_key, randomness })
    }

    /// Stores a secret, its token sealed.
    ///
    /// # Errors
    ///
    /// The name exists, the limit is reached, or the database can't.
    pub(crate) async fn create_secret(&self, new: &NewSecret) -> Result<(), Error> {
        let purpose = Purpose::Token { owner: &new.owner, name: &new.name };
        let sealed_token = self.seal(purpose, new.token.expose())?;
        let row = Row::Secret(row::secret(new, sealed_token));
        match self.writer.write(row).await? {
            Outcome::Written => Ok(()),
            Outcome::Exists => Err(Error::SecretExists),
            Outcome::OverLimit => Err(Error::TooManySecrets { limit: self.limits.secrets }),
            // A secret names no secret.
            Outcome::UnknownSecret => Err(Error::Internal),
        }
    }

    /// Stores a webhook, its URL sealed.
    ///
    /// # Errors
    ///
    /// The owner has a webhook with that URL, the limit is reached, the secret that it names is not there, or
    /// the database can't.
    pub(crate) async fn create_webhook(&self, new: &Webhook) -> Result<(), Error> {
        let purpose = Purpose::Url { owner: &new.owner, webhook: new.id };
        let sealed_url = self.seal(purpose, new.config.url.expose().as_str())?;
        let row = row::webhook(new, sealed_url, self.index_key.hash(&new.config.url));
        let row = Row::Webhook(Box::new(row));
        match self.writer.write(row).await? {
            Outcome::Written => Ok(()),
            Outcome::Exists => Err(Error::WebhookExists),
            Outcome::OverLimit => Err(Error::TooManyWebhooks { limit: self.limits.webhooks }),
            Outcome::UnknownSecret => Err(Rule::UnknownSecret.at("input.secretId").into()),
        }
    }

    /// Asks the database for the least that shows that it answers.
    ///
    /// # Errors
    ///
    /// It does not.
    pub(crate) async fn ping(&self) -> Result<(), DbErr> {
        let found = index_key_table::Entity::find_by_id(index_key::ID).one(&self.database.reading).await?;
        found.map(drop).ok_or_else(|| DbErr::RecordNotFound("the index key".to_owned()))
    }

    /// Writes what is queued and closes the connections, for at most 5 s.
    pub(crate) async fn close(&self) {
        let closed = timeout(CLOSE_LIMIT, async {
            self.writer.close().await;
            self.database.close().await;
        });
        if closed.await.is_err() {
            tracing::warn!("the database connections did not close in time");
        }
    }

    fn seal(&self, purpose: Purpose<'_>, text: &str) -> Result<Vec<u8>, Error> {
        match self.randomness.bytes() {
            Ok(nonce) => Ok(self.keys.seal(nonce, purpose, text.as_bytes())),
            Err(error) => Err(log_fault(Error::Internal, &error)),
        }
    }
}
