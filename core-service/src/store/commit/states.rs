//! The delivery state of webhooks, locked in a transaction: `Accounts` for deliveries.
//!
//! Owns the row of `webhook_state` as long as the transaction lasts, and when a webhook is next due.

use std::collections::BTreeMap;

use sea_orm::sea_query::{Expr, OnConflict, Query};
use sea_orm::{
    ColumnTrait as _, DatabaseTransaction, DbErr, EntityTrait as _, Iterable as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _,
};
use uuid::Uuid;

use super::STATEMENT_ROWS;
use super::locks::locked;
use super::paused_origins::look_up;
use crate::store::table::{delivery, webhook_state};

/// `delivery.state`.
pub(in crate::store) const PENDING: i16 = 0;
pub(in crate::store) const DELIVERED: i16 = 1;
pub(in crate::store) const FAILED: i16 = 2;

/// The state of a webhook that has had no delivery.
pub(in crate::store) fn fresh_state(webhook: Uuid, origin: Vec<u8>, discord: bool) -> webhook_state::Model {
    webhook_state::Model {
        webhook_id: webhook,
        generation: 0,
        origin,
        discord,
        due_at_ms: None,
        held_until_ms: None,
        held_for_secret: false,
        pending: 0,
        dropped: 0,
        last_failed: false,
        error_count: 0,
        failing_since_ms: None,
        last_triggered_at_ms: None,
        disabled_reason: None,
        disabled_at_ms: None,
        cancelling_since_ms: None,
        paused: false,
        origin_paused: false,
        owner_paused: false,
    }
}

/// A delivery that is due and was never attempted.
pub(super) fn fresh_delivery(
    id: Uuid,
    event: Uuid,
    webhook: Uuid,
    generation: i32,
    now_ms: i64,
) -> delivery::Model {
    delivery::Model {
        id,
        event_id: event,
        webhook_id: webhook,
        generation,
        state: PENDING,
        next_at_ms: Some(now_ms),
        lease: None,
        retried: false,
        attempts: 0,
        body: None,
        last_outcome: None,
        last_status: None,
        last_attempt_at_ms: None,
        ended_at_ms: None,
        created_at_ms: now_ms,
        redelivered_at_ms: None,
        attempts_before: 0,
    }
}

/// The states of some webhooks, locked until the transaction ends.
#[derive(Debug, Default)]
pub(super) struct States(BTreeMap<Uuid, State>);

#[derive(Debug)]
pub(super) struct State {
    stored: webhook_state::Model,
    pub(super) row: webhook_state::Model,
}

impl States {
    /// Locks the states of `webhooks` in the order of their ids. Those without a state are left out.
    pub(super) async fn lock(
        transaction: &DatabaseTransaction,
        webhooks: impl IntoIterator<Item = Uuid>,
    ) -> Result<Self, DbErr> {
        let mut states = BTreeMap::new();
        let mut ids: Vec<Uuid> = webhooks.into_iter().collect();
        ids.sort_unstable();
        ids.dedup();
        for some in ids.chunks(STATEMENT_ROWS) {
            let query = webhook_state::Entity::find()
                .filter(webhook_state::Column::WebhookId.is_in(some.iter().copied()))
                .order_by_asc(webhook_state::Column::WebhookId);
            for row in locked(transaction, query).all(transaction).await? {
                states.insert(row.webhook_id, State::new(row));
            }
        }
        Ok(Self(states))
    }

