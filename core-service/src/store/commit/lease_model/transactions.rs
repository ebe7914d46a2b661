//! What each transaction does to the database of the model.
//!
//! What a transaction decides is asked of the product's own functions. Which rows a statement finds, and what
//! it writes into them, is repeated here.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use uuid::Uuid;

use super::fault::Fault;
use super::world::{ATTEMPT_MS, Delivery, Held, NOW, Phase, TICK_MS, Webhook, World};
use crate::delivery::format::Format;
use crate::delivery::outcome::{Answer, Outcome, Verdict, verdict};
use crate::delivery::schedule::{Plan, Schedule, Step, Tried};
use crate::store::commit::claim::{Due, judge};
use crate::store::commit::event_batch::DeliverySettings;
use crate::store::commit::finish::{fail, is_leased, succeed};
use crate::store::commit::states::{DELIVERED, FAILED, PENDING, State, fresh_delivery, fresh_state};
use crate::store::table::delivery;

/// How long a lease lasts: the wait for the start, the attempt, and time to write its outcome.
const LEASE_MS: i64 = TICK_MS + ATTEMPT_MS + TICK_MS;

/// The product's transactions, perhaps with a fault.
#[derive(Debug, Clone)]
pub(super) struct Transactions {
    fault: Option<Fault>,
    settings: DeliverySettings,
}

impl Transactions {
    pub(super) fn new(fault: Option<Fault>) -> Self {
        let tick = Duration::from_millis(TICK_MS.unsigned_abs());
        let settings = DeliverySettings {
            max_pending: 10,
            lease_ms: LEASE_MS,
            disable_after: 50,
            disable_after_ms: 86_400_000,
            schedule: Schedule::new(vec![tick]),
        };
        Self { fault, settings }
    }

    pub(super) fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    /// `publish`: an event with its delivery. Returns the lease, if it is born leased.
    pub(super) fn publish(&self, world: &mut World, born_leased: bool) -> Option<Held> {
        let mut state =
            world.take_state().unwrap_or_else(|| State::new(fresh_state(Uuid::nil(), Vec::new(), false)));
        let number = world.deliveries.len();
        let mut row = fresh_delivery(
            Uuid::from_u128(number as u128),
            Uuid::nil(),
            Uuid::nil(),
            state.row.generation,
            NOW.ms,
        );
        let lease = world.new_lease(number);
        let born_leased = born_leased && (!state.is_paused() || self.has(Fault::PauseIgnoredByPublications));
        if born_leased {
            world.broken.claimed_after_the_end |= world.paused_at_ms.is_some();
        }
        if born_leased && !self.has(Fault::PublishedWithoutTheLease) {
            row.lease = Some(lease);
            row.next_at_ms = Some(NOW.ms + LEASE_MS);
        }
        state.row.pending += 1;
        if !self.has(Fault::PublishedWithoutDueTime) {
            state.due(row.next_at_ms.unwrap_or(NOW.ms));
        }
        world.state = Some(state.row);
        world.deliveries.push(Delivery::stored(row));
        born_leased.then(|| Held::taken(number, lease))
    }

    /// `claim`, with a place for one attempt. Returns the lease that it takes.
    pub(super) fn claim(&self, world: &mut World) -> Option<Held> {
        let mut state = world.take_state()?;
        if world.webhook == Webhook::Deleted {
            state.hold(NOW.ms + TICK_MS);
            world.state = Some(state.row);
            return None;
        }
        if state.is_paused() && !self.has(Fault::PauseIgnoredByClaims) {
            state.row.due_at_ms = None;
            world.state = Some(state.row);
            return None;
        }
        let mut found = self.due_rows(world, &state);
        // Ended leases need no place; others may be behind the first.
        if found.first().is_some_and(|(_, row)| row.lease.is_none()) {
            found.truncate(1);
        }
        let mut taken = None;
        for (number, row) in found {
            match judge(&row, &state, NOW) {
                Due::Cancelled if self.has(Fault::ClaimIgnoresTheGeneration) && row.lease.is_none() => {
                    taken = taken.or_else(|| Some(self.take_lease(world, number)));
                }
                Due::Cancelled => break,
                Due::Lost => self.lose(world, &mut state, number, &row),
                Due::Attempt => taken = taken.or_else(|| Some(self.take_lease(world, number))),
                Due::TooOld => {}
            }
        }
        find_due(world, &mut state);
        world.state = Some(state.row);
        taken
    }

