//! The job that writes what an attempt came to.
//!
//! An outcome counts only while its lease is the delivery's: a worker that lost its lease changes nothing.

use std::collections::{BTreeSet, HashMap};

use sea_orm::sea_query::{Expr, ExprTrait as _, OnConflict};
use sea_orm::{ColumnTrait as _, DatabaseTransaction, DbErr, EntityTrait as _, QueryFilter as _};
use uuid::Uuid;

use super::STATEMENT_ROWS;
use super::event_batch::{Context, Now};
use super::holds::hold_discord;
use super::leases::locked_deliveries;
use super::states::{DELIVERED, FAILED, PENDING, State, States};
use super::targets;
use crate::delivery::finished::{Attempted, Ending, Finished};
use crate::delivery::format::Format;
use crate::delivery::lease::Signing;
use crate::delivery::outcome::{HoldScope, Outcome, verdict};
use crate::delivery::schedule::{Held, Plan, Step};
use crate::store::row_of_record::VALID;
use crate::store::table::{attempt, delivery};

/// When a webhook that can't be read is looked at again.
pub(super) const LOOK_AGAIN_MS: i64 = 10 * 60 * 1000;

/// Writes the ends of attempts. Those whose leases are lost are dropped.
pub(super) async fn finish(
    transaction: &DatabaseTransaction,
    context: &Context,
    now: Now,
    ended: &[&Finished],
) -> Result<(), DbErr> {
    let mut states = States::lock(transaction, ended.iter().map(|one| one.webhook)).await?;
    let ids: Vec<Uuid> = ended.iter().map(|one| one.delivery).collect();
    let rows = locked_deliveries(transaction, &ids).await?;
    let mut attempts = Vec::new();
    let mut delivered: HashMap<Option<u16>, Vec<Uuid>> = HashMap::new();
    let mut changed = BTreeSet::new();
    for Finished { delivery, webhook, lease, ending } in ended {
        // It was purged.
        let Some(row) = rows.get(delivery) else { continue };
        if !is_leased(row, *lease) {
            context.metrics.leases_lost.inc();
            tracing::debug!(%delivery, %webhook, "the outcome is not written: the lease is lost");
            continue;
        }
        let Some(state) = states.of_mut(*webhook) else { continue };
        changed.insert(*webhook);
        match ending {
            // What was cancelled meanwhile stays so.
            Ending::GivenBack | Ending::NoSecret if row.generation != state.row.generation => {}
            Ending::GivenBack => postpone(transaction, row.id, now.ms).await?,
            Ending::NoSecret => no_secret(transaction, context, now, state, row).await?,
            Ending::Attempted(attempted) => {
                context.metrics.attempt(attempted.outcome);
                let Plan { step, held } = context.plan(row, &attempted.verdict, now);
                attempts.push(attempt_row(row.id, attempted, step));
                if step == Step::Delivered {
                    succeed(state, row, now);
                    delivered.entry(attempted.status).or_default().push(row.id);
                } else {
                    end(transaction, now, state, row, step, attempted.outcome, attempted.status).await?;
                }
                // An answer to what was cancelled says nothing of the webhook as it is now.
                if row.generation == state.row.generation {
                    context.disable(state, step, now);
                }
                match held.filter(|_| row.generation == state.row.generation) {
                    Some(Held { scope: HoldScope::Webhook, until_ms }) => state.hold(until_ms),
                    Some(Held { scope: HoldScope::Discord, until_ms }) => {
                        hold_discord(transaction, until_ms).await?;
                    }
                    None => {}
                }
            }
        }
    }
    store_delivered(transaction, delivered, now).await?;
    insert_attempts(transaction, attempts).await?;
    states.find_due(transaction, changed).await?;
    states.store(transaction).await
}

/// Whether the outcome of an attempt under `lease` counts.
pub(super) fn is_leased(row: &delivery::Model, lease: Uuid) -> bool {
    row.lease == Some(lease)
}

