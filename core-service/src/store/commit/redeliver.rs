//! The jobs that make deliveries once more: one of any state, or those of a webhook that failed.

use sea_orm::sea_query::{Condition, Expr, ExprTrait as _, Query, SelectStatement};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, DatabaseTransaction, DbErr, EntityTrait as _,
    IntoActiveModel as _, QueryFilter as _, QueryOrder as _, QuerySelect as _, QueryTrait as _,
};
use uuid::{Builder, Uuid};

use super::event_batch::{Context, Now};
use super::locks::locked;
use super::savepoint::ChangeError;
use super::states::{FAILED, PENDING, State, States};
use crate::delivery::outcome::Outcome;
use crate::delivery::shown::ShownDelivery;
use crate::domain::did::Did;
use crate::error::Error;
use crate::store::table::{delivery, event};
use crate::store::{owned, row};

/// Deliveries that one call makes once more.
const MAX_REDELIVERED: u32 = 10_000;

/// Makes the delivery `id` of a webhook of `owner` due now, as if it were new. One that is being attempted
/// stays as it is; if it was cancelled meanwhile, that attempt is the redelivery's first.
pub(super) async fn redeliver(
    transaction: &DatabaseTransaction,
    context: &Context,
    now: Now,
    owner: &Did,
    id: Uuid,
) -> Result<Box<ShownDelivery>, ChangeError> {
    let of_owner = || owned::delivery(owner, id);
    let found = of_owner().one(transaction).await?.ok_or(Error::DeliveryNotFound)?;
    let mut states = States::lock(transaction, [found.webhook_id]).await?;
    // As it is now that its state is locked.
    let found = locked(transaction, of_owner()).one(transaction).await?;
    let before = found.ok_or(Error::DeliveryNotFound)?;
    let state = states.of_mut(before.webhook_id).ok_or(Error::DeliveryNotFound)?;
    let event = event::Entity::find_by_id(before.event_id).one(transaction).await?;
    let event = event.ok_or(Error::DeliveryNotFound)?;
    let is_pending = before.state == PENDING && before.generation == state.row.generation;
    let is_attempted = before.lease.is_some();
    if !is_attempted && before.body.is_none() && event.payload.is_none() {
        return Err(Error::PayloadExpired.into());
    }
    let after = if is_pending && is_attempted {
        before
    } else {
        // The end of the lease, which a row that says that it is cancelled no longer has.
        let lease_end_ms = before.next_at_ms.unwrap_or(now.ms + context.settings.lease_ms);
        let next_at_ms = if is_attempted { lease_end_ms } else { now.ms };
        let mut after = before.into_active_model();
        after.generation = sea_orm::Set(state.row.generation);
        after.state = sea_orm::Set(PENDING);
        after.next_at_ms = sea_orm::Set(Some(next_at_ms));
        after.retried = sea_orm::Set(false);
        after.ended_at_ms = sea_orm::Set(None);
        after.redelivered_at_ms = sea_orm::Set(Some(now.ms));
        after.attempts_before = sea_orm::Set(after.attempts.clone().unwrap());
        state.row.pending += i32::from(!is_pending);
        state.due(next_at_ms);
        after.update(transaction).await?
    };
    let shown = row::shown_delivery(after, &state.row, event.r#type);
    states.store(transaction).await?;
    Ok(Box::new(shown))
}

/// Makes deliveries of the webhook `id` of `owner` due now that failed and were made at or after `since_ms`,
/// as many as the webhook has room for. Returns how many.
pub(super) async fn redeliver_failed(
    transaction: &DatabaseTransaction,
    context: &Context,
    now: Now,
    owner: &Did,
    id: Uuid,
    since_ms: i64,
) -> Result<u32, ChangeError> {
    if !owned::has_webhook(transaction, owner, id).await? {
        return Err(Error::WebhookNotFound.into());
    }
    let mut states = States::lock(transaction, [id]).await?;
    // Nothing was ever delivered to it.
    let Some(state) = states.of_mut(id) else { return Ok(0) };
    let room = context.settings.max_pending.saturating_sub(state.row.pending.cast_unsigned());
    let limit = Ord::min(room, MAX_REDELIVERED);
    // The ids are in the order of their times.
    let first = Builder::from_unix_timestamp_millis(u64::try_from(since_ms).unwrap_or(0), &[0; 10]);
    let failed = delivery::Entity::find()
        .select_only()
        .column(delivery::Column::Id)
        .filter(delivery::Column::WebhookId.eq(id))
        .filter(delivery::Column::State.eq(FAILED))
        .filter(delivery::Column::Id.gte(first.into_uuid()))
        .filter(delivery::Column::LastOutcome.ne(Outcome::Cancelled.as_str()))
        .filter(
            Condition::any()
                .add(delivery::Column::Body.is_not_null())
                .add(Expr::exists(event_with_payload())),
        )
        .order_by_asc(delivery::Column::Id)
        .limit(u64::from(limit))
        .into_query();
    let which = Condition::all().add(delivery::Column::Id.in_subquery(failed));
    let redelivered = make_due(transaction, now, state, which).await?;
    states.store(transaction).await?;
    Ok(u32::try_from(redelivered).unwrap_or(MAX_REDELIVERED))
}

/// Makes the deliveries that are `which`, all of the webhook of `state`, due now: their schedule and their
/// age begin anew. Returns how many.
pub(super) async fn make_due(
    transaction: &DatabaseTransaction,
    now: Now,
    state: &mut State,
    which: Condition,
) -> Result<u64, DbErr> {
    let due = delivery::Entity::update_many()
        .col_expr(delivery::Column::Generation, Expr::val(state.row.generation))
        .col_expr(delivery::Column::State, Expr::val(PENDING))
        .col_expr(delivery::Column::NextAtMs, Expr::val(now.ms))
        .col_expr(delivery::Column::Lease, Expr::val(None::<Uuid>))
        .col_expr(delivery::Column::Retried, Expr::val(false))
        .col_expr(delivery::Column::EndedAtMs, Expr::val(None::<i64>))
        .col_expr(delivery::Column::RedeliveredAtMs, Expr::val(now.ms))
        .col_expr(delivery::Column::AttemptsBefore, Expr::col(delivery::Column::Attempts))
        .filter(which)
        .exec(transaction)
        .await?
        .rows_affected;
    if due > 0 {
        state.row.pending += i32::try_from(due).unwrap_or(i32::MAX);
        state.due(now.ms);
    }
    Ok(due)
}

/// The event of the delivery in the outer statement, if its payload is kept.
fn event_with_payload() -> SelectStatement {
    Query::select()
        .expr(Expr::val(1))
        .from(event::Entity)
        .and_where(
            Expr::col((event::Entity, event::Column::Id))
                .equals((delivery::Entity, delivery::Column::EventId)),
        )
        .and_where(Expr::col((event::Entity, event::Column::Payload)).is_not_null())
        .take()
}
