//! The protocol of leases as a model: two workers, or one that is alone, one webhook and one event in all
//! states that there are, and two events in those that few steps lead to.
//!
//! Workers publish, claim, send, write outcomes, and die between any two of these; a commit may be stored
//! without its worker's knowing; the owner switches the webhook off and on, and deletes it; an operator
//! pauses and resumes it. The properties
//! are what is promised: see [`Protocol::properties`]. With each [`Fault`] one of them is broken, so what
//! the product does about it is needed.

mod fault;
mod transactions;
mod world;

use std::time::Duration;

use stateright::{Checker as _, HasDiscoveries, Model, Property};

use self::fault::Fault;
use self::transactions::{Transactions, end_leases, switch_on, write_cancelled};
use self::world::{ATTEMPT_MS, NOW, Phase, Webhook, World};
use super::states::{DELIVERED, FAILED, PENDING};
use crate::delivery::lease::may_start;
use crate::store::table::delivery;

const NOT_LOST: &str = "an answered event is pending and will be found, or has ended for a recorded reason";
const ENDS: &str = "one worker alone brings every answered event to its end";
const FENCED: &str = "no outcome of a lost lease counts";
const CLAIMED_IN_TIME: &str = "nothing is claimed that was delivered, switched off, deleted or paused before";
const STARTED_IN_TIME: &str =
    "no request starts more than a second after its webhook was switched off, deleted or paused";
const ONCE: &str = "no two requests of a delivery are under way at once";
const STAYS_DELIVERED: &str = "what was delivered stays so";
const COUNTED: &str = "the webhook counts its pending deliveries";
const PROMISES: [&str; 8] =
    [NOT_LOST, ENDS, FENCED, CLAIMED_IN_TIME, STARTED_IN_TIME, ONCE, STAYS_DELIVERED, COUNTED];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Publish { worker: usize, born_leased: bool, commit: Commit },
    Claim { worker: usize, commit: Commit },
    Start { worker: usize, held: usize },
    Answer { worker: usize, held: usize, status: u16 },
    Write { worker: usize, held: usize, commit: Commit },
    Crash { worker: usize },
    SwitchOff,
    SwitchOn,
    Delete,
    Pause,
    Resume,
    WriteCancelled,
    Tick,
}

/// How a commit ends for the worker that makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Commit {
    Known,
    /// It is stored, and the worker does not learn it.
    Unknown,
}

impl Commit {
    const ALL: [Self; 2] = [Self::Known, Self::Unknown];
}

/// How much happens.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    workers: usize,
    events: usize,
    /// Crashes, and commits whose result a worker does not learn.
    mishaps: u8,
    /// Times that the owner switches the webhook off or on or deletes it, or an operator pauses or resumes
    /// it.
    changes: u8,
    /// The answers of the receiver.
    statuses: &'static [u16],
}

struct Protocol {
    bounds: Bounds,
    transactions: Transactions,
}

impl Protocol {
    fn new(bounds: Bounds, fault: Option<Fault>) -> Self {
        Self { bounds, transactions: Transactions::new(fault) }
    }

    fn act(&self, world: &mut World, action: Action) {
        let transactions = &self.transactions;
        match action {
            Action::Publish { worker, born_leased, commit } => {
                let held = transactions.publish(world, born_leased);
                let early = transactions.has(Fault::AnsweredBeforeTheCommit);
                if let Some(delivery) = world.deliveries.last_mut() {
                    delivery.answered = commit == Commit::Known || early;
                    if commit == Commit::Unknown && early {
                        delivery.row = None;
                    }
                }
                world.workers[worker].extend(held.filter(|_| commit == Commit::Known));
            }
            Action::Claim { worker, commit } => {
                let held = transactions.claim(world);
                world.workers[worker].extend(held.filter(|_| commit == Commit::Known));
            }
            Action::Start { worker, held } => self.start(world, worker, held),
            Action::Answer { worker, held, status } => {
                world.workers[worker][held].phase = Phase::Answered { status };
            }
            Action::Write { worker, held, commit } => {
                let written = world.workers[worker][held].clone();
                // Who does not know whether it is written writes it again.
                if commit == Commit::Known {
                    world.workers[worker].remove(held);
                }
                transactions.finish(world, &written);
            }
            Action::Crash { worker } => {
                world.workers[worker].clear();
                if self.bounds.workers == 1 {
                    end_leases(world);
                }
            }
            Action::SwitchOff => transactions.switch_off(world),
            Action::SwitchOn => switch_on(world),
            Action::Delete => transactions.delete(world),
            Action::Pause => transactions.pause(world),
            Action::Resume => transactions.resume(world),
            Action::WriteCancelled => write_cancelled(world),
            Action::Tick => world.tick(),
        }
    }

