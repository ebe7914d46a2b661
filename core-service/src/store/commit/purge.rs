//! The jobs that remove all that one owner has: first what is configured, then events with their deliveries.
//!
//! A webhook is deleted before its deliveries are, so that nothing more is attempted, and a purge that was
//! interrupted is finished by the next. What belongs to a webhook that was created meanwhile stays whole.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::sea_query::{Condition, Expr, ExprTrait as _, Query, SelectStatement};
use sea_orm::{
    ColumnTrait as _, DatabaseTransaction, DbErr, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
};
use uuid::Uuid;

use super::STATEMENT_ROWS;
use super::accounts::{Accounts, Counts};
use super::expire::deliveries_of_event;
use super::states::{States, cancel_deliveries};
use crate::domain::did::Did;
use crate::store::table::{
    attempt, delivery, event, mirror, mirrored_owner, on_air, owner_status, recent_follow, record_webhook,
    reference, secret, webhook, webhook_state,
};

/// Events that one step looks at.
const EVENTS: u64 = 500;
/// Deliveries that one step deletes.
const DELIVERIES: u64 = 500;

/// How many rows were removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Purged {
    pub(crate) secrets: u64,
    pub(crate) webhooks: u64,
    pub(crate) events: u64,
    pub(crate) deliveries: u64,
    pub(crate) attempts: u64,
}

/// What one step removed of an owner's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PurgedBatch {
    pub(crate) purged: Purged,
    /// The event after which the next step begins; `None` after the last.
    pub(crate) next: Option<Uuid>,
}

impl Purged {
    /// Adds `other` to these.
    pub(crate) fn add(&mut self, other: Self) {
        let Self { secrets, webhooks, events, deliveries, attempts } = other;
        self.secrets += secrets;
        self.webhooks += webhooks;
        self.events += events;
        self.deliveries += deliveries;
        self.attempts += attempts;
    }
}

/// Removes the secrets and webhooks of `owner`, whose account is locked, and cancels the deliveries. The
/// account goes when its counts are stored.
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
    // Webhooks first, since they name secrets.
    let webhooks = webhook::Entity::delete_many()
        .filter(webhook::Column::OwnerDid.eq(owner.as_str()))
        .exec(transaction)
        .await?
        .rows_affected;
    let records = purge_intake(transaction, owner).await?;
    let all: Vec<Uuid> = ids.into_iter().chain(records).collect();
    cancel_deliveries(transaction, all.iter().copied(), now_ms).await?;
    delete_states(transaction, all).await?;
    let secrets = secret::Entity::delete_many()
        .filter(secret::Column::OwnerDid.eq(owner.as_str()))
        .exec(transaction)
        .await?
        .rows_affected;
    Ok(Purged { secrets, webhooks, ..Purged::default() })
}

