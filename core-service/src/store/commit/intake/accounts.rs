//! What follows for webhooks when their owner's account is deleted, switched off, or back.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ColumnTrait as _, DatabaseTransaction, DbErr, EntityTrait as _, QueryFilter as _, QuerySelect as _,
};
use uuid::Uuid;

use super::Writing;
use super::places::cancel;
use crate::domain::did::Did;
use crate::intake::batch::{AccountChange, DELETED_ACCOUNT};
use crate::store::commit::STATEMENT_ROWS;
use crate::store::commit::publish::share_accounts;
use crate::store::commit::states::{States, fresh_state};
use crate::store::row_of_record::{DELETED, INVALID};
use crate::store::table::{owner_status, record_webhook, webhook, webhook_state};

impl Writing<'_> {
    /// Pauses the webhooks of an account that is not active, or lets them go on. The wh records of a deleted
    /// one are gone.
    pub(super) async fn account(
        &mut self,
        transaction: &DatabaseTransaction,
        change: &AccountChange,
    ) -> Result<(), DbErr> {
        let AccountChange { did, status, time_us } = change;
        // Who makes a webhook meanwhile sees the status, or the webhook is seen here.
        share_accounts(transaction, BTreeSet::from([did.as_str()])).await?;
        let before = owner_status::Entity::find_by_id(did.as_str()).one(transaction).await?;
        if before.as_ref().is_some_and(|before| before.time_us >= *time_us) {
            return Ok(());
        }
        let was_inactive = before.is_some_and(|before| before.status.is_some());
        if status.is_none() && !was_inactive {
            return Ok(());
        }
        let row = owner_status::Model { did: did.to_string(), status: status.clone(), time_us: *time_us };
        let replace = OnConflict::column(owner_status::Column::Did)
            .update_columns([owner_status::Column::Status, owner_status::Column::TimeUs])
            .to_owned();
        let insert = owner_status::Entity::insert(owner_status::ActiveModel::from(row));
        insert.on_conflict(replace).exec_without_returning(transaction).await?;
        if status.as_deref() == Some(DELETED_ACCOUNT) {
            self.remove_records(transaction, did.as_str(), *time_us).await?;
        }
        pause(transaction, did.as_str(), status.is_some()).await?;
        self.due |= status.is_none();
        if status.is_none() {
            set_since(transaction, did.as_str(), *time_us).await?;
            self.stored.changed_owners.insert(did.clone());
            self.stored.resumed.push(did.clone());
        }
        Ok(())
    }

    async fn remove_records(
        &mut self,
        transaction: &DatabaseTransaction,
        owner: &str,
        time_us: i64,
    ) -> Result<(), DbErr> {
        let of_owner = record_webhook::Column::OwnerDid.eq(owner);
        let ids: Vec<Uuid> = record_webhook::Entity::find()
            .select_only()
            .column(record_webhook::Column::Id)
            .filter(of_owner.clone())
            .into_tuple()
            .all(transaction)
            .await?;
        if ids.is_empty() {
            return Ok(());
        }
        record_webhook::Entity::delete_many().filter(of_owner).exec(transaction).await?;
        cancel(transaction, ids, self.now.ms, true).await?;
        let owner = owner.parse().map_err(|_| DbErr::Custom("an owner is a DID".to_owned()))?;
        self.after_change(transaction, &owner, Some(time_us)).await
    }
}

/// Makes the states of new webhooks, each with its owner, where the owner's account is not active: nothing is
/// delivered to them until it is.
pub(in crate::store::commit) async fn pause_new(
    transaction: &DatabaseTransaction,
    webhooks: &[(Uuid, &str)],
) -> Result<(), DbErr> {
    for some in webhooks.chunks(STATEMENT_ROWS) {
        let inactive: Vec<String> = owner_status::Entity::find()
            .select_only()
            .column(owner_status::Column::Did)
            .filter(owner_status::Column::Did.is_in(some.iter().map(|(_, owner)| *owner)))
            .filter(owner_status::Column::Status.is_not_null())
            .into_tuple()
            .all(transaction)
            .await?;
        let paused = some.iter().filter(|(_, owner)| inactive.iter().any(|did| did == owner));
        let fresh = paused.map(|(id, _)| {
            let state = fresh_state(*id, Vec::new(), false);
            (*id, webhook_state::Model { owner_paused: true, ..state })
        });
        States::lock_or_make(transaction, fresh.collect()).await?;
    }
    Ok(())
}

/// Marks the states of all webhooks of `owner`, which are made where they are missing.
async fn pause(transaction: &DatabaseTransaction, owner: &str, paused: bool) -> Result<(), DbErr> {
    let mut fresh: BTreeMap<Uuid, webhook_state::Model> = BTreeMap::new();
    let created: Vec<Uuid> = webhook::Entity::find()
        .select_only()
        .column(webhook::Column::Id)
        .filter(webhook::Column::OwnerDid.eq(owner))
        .into_tuple()
        .all(transaction)
        .await?;
    let records: Vec<Uuid> = record_webhook::Entity::find()
        .select_only()
        .column(record_webhook::Column::Id)
        .filter(record_webhook::Column::OwnerDid.eq(owner))
        .filter(record_webhook::Column::State.is_not_in([DELETED, INVALID]))
        .into_tuple()
        .all(transaction)
        .await?;
    for id in created.into_iter().chain(records) {
        // Without an origin: the first delivery finds it out.
        fresh.insert(id, fresh_state(id, Vec::new(), false));
    }
    let ids: Vec<Uuid> = fresh.keys().copied().collect();
    let mut states = States::lock_or_make(transaction, fresh).await?;
    for state in states.iter_mut() {
        state.row.owner_paused = paused;
    }
    states.find_due(transaction, ids).await?;
    states.store(transaction).await?;
    Ok(())
}

/// When the stream said that the account of `owner` is deleted, in microseconds since 1970, if it still is.
pub(super) async fn deleted_us(transaction: &DatabaseTransaction, owner: &Did) -> Result<Option<i64>, DbErr> {
    let row = owner_status::Entity::find_by_id(owner.as_str()).one(transaction).await?;
    let deleted = row.filter(|row| row.status.as_deref() == Some(DELETED_ACCOUNT));
    Ok(deleted.map(|row| row.time_us))
}

/// What came while the account was not active is not sent later.
async fn set_since(transaction: &DatabaseTransaction, owner: &str, time_us: i64) -> Result<(), DbErr> {
    webhook::Entity::update_many()
        .col_expr(webhook::Column::SinceUs, Expr::val(time_us))
        .filter(webhook::Column::OwnerDid.eq(owner))
        .exec(transaction)
        .await?;
    record_webhook::Entity::update_many()
        .col_expr(record_webhook::Column::SinceUs, Expr::val(time_us))
        .filter(record_webhook::Column::OwnerDid.eq(owner))
        .exec(transaction)
        .await
        .map(drop)
}
