//! The job by which an operator pauses a webhook or an origin, and what follows for their states.
//!
//! A paused webhook has no due time, so that claims don't find it and it costs nothing. Its deliveries stay
//! pending; those that get too old meanwhile fail ([`expire_paused`]). After the commit nothing is claimed or
//! born leased: whoever takes leases holds the state of the webhook, and every state says whether its origin
//! is paused. So that no state is made without that, the job locks the whole table of states. That waits for
//! the transactions that hold a state, which are short, and others wait for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use sea_orm::sea_query::{CaseStatement, Condition, Expr, ExprTrait as _, Func, OnConflict};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, DatabaseTransaction, DbErr, EntityTrait as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _,
};
use uuid::Uuid;

use super::event_batch::{Context, Now};
use super::locks::is_postgres;
use super::states::{FAILED, States, fresh_state};
use crate::delivery::format::Format;
use crate::delivery::outcome::Outcome;
use crate::delivery::schedule::MAX_AGE;
use crate::error::Error;
use crate::store::table::{delivery, paused_origin, record_webhook, webhook, webhook_state};

/// Paused webhooks whose deliveries one transaction looks at.
const WEBHOOKS: u64 = 8;
/// Deliveries of one paused webhook that one transaction fails.
const DELIVERIES: u64 = 500;

/// What is paused or resumed.
#[derive(Debug, Clone)]
pub(in crate::store) enum Paused {
    Webhook(Uuid),
    /// All webhooks with this hash of their origins.
    Origin(Arc<[u8]>),
}

/// Pauses `what`, or resumes it. Returns the number of webhooks that have had a delivery and are paused by
/// it, or were.
pub(super) async fn pause(
    transaction: &DatabaseTransaction,
    context: &Context,
    now: Now,
    what: &Paused,
    paused: bool,
) -> Result<Result<u64, Error>, DbErr> {
    if is_postgres(transaction) {
        transaction.execute_unprepared("LOCK TABLE webhook_state IN EXCLUSIVE MODE").await?;
    }
    match what {
        Paused::Webhook(id) => pause_webhook(transaction, context, *id, paused).await,
        Paused::Origin(origin) => Ok(Ok(pause_origin(transaction, now, origin, paused).await?)),
    }
}

async fn pause_webhook(
    transaction: &DatabaseTransaction,
    context: &Context,
    id: Uuid,
    paused: bool,
) -> Result<Result<u64, Error>, DbErr> {
    // Without an origin if it can't be read: that is known when it can.
    let mut fresh = fresh_state(id, Vec::new(), false);
    if let Some(row) = webhook::Entity::find_by_id(id).one(transaction).await? {
        if let Ok(webhook) = context.sealer.open_webhook(&row) {
            let url = &webhook.config.url;
            fresh.origin = context.sealer.index_key.origin(url).to_vec();
            fresh.discord = Format::of(url.expose()) == Format::Discord;
        }
    } else if record_webhook::Entity::find_by_id(id).one(transaction).await?.is_none() {
        return Ok(Err(Error::WebhookNotFound));
    }
    let mut states = States::lock_or_make(transaction, BTreeMap::from([(id, fresh)])).await?;
    let Some(state) = states.of_mut(id) else { return Ok(Err(Error::WebhookNotFound)) };
    state.row.paused = paused;
    states.find_due(transaction, [id]).await?;
    states.store(transaction).await?;
    Ok(Ok(1))
}