/// Removes what the intake keeps of `owner`. Returns the ids of the wh records.
async fn purge_intake(transaction: &DatabaseTransaction, owner: &Did) -> Result<Vec<Uuid>, DbErr> {
    let owner = owner.as_str();
    let of_owner = record_webhook::Column::OwnerDid.eq(owner);
    let records: Vec<Uuid> = record_webhook::Entity::find()
        .select_only()
        .column(record_webhook::Column::Id)
        .filter(of_owner.clone())
        .into_tuple()
        .all(transaction)
        .await?;
    record_webhook::Entity::delete_many().filter(of_owner).exec(transaction).await?;
    reference::Entity::delete_many().filter(reference::Column::Did.eq(owner)).exec(transaction).await?;
    mirror::Entity::delete_many().filter(mirror::Column::Did.eq(owner)).exec(transaction).await?;
    mirrored_owner::Entity::delete_many()
        .filter(mirrored_owner::Column::Did.eq(owner))
        .exec(transaction)
        .await?;
    on_air::Entity::delete_many().filter(on_air::Column::StreamerDid.eq(owner)).exec(transaction).await?;
    recent_follow::Entity::delete_many()
        .filter(recent_follow::Column::StreamerDid.eq(owner))
        .exec(transaction)
        .await?;
    owner_status::Entity::delete_many().filter(owner_status::Column::Did.eq(owner)).exec(transaction).await?;
    Ok(records)
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

/// Removes some events of `owner` after the event `after`, with the deliveries and attempts of webhooks that
/// are deleted.
pub(in crate::store) async fn purge_events(
    transaction: &DatabaseTransaction,
    owner: &Did,
    after: Uuid,
) -> Result<PurgedBatch, DbErr> {
    let mut purged = Purged::default();
    let events: Vec<Uuid> = event::Entity::find()
        .select_only()
        .column(event::Column::Id)
        .filter(event::Column::StreamerDid.eq(owner.as_str()))
        .filter(event::Column::Id.gt(after))
        .order_by_asc(event::Column::Id)
        .limit(EVENTS)
        .into_tuple()
        .all(transaction)
        .await?;
    let Some(last) = events.last().copied() else { return Ok(PurgedBatch { purged, next: None }) };
    let deliveries: Vec<(Uuid, Uuid)> = delivery::Entity::find()
        .select_only()
        .columns([delivery::Column::Id, delivery::Column::WebhookId])
        .filter(delivery::Column::EventId.is_in(events.iter().copied()))
        .filter(Expr::exists(webhook_of_delivery()).not())
        .filter(Expr::exists(record_of_delivery()).not())
        .limit(DELIVERIES)
        .into_tuple()
        .all(transaction)
        .await?;
    if !deliveries.is_empty() {
        let webhooks: BTreeSet<Uuid> = deliveries.iter().map(|(_, webhook)| *webhook).collect();
        let ids = || deliveries.iter().map(|(id, _)| *id);
        // Outcomes lock the states before the deliveries, too.
        States::lock(transaction, webhooks.iter().copied()).await?;
        let attempts = attempt::Entity::delete_many().filter(attempt::Column::DeliveryId.is_in(ids()));
        purged.attempts = attempts.exec(transaction).await?.rows_affected;
        let rows = delivery::Entity::delete_many().filter(delivery::Column::Id.is_in(ids()));
        purged.deliveries = rows.exec(transaction).await?.rows_affected;
        delete_states(transaction, webhooks).await?;
    }
    if deliveries.len() as u64 == DELIVERIES {
        // These events may have more.
        return Ok(PurgedBatch { purged, next: Some(after) });
    }
    let next = (events.len() as u64 == EVENTS).then_some(last);
    let events = event::Entity::delete_many()
        .filter(event::Column::Id.is_in(events))
        .filter(Expr::exists(deliveries_of_event(Condition::all())).not());
    purged.events = events.exec(transaction).await?.rows_affected;
    Ok(PurgedBatch { purged, next })
}

/// The webhook of the delivery in the outer statement.
fn webhook_of_delivery() -> SelectStatement {
    Query::select()
        .expr(Expr::val(1))
        .from(webhook::Entity)
        .and_where(
            Expr::col((webhook::Entity, webhook::Column::Id))
                .equals((delivery::Entity, delivery::Column::WebhookId)),
        )
        .take()
}

/// The same for a webhook that is a record.
fn record_of_delivery() -> SelectStatement {
    Query::select()
        .expr(Expr::val(1))
        .from(record_webhook::Entity)
        .and_where(
            Expr::col((record_webhook::Entity, record_webhook::Column::Id))
                .equals((delivery::Entity, delivery::Column::WebhookId)),
        )
        .take()
}

/// Deletes those states of `webhooks`, which are deleted, of which no delivery is left.
async fn delete_states(
    transaction: &DatabaseTransaction,
    webhooks: impl IntoIterator<Item = Uuid>,
) -> Result<(), DbErr> {
    let deliveries = Query::select()
        .expr(Expr::val(1))
        .from(delivery::Entity)
        .and_where(
            Expr::col((delivery::Entity, delivery::Column::WebhookId))
                .equals((webhook_state::Entity, webhook_state::Column::WebhookId)),
        )
        .take();
    let webhooks: Vec<Uuid> = webhooks.into_iter().collect();
    for some in webhooks.chunks(STATEMENT_ROWS) {
        webhook_state::Entity::delete_many()
            .filter(webhook_state::Column::WebhookId.is_in(some.iter().copied()))
            .filter(Expr::exists(deliveries.clone()).not())
            .exec(transaction)
            .await?;
    }
    Ok(())
}
