//! The job that deletes a secret.

use sea_orm::{
    ColumnTrait as _, DatabaseTransaction, EntityTrait as _, PaginatorTrait as _, QueryFilter as _,
};

use super::savepoint::ChangeError;
use crate::domain::did::Did;
use crate::domain::secret::SecretName;
use crate::error::Error;
use crate::store::table::{secret, webhook};

/// Deletes the secret `name` of `owner`, unless webhooks name it.
pub(super) async fn delete_secret(
    transaction: &DatabaseTransaction,
    owner: &Did,
    name: &SecretName,
) -> Result<(), ChangeError> {
    let webhooks = webhook::Entity::find()
        .filter(webhook::Column::OwnerDid.eq(owner.as_str()))
        .filter(webhook::Column::SecretName.eq(name.as_str()))
        .count(transaction)
        .await?;
    if webhooks > 0 {
        return Err(Error::SecretInUse { webhooks }.into());
    }
    let deleted = secret::Entity::delete_many()
        .filter(secret::Column::OwnerDid.eq(owner.as_str()))
        .filter(secret::Column::Name.eq(name.as_str()))
        .exec(transaction)
        .await?;
    match deleted.rows_affected {
        0 => Err(Error::SecretNotFound.into()),
        _ => Ok(()),
    }
}
