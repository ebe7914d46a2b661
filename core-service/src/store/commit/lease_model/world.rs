//! The states of the model: the database, the memory of the workers, and what was promised to whom.

use uuid::Uuid;

use crate::store::commit::event_batch::Now;
use crate::store::commit::states::{PENDING, State};
use crate::store::table::{delivery, webhook_state};

/// The time between two moments of the model.
pub(super) const TICK_MS: i64 = 1_000;
/// The time of all transactions.
pub(super) const NOW: Now = Now { ms: 0 };
/// How long an attempt lasts at most.
pub(super) const ATTEMPT_MS: i64 = TICK_MS;

/// Everything there is: the database, the memory of the workers, and what was promised to whom.
///
/// It is always 0 o'clock: all times move when time goes by, and stop where it no longer matters how long ago
/// something was. So the model has an end without an end of time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) webhook: Webhook,
    pub(super) state: Option<webhook_state::Model>,
    pub(super) deliveries: Vec<Delivery>,
    /// The leases that each worker holds in its memory. Which worker is which does not matter.
    pub(super) workers: Vec<Vec<Held>>,
    /// When the webhook was paused, if it is.
    pub(super) paused_at_ms: Option<i64>,
    /// Crashes and commits of unknown result that may still happen.
    pub(super) mishaps: u8,
    /// Changes of the webhook that may still happen.
    pub(super) changes: u8,
    pub(super) broken: Broken,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Webhook {
    On,
    Off,
    Deleted,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Delivery {
    /// Gone only by a fault.
    pub(super) row: Option<delivery::Model>,
    /// The publisher has the answer that its event is stored.
    pub(super) answered: bool,
    /// When the webhook was turned off or deleted, if the delivery was pending then.
    pub(super) cancelled_at_ms: Option<i64>,
    /// An attempt succeeded, and that was written.
    pub(super) delivered: bool,
    /// A lease was lost.
    pub(super) lost: bool,
}

impl Delivery {
    /// One that was just stored.
    pub(super) fn stored(row: delivery::Model) -> Self {
        Self { row: Some(row), answered: false, cancelled_at_ms: None, delivered: false, lost: false }
    }
}

/// A lease in the memory of a worker.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Held {
    pub(super) delivery: usize,
    pub(super) lease: Uuid,
    /// A claim found it ended.
    pub(super) is_lost: bool,
    pub(super) taken_ms: i64,
    pub(super) phase: Phase,
}

impl Held {
    /// A lease that was just taken.
    pub(super) fn taken(delivery: usize, lease: Uuid) -> Self {
        Self { delivery, lease, is_lost: false, taken_ms: NOW.ms, phase: Phase::Waiting }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Phase {
    Waiting,
    Sending { since_ms: i64 },
    GivenBack,
    Answered { status: u16 },
}

/// What must never happen, and did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Broken {
    pub(super) outcome_of_a_lost_lease: bool,
    pub(super) claimed_after_the_end: bool,
    pub(super) started_late: bool,
}

impl World {
    /// An active webhook, and workers with nothing to do.
    pub(super) fn new(workers: usize, mishaps: u8, changes: u8) -> Self {
        Self {
            webhook: Webhook::On,
            state: None,
            deliveries: Vec::new(),
            workers: vec![Vec::new(); workers],
            paused_at_ms: None,
            mishaps,
            changes,
            broken: Broken::default(),
        }
    }

    /// The state of the webhook, as a transaction takes it up.
    pub(super) fn take_state(&mut self) -> Option<State> {
        self.state.take().map(State::new)
    }

    /// The rows of deliveries, each with its number.
    pub(super) fn rows(&self) -> impl Iterator<Item = (usize, &delivery::Model)> {
        self.deliveries
            .iter()
            .enumerate()
            .filter_map(|(number, delivery)| Some((number, delivery.row.as_ref()?)))
    }

    pub(super) fn rows_mut(&mut self) -> impl Iterator<Item = &mut delivery::Model> {
        self.deliveries.iter_mut().filter_map(|delivery| delivery.row.as_mut())
    }

    /// Notes that nothing that is pending may be claimed any more.
    pub(super) fn note_cancelled(&mut self) {
        for delivery in &mut self.deliveries {
            if delivery.row.as_ref().is_some_and(|row| row.state == PENDING) {
                delivery.cancelled_at_ms.get_or_insert(NOW.ms);
            }
        }
    }

    /// How many requests of a delivery are under way.
    pub(super) fn requests_of(&self, delivery: usize) -> usize {
        let held = self.workers.iter().flatten().filter(|held| held.delivery == delivery);
        held.filter(|held| matches!(held.phase, Phase::Sending { .. })).count()
    }

    /// A lease of this delivery that nobody has.
    pub(super) fn new_lease(&self, number: usize) -> Uuid {
        let of_row = self.deliveries.get(number).and_then(|delivery| delivery.row.as_ref()?.lease);
        let held = self.workers.iter().flatten().filter(|held| held.delivery == number);
        let taken: Vec<Uuid> = held.map(|held| held.lease).chain(of_row).collect();
        (1..).map(Uuid::from_u128).find(|lease| !taken.contains(lease)).expect("few leases are taken")
    }

    /// Lets time go by.
    pub(super) fn tick(&mut self) {
        let pass = |at_ms: &mut i64, oldest_ms: i64| *at_ms = (*at_ms - TICK_MS).max(oldest_ms);
        self.paused_at_ms.iter_mut().for_each(|at_ms| pass(at_ms, -2 * TICK_MS));
        for delivery in &mut self.deliveries {
            delivery.cancelled_at_ms.iter_mut().for_each(|at_ms| pass(at_ms, -2 * TICK_MS));
            let next = delivery.row.iter_mut().flat_map(|row| &mut row.next_at_ms);
            next.for_each(|at_ms| pass(at_ms, -TICK_MS));
        }
        if let Some(state) = &mut self.state {
            let times = state.due_at_ms.iter_mut().chain(&mut state.held_until_ms);
            times.for_each(|at_ms| pass(at_ms, -TICK_MS));
        }
        for held in self.workers.iter_mut().flatten() {
            pass(&mut held.taken_ms, -2 * TICK_MS);
            if let Phase::Sending { since_ms } = &mut held.phase {
                pass(since_ms, -2 * TICK_MS);
            }
        }
    }

    /// Puts the workers in order, and takes out what no rule of the model asks for.
    pub(super) fn normalize(&mut self) {
        self.workers.iter_mut().for_each(|held| held.sort_unstable());
        self.workers.sort_unstable();
        if let Some(state) = &mut self.state {
            state.last_failed = false;
            state.error_count = 0;
            state.failing_since_ms = None;
            state.last_triggered_at_ms = None;
            state.cancelling_since_ms = state.cancelling_since_ms.map(|_| NOW.ms);
            state.disabled_at_ms = state.disabled_at_ms.map(|_| NOW.ms);
        }
    }
}