async fn pause_origin(
    transaction: &DatabaseTransaction,
    now: Now,
    origin: &[u8],
    paused: bool,
) -> Result<u64, DbErr> {
    if paused {
        let row = paused_origin::Model { origin: origin.to_vec(), paused_at_ms: now.ms };
        let unless_there = OnConflict::column(paused_origin::Column::Origin).do_nothing().to_owned();
        let insert = paused_origin::Entity::insert(paused_origin::ActiveModel::from(row));
        insert.on_conflict(unless_there).exec_without_returning(transaction).await?;
    } else {
        paused_origin::Entity::delete_by_id(origin.to_vec()).exec(transaction).await?;
    }
    // What is resumed is due now; the next claim finds out when it is due exactly.
    let column = Expr::col;
    let stays = Expr::val(paused)
        .or(column(webhook_state::Column::Paused))
        .or(column(webhook_state::Column::OwnerPaused))
        .or(column(webhook_state::Column::Pending).lte(0));
    let due = CaseStatement::new()
        .case(stays, Expr::val(None::<i64>))
        .case(
            column(webhook_state::Column::HeldUntilMs).gt(now.ms),
            column(webhook_state::Column::HeldUntilMs),
        )
        .finally(Expr::val(now.ms));
    let changed = webhook_state::Entity::update_many()
        .col_expr(webhook_state::Column::OriginPaused, Expr::val(paused))
        .col_expr(webhook_state::Column::DueAtMs, due.into())
        .filter(webhook_state::Column::Origin.eq(origin.to_vec()))
        .filter(webhook_state::Column::OriginPaused.eq(!paused))
        .exec(transaction)
        .await?
        .rows_affected;
    if changed > 0 {
        return Ok(changed);
    }
    // Nothing has changed: it was so before.
    if !paused {
        return Ok(0);
    }
    let before = webhook_state::Entity::find()
        .select_only()
        .column_as(webhook_state::Column::WebhookId.count(), "webhooks")
        .filter(webhook_state::Column::Origin.eq(origin.to_vec()))
        .into_tuple::<i64>()
        .one(transaction)
        .await?;
    Ok(before.map_or(0, i64::unsigned_abs))
}

/// Fails deliveries of paused webhooks that are too old, of some webhooks after `after`. Returns the last of
/// these: `None` if there are no more.
pub(super) async fn expire_paused(
    transaction: &DatabaseTransaction,
    now: Now,
    after: Uuid,
) -> Result<Option<Uuid>, DbErr> {
    let is_paused = Expr::col(webhook_state::Column::Paused)
        .or(Expr::col(webhook_state::Column::OriginPaused))
        .or(Expr::col(webhook_state::Column::OwnerPaused));
    let some: Vec<Uuid> = webhook_state::Entity::find()
        .select_only()
        .column(webhook_state::Column::WebhookId)
        .filter(is_paused)
        .filter(webhook_state::Column::WebhookId.gt(after))
        .order_by_asc(webhook_state::Column::WebhookId)
        .limit(WEBHOOKS)
        .into_tuple()
        .all(transaction)
        .await?;
    let Some(mut last) = some.last().copied() else { return Ok(None) };
    let oldest_ms = now.ms.saturating_sub(i64::try_from(MAX_AGE.as_millis()).unwrap_or(i64::MAX));
    let begun = [delivery::Column::RedeliveredAtMs, delivery::Column::CreatedAtMs].map(Expr::col);
    let mut states = States::lock(transaction, some.iter().copied()).await?;
    for id in some {
        let Some(state) = states.of_mut(id).filter(|state| state.is_paused() && state.row.pending > 0) else {
            continue;
        };
        let over = Condition::any()
            .add(delivery::Column::Lease.is_null())
            .add(delivery::Column::NextAtMs.lte(now.ms));
        let old: Vec<Uuid> = delivery::Entity::find()
            .select_only()
            .column(delivery::Column::Id)
            .filter(delivery::Column::WebhookId.eq(id))
            .filter(delivery::Column::Generation.eq(state.row.generation))
            .filter(delivery::Column::NextAtMs.is_not_null())
            .filter(over)
            .filter(Expr::expr(Func::coalesce(begun.clone())).lte(oldest_ms))
            .limit(DELIVERIES)
            .into_tuple()
            .all(transaction)
            .await?;
        if old.is_empty() {
            continue;
        }
        if old.len() as u64 == DELIVERIES {
            // It may have more: the next step looks at it once more.
            last = before(id);
        }
        let last_outcome =
            [Expr::col(delivery::Column::LastOutcome), Expr::val(Outcome::Cancelled.to_string())];
        let failed = delivery::Entity::update_many()
            .col_expr(delivery::Column::State, Expr::val(FAILED))
            .col_expr(delivery::Column::NextAtMs, Expr::val(None::<i64>))
            .col_expr(delivery::Column::Lease, Expr::val(None::<Uuid>))
            .col_expr(delivery::Column::LastOutcome, Expr::expr(Func::coalesce(last_outcome)))
            .col_expr(delivery::Column::EndedAtMs, Expr::val(now.ms))
            .filter(delivery::Column::Id.is_in(old))
            .exec(transaction)
            .await?
            .rows_affected;
        state.row.pending -= i32::try_from(failed).unwrap_or(i32::MAX);
        if last < id {
            break;
        }
    }
    states.store(transaction).await?;
    Ok(Some(last))
}

/// The id before `id`.
fn before(id: Uuid) -> Uuid {
    Uuid::from_u128(id.as_u128().saturating_sub(1))
}
