//! Moves every sealed value to the first of the seal keys, batch by batch, while services write.
//!
//! A batch reads a page of a table, opens every value, seals those under an older key anew, and puts each in
//! place of the old one, in one transaction of `UPDATE … WHERE id = … AND sealed = <the old value>`. That
//! takes no account lock: if a rotation or a deletion comes between reading and writing, the update matches
//! no row, and the value counts as changed. An envelope names its key, so that a run that was stopped needs
//! no bookkeeping to go on.
//!
//! Values under the first key are opened too. That costs a microsecond for each, and makes each run a check
//! of all sealed values: one that was moved from another row is reported, whatever its key.
//!
//! The index key comes last: as long as anything is under an older key, a core-service without that key does
//! not start. At the end [`Reseal::under_other_keys`] counts what is under another key still, which happens
//! when a service seals with the old one.
//!
//! Nothing that was published or delivered is sealed, so that events, deliveries and attempts have nothing to
//! reseal. The hashes of URLs and origins stay as well: resealed, the index key is the same key.
//!
//! Owns one batch. The loop, its pauses and its reports belong to the command (`cli/reseal.rs`).

mod value;

#[cfg(test)]
mod tests;

use sea_orm::sea_query::{Expr, ExprTrait as _, Func, IntoColumnRef};
use sea_orm::{ColumnTrait as _, DbErr, EntityTrait as _, PaginatorTrait as _, QueryFilter as _};
use uuid::Uuid;

use self::value::{Replacement, SealedValue, Table, replace_index_key};
use super::existing::{self, ExistingError, end, snapshot};
use crate::randomness::{NoRandomness, Randomness};
use crate::seal::{OpenError, Purpose, SealKeys};
use crate::store::database::Database;
use crate::store::database::url::DatabaseUrl;
use crate::store::index_key;
use crate::store::table::{index_key as index_key_table, record_webhook, secret, webhook};
use crate::store::told::Told;
use crate::store::transaction::Failure;

/// A database to reseal, and the keys.
pub(crate) struct Reseal {
    database: Database,
    keys: SealKeys,
    randomness: Randomness,
}

/// Where a batch begins: in which table, after which row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    table: Table,
    after: Option<Uuid>,
}

/// How many sealed values had which result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Moved to the first key.
    pub(crate) resealed: u64,
    /// Under the first key already.
    pub(crate) current: u64,
    /// Changed or deleted by others after they were read.
    pub(crate) changed: u64,
    /// Did not open, and were left as they are.
    pub(crate) unopenable: u64,
}

