//! The job that takes leases of deliveries that are due.
//!
//! Claims go by webhook: the state row of a webhook says when its next delivery is due. So a webhook with a
//! hundred thousand deliveries that can't be made costs a claim no more than one with a single delivery. What
//! has no place in this process is left out ([`lanes`](crate::delivery::lanes)).
//!
//! A lease that has ended is found here too: its attempt is written as `lost`, and is over.

mod due;

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use sea_orm::sea_query::{Condition, Expr};
use sea_orm::{
    ColumnTrait as _, DatabaseTransaction, DbErr, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
};
use tokio::time::Instant;
use uuid::Uuid;

use self::due::{events_of, find_due_deliveries, find_traceparents};
use super::STATEMENT_ROWS;
use super::event_batch::{Context, Now, begun_at_ms};
use super::finish::{LOOK_AGAIN_MS, due_of, end, give_up, insert_attempts};
use super::holds::discord_is_held;
use super::leases::store_leases;
use super::locks::locked_if_free;
use super::paused_origins::look_up;
use super::states::{State, States};
use super::targets::{self, Target, mute_text};
use crate::delivery::event::StoredEvent;
use crate::delivery::format::Format;
use crate::delivery::lanes::{Lane, Place};
use crate::delivery::lease::{Body, ClaimReport, Leased};
use crate::delivery::naming::Unnamed;
use crate::delivery::outcome::{Outcome, verdict};
use crate::delivery::schedule::{Step, is_too_old};
use crate::store::row_of_record::VALID;
use crate::store::table::{attempt, delivery, webhook, webhook_state};

/// Webhooks whose deliveries one round of a claim takes.
const CLAIMED_WEBHOOKS: usize = 64;
/// Rounds of one claim, each for other webhooks.
const ROUNDS: usize = 4;
/// How long a claim goes on. It holds the states of webhooks, and what it takes must start within a second.
const TIME_LIMIT: Duration = Duration::from_millis(300);

/// Takes leases of deliveries that are due, as many as there are places for.
pub(super) async fn claim(
    transaction: &DatabaseTransaction,
    context: &Context,
    now: Now,
) -> Result<(Vec<Leased>, ClaimReport), DbErr> {
    let (leased, lost) = claim_due(transaction, context, now).await?;
    let earliest = async |of: Expr| -> Result<Option<i64>, DbErr> {
        let earliest: Option<Option<i64>> = webhook_state::Entity::find()
            .select_only()
            .column_as(webhook_state::Column::DueAtMs.min(), "earliest")
            .filter(of)
            .into_tuple()
            .one(transaction)
            .await?;
        Ok(earliest.flatten())
    };
    let overdue = earliest(webhook_state::Column::DueAtMs.lte(now.ms)).await?;
    let next = earliest(webhook_state::Column::DueAtMs.gt(now.ms)).await?;
    let report = ClaimReport {
        leased: leased.len(),
        lost,
        backlog: overdue.is_some(),
        next_due_in: next.map(|at| Duration::from_millis(at.abs_diff(now.ms))),
    };
    Ok((leased, report))
}

async fn claim_due(
    transaction: &DatabaseTransaction,
    context: &Context,
    now: Now,
) -> Result<(Vec<Leased>, usize), DbErr> {
    let begun = Instant::now();
    let (mut leased, mut lost, mut seen) = (Vec::new(), Vec::new(), Vec::new());
    // Another round for what stands behind webhooks that have just taken the last places of their origin.
    for _ in 0..ROUNDS {
        let due = due_webhooks(transaction, context, now, &seen).await?;
        if due.is_empty() {
            break;
        }
        seen.extend(&due);
        leased.extend(claim_round(transaction, context, now, begun, due, &mut lost).await?);
        if begun.elapsed() > TIME_LIMIT {
            break;
        }
    }
    let count = lost.len();
    insert_attempts(transaction, lost).await?;
    Ok((leased, count))
}