    /// `due_deliveries`: those of the current generation, first attempts first.
    fn due_rows(&self, world: &World, state: &State) -> Vec<(usize, delivery::Model)> {
        let mut found: Vec<(usize, delivery::Model)> = world
            .rows()
            .filter(|(_, row)| {
                row.generation == state.row.generation || self.has(Fault::ClaimIgnoresTheGeneration)
            })
            .filter(|(_, row)| row.next_at_ms.is_some_and(|at_ms| at_ms <= NOW.ms))
            .filter(|(_, row)| row.lease.is_none() || !self.has(Fault::EndedLeasesLeft))
            .map(|(number, row)| (number, row.clone()))
            .collect();
        found.sort_by_key(|(number, row)| (row.retried, row.next_at_ms, *number));
        found
    }

    fn take_lease(&self, world: &mut World, number: usize) -> Held {
        let lease = world.new_lease(number);
        let delivery = &mut world.deliveries[number];
        let is_over = delivery.row.as_ref().is_none_or(|row| row.state != PENDING);
        let is_over = is_over || delivery.cancelled_at_ms.is_some() || world.paused_at_ms.is_some();
        world.broken.claimed_after_the_end |= is_over;
        if let Some(row) = &mut delivery.row {
            row.lease = Some(lease);
            row.next_at_ms = Some(NOW.ms + LEASE_MS).filter(|_| !self.has(Fault::LeaseWithoutEnd));
        }
        Held::taken(number, lease)
    }

    fn lose(&self, world: &mut World, state: &mut State, number: usize, row: &delivery::Model) {
        world.deliveries[number].lost = true;
        for held in world.workers.iter_mut().flatten().filter(|held| held.delivery == number) {
            held.is_lost |= row.lease == Some(held.lease);
        }
        self.end(world, state, number, row, &verdict(Outcome::Lost, None, Format::Json, NOW.ms));
    }

    /// `finish`.
    pub(super) fn finish(&self, world: &mut World, held: &Held) {
        let Some(row) = world.deliveries[held.delivery].row.clone() else { return };
        if !is_leased(&row, held.lease) && !self.has(Fault::OutcomeWithoutFence) {
            return;
        }
        let Some(mut state) = world.take_state() else { return };
        world.broken.outcome_of_a_lost_lease |= held.is_lost;
        match held.phase {
            Phase::Answered { status } => {
                self.end(world, &mut state, held.delivery, &row, &verdict_of(status));
            }
            // What was cancelled meanwhile stays so.
            _ if row.generation != state.row.generation => {}
            _ => {
                let given_back = delivery::Model { lease: None, next_at_ms: Some(NOW.ms), ..row };
                world.deliveries[held.delivery].row = Some(given_back);
            }
        }
        if !self.has(Fault::OutcomeWithoutDueTime) {
            find_due(world, &mut state);
        }
        world.state = Some(state.row);
    }

    /// Writes the end of one attempt of `row`.
    fn end(
        &self,
        world: &mut World,
        state: &mut State,
        number: usize,
        row: &delivery::Model,
        verdict: &Verdict,
    ) {
        let attempts = row.attempts.cast_unsigned() + 1;
        let tried = Tried { attempts, begun_at_ms: row.created_at_ms, now_ms: NOW.ms, random: 0 };
        let Plan { step, held } = self.settings.schedule.plan(tried, verdict);
        let delivery = &mut world.deliveries[number];
        let mut after = delivery::Model { lease: None, attempts: row.attempts + 1, ..row.clone() };
        if step == Step::Delivered {
            succeed(state, row, NOW);
            delivery.delivered = true;
            after.state = DELIVERED;
            after.next_at_ms = None;
            after.last_outcome = Some(Outcome::Ok.to_string());
        } else {
            after.next_at_ms = fail(state, row, step, NOW);
            after.state = if after.next_at_ms.is_some() { PENDING } else { FAILED };
            after.retried = true;
            after.last_outcome = Some(Outcome::Http.to_string());
        }
        delivery.row = Some(after);
        if row.generation == state.row.generation && self.settings.disable(state, step, NOW) {
            world.note_cancelled();
        }
        if let Some(held) = held.filter(|_| row.generation == state.row.generation) {
            state.hold(held.until_ms);
        }
    }