    /// The same, and makes the states that are missing from `new`. Whether their origins are paused is looked
    /// up.
    pub(super) async fn lock_or_make(
        transaction: &DatabaseTransaction,
        new: BTreeMap<Uuid, webhook_state::Model>,
    ) -> Result<Self, DbErr> {
        let mut states = Self::lock(transaction, new.keys().copied()).await?;
        let mut missing: Vec<_> = new.into_iter().filter(|(id, _)| !states.0.contains_key(id)).collect();
        if missing.is_empty() {
            return Ok(states);
        }
        look_up(transaction, missing.iter_mut().map(|(_, row)| row)).await?;
        let unless_there = OnConflict::column(webhook_state::Column::WebhookId).do_nothing().to_owned();
        for some in missing.chunks(STATEMENT_ROWS) {
            let rows = some.iter().map(|(_, row)| webhook_state::ActiveModel::from(row.clone()));
            let insert = webhook_state::Entity::insert_many(rows).on_conflict(unless_there.clone());
            insert.exec_without_returning(transaction).await?;
        }
        // Another replica may have made some of them meanwhile.
        let made = Self::lock(transaction, missing.into_iter().map(|(id, _)| id)).await?;
        states.0.extend(made.0);
        Ok(states)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut State> {
        self.0.values_mut()
    }

    pub(super) fn of_mut(&mut self, webhook: Uuid) -> Option<&mut State> {
        self.0.get_mut(&webhook)
    }

    /// Looks up when the next pending delivery of each of `webhooks` is due. Call it after the deliveries
    /// have changed. The stored generation is the current one, unless nothing is pending.
    pub(super) async fn find_due(
        &mut self,
        transaction: &DatabaseTransaction,
        webhooks: impl IntoIterator<Item = Uuid>,
    ) -> Result<(), DbErr> {
        let mut pending = Vec::new();
        for webhook in webhooks {
            let Some(state) = self.0.get_mut(&webhook) else { continue };
            state.row.due_at_ms = None;
            if state.row.pending > 0 {
                pending.push(webhook);
            }
        }
        for some in pending.chunks(STATEMENT_ROWS) {
            // A minimum for each of the two, which is the first entry of the index: a webhook may have a
            // hundred thousand deliveries.
            let earliest: Vec<(Uuid, Option<i64>, Option<i64>)> = webhook_state::Entity::find()
                .select_only()
                .column(webhook_state::Column::WebhookId)
                .expr_as(earliest_pending(false), "first")
                .expr_as(earliest_pending(true), "retried")
                .filter(webhook_state::Column::WebhookId.is_in(some.iter().copied()))
                .into_tuple()
                .all(transaction)
                .await?;
            for (webhook, first, retried) in earliest {
                let Some(state) = self.0.get_mut(&webhook) else { continue };
                for at_ms in [first, retried].into_iter().flatten() {
                    state.due(at_ms);
                }
            }
        }
        Ok(())
    }

    /// Stores the states that differ.
    pub(super) async fn store(self, transaction: &DatabaseTransaction) -> Result<(), DbErr> {
        let differing: Vec<_> =
            self.0.into_values().filter(|state| state.row != state.stored).map(|state| state.row).collect();
        let all = webhook_state::Column::iter()
            .filter(|column| !matches!(column, webhook_state::Column::WebhookId));
        let replace = OnConflict::column(webhook_state::Column::WebhookId).update_columns(all).to_owned();
        for some in differing.chunks(STATEMENT_ROWS) {
            let rows = some.iter().cloned().map(webhook_state::ActiveModel::from);
            let insert = webhook_state::Entity::insert_many(rows).on_conflict(replace.clone());
            insert.exec_without_returning(transaction).await?;
        }
        Ok(())
    }
}

impl State {
    pub(super) fn new(row: webhook_state::Model) -> Self {
        Self { stored: row.clone(), row }
    }

    /// Whether an operator keeps the deliveries back, or the owner's account is not active.
    pub(super) fn is_paused(&self) -> bool {
        self.row.paused || self.row.origin_paused || self.row.owner_paused
    }

    /// Notes that a pending delivery is due, or its lease ends, at `at_ms`. Of a paused webhook nothing is
    /// due.
    pub(super) fn due(&mut self, at_ms: i64) {
        if self.is_paused() {
            return;
        }
        let at_ms = self.row.held_until_ms.map_or(at_ms, |held| at_ms.max(held));
        self.row.due_at_ms = Some(self.row.due_at_ms.map_or(at_ms, |due| due.min(at_ms)));
    }