async fn claim_round(
    transaction: &DatabaseTransaction,
    context: &Context,
    now: Now,
    begun: Instant,
    due: Vec<Uuid>,
    lost: &mut Vec<attempt::Model>,
) -> Result<Vec<Leased>, DbErr> {
    let mut states = States::lock(transaction, due.iter().copied()).await?;
    let rows = webhook::Entity::find()
        .filter(webhook::Column::Id.is_in(due.iter().copied()))
        .all(transaction)
        .await?;
    let created: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let others: Vec<Uuid> = due.iter().copied().filter(|id| !created.contains(id)).collect();
    let opened = targets::open(transaction, &context.sealer, rows, now.ms).await?;
    let records = {
        // What is due of one that is off is a test, or was redelivered.
        targets::open_records(transaction, &context.sealer, &others, &VALID, now.ms).await?
    };
    let targets: HashMap<Uuid, Target> =
        opened.targets.into_iter().chain(records).map(|target| (target.id, target)).collect();
    let mut claims = Vec::new();
    for id in due {
        let Some(state) = states.of_mut(id) else { continue };
        let Some(target) = targets.get(&id) else {
            // It can't be read: an operator must act, and the next look is in ten minutes.
            state.hold(now.ms + LOOK_AGAIN_MS);
            continue;
        };
        // Unknown until now, if the webhook could not be read when its first event was stored.
        if *state.row.origin != *target.origin {
            state.row.origin = target.origin.to_vec();
            look_up(transaction, [&mut state.row]).await?;
        }
        state.row.discord = target.is_discord();
        if state.is_paused() {
            state.row.due_at_ms = None;
            continue;
        }
        let places = places(context, state, target);
        if !places.is_empty() {
            claims.push(Claim { target, generation: state.row.generation, places, due: Vec::new() });
        }
    }
    let mut leased = Vec::new();
    while !claims.is_empty() && begun.elapsed() <= TIME_LIMIT {
        let mut some: Vec<Claim<'_>> = claims.drain(..claims.len().min(STATEMENT_ROWS)).collect();
        find_due_deliveries(transaction, now, &mut some).await?;
        let events = events_of(transaction, &some).await?;
        let webhooks: Vec<Uuid> = some.iter().map(Claim::webhook).collect();
        let mut rows = Vec::new();
        for claim in some {
            let Some(state) = states.of_mut(claim.webhook()) else { continue };
            let taken = claim_of(transaction, context, now, state, claim, &events, lost).await?;
            for (row, one) in taken {
                rows.push(row);
                leased.push(one);
            }
        }
        store_leases(transaction, rows).await?;
        states.find_due(transaction, webhooks).await?;
    }
    states.store(transaction).await?;
    if context.traced {
        find_traceparents(transaction, &mut leased).await?;
    }
    Ok(leased)
}

/// What a claim can take of one webhook.
struct Claim<'a> {
    target: &'a Target,
    generation: i32,
    /// As many as are free.
    places: Vec<Place>,
    /// At least as many deliveries as there are places, if so many are due.
    due: Vec<delivery::Model>,
}

impl Claim<'_> {
    fn webhook(&self) -> Uuid {
        self.target.id
    }
}

/// Webhooks that have something due and a place, those that wait longest first.
async fn due_webhooks(
    transaction: &DatabaseTransaction,
    context: &Context,
    now: Now,
    seen: &[Uuid],
) -> Result<Vec<Uuid>, DbErr> {
    let full = context.lanes.full();
    if full.free == 0 {
        return Ok(Vec::new());
    }
    let origins = |origins: &[std::sync::Arc<[u8]>]| -> Vec<Vec<u8>> {
        origins.iter().map(|origin| origin.to_vec()).collect()
    };
    let healthy = Condition::all()
        .add(webhook_state::Column::LastTriggeredAtMs.is_not_null())
        .add(webhook_state::Column::LastFailed.eq(false));
    let mut query = webhook_state::Entity::find()
        .select_only()
        .column(webhook_state::Column::WebhookId)
        .filter(webhook_state::Column::DueAtMs.lte(now.ms))
        .order_by_asc(webhook_state::Column::DueAtMs)
        .limit(CLAIMED_WEBHOOKS.min(full.free) as u64);
    let left_out: Vec<Uuid> = full.webhooks.into_iter().chain(seen.iter().copied()).collect();
    if !left_out.is_empty() {
        query = query.filter(webhook_state::Column::WebhookId.is_not_in(left_out));
    }
    if !full.origins.is_empty() {
        query = query.filter(webhook_state::Column::Origin.is_not_in(origins(&full.origins)));
    }
    if full.unhealthy {
        query = query.filter(healthy);
    } else if !full.unhealthy_origins.is_empty() {
        let elsewhere = webhook_state::Column::Origin.is_not_in(origins(&full.unhealthy_origins));
        query = query.filter(Condition::any().add(healthy).add(elsewhere));
    }
    if discord_is_held(transaction, now).await? {
        query = query.filter(webhook_state::Column::Discord.eq(false));
    }
    locked_if_free(transaction, query).into_tuple().all(transaction).await
}

/// As many places as the webhook has free.
fn places(context: &Context, state: &State, target: &Target) -> Vec<Place> {
    let lane = Lane { webhook: target.id, origin: target.origin.clone(), healthy: state.is_healthy() };
    std::iter::from_fn(|| context.lanes.reserve(&lane)).collect()
}

