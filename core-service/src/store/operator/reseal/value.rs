//! The sealed values of the database: which columns have them, whose each is, and how one is replaced.

use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait as _, DatabaseTransaction, DbErr, EntityTrait, QueryFilter as _, Value};
use uuid::Uuid;

use crate::domain::did::Did;
use crate::domain::secret::SecretName;
use crate::seal::Purpose;
use crate::store::database::Database;
use crate::store::index_key;
use crate::store::operator::existing::{PAGE_ROWS, page};
use crate::store::table::{index_key as index_key_table, record_webhook, secret, webhook};

/// A table with sealed values, in the order of resealing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    Secret,
    Webhook,
    RecordWebhook,
}

/// A column of sealed values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Token,
    PreviousToken,
    Url,
    RecordUrl,
    RecordSecret,
}

/// A sealed value as it was read.
pub(super) struct SealedValue {
    pub(super) id: Uuid,
    pub(super) column: Column,
    pub(super) sealed: Vec<u8>,
    /// `None` if the row's owner or name is not valid; then nothing can have been sealed for it.
    pub(super) identity: Option<Identity>,
}

/// Whose value it is. It is sealed for that alone.
#[derive(Debug, Clone)]
pub(super) enum Identity {
    Secret { owner: Did, name: SecretName },
    Webhook { owner: Did, id: Uuid },
    RecordSecret { owner: Did, id: Uuid },
}

/// A new value for the one that was read.
pub(super) struct Replacement {
    pub(super) id: Uuid,
    pub(super) column: Column,
    pub(super) old: Vec<u8>,
    pub(super) new: Vec<u8>,
}

impl Table {
    pub(super) const FIRST: Self = Self::Secret;

    pub(super) fn next(self) -> Option<Self> {
        match self {
            Self::Secret => Some(Self::Webhook),
            Self::Webhook => Some(Self::RecordWebhook),
            Self::RecordWebhook => None,
        }
    }

    /// The sealed values of the page after the row `after`, and its last row: `None` after the last page.
    pub(super) async fn page(
        self,
        database: &Database,
        after: Option<Uuid>,
    ) -> Result<(Vec<SealedValue>, Option<Uuid>), DbErr> {
        let reading = &database.reading;
        match self {
            Self::Secret => {
                let rows = page::<secret::Entity, _>(reading, secret::Column::Id, after, PAGE_ROWS).await?;
                let last = rows.last().map(|row| row.id);
                Ok((rows.into_iter().flat_map(values_of_secret).collect(), last))
            }
            Self::Webhook => {
                let rows = page::<webhook::Entity, _>(reading, webhook::Column::Id, after, PAGE_ROWS).await?;
                let last = rows.last().map(|row| row.id);
                Ok((rows.into_iter().map(value_of_webhook).collect(), last))
            }
            Self::RecordWebhook => {
                let key = record_webhook::Column::Id;
                let rows = page::<record_webhook::Entity, _>(reading, key, after, PAGE_ROWS).await?;
                let last = rows.last().map(|row| row.id);
                Ok((rows.into_iter().flat_map(values_of_record).collect(), last))
            }
        }
    }
}

/// Destructures without `..`, because a new column may be a sealed one.
fn values_of_secret(row: secret::Model) -> Vec<SealedValue> {
    let secret::Model {
        id,
        owner_did,
        name,
        sealed_token,
        created_at_ms: _,
        last_rotated_at_ms: _,
        previous_sealed_token,
        previous_until_ms: _,
    } = row;
    let identity = match (owner_did.parse(), name.parse()) {
        (Ok(owner), Ok(name)) => Some(Identity::Secret { owner, name }),
        _ => None,
    };
    let previous = previous_sealed_token.map(|sealed| (Column::PreviousToken, sealed));
    let sealed = std::iter::once((Column::Token, sealed_token)).chain(previous);
    sealed.map(|(column, sealed)| SealedValue { id, column, sealed, identity: identity.clone() }).collect()
}

fn value_of_webhook(row: webhook::Model) -> SealedValue {
    let identity = row.owner_did.parse().ok().map(|owner| Identity::Webhook { owner, id: row.id });
    SealedValue { id: row.id, column: Column::Url, sealed: row.sealed_url, identity }
}