    /// `Sender::attempt`, up to the first byte that is sent.
    fn start(&self, world: &mut World, worker: usize, held: usize) {
        let held = &mut world.workers[worker][held];
        let waited = Duration::from_millis((NOW.ms - held.taken_ms).unsigned_abs());
        if !may_start(waited) && !self.transactions.has(Fault::StartedLate) {
            held.phase = Phase::GivenBack;
            return;
        }
        held.phase = Phase::Sending { since_ms: NOW.ms };
        let cancelled_at_ms = world.deliveries[held.delivery].cancelled_at_ms;
        let ended = [cancelled_at_ms, world.paused_at_ms];
        world.broken.started_late |= ended.into_iter().flatten().any(|at_ms| NOW.ms - at_ms > 1_000);
    }

    /// What a worker does when all others are gone and every receiver answers.
    fn runs_out(&self, world: &World) -> World {
        let mut world = world.clone();
        world.workers = vec![Vec::new()];
        if world.paused_at_ms.is_some() {
            self.transactions.resume(&mut world);
        }
        for _ in 0..20 {
            let Some(state) = &world.state else { break };
            if state.cancelling_since_ms.is_some() {
                write_cancelled(&mut world);
                continue;
            }
            if state.due_at_ms.is_none() || world.webhook == Webhook::Deleted {
                break;
            }
            while world.state.as_ref().is_some_and(|state| state.due_at_ms > Some(NOW.ms)) {
                world.tick();
            }
            if let Some(mut held) = self.transactions.claim(&mut world) {
                held.phase = Phase::Answered { status: 200 };
                self.transactions.finish(&mut world, &held);
            }
        }
        world
    }
}

