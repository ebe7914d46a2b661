//! Moving every sealed value to the first of the seal keys, a batch at a time, while services write.
//!
//! A value is replaced only where it is still the one that was read (compare and swap): whoever changes it
//! meanwhile wins. Owns one round; the loop, its pauses and its reports are the command's (`cli/reseal.rs`).

mod value;

#[cfg(test)]
mod tests;

use sea_orm::sea_query::{Expr, ExprTrait as _, Func, IntoColumnRef};
use sea_orm::{ColumnTrait as _, DbErr, EntityTrait as _, PaginatorTrait as _, QueryFilter as _};
use uuid::Uuid;

use self::value::{Found, Swap, Table, replace_index_key};
use super::existing::{self, ExistingError, snapshot};
use crate::randomness::{NoRandomness, Randomness};
use crate::seal::{OpenError, Purpose, SealKeys};
use crate::store::database::{Database, DatabaseUrl};
use crate::store::index_key;
use crate::store::table::{index_key as index_key_table, secret, webhook};
use crate::store::transaction::{Failure, begin, commit};

/// A database whose sealed values move to the first key.
pub(crate) struct Reseal {
    database: Database,
    keys: SealKeys,
    randomness: Randomness,
}

/// Where a round begins: in which table, after which row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    table: Table,
    after: Option<Uuid>,
}

/// What became of sealed values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Moved to the first key.
    pub(crate) resealed: u64,
    /// Under the first key already.
    pub(crate) current: u64,
    /// Changed or removed by others after they were read.
    pub(crate) changed: u64,
    /// Do not open as what they should be, and were left as they are.
    pub(crate) unopenable: u64,
}