/// Takes the leases of one webhook: the rows as they are to be stored, and what the engine needs.
async fn claim_of(
    transaction: &DatabaseTransaction,
    context: &Context,
    now: Now,
    state: &mut State,
    claim: Claim<'_>,
    events: &HashMap<Uuid, StoredEvent>,
    lost: &mut Vec<attempt::Model>,
) -> Result<Vec<(delivery::Model, Leased)>, DbErr> {
    let Claim { target, generation: _, places, due } = claim;
    let mut places = places.into_iter();
    let mut taken = Vec::new();
    for mut row in due {
        match judge(&row, state, now) {
            Due::Cancelled => break,
            Due::Lost => {
                lose(transaction, context, now, state, &row, lost).await?;
                continue;
            }
            Due::TooOld => {
                fail_old(transaction, context, now, state, &row).await?;
                continue;
            }
            Due::Attempt => {}
        }
        let event = events.get(&row.event_id);
        let text = event.and_then(|event| mute_text(event.says()));
        if target.mutes(text.as_ref()) {
            give_up(transaction, now, state, &row, Outcome::Cancelled, false).await?;
            continue;
        }
        let Some(place) = places.next() else { continue };
        if target.is_record()
            && let Err(wait) = context.record_rates.count(&target.owner, &target.origin)
        {
            state.hold(now.ms + i64::try_from(wait.as_millis()).unwrap_or(0).max(1));
            break;
        }
        // Until an attempt was made, the webhook may still change what it says.
        let body = match (&row.body, event) {
            (_, Some(event)) if row.attempts == 0 => first_body(target, event),
            (Some(body), _) => Body::Made(Bytes::copy_from_slice(body)),
            (None, Some(event)) => first_body(target, event),
            // Its payload has expired.
            (None, None) => {
                give_up(transaction, now, state, &row, Outcome::Cancelled, false).await?;
                continue;
            }
        };
        let lease = context.new_lease()?;
        row.lease = Some(lease);
        row.next_at_ms = Some(now.ms + context.settings.lease_ms);
        // That of a record is the payload of its event.
        row.body = body.made().filter(|_| !target.is_record());
        let leased = Leased {
            delivery: row.id,
            event: row.event_id,
            webhook: row.webhook_id,
            lease,
            attempt: row.attempts.cast_unsigned() + 1,
            url: target.url.clone(),
            signing: target.signing.clone(),
            body,
            place,
            traceparent: None,
            published: published(now, row.created_at_ms),
            taken: Instant::now(),
        };
        taken.push((row, leased));
    }
    Ok(taken)
}

/// The body of an attempt before which none was made.
fn first_body(target: &Target, event: &StoredEvent) -> Body {
    match Unnamed::of_event(event) {
        Some(unnamed) => Body::Unnamed(unnamed),
        None => Body::Made(Bytes::from(target.body(event.says()))),
    }
}

/// When what was stored at `created_at_ms` was published, on the clock of this process. After a start of the
/// machine that clock may not reach back so far.
fn published(now: Now, created_at_ms: i64) -> Instant {
    let here = Instant::now();
    here.checked_sub(now.since(created_at_ms)).unwrap_or(here)
}

/// What a claim does with a delivery that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing: an attempt that was lost has turned the webhook off.
    Cancelled,
    /// Its lease has ended: the attempt is lost.
    Lost,
    /// It fails.
    TooOld,
    Attempt,
}

pub(super) fn judge(row: &delivery::Model, state: &State, now: Now) -> Due {
    if row.generation != state.row.generation {
        Due::Cancelled
    } else if row.lease.is_some() {
        Due::Lost
    } else if is_too_old(begun_at_ms(row), now.ms) {
        Due::TooOld
    } else {
        Due::Attempt
    }
}

/// Writes that the attempt of a lease that ended has no known outcome.
async fn lose(
    transaction: &DatabaseTransaction,
    context: &Context,
    now: Now,
    state: &mut State,
    row: &delivery::Model,
    lost: &mut Vec<attempt::Model>,
) -> Result<(), DbErr> {
    let verdict = verdict(Outcome::Lost, None, Format::Json, now.ms);
    let step = context.plan(row, &verdict, now).step;
    lost.push(attempt::Model {
        delivery_id: row.id,
        number: row.attempts + 1,
        at_ms: row.next_at_ms.unwrap_or(now.ms) - context.settings.lease_ms,
        duration_ms: i32::try_from(context.settings.lease_ms).unwrap_or(i32::MAX),
        outcome: Outcome::Lost.to_string(),
        status: None,
        response: None,
        next_at_ms: due_of(step),
    });
    context.metrics.attempt(Outcome::Lost);
    tracing::debug!(
        delivery = %row.id,
        webhook = %row.webhook_id,
        attempt = row.attempts + 1,
        outcome = %Outcome::Lost,
        "attempt ended"
    );
    end(transaction, now, state, row, step, Outcome::Lost, None).await?;
    context.disable(state, step, now);
    Ok(())
}

/// Ends a delivery that is no longer tried, with the outcome that it had last.
async fn fail_old(
    transaction: &DatabaseTransaction,
    context: &Context,
    now: Now,
    state: &mut State,
    row: &delivery::Model,
) -> Result<(), DbErr> {
    let outcome = row.last_outcome.as_deref().and_then(|text| text.parse().ok());
    let outcome = outcome.unwrap_or(Outcome::Cancelled);
    let counts_as_error = !matches!(outcome, Outcome::Secret | Outcome::Cancelled);
    give_up(transaction, now, state, row, outcome, counts_as_error).await?;
    context.disable(state, Step::Failed { counts_as_error, is_gone: false }, now);
    Ok(())
}
