//! The job that removes all that one owner has.

use std::collections::BTreeMap;

use sea_orm::{
    ColumnTrait as _, DatabaseTransaction, DbErr, EntityTrait as _, QueryFilter as _, QuerySelect as _,
};
use uuid::Uuid;

use super::accounts::{Accounts, Counts};
use super::states::cancel_deliveries;
use crate::domain::did::Did;
use crate::store::table::{secret, webhook};

/// How many rows were removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Purged {
    pub(crate) secrets: u64,
    pub(crate) webhooks: u64,
}

/// Removes the rows of `owner`, whose account is locked. The account goes when its counts are stored.
pub(super) async fn purge(
    transaction: &DatabaseTransaction,
    owner: &Did,
    now_ms: i64,
) -> Result<Purged, DbErr> {
    let ids: Vec<Uuid> = webhook::Entity::find()
        .select_only()
        .column(webhook::Column::Id)
        .filter(webhook::Column::OwnerDid.eq(owner.as_str()))
        .into_tuple()
        .all(transaction)
        .await?;
    cancel_deliveries(transaction, ids, now_ms).await?;
    // Webhooks first, since they name secrets.
    let webhooks = webhook::Entity::delete_many()
        .filter(webhook::Column::OwnerDid.eq(owner.as_str()))
        .exec(transaction)
        .await?
        .rows_affected;
    let secrets = secret::Entity::delete_many()
        .filter(secret::Column::OwnerDid.eq(owner.as_str()))
        .exec(transaction)
        .await?
        .rows_affected;
    Ok(Purged { secrets, webhooks })
}

/// The same in a transaction that does nothing else: the lock, the rows and the account.
pub(in crate::store) async fn purge_account(
    transaction: &DatabaseTransaction,
    owner: &Did,
    now_ms: i64,
) -> Result<Purged, DbErr> {
    let to_create = BTreeMap::from([(owner.as_str(), Counts::default())]);
    let mut accounts = Accounts::lock(transaction, &to_create).await?;
    let purged = purge(transaction, owner, now_ms).await?;
    *accounts.of_mut(owner.as_str()) = Counts::default();
    accounts.store(transaction).await?;
    Ok(purged)
}