fn attempt_row(delivery: Uuid, attempted: &Attempted, step: Step) -> attempt::Model {
    let Attempted { number, at_ms, duration_ms, outcome, status, response, verdict: _ } = attempted;
    attempt::Model {
        delivery_id: delivery,
        number: number.cast_signed(),
        at_ms: *at_ms,
        duration_ms: i32::try_from(*duration_ms).unwrap_or(i32::MAX),
        outcome: outcome.to_string(),
        status: status.map(i32::from),
        response: response.clone(),
        next_at_ms: due_of(step),
    }
}

/// When the next attempt is due.
pub(super) fn due_of(step: Step) -> Option<i64> {
    match step {
        Step::Retry { due_ms, uses_attempt: _ } => Some(due_ms),
        Step::Delivered | Step::Failed { .. } => None,
    }
}

/// Inserts attempts. A repeat after a commit of unknown result changes nothing.
pub(super) async fn insert_attempts(
    transaction: &DatabaseTransaction,
    attempts: Vec<attempt::Model>,
) -> Result<(), DbErr> {
    let unless_there =
        OnConflict::columns([attempt::Column::DeliveryId, attempt::Column::Number]).do_nothing().to_owned();
    for some in attempts.chunks(STATEMENT_ROWS) {
        let rows = some.iter().cloned().map(attempt::ActiveModel::from);
        let insert = attempt::Entity::insert_many(rows).on_conflict(unless_there.clone());
        insert.exec_without_returning(transaction).await?;
    }
    Ok(())
}

pub(super) fn succeed(state: &mut State, row: &delivery::Model, now: Now) {
    if row.generation == state.row.generation {
        state.row.pending -= 1;
    }
    state.row.last_failed = false;
    state.row.error_count = 0;
    state.row.failing_since_ms = None;
    state.row.last_triggered_at_ms = Some(now.ms);
}

/// Deliveries that succeeded share a statement for each status.
async fn store_delivered(
    transaction: &DatabaseTransaction,
    delivered: HashMap<Option<u16>, Vec<Uuid>>,
    now: Now,
) -> Result<(), DbErr> {
    for (status, ids) in delivered {
        for some in ids.chunks(STATEMENT_ROWS) {
            delivery::Entity::update_many()
                .col_expr(delivery::Column::State, Expr::val(DELIVERED))
                .col_expr(delivery::Column::NextAtMs, Expr::val(None::<i64>))
                .col_expr(delivery::Column::Lease, Expr::val(None::<Uuid>))
                .col_expr(delivery::Column::Attempts, Expr::col(delivery::Column::Attempts).add(1))
                .col_expr(delivery::Column::LastOutcome, Expr::val(Outcome::Ok.to_string()))
                .col_expr(delivery::Column::LastStatus, Expr::val(status.map(i32::from)))
                .col_expr(delivery::Column::LastAttemptAtMs, Expr::val(now.ms))
                .col_expr(delivery::Column::EndedAtMs, Expr::val(now.ms))
                .filter(delivery::Column::Id.is_in(some.iter().copied()))
                .exec(transaction)
                .await?;
        }
    }
    Ok(())
}

/// Writes the end of one attempt that did not succeed, to its delivery and to the state of its webhook.
pub(super) async fn end(
    transaction: &DatabaseTransaction,
    now: Now,
    state: &mut State,
    row: &delivery::Model,
    step: Step,
    outcome: Outcome,
    status: Option<u16>,
) -> Result<(), DbErr> {
    let next_at_ms = fail(state, row, step, now);
    // What was cancelled during the attempt stays so.
    let outcome = if row.generation == state.row.generation { outcome } else { Outcome::Cancelled };
    delivery::Entity::update_many()
        .col_expr(delivery::Column::State, Expr::val(if next_at_ms.is_some() { PENDING } else { FAILED }))
        .col_expr(delivery::Column::NextAtMs, Expr::val(next_at_ms))
        .col_expr(delivery::Column::Lease, Expr::val(None::<Uuid>))
        .col_expr(delivery::Column::Retried, Expr::val(true))
        .col_expr(delivery::Column::Attempts, Expr::val(row.attempts + 1))
        .col_expr(delivery::Column::LastOutcome, Expr::val(outcome.to_string()))
        .col_expr(delivery::Column::LastStatus, Expr::val(status.map(i32::from)))
        .col_expr(delivery::Column::LastAttemptAtMs, Expr::val(now.ms))
        .col_expr(delivery::Column::EndedAtMs, Expr::val(next_at_ms.is_none().then_some(now.ms)))
        .filter(delivery::Column::Id.eq(row.id))
        .exec(transaction)
        .await
        .map(drop)
}

