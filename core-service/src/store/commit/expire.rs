//! The job that removes what is no longer kept: contents of events, attempts, deliveries, idempotency keys.
//!
//! It walks along what has ended, oldest first, a batch at a time. Where it has got to is in memory alone:
//! after a start it walks from the beginning once more.

use std::collections::BTreeSet;
use std::time::Duration;

use sea_orm::sea_query::{Condition, Expr, ExprTrait as _, Query, SelectStatement};
use sea_orm::{
    ColumnTrait as _, DatabaseTransaction, DbErr, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
};
use uuid::{Builder, Uuid};

use super::event_batch::Now;
use super::finish::LOOK_AGAIN_MS;
use super::pauses::expire_paused;
use crate::store::table::{attempt, delivery, event};

/// Rows of each kind that one transaction looks at.
const ROWS: u64 = 500;
/// How long an idempotency key is remembered at least (docs/delivery.md, "Publishing").
const KEY_RETENTION: Duration = Duration::from_hours(7 * 24);

/// How long things are kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retention {
    /// `--payload-retention`.
    pub(crate) payloads: Duration,
    /// `--attempt-retention`.
    pub(crate) attempts: Duration,
}

/// How far the walk has got.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The end of the last delivery whose content is gone, and its id.
    content: (i64, Uuid),
    /// The last event without deliveries that was looked at.
    event: Uuid,
    /// The same of those that intake stored: when, and its id.
    intake_event: (i64, Uuid),
    /// The last paused webhook that was looked at; nil before the first.
    paused: Uuid,
    /// When paused webhooks are looked at again, in Unix milliseconds.
    paused_again_ms: i64,
}

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expired {
    pub(crate) progress: Progress,
    /// Whether there may be more.
    pub(crate) more: bool,
}

/// Removes some rows and contents.
pub(super) async fn expire(
    transaction: &DatabaseTransaction,
    now: Now,
    retention: Retention,
    mut progress: Progress,
) -> Result<Expired, DbErr> {
    let before = |kept: Duration| now.ms.saturating_sub(i64::try_from(kept.as_millis()).unwrap_or(i64::MAX));
    let contents = expire_contents(transaction, before(retention.payloads), &mut progress).await?;
    let keys_before = before(KEY_RETENTION.max(retention.payloads));
    let deliveries = delete_deliveries(transaction, before(retention.attempts), keys_before).await?;
    let events = delete_events(transaction, keys_before, &mut progress).await?;
    let of_intake = delete_events_of_intake(transaction, keys_before, &mut progress).await?;
    let paused = fail_old_paused(transaction, now, &mut progress).await?;
    Ok(Expired { progress, more: contents || deliveries || events || of_intake || paused })
}

/// Fails deliveries of paused webhooks that are too old, a walk along these webhooks now and then. Returns
/// whether there may be more.
async fn fail_old_paused(
    transaction: &DatabaseTransaction,
    now: Now,
    progress: &mut Progress,
) -> Result<bool, DbErr> {
    if now.ms < progress.paused_again_ms {
        return Ok(false);
    }
    if let Some(last) = expire_paused(transaction, now, progress.paused).await? {
        progress.paused = last;
        return Ok(true);
    }
    progress.paused = Uuid::nil();
    progress.paused_again_ms = now.ms + LOOK_AGAIN_MS;
    Ok(false)
}

/// Removes the bodies of deliveries that ended before `before_ms`, and the payloads of events of which no
/// delivery is younger. Returns whether there may be more.
async fn expire_contents(
    transaction: &DatabaseTransaction,
    before_ms: i64,
    progress: &mut Progress,
) -> Result<bool, DbErr> {
    let (ended_at_ms, id) = progress.content;
    let columns = [delivery::Column::EndedAtMs, delivery::Column::Id].map(Expr::col);
    let ended: Vec<(i64, Uuid, Uuid)> = delivery::Entity::find()
        .select_only()
        .columns([delivery::Column::EndedAtMs, delivery::Column::Id, delivery::Column::EventId])
        .filter(delivery::Column::EndedAtMs.lt(before_ms))
        .filter(Expr::tuple(columns).gt(Expr::tuple([Expr::val(ended_at_ms), Expr::val(id)])))
        .order_by_asc(delivery::Column::EndedAtMs)
        .order_by_asc(delivery::Column::Id)
        .limit(ROWS)
        .into_tuple()
        .all(transaction)
        .await?;
    let Some((ended_at_ms, id, _)) = ended.last() else { return Ok(false) };
    progress.content = (*ended_at_ms, *id);
    delivery::Entity::update_many()
        .col_expr(delivery::Column::Body, Expr::val(None::<Vec<u8>>))
        .filter(delivery::Column::Id.is_in(ended.iter().map(|(_, id, _)| *id)))
        .filter(delivery::Column::Body.is_not_null())
        .exec(transaction)
        .await?;
    let events: BTreeSet<Uuid> = ended.iter().map(|(_, _, event)| *event).collect();
    let younger = Condition::any()
        .add(delivery::Column::EndedAtMs.is_null())
        .add(delivery::Column::EndedAtMs.gte(before_ms));
    event::Entity::update_many()
        .col_expr(event::Column::Payload, Expr::val(None::<String>))
        .filter(event::Column::Id.is_in(events))
        .filter(event::Column::Payload.is_not_null())
        .filter(Expr::exists(deliveries_of_event(younger)).not())
        .exec(transaction)
        .await?;
    Ok(ended.len() as u64 == ROWS)
}

