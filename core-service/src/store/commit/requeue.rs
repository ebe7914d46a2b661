//! What `core-service requeue` writes: deliveries that have ended are made once more, and leases that have
//! ended are freed.
//!
//! The command runs beside services, so that it locks what they lock, in their order. It walks along what has
//! ended, a batch at a time. What ends after it has begun is left alone: a delivery is made once more once.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use sea_orm::sea_query::{Condition, Expr, ExprTrait as _};
use sea_orm::{
    ColumnTrait as _, DatabaseTransaction, DbErr, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
};
use uuid::Uuid;

use super::event_batch::Now;
use super::redeliver::make_due;
use super::states::{State, States};
use crate::delivery::outcome::Outcome;
use crate::store::row_of_record::ACTIVE;
use crate::store::table::{delivery, event, record_webhook, webhook};

/// Deliveries that one transaction looks at.
const ROWS: u64 = 500;

/// Which deliveries are made once more.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Span {
    /// They were last attempted at or after this time, in Unix milliseconds.
    pub(in crate::store) since_ms: i64,
    /// And before this one.
    pub(in crate::store) before_ms: i64,
    /// `--max-pending`.
    pub(in crate::store) max_pending: u32,
}

/// How many deliveries are due, and how many are not, and why.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Requeued {
    pub(crate) due: u64,
    pub(crate) cancelled: u64,
    /// Of webhooks that are off or deleted.
    pub(crate) off: u64,
    pub(crate) without_payload: u64,
    /// As many as may be wait for their webhooks already.
    pub(crate) no_room: u64,
}

/// Where a batch begins: the end of a delivery, and its id.
pub(in crate::store) type Position = (i64, Uuid);

impl Requeued {
    /// Adds `other` to these.
    pub(crate) fn add(&mut self, other: Self) {
        let Self { due, cancelled, off, without_payload, no_room } = other;
        self.due += due;
        self.cancelled += cancelled;
        self.off += off;
        self.without_payload += without_payload;
        self.no_room += no_room;
    }
}

/// A delivery that has ended.
struct Ended {
    id: Uuid,
    webhook: Uuid,
    cancelled: bool,
    has_payload: bool,
}

/// Makes some deliveries after `after` due now. Returns how many, and where the next batch begins: `None`
/// after the last.
pub(in crate::store) async fn requeue(
    transaction: &DatabaseTransaction,
    now: Now,
    span: Span,
    after: Position,
) -> Result<(Requeued, Option<Position>), DbErr> {
    let (ended, next) = ended_after(transaction, span, after).await?;
    let mut of_webhooks: BTreeMap<Uuid, Vec<Ended>> = BTreeMap::new();
    for one in ended {
        of_webhooks.entry(one.webhook).or_default().push(one);
    }
    let mut states = States::lock(transaction, of_webhooks.keys().copied()).await?;
    // As they are now that their states are locked.
    let mut active: HashSet<Uuid> = webhook::Entity::find()
        .select_only()
        .column(webhook::Column::Id)
        .filter(webhook::Column::Id.is_in(of_webhooks.keys().copied()))
        .filter(webhook::Column::Active.eq(true))
        .into_tuple()
        .all(transaction)
        .await?
        .into_iter()
        .collect();
    let records = record_webhook::Entity::find()
        .select_only()
        .column(record_webhook::Column::Id)
        .filter(record_webhook::Column::Id.is_in(of_webhooks.keys().copied()))
        .filter(record_webhook::Column::State.eq(ACTIVE))
        .into_tuple::<Uuid>();
    active.extend(records.all(transaction).await?);
    let mut requeued = Requeued::default();
    for (webhook, ended) in of_webhooks {
        let state = states.of_mut(webhook).filter(|state| state.row.disabled_at_ms.is_none());
        let state = state.filter(|_| active.contains(&webhook));
        requeued.add(of_webhook(transaction, now, span, state, ended).await?);
    }
    states.store(transaction).await?;
    Ok((requeued, next))
}