impl Model for Protocol {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self.bounds.workers, self.bounds.mishaps, self.bounds.changes)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let commits = &Commit::ALL[..if world.mishaps > 0 { 2 } else { 1 }];
        let is_disabled = world.state.as_ref().is_some_and(|state| state.disabled_at_ms.is_some());
        let is_due =
            world.state.as_ref().is_some_and(|state| state.due_at_ms.is_some_and(|at_ms| at_ms <= NOW.ms));
        for (worker, leases) in world.workers.iter().enumerate() {
            for &commit in commits {
                if world.deliveries.len() < self.bounds.events && world.webhook == Webhook::On && !is_disabled
                {
                    for born_leased in [false, true] {
                        actions.push(Action::Publish { worker, born_leased, commit });
                    }
                }
                if is_due {
                    actions.push(Action::Claim { worker, commit });
                }
            }
            for (held, lease) in leases.iter().enumerate() {
                match lease.phase {
                    Phase::Waiting => actions.push(Action::Start { worker, held }),
                    Phase::Sending { .. } => {
                        actions.extend(self.bounds.statuses.iter().map(|&status| Action::Answer {
                            worker,
                            held,
                            status,
                        }));
                    }
                    Phase::GivenBack | Phase::Answered { .. } => {
                        actions.extend(commits.iter().map(|&commit| Action::Write { worker, held, commit }));
                    }
                }
            }
            if world.mishaps > 0 && (self.bounds.workers == 1 || !leases.is_empty()) {
                actions.push(Action::Crash { worker });
            }
        }
        if world.changes > 0 {
            match world.webhook {
                Webhook::On if is_disabled => actions.extend([Action::SwitchOn, Action::Delete]),
                Webhook::On => actions.extend([Action::SwitchOff, Action::Delete]),
                Webhook::Off => actions.extend([Action::SwitchOn, Action::Delete]),
                Webhook::Deleted => {}
            }
            if world.state.is_some() {
                actions.push(if world.paused_at_ms.is_some() { Action::Resume } else { Action::Pause });
            }
        }
        if world.state.as_ref().is_some_and(|state| state.cancelling_since_ms.is_some()) {
            actions.push(Action::WriteCancelled);
        }
        let must_end =
            |phase: &Phase| matches!(phase, Phase::Sending { since_ms } if NOW.ms - since_ms >= ATTEMPT_MS);
        if !world.workers.iter().flatten().any(|held| must_end(&held.phase)) {
            actions.push(Action::Tick);
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut world = world.clone();
        self.act(&mut world, action);
        world.mishaps -= u8::from(is_mishap(action));
        world.changes -= u8::from(is_change(action));
        world.normalize();
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(NOT_LOST, |_, world: &World| is_not_lost(world)),
            Property::always(ENDS, |protocol: &Self, world: &World| {
                let ended = protocol.runs_out(world);
                ended
                    .deliveries
                    .iter()
                    .filter(|delivery| delivery.answered)
                    .all(|delivery| delivery.row.as_ref().is_some_and(|row| row.state != PENDING))
            }),
            Property::always(FENCED, |_, world: &World| !world.broken.outcome_of_a_lost_lease),
            Property::always(CLAIMED_IN_TIME, |_, world: &World| !world.broken.claimed_after_the_end),
            Property::always(STARTED_IN_TIME, |_, world: &World| !world.broken.started_late),
            Property::always(ONCE, |_, world: &World| {
                (0..world.deliveries.len()).all(|one| world.requests_of(one) <= 1)
            }),
            Property::always(STAYS_DELIVERED, |_, world: &World| {
                let delivered = world.deliveries.iter().filter(|delivery| delivery.delivered);
                delivered.flat_map(|delivery| &delivery.row).all(|row| row.state == DELIVERED)
            }),
            Property::always(COUNTED, |_, world: &World| {
                world.state.as_ref().is_none_or(|state| {
                    let open = world.rows().filter(|(_, row)| is_open(row, state.generation));
                    i32::try_from(open.count()) == Ok(state.pending)
                })
            }),
            Property::sometimes("delivered at the first attempt", |_, world: &World| {
                ended(world, DELIVERED, 1)
            }),
            Property::sometimes("delivered at the second attempt", |_, world: &World| {
                ended(world, DELIVERED, 2)
            }),
            Property::sometimes("failed after all attempts", |_, world: &World| ended(world, FAILED, 2)),
            Property::sometimes("cancelled", |_, world: &World| ended(world, FAILED, 0)),
            Property::sometimes("lost", |_, world: &World| world.deliveries.iter().any(|one| one.lost)),
            Property::sometimes("delivered, although it was cancelled meanwhile", |_, world: &World| {
                world.deliveries.iter().any(|one| one.delivered && one.cancelled_at_ms.is_some())
            }),
        ]
    }
}

fn is_mishap(action: Action) -> bool {
    match action {
        Action::Publish { commit, .. } | Action::Claim { commit, .. } | Action::Write { commit, .. } => {
            commit == Commit::Unknown
        }
        Action::Crash { .. } => true,
        _ => false,
    }
}

fn is_change(action: Action) -> bool {
    matches!(action, Action::SwitchOff | Action::SwitchOn | Action::Delete | Action::Pause | Action::Resume)
}

/// A delivery of the current generation that has not ended.
fn is_open(row: &delivery::Model, generation: i32) -> bool {
    row.state == PENDING && row.generation == generation
}

