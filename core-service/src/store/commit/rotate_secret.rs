//! The job that gives a secret a new token.

use sea_orm::sea_query::{Condition, Expr, ExprTrait as _};
use sea_orm::{
    ColumnTrait as _, DatabaseTransaction, DbErr, EntityTrait as _, QueryFilter as _, QuerySelect as _,
};
use uuid::Uuid;

use super::STATEMENT_ROWS;
use super::savepoint::ChangeError;
use super::states::States;
use crate::domain::did::Did;
use crate::domain::secret::SecretName;
use crate::error::Error;
use crate::store::table::{record_webhook, secret, webhook};

/// A new token for the secret `name`. Times are milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug)]
pub(in crate::store) struct SecretRotation {
    pub(in crate::store) name: SecretName,
    pub(in crate::store) sealed_token: Vec<u8>,
    pub(in crate::store) rotated_at_ms: i64,
    /// Until when the token before signs too; `None`: no longer.
    pub(in crate::store) previous_until_ms: Option<i64>,
}

/// Replaces the token of a secret. The token before is kept as it was sealed, if it goes on signing; older
/// ones are gone.
pub(super) async fn rotate_secret(
    transaction: &DatabaseTransaction,
    owner: &Did,
    rotation: &SecretRotation,
    now_ms: i64,
) -> Result<(), ChangeError> {
    let SecretRotation { name, sealed_token, rotated_at_ms, previous_until_ms } = rotation;
    // On the right of an assignment stand the columns as they were.
    let previous_sealed_token = match previous_until_ms {
        Some(_) => Expr::col(secret::Column::SealedToken),
        None => Expr::val(None::<Vec<u8>>),
    };
    let rotated = secret::Entity::update_many()
        .col_expr(secret::Column::PreviousSealedToken, previous_sealed_token)
        .col_expr(secret::Column::PreviousUntilMs, Expr::val(*previous_until_ms))
        .col_expr(secret::Column::SealedToken, Expr::val(sealed_token.clone()))
        .col_expr(secret::Column::LastRotatedAtMs, Expr::val(*rotated_at_ms))
        .filter(secret::Column::OwnerDid.eq(owner.as_str()))
        .filter(secret::Column::Name.eq(name.as_str()))
        .exec(transaction)
        .await?;
    match rotated.rows_affected {
        0 => Err(Error::SecretNotFound.into()),
        _ => Ok(release(transaction, owner, name, now_ms).await?),
    }
}

/// Lets the deliveries go on that waited for a token that can be opened.
async fn release(
    transaction: &DatabaseTransaction,
    owner: &Did,
    name: &SecretName,
    now_ms: i64,
) -> Result<(), DbErr> {
    let mut signed_with_it: Vec<Uuid> = webhook::Entity::find()
        .select_only()
        .column(webhook::Column::Id)
        .filter(webhook::Column::OwnerDid.eq(owner.as_str()))
        .filter(webhook::Column::SecretName.eq(name.as_str()))
        .into_tuple()
        .all(transaction)
        .await?;
    signed_with_it.extend(records_of_secrets(transaction, &[(owner.as_str(), name.as_str())]).await?);
    release_webhooks(transaction, signed_with_it, now_ms).await
}

/// Lets the deliveries of records go on that waited for one of the secrets of these owners and names. Returns
/// whether there are any.
pub(super) async fn release_records(
    transaction: &DatabaseTransaction,
    secrets: &[(&str, &str)],
    now_ms: i64,
) -> Result<bool, DbErr> {
    let records = records_of_secrets(transaction, secrets).await?;
    let any = !records.is_empty();
    release_webhooks(transaction, records, now_ms).await?;
    Ok(any)
}

/// The wh records that name one of the secrets of these owners and names: it need not exist.
async fn records_of_secrets(
    transaction: &DatabaseTransaction,
    secrets: &[(&str, &str)],
) -> Result<Vec<Uuid>, DbErr> {
    let mut records = Vec::new();
    for some in secrets.chunks(STATEMENT_ROWS) {
        let mut any = Condition::any();
        for (owner, name) in some {
            let of_owner = record_webhook::Column::OwnerDid.eq(*owner);
            any = any.add(of_owner.and(record_webhook::Column::SecretName.eq(*name)));
        }
        let found =
            record_webhook::Entity::find().select_only().column(record_webhook::Column::Id).filter(any);
        records.extend(found.into_tuple::<Uuid>().all(transaction).await?);
    }
    Ok(records)
}

async fn release_webhooks(
    transaction: &DatabaseTransaction,
    webhooks: Vec<Uuid>,
    now_ms: i64,
) -> Result<(), DbErr> {
    let mut states = States::lock(transaction, webhooks).await?;
    for state in states.iter_mut() {
        state.release(now_ms);
    }
    states.store(transaction).await
}