async fn of_webhook(
    transaction: &DatabaseTransaction,
    now: Now,
    span: Span,
    state: Option<&mut State>,
    ended: Vec<Ended>,
) -> Result<Requeued, DbErr> {
    let mut requeued = Requeued::default();
    let room = state.as_ref().map(|state| span.max_pending.saturating_sub(state.row.pending.cast_unsigned()));
    let mut ids = Vec::new();
    for Ended { id, webhook: _, cancelled, has_payload } in ended {
        if cancelled {
            requeued.cancelled += 1;
        } else if room.is_none() {
            requeued.off += 1;
        } else if !has_payload {
            requeued.without_payload += 1;
        } else if room.is_some_and(|room| ids.len() >= usize::try_from(room).unwrap_or(usize::MAX)) {
            requeued.no_room += 1;
        } else {
            ids.push(id);
        }
    }
    let Some(state) = state.filter(|_| !ids.is_empty()) else { return Ok(requeued) };
    let which = Condition::all()
        .add(delivery::Column::Id.is_in(ids))
        // Its owner may have redelivered it meanwhile.
        .add(delivery::Column::EndedAtMs.lt(span.before_ms));
    requeued.due = make_due(transaction, now, state, which).await?;
    Ok(requeued)
}

/// Some deliveries that ended in `span`, those first that ended first, and the position of the last.
async fn ended_after(
    transaction: &DatabaseTransaction,
    span: Span,
    (ended_at_ms, id): Position,
) -> Result<(Vec<Ended>, Option<Position>), DbErr> {
    let columns = [delivery::Column::EndedAtMs, delivery::Column::Id].map(Expr::col);
    // Without their bodies, which are large.
    let has_body = Expr::col(delivery::Column::Body).is_not_null();
    let rows: Vec<(i64, Uuid, Uuid, Uuid, Option<String>, bool)> = delivery::Entity::find()
        .select_only()
        .columns([delivery::Column::EndedAtMs, delivery::Column::Id])
        .columns([delivery::Column::WebhookId, delivery::Column::EventId, delivery::Column::LastOutcome])
        .column_as(has_body, "has_body")
        .filter(delivery::Column::EndedAtMs.gte(span.since_ms))
        .filter(delivery::Column::EndedAtMs.lt(span.before_ms))
        .filter(Expr::tuple(columns).gt(Expr::tuple([Expr::val(ended_at_ms), Expr::val(id)])))
        .order_by_asc(delivery::Column::EndedAtMs)
        .order_by_asc(delivery::Column::Id)
        .limit(ROWS)
        .into_tuple()
        .all(transaction)
        .await?;
    let last = rows.last().map(|(ended_at_ms, id, ..)| (*ended_at_ms, *id));
    let events: BTreeSet<Uuid> = rows.iter().map(|(_, _, _, event, ..)| *event).collect();
    let with_payload: HashSet<Uuid> = event::Entity::find()
        .select_only()
        .column(event::Column::Id)
        .filter(event::Column::Id.is_in(events))
        .filter(event::Column::Payload.is_not_null())
        .into_tuple()
        .all(transaction)
        .await?
        .into_iter()
        .collect();
    let ended = rows.into_iter().map(|(_, id, webhook, event, last_outcome, has_body)| Ended {
        id,
        webhook,
        cancelled: last_outcome.as_deref() == Some(Outcome::Cancelled.as_str()),
        has_payload: has_body || with_payload.contains(&event),
    });
    let ended: Vec<Ended> = ended.collect();
    let next = last.filter(|_| ended.len() as u64 == ROWS);
    Ok((ended, next))
}

/// Frees some leases that have ended: their deliveries are due, and their attempts don't count. Returns how
/// many, and whether there may be more.
pub(in crate::store) async fn free_leases(
    transaction: &DatabaseTransaction,
    now: Now,
) -> Result<(u64, bool), DbErr> {
    let ended = |ids: Vec<Uuid>| {
        delivery::Entity::update_many()
            .col_expr(delivery::Column::Lease, Expr::val(None::<Uuid>))
            .filter(delivery::Column::Id.is_in(ids))
            .filter(delivery::Column::Lease.is_not_null())
            .filter(delivery::Column::NextAtMs.lte(now.ms))
    };
    let ids: Vec<Uuid> = delivery::Entity::find()
        .select_only()
        .column(delivery::Column::Id)
        .filter(delivery::Column::Lease.is_not_null())
        .filter(delivery::Column::NextAtMs.lte(now.ms))
        .limit(ROWS)
        .into_tuple()
        .all(transaction)
        .await?;
    let more = ids.len() as u64 == ROWS;
    if ids.is_empty() {
        return Ok((0, false));
    }
    Ok((ended(ids).exec(transaction).await?.rows_affected, more))
}