fn is_not_lost(world: &World) -> bool {
    world.deliveries.iter().filter(|delivery| delivery.answered).all(|delivery| {
        let Some(row) = &delivery.row else { return false };
        if row.state != PENDING {
            return row.next_at_ms.is_none() && row.last_outcome.is_some();
        }
        let (Some(next_at_ms), Some(state)) = (row.next_at_ms, &world.state) else { return false };
        if !is_open(row, state.generation) {
            return state.cancelling_since_ms.is_some();
        }
        if state.paused {
            return world.webhook == Webhook::On && state.due_at_ms.is_none();
        }
        let latest_ms = next_at_ms.max(state.held_until_ms.unwrap_or(next_at_ms));
        world.webhook == Webhook::On && state.due_at_ms.is_some_and(|due_at_ms| due_at_ms <= latest_ms)
    })
}

fn ended(world: &World, state: i16, attempts: i32) -> bool {
    world.rows().any(|(_, row)| row.state == state && row.attempts == attempts)
}

/// All states of this.
const ONE_EVENT: Bounds =
    Bounds { workers: 2, events: 1, mishaps: 1, changes: 2, statuses: &[200, 410, 429, 500] };
/// States that few steps lead to.
const TWO_EVENTS: Bounds =
    Bounds { workers: 2, events: 2, mishaps: 1, changes: 2, statuses: &[200, 410, 500] };
/// The steps to the states of [`TWO_EVENTS`] that are looked at, and one more.
const DEPTH: usize = 9;

#[test]
fn one_event() {
    Protocol::new(ONE_EVENT, None).checker().threads(2).spawn_bfs().join().assert_properties();
}

#[test]
fn one_event_and_one_worker_that_is_restarted() {
    let alone = Bounds { workers: 1, ..ONE_EVENT };
    Protocol::new(alone, None).checker().threads(2).spawn_bfs().join().assert_properties();
}

#[test]
fn two_events() {
    let checker =
        Protocol::new(TWO_EVENTS, None).checker().target_max_depth(DEPTH).threads(2).spawn_bfs().join();
    for promise in PROMISES {
        checker.assert_no_discovery(promise);
    }
}

#[test]
fn each_fault_breaks_a_promise() {
    for (fault, bounds, promise) in [
        (Fault::AnsweredBeforeTheCommit, ONE_EVENT, NOT_LOST),
        (Fault::PublishedWithoutDueTime, ONE_EVENT, NOT_LOST),
        (Fault::PublishedWithoutTheLease, ONE_EVENT, ONCE),
        (Fault::ClaimIgnoresTheGeneration, TWO_EVENTS, CLAIMED_IN_TIME),
        (Fault::LeaseWithoutEnd, ONE_EVENT, NOT_LOST),
        (Fault::EndedLeasesLeft, ONE_EVENT, ENDS),
        (Fault::StartedLate, ONE_EVENT, STARTED_IN_TIME),
        (Fault::StartedLate, ONE_EVENT, ONCE),
        (Fault::OutcomeWithoutFence, ONE_EVENT, FENCED),
        (Fault::OutcomeWithoutFence, ONE_EVENT, STAYS_DELIVERED),
        (Fault::OutcomeWithoutFence, ONE_EVENT, COUNTED),
        (Fault::OutcomeWithoutDueTime, ONE_EVENT, NOT_LOST),
        (Fault::SwitchedOffInTheSameGeneration, ONE_EVENT, CLAIMED_IN_TIME),
        (Fault::DeletedWithoutCancelling, ONE_EVENT, ENDS),
        (Fault::PauseIgnoredByClaims, ONE_EVENT, CLAIMED_IN_TIME),
        (Fault::PauseIgnoredByPublications, TWO_EVENTS, CLAIMED_IN_TIME),
        (Fault::ResumedWithoutDueTime, ONE_EVENT, NOT_LOST),
    ] {
        let until = HasDiscoveries::AnyOf([promise].into());
        let checker = Protocol::new(bounds, Some(fault)).checker().finish_when(until).spawn_bfs().join();
        assert!(checker.discovery(promise).is_some(), "{fault:?} breaks nothing: {promise}");
    }
}