/// Resealing failed. What was resealed before stays, and it can be begun again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResealError {
    #[error("the database failed")]
    Database(#[from] DbErr),
    #[error("a value can't be sealed")]
    Randomness(#[from] NoRandomness),
}

impl From<Failure> for ResealError {
    fn from(failure: Failure) -> Self {
        let Failure { error, may_be_stored: _ } = failure;
        Self::Database(error)
    }
}

/// What is to be done about a value.
enum Verdict {
    Current,
    Reseal(Vec<u8>),
    Unopenable(OpenError),
}

impl Cursor {
    /// Before all rows.
    pub(crate) const START: Self = Self { table: Table::FIRST, after: None };
}

impl Tally {
    /// All values that were looked at.
    pub(crate) fn done(self) -> u64 {
        let Self { resealed, current, changed, unopenable } = self;
        resealed + current + changed + unopenable
    }

    /// Adds `other` to it.
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
    /// It is not there, or not of this release.
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
        let index_keys = index_key_table::Entity::find().count(&snapshot).await?;
        Ok(tokens + previous_tokens + urls + index_keys)
    }

    /// How many sealed values are under another key than the first now, whether they open or not.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub(crate) async fn under_other_keys(&self) -> Result<u64, ResealError> {
        let snapshot = snapshot(&self.database).await?;
        let tokens = secret::Entity::find().filter(self.under_other_key(secret::Column::SealedToken));
        // Where there is none, nothing is compared.
        let previous = self.under_other_key(secret::Column::PreviousSealedToken);
        let previous_tokens = secret::Entity::find().filter(previous);
        let urls = webhook::Entity::find().filter(self.under_other_key(webhook::Column::SealedUrl));
        let index_key = self.under_other_key(index_key_table::Column::SealedKey);
        let index_keys = index_key_table::Entity::find().filter(index_key);
        let [tokens, previous_tokens, urls, index_keys] = [
            tokens.count(&snapshot).await?,
            previous_tokens.count(&snapshot).await?,
            urls.count(&snapshot).await?,
            index_keys.count(&snapshot).await?,
        ];
        Ok(tokens + previous_tokens + urls + index_keys)
    }

    fn under_other_key(&self, sealed: impl IntoColumnRef) -> Expr {
        let prefix = self.keys.first_prefix().to_vec();
        let length = i32::try_from(prefix.len()).unwrap_or(i32::MAX);
        let beginning = Func::cust("substr").arg(Expr::col(sealed)).arg(1).arg(length);
        Expr::expr(beginning).ne(prefix)
    }

    /// One batch from `at`: what became of it, and where to go on, which is nowhere after the last.
    ///
    /// # Errors
    ///
    /// The database or the generator failed. The batch may be repeated.
    pub(crate) async fn round(&self, at: Cursor) -> Result<(Tally, Option<Cursor>), ResealError> {
        let Cursor { table, after } = at;
        let (found, last) = table.page(&self.database, after).await?;
        let next = match last {
            Some(last) => Some(Cursor { table, after: Some(last) }),
            None => table.next().map(|table| Cursor { table, after: None }),
        };
        let (mut tally, swaps) = self.renew(found)?;
        tally.add(self.swap(&swaps).await?);
        Ok((tally, next))
    }

    /// The index key. It goes last: as long as anything else is under an older key, a core-service that lacks
    /// that key does not start.
    ///
    /// # Errors
    ///
    /// The database or the generator failed.
    pub(crate) async fn index_key(&self) -> Result<Tally, ResealError> {
        let row = index_key_table::Entity::find_by_id(index_key::ID).one(&self.database.reading).await?;
        let Some(index_key_table::Model { id: _, sealed_key: old }) = row else {
            return Ok(Tally::default());
        };
        let new = match self.judge(Purpose::IndexKey, &old)? {
            Verdict::Reseal(new) => new,
            Verdict::Current => return Ok(Tally { current: 1, ..Tally::default() }),
            Verdict::Unopenable(error) => {
                tracing::error!(cause = %error, "the index key does not open; it is left as it is");
                return Ok(Tally { unopenable: 1, ..Tally::default() });
            }
        };
        let resealed = self.database.write(|| async {
            let transaction = begin(&self.database.writing).await?;
            let resealed = replace_index_key(&transaction, &old, &new).await?;
            commit(transaction).await?;
            Ok(resealed)
        });
        let resealed = resealed.await?;
        Ok(Tally { resealed, changed: 1 - resealed, ..Tally::default() })
    }

    /// What is to be swapped of `found`, and the tally of the rest. Values under the first key are opened too, so
    /// that one that was moved from another row is noticed.
    fn renew(&self, found: Vec<Found>) -> Result<(Tally, Vec<Swap>), NoRandomness> {
        let mut tally = Tally::default();
        let mut swaps = Vec::new();
        for Found { id, column, sealed, of } in found {
            let verdict = match &of {
                Some(of) => self.judge(of.purpose(), &sealed)?,
                None => Verdict::Unopenable(OpenError::Broken),
            };
            match verdict {
                Verdict::Current => tally.current += 1,
                Verdict::Reseal(new) => swaps.push(Swap { id, column, old: sealed, new }),
                Verdict::Unopenable(error) => {
                    let column = column.name();
                    tracing::error!(column, %id, cause = %error, "a value does not open; it is left as it is");
                    tally.unopenable += 1;
                }
            }
        }
        Ok((tally, swaps))
    }

    fn judge(&self, purpose: Purpose<'_>, sealed: &[u8]) -> Result<Verdict, NoRandomness> {
        Ok(match self.keys.open(purpose, sealed) {
            Err(error) => Verdict::Unopenable(error),
            Ok(_) if self.keys.is_first(sealed) => Verdict::Current,
            Ok(text) => Verdict::Reseal(self.keys.seal(self.randomness.bytes()?, purpose, &text)),
        })
    }

    /// Swaps, in one transaction, what nobody has changed since it was read.
    async fn swap(&self, swaps: &[Swap]) -> Result<Tally, Failure> {
        if swaps.is_empty() {
            return Ok(Tally::default());
        }
        let resealed = self.database.write(|| async {
            let transaction = begin(&self.database.writing).await?;
            let mut resealed = 0;
            for swap in swaps {
                resealed += swap.make(&transaction).await?;
            }
            commit(transaction).await?;
            Ok(resealed)
        });
        let resealed = resealed.await?;
        Ok(Tally { resealed, changed: swaps.len() as u64 - resealed, ..Tally::default() })
    }
}