/// Deletes deliveries that ended before `before_ms` with their attempts, and with their last delivery events
/// that were made before `keys_before_ms`. Returns whether there may be more.
async fn delete_deliveries(
    transaction: &DatabaseTransaction,
    before_ms: i64,
    keys_before_ms: i64,
) -> Result<bool, DbErr> {
    let ended: Vec<(Uuid, Uuid)> = delivery::Entity::find()
        .select_only()
        .columns([delivery::Column::Id, delivery::Column::EventId])
        .filter(delivery::Column::EndedAtMs.lt(before_ms))
        .order_by_asc(delivery::Column::EndedAtMs)
        .limit(ROWS)
        .into_tuple()
        .all(transaction)
        .await?;
    if ended.is_empty() {
        return Ok(false);
    }
    let ids = || ended.iter().map(|(id, _)| *id);
    attempt::Entity::delete_many().filter(attempt::Column::DeliveryId.is_in(ids())).exec(transaction).await?;
    delivery::Entity::delete_many().filter(delivery::Column::Id.is_in(ids())).exec(transaction).await?;
    let events: BTreeSet<Uuid> = ended.iter().map(|(_, event)| *event).collect();
    event::Entity::delete_many()
        .filter(event::Column::Id.is_in(events))
        .filter(event::Column::CreatedAtMs.lt(keys_before_ms))
        .filter(Expr::exists(deliveries_of_event(Condition::all())).not())
        .exec(transaction)
        .await?;
    Ok(ended.len() as u64 == ROWS)
}

/// Deletes events that nobody asked for and that were made before `before_ms`. Returns whether there may be
/// more.
async fn delete_events(
    transaction: &DatabaseTransaction,
    before_ms: i64,
    progress: &mut Progress,
) -> Result<bool, DbErr> {
    // The ids are in the order of their times.
    let bound = Builder::from_unix_timestamp_millis(u64::try_from(before_ms).unwrap_or(0), &[0; 10]);
    let old: Vec<Uuid> = event::Entity::find()
        .select_only()
        .column(event::Column::Id)
        .filter(event::Column::Id.gt(progress.event))
        .filter(event::Column::Id.lt(bound.into_uuid()))
        .filter(event::Column::IntakeAtMs.is_null())
        .order_by_asc(event::Column::Id)
        .limit(ROWS)
        .into_tuple()
        .all(transaction)
        .await?;
    let Some(last) = old.last() else { return Ok(false) };
    progress.event = *last;
    delete_without_deliveries(transaction, old).await
}

/// The same for events that intake stored, whose ids have no order.
async fn delete_events_of_intake(
    transaction: &DatabaseTransaction,
    before_ms: i64,
    progress: &mut Progress,
) -> Result<bool, DbErr> {
    let (at_ms, id) = progress.intake_event;
    let columns = [event::Column::IntakeAtMs, event::Column::Id].map(Expr::col);
    let old: Vec<(i64, Uuid)> = event::Entity::find()
        .select_only()
        .columns([event::Column::IntakeAtMs, event::Column::Id])
        .filter(event::Column::IntakeAtMs.lt(before_ms))
        .filter(Expr::tuple(columns).gt(Expr::tuple([Expr::val(at_ms), Expr::val(id)])))
        .order_by_asc(event::Column::IntakeAtMs)
        .order_by_asc(event::Column::Id)
        .limit(ROWS)
        .into_tuple()
        .all(transaction)
        .await?;
    let Some(last) = old.last() else { return Ok(false) };
    progress.intake_event = *last;
    delete_without_deliveries(transaction, old.into_iter().map(|(_, id)| id).collect()).await
}

/// Deletes those of `events` that have no delivery. Returns whether there may be more events.
async fn delete_without_deliveries(
    transaction: &DatabaseTransaction,
    events: Vec<Uuid>,
) -> Result<bool, DbErr> {
    let more = events.len() as u64 == ROWS;
    event::Entity::delete_many()
        .filter(event::Column::Id.is_in(events))
        .filter(Expr::exists(deliveries_of_event(Condition::all())).not())
        .exec(transaction)
        .await?;
    Ok(more)
}

/// The deliveries of the event in the outer statement.
pub(super) fn deliveries_of_event(that: Condition) -> SelectStatement {
    Query::select()
        .expr(Expr::val(1))
        .from(delivery::Entity)
        .and_where(
            Expr::col((delivery::Entity, delivery::Column::EventId))
                .equals((event::Entity, event::Column::Id)),
        )
        .cond_where(that)
        .take()
}