fn values_of_record(row: record_webhook::Model) -> Vec<SealedValue> {
    let record_webhook::Model {
        id,
        owner_did,
        rkey: _,
        rev: _,
        state: _,
        reason: _,
        withheld_state: _,
        withheld_reason: _,
        sealed_url,
        scope: _,
        backlinks: _,
        events: _,
        secret_name: _,
        sealed_secret,
        since_us: _,
        indexed_at_ms: _,
    } = row;
    let owner: Option<Did> = owner_did.parse().ok();
    let of_url = owner.clone().map(|owner| Identity::Webhook { owner, id });
    let of_secret = owner.map(|owner| Identity::RecordSecret { owner, id });
    let url = sealed_url.map(|sealed| (Column::RecordUrl, sealed, of_url));
    let secret = sealed_secret.map(|sealed| (Column::RecordSecret, sealed, of_secret));
    let sealed = url.into_iter().chain(secret);
    sealed.map(|(column, sealed, identity)| SealedValue { id, column, sealed, identity }).collect()
}

impl Identity {
    pub(super) fn purpose(&self) -> Purpose<'_> {
        match self {
            Self::Secret { owner, name } => Purpose::Token { owner, name },
            Self::Webhook { owner, id } => Purpose::Url { owner, webhook: *id },
            Self::RecordSecret { owner, id } => Purpose::RecordSecret { owner, webhook: *id },
        }
    }
}

impl Column {
    /// Table and column, for logs.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Token => "secret.sealed_token",
            Self::PreviousToken => "secret.previous_sealed_token",
            Self::Url => "webhook.sealed_url",
            Self::RecordUrl => "record_webhook.sealed_url",
            Self::RecordSecret => "record_webhook.sealed_secret",
        }
    }
}

impl Replacement {
    /// Replaces the old value by the new one. Returns how many were replaced: 1, or 0 if the old one is gone.
    pub(super) async fn write(&self, transaction: &DatabaseTransaction) -> Result<u64, DbErr> {
        let Self { id, column, old, new } = self;
        let token = async |column| {
            replace::<secret::Entity>(transaction, (secret::Column::Id, column), *id, old, new).await
        };
        match column {
            Column::Token => match token(secret::Column::SealedToken).await? {
                // A rotation may have moved it to the other column.
                0 => token(secret::Column::PreviousSealedToken).await,
                replaced => Ok(replaced),
            },
            Column::PreviousToken => token(secret::Column::PreviousSealedToken).await,
            Column::Url => {
                let columns = (webhook::Column::Id, webhook::Column::SealedUrl);
                replace::<webhook::Entity>(transaction, columns, *id, old, new).await
            }
            Column::RecordUrl => {
                let columns = (record_webhook::Column::Id, record_webhook::Column::SealedUrl);
                replace::<record_webhook::Entity>(transaction, columns, *id, old, new).await
            }
            Column::RecordSecret => {
                let columns = (record_webhook::Column::Id, record_webhook::Column::SealedSecret);
                replace::<record_webhook::Entity>(transaction, columns, *id, old, new).await
            }
        }
    }
}

/// Replaces the index key, like [`Replacement::write`].
pub(super) async fn replace_index_key(
    transaction: &DatabaseTransaction,
    old: &[u8],
    new: &[u8],
) -> Result<u64, DbErr> {
    let columns = (index_key_table::Column::Id, index_key_table::Column::SealedKey);
    replace::<index_key_table::Entity>(transaction, columns, index_key::ID, old, new).await
}

async fn replace<E: EntityTrait>(
    transaction: &DatabaseTransaction,
    (id, sealed): (E::Column, E::Column),
    row: impl Into<Value>,
    old: &[u8],
    new: &[u8],
) -> Result<u64, DbErr> {
    let replaced = E::update_many()
        .col_expr(sealed, Expr::value(new.to_vec()))
        .filter(id.eq(row))
        .filter(sealed.eq(old.to_vec()))
        .exec(transaction)
        .await?;
    Ok(replaced.rows_affected)
}