    /// Keeps all deliveries of the webhook back until `until_ms`.
    pub(super) fn hold(&mut self, until_ms: i64) {
        let held = self.row.held_until_ms.map_or(until_ms, |held| held.max(until_ms));
        self.row.held_until_ms = Some(held);
        self.row.due_at_ms = self.row.due_at_ms.map(|due| due.max(held));
        // A new token does not end this.
        self.row.held_for_secret = false;
    }

    /// The same, because the secret is missing or does not open: a new token ends it, unless something else
    /// holds the webhook as well.
    pub(super) fn hold_for_secret(&mut self, until_ms: i64, now_ms: i64) {
        let held = self.row.held_until_ms.is_some_and(|held| held > now_ms);
        let held_otherwise = held && !self.row.held_for_secret;
        self.hold(until_ms);
        self.row.held_for_secret = !held_otherwise;
    }

    /// Lets the deliveries go on that waited for a secret.
    pub(super) fn release(&mut self, now_ms: i64) {
        if self.row.held_for_secret {
            self.row.held_for_secret = false;
            self.row.held_until_ms = None;
            self.row.due_at_ms = None;
            if self.row.pending > 0 {
                self.due(now_ms);
            }
        }
    }

    /// Notes that a pending delivery has failed.
    pub(super) fn failed(&mut self, counts_as_error: bool, now_ms: i64) {
        self.row.pending -= 1;
        if counts_as_error {
            self.row.error_count += 1;
            self.row.failing_since_ms.get_or_insert(now_ms);
        }
    }

    /// Cancels all deliveries that are not in flight: the next generation begins.
    pub(super) fn cancel(&mut self, now_ms: i64) {
        let row = &mut self.row;
        row.generation += 1;
        if row.pending > 0 {
            row.cancelling_since_ms = Some(now_ms);
        }
        row.pending = 0;
        row.due_at_ms = None;
        row.held_until_ms = None;
        row.held_for_secret = false;
    }

    /// The owner has turned the webhook on: it begins without errors.
    pub(super) fn enable(&mut self) {
        self.row.error_count = 0;
        self.row.failing_since_ms = None;
        self.row.disabled_reason = None;
        self.row.disabled_at_ms = None;
    }

    /// Whether the webhook's last attempt was a success.
    pub(super) fn is_healthy(&self) -> bool {
        self.row.last_triggered_at_ms.is_some() && !self.row.last_failed
    }
}

/// When the earliest pending delivery is due, of those that were retried or not, of the webhook whose state
/// is in the outer statement.
pub(in crate::store) fn earliest_pending(retried: bool) -> Expr {
    use sea_orm::sea_query::ExprTrait as _;
    let of_webhook = |column: delivery::Column, state: webhook_state::Column| {
        Expr::col((delivery::Entity, column)).equals((webhook_state::Entity, state))
    };
    let earliest = Query::select()
        .expr(Expr::col((delivery::Entity, delivery::Column::NextAtMs)).min())
        .from(delivery::Entity)
        .and_where(of_webhook(delivery::Column::WebhookId, webhook_state::Column::WebhookId))
        .and_where(of_webhook(delivery::Column::Generation, webhook_state::Column::Generation))
        .and_where(delivery::Column::Retried.eq(retried))
        .and_where(delivery::Column::NextAtMs.is_not_null())
        .take();
    earliest.into()
}

/// Cancels the deliveries of `webhooks`.
pub(super) async fn cancel_deliveries(
    transaction: &DatabaseTransaction,
    webhooks: impl IntoIterator<Item = Uuid>,
    now_ms: i64,
) -> Result<(), DbErr> {
    let mut states = States::lock(transaction, webhooks).await?;
    for state in states.iter_mut() {
        state.cancel(now_ms);
        // The state goes as well, when no delivery is left that does not say so.
        state.row.cancelling_since_ms = Some(now_ms);
    }
    states.store(transaction).await
}