/// Ends a delivery of the current generation that is not attempted: it is too old, muted meanwhile, or has
/// lost its payload.
pub(super) async fn give_up(
    transaction: &DatabaseTransaction,
    now: Now,
    state: &mut State,
    row: &delivery::Model,
    outcome: Outcome,
    counts_as_error: bool,
) -> Result<(), DbErr> {
    state.failed(counts_as_error, now.ms);
    delivery::Entity::update_many()
        .col_expr(delivery::Column::State, Expr::val(FAILED))
        .col_expr(delivery::Column::NextAtMs, Expr::val(None::<i64>))
        .col_expr(delivery::Column::LastOutcome, Expr::val(outcome.to_string()))
        .col_expr(delivery::Column::EndedAtMs, Expr::val(now.ms))
        .filter(delivery::Column::Id.eq(row.id))
        .exec(transaction)
        .await
        .map(drop)
}

/// Notes in the state of its webhook that an attempt of `row` did not succeed. Returns when the next one is
/// due; `None`: the delivery failed.
pub(super) fn fail(state: &mut State, row: &delivery::Model, step: Step, now: Now) -> Option<i64> {
    let current = row.generation == state.row.generation;
    state.row.last_failed |= current;
    // A delivery of a generation that is over is not tried again.
    let next_at_ms = due_of(step).filter(|_| current);
    if next_at_ms.is_none() && current {
        let counts_as_error = matches!(step, Step::Failed { counts_as_error: true, is_gone: _ });
        state.failed(counts_as_error, now.ms);
    }
    next_at_ms
}

/// Ends the lease of a delivery that was not attempted; it is due at `at_ms`.
async fn postpone(transaction: &DatabaseTransaction, id: Uuid, at_ms: i64) -> Result<(), DbErr> {
    delivery::Entity::update_many()
        .col_expr(delivery::Column::NextAtMs, Expr::val(at_ms))
        .col_expr(delivery::Column::Lease, Expr::val(None::<Uuid>))
        .filter(delivery::Column::Id.eq(id))
        .exec(transaction)
        .await
        .map(drop)
}

/// A delivery whose secret is missing or does not open waits, with all others of its webhook.
async fn no_secret(
    transaction: &DatabaseTransaction,
    context: &Context,
    now: Now,
    state: &mut State,
    row: &delivery::Model,
) -> Result<(), DbErr> {
    context.metrics.attempt(Outcome::Secret);
    let verdict = verdict(Outcome::Secret, None, Format::Json, now.ms);
    let step = context.plan(row, &verdict, now).step;
    let Some(look_again_ms) = due_of(step) else {
        return end(transaction, now, state, row, step, Outcome::Secret, None).await;
    };
    // Made since the lease was taken; whoever makes it from now on releases the webhook.
    let made = targets::open_records(transaction, &context.sealer, &[row.webhook_id], &VALID, now.ms).await?;
    if !made.iter().any(|target| matches!(target.signing, Signing::With(_))) {
        state.hold_for_secret(look_again_ms, now.ms);
    }
    delivery::Entity::update_many()
        .col_expr(delivery::Column::NextAtMs, Expr::val(now.ms))
        .col_expr(delivery::Column::Lease, Expr::val(None::<Uuid>))
        .col_expr(delivery::Column::LastOutcome, Expr::val(Outcome::Secret.to_string()))
        .filter(delivery::Column::Id.eq(row.id))
        .exec(transaction)
        .await
        .map(drop)
}
