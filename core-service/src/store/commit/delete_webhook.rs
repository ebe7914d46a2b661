//! The job that deletes a webhook.

use sea_orm::{ColumnTrait as _, DatabaseTransaction, EntityTrait as _, QueryFilter as _};
use uuid::Uuid;

use super::savepoint::ChangeError;
use super::states::cancel_deliveries;
use crate::domain::did::Did;
use crate::error::Error;
use crate::store::table::webhook;

/// Deletes the webhook `id` of `owner`, and cancels its deliveries.
pub(super) async fn delete_webhook(
    transaction: &DatabaseTransaction,
    owner: &Did,
    id: Uuid,
    now_ms: i64,
) -> Result<(), ChangeError> {
    let of_owner = webhook::Entity::delete_by_id(id).filter(webhook::Column::OwnerDid.eq(owner.as_str()));
    match of_owner.exec(transaction).await?.rows_affected {
        0 => Err(Error::WebhookNotFound.into()),
        _ => Ok(cancel_deliveries(transaction, [id], now_ms).await?),
    }
}