/// A batch failed. Earlier batches stay, and the command can be run again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResealError {
    #[error("the database failed")]
    Database(#[from] Told),
    #[error("a value can't be sealed")]
    Randomness(#[from] NoRandomness),
}

impl From<Failure> for ResealError {
    fn from(failure: Failure) -> Self {
        Self::Database(failure.told())
    }
}

impl From<DbErr> for ResealError {
    fn from(error: DbErr) -> Self {
        Self::Database(error.into())
    }
}

/// What to do with a sealed value.
enum Action {
    /// Nothing: it is under the first key.
    Keep,
    /// Replace it by this one.
    Replace(Vec<u8>),
    /// Report it, and leave it as it is.
    Report(OpenError),
}

impl Cursor {
    /// Before the first row of the first table.
    pub(crate) const START: Self = Self { table: Table::FIRST, after: None };
}

impl Counts {
    /// All values.
    pub(crate) fn total(self) -> u64 {
        let Self { resealed, current, changed, unopenable } = self;
        resealed + current + changed + unopenable
    }

    /// Adds `other` to these.
    pub(crate) fn add(&mut self, other: Self) {
        let Self { resealed, current, changed, unopenable } = other;
        self.resealed += resealed;
        self.current += current;
        self.changed += changed;
        self.unopenable += unopenable;
    }
}

impl Reseal {
    /// Opens the database at `url`.
    ///
    /// # Errors
    ///
    /// It does not exist, can't be used, or does not have the schema of this release.
    pub(crate) async fn open(
        url: &DatabaseUrl,
        keys: SealKeys,
        randomness: Randomness,
    ) -> Result<Self, ExistingError> {
        Ok(Self { database: existing::open(url).await?, keys, randomness })
    }

    /// Closes the connections.
    pub(crate) async fn close(&self) {
        self.database.close().await;
    }

    /// How many sealed values there are now.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub(crate) async fn total(&self) -> Result<u64, ResealError> {
        let snapshot = snapshot(&self.database).await?;
        let tokens = secret::Entity::find().count(&snapshot).await?;
        let previous = secret::Column::PreviousSealedToken.is_not_null();
        let previous_tokens = secret::Entity::find().filter(previous).count(&snapshot).await?;
        let urls = webhook::Entity::find().count(&snapshot).await?;
        let record_url = record_webhook::Column::SealedUrl.is_not_null();
        let record_urls = record_webhook::Entity::find().filter(record_url).count(&snapshot).await?;
        let record_secret = record_webhook::Column::SealedSecret.is_not_null();
        let record_secrets = record_webhook::Entity::find().filter(record_secret).count(&snapshot).await?;
        let index_keys = index_key_table::Entity::find().count(&snapshot).await?;
        end(&self.database, snapshot).await?;
        Ok(tokens + previous_tokens + urls + record_urls + record_secrets + index_keys)
    }

    /// How many sealed values are under another key than the first now, whether or not they open.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub(crate) async fn under_other_keys(&self) -> Result<u64, ResealError> {
        let snapshot = snapshot(&self.database).await?;
        let tokens = secret::Entity::find().filter(self.under_other_key(secret::Column::SealedToken));
        // NULL compares as false, so that rows without a previous token do not count.
        let previous = self.under_other_key(secret::Column::PreviousSealedToken);
        let previous_tokens = secret::Entity::find().filter(previous);
        let urls = webhook::Entity::find().filter(self.under_other_key(webhook::Column::SealedUrl));
        let index_key = self.under_other_key(index_key_table::Column::SealedKey);
        let index_keys = index_key_table::Entity::find().filter(index_key);
        let record_url = self.under_other_key(record_webhook::Column::SealedUrl);
        let record_urls = record_webhook::Entity::find().filter(record_url);
        let record_secret = self.under_other_key(record_webhook::Column::SealedSecret);
        let record_secrets = record_webhook::Entity::find().filter(record_secret);
        let counts = [
            tokens.count(&snapshot).await?,
            previous_tokens.count(&snapshot).await?,
            urls.count(&snapshot).await?,
            record_urls.count(&snapshot).await?,
            record_secrets.count(&snapshot).await?,
            index_keys.count(&snapshot).await?,
        ];
        end(&self.database, snapshot).await?;
        Ok(counts.into_iter().sum())
    }

    fn under_other_key(&self, sealed: impl IntoColumnRef) -> Expr {
        let prefix = self.keys.first_prefix().to_vec();
        let length = i32::try_from(prefix.len()).unwrap_or(i32::MAX);
        let start = Func::cust("substr").arg(Expr::col(sealed)).arg(1).arg(length);
        Expr::expr(start).ne(prefix)
    }

    /// Reseals one batch from `cursor` on. Returns its counts, and where the next batch begins: `None` after
    /// the last.
    ///
    /// # Errors
    ///
    /// The database or the random number generator failed. The batch may be repeated.
    pub(crate) async fn batch(&self, cursor: Cursor) -> Result<(Counts, Option<Cursor>), ResealError> {
        let Cursor { table, after } = cursor;
        let (values, last) = table.page(&self.database, after).await?;
        let next = match last {
            Some(last) => Some(Cursor { table, after: Some(last) }),
            None => table.next().map(|table| Cursor { table, after: None }),
        };
        let (mut counts, replacements) = self.plan(values)?;
        counts.add(self.replace(&replacements).await?);
        Ok((counts, next))
    }

    /// Reseals the index key.
    ///
    /// # Errors
    ///
    /// The database or the random number generator failed.
    pub(crate) async fn index_key(&self) -> Result<Counts, ResealError> {
        let row = index_key_table::Entity::find_by_id(index_key::ID).one(&self.database.reading).await?;
        let Some(index_key_table::Model { id: _, sealed_key: old, url_form: _ }) = row else {
            return Ok(Counts::default());
        };
        let new = match self.decide(Purpose::IndexKey, &old)? {
            Action::Replace(new) => new,
            Action::Keep => return Ok(Counts { current: 1, ..Counts::default() }),
            Action::Report(error) => {
                tracing::error!(cause = %error, "the index key does not open; it is left as it is");
                return Ok(Counts { unopenable: 1, ..Counts::default() });
            }
        };
        let replace = async |transaction: &_| replace_index_key(transaction, &old, &new).await;
        let resealed = self.database.transaction(replace).await?;
        Ok(Counts { resealed, changed: 1 - resealed, ..Counts::default() })
    }

    /// The replacements for `values`, and the counts of the other values.
    fn plan(&self, values: Vec<SealedValue>) -> Result<(Counts, Vec<Replacement>), NoRandomness> {
        let mut counts = Counts::default();
        let mut replacements = Vec::new();
        for SealedValue { id, column, sealed, identity } in values {
            let action = match &identity {
                Some(identity) => self.decide(identity.purpose(), &sealed)?,
                None => Action::Report(OpenError::Broken),
            };
            match action {
                Action::Keep => counts.current += 1,
                Action::Replace(new) => replacements.push(Replacement { id, column, old: sealed, new }),
                Action::Report(error) => {
                    let column = column.name();
                    tracing::error!(column, %id, cause = %error, "a value does not open; it is left as it is");
                    counts.unopenable += 1;
                }
            }
        }
        Ok((counts, replacements))
    }

    fn decide(&self, purpose: Purpose<'_>, sealed: &[u8]) -> Result<Action, NoRandomness> {
        Ok(match self.keys.open(purpose, sealed) {
            Err(error) => Action::Report(error),
            Ok(_) if self.keys.is_first(sealed) => Action::Keep,
            Ok(text) => Action::Replace(self.keys.seal(self.randomness.bytes()?, purpose, &text)),
        })
    }

    /// Writes the replacements in one transaction, those whose old value nobody has changed.
    async fn replace(&self, replacements: &[Replacement]) -> Result<Counts, Failure> {
        if replacements.is_empty() {
            return Ok(Counts::default());
        }
        let resealed = self.database.transaction(async |transaction| {
            let mut resealed = 0;
            for replacement in replacements {
                resealed += replacement.write(transaction).await?;
            }
            Ok(resealed)
        });
        let resealed = resealed.await?;
        Ok(Counts { resealed, changed: replacements.len() as u64 - resealed, ..Counts::default() })
    }
}