    /// `update_webhook`, with `active: false`.
    pub(super) fn switch_off(&self, world: &mut World) {
        world.webhook = Webhook::Off;
        if let Some(mut state) = world.take_state() {
            if !self.has(Fault::SwitchedOffInTheSameGeneration) {
                state.cancel(NOW.ms);
            }
            world.state = Some(state.row);
        }
        world.note_cancelled();
    }

    /// `pause`, of the webhook.
    pub(super) fn pause(&self, world: &mut World) {
        let Some(mut state) = world.take_state() else { return };
        state.row.paused = true;
        if !self.has(Fault::PauseIgnoredByClaims) {
            find_due(world, &mut state);
        }
        world.state = Some(state.row);
        world.paused_at_ms = Some(NOW.ms);
    }

    /// `pause`, which ends.
    pub(super) fn resume(&self, world: &mut World) {
        let Some(mut state) = world.take_state() else { return };
        state.row.paused = false;
        if !self.has(Fault::ResumedWithoutDueTime) {
            find_due(world, &mut state);
        }
        world.state = Some(state.row);
        world.paused_at_ms = None;
    }

    /// `delete_webhook`.
    pub(super) fn delete(&self, world: &mut World) {
        world.webhook = Webhook::Deleted;
        if let Some(mut state) = world.take_state() {
            if !self.has(Fault::DeletedWithoutCancelling) {
                state.cancel(NOW.ms);
                state.row.cancelling_since_ms = Some(NOW.ms);
            }
            world.state = Some(state.row);
        }
        world.note_cancelled();
    }
}

/// `update_webhook`, with `active: true`.
pub(super) fn switch_on(world: &mut World) {
    world.webhook = Webhook::On;
    if let Some(mut state) = world.take_state() {
        state.enable();
        world.state = Some(state.row);
    }
}

/// `write_cancelled`, one row at a time.
pub(super) fn write_cancelled(world: &mut World) {
    let Some(state) = world.take_state() else { return };
    let mut old =
        world.rows_mut().filter(|row| row.generation < state.row.generation && row.next_at_ms.is_some());
    if let Some(row) = old.next() {
        row.state = FAILED;
        row.next_at_ms = None;
        row.last_outcome = Some(Outcome::Cancelled.to_string());
        drop(old);
        world.state = Some(state.row);
        return;
    }
    drop(old);
    if world.webhook != Webhook::Deleted {
        let mut row = state.row;
        row.cancelling_since_ms = None;
        world.state = Some(row);
    }
}

/// `end_leases`: at the start of a process that is alone.
pub(super) fn end_leases(world: &mut World) {
    let mut any = false;
    for row in world.rows_mut().filter(|row| row.lease.is_some() && row.next_at_ms.is_some()) {
        row.next_at_ms = Some(NOW.ms);
        any = true;
    }
    if let Some(state) = world.state.as_mut().filter(|_| any)
        && state.held_until_ms.is_none_or(|until_ms| until_ms <= NOW.ms)
        && !state.paused
    {
        state.due_at_ms = Some(NOW.ms);
    }
}

/// `States::find_due`.
fn find_due(world: &World, state: &mut State) {
    state.row.due_at_ms = None;
    if state.row.pending > 0 {
        let generation = state.row.generation;
        for (_, row) in world.rows().filter(|(_, row)| row.generation == generation) {
            if let Some(at_ms) = row.next_at_ms {
                state.due(at_ms);
            }
        }
    }
}

/// What an answer of this status means.
fn verdict_of(status: u16) -> Verdict {
    let status = StatusCode::from_u16(status).expect("a status");
    let answer = Answer { status, headers: &HeaderMap::new(), body: b"" };
    verdict(Outcome::of(status), Some(answer), Format::Json, NOW.ms)
}
