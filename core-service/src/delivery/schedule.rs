//! When a delivery is tried again (docs/delivery.md, "Outcomes and retries").
//!
//! Owns the steps, their jitter and the age at which a delivery fails. Whether it is tried again at all is in
//! `outcome`.

use std::time::Duration;

use super::outcome::{Hold, HoldScope, Next, Verdict};

/// The waits between attempts, unless the operator sets others.
pub(crate) const DEFAULT_STEPS: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_mins(2),
    Duration::from_mins(10),
    Duration::from_mins(30),
    Duration::from_hours(2),
    Duration::from_hours(5),
    Duration::from_hours(10),
    Duration::from_hours(10),
];
/// The most that jitter adds to a step: one part in this many.
const JITTER_DIVISOR: u32 = 5;
/// The age from which a delivery is not tried again.
pub(crate) const MAX_AGE: Duration = Duration::from_hours(3 * 24);

/// The waits between attempts: there is one attempt more than there are steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Schedule(Vec<Duration>);

/// A delivery at the end of an attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tried {
    /// The attempts that were used, this one included; those before a redelivery do not count.
    pub(crate) attempts: u32,
    /// When it was made, or redelivered. Milliseconds since 1970-01-01T00:00:00Z, like all times here.
    pub(crate) begun_at_ms: i64,
    pub(crate) now_ms: i64,
    /// Any random number: the jitter.
    pub(crate) random: u32,
}

/// What is to be written after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) step: Step,
    pub(crate) held: Option<Held>,
}

/// What becomes of the delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Delivered,
    /// Pending, due at `due_ms`.
    Retry {
        due_ms: i64,
        /// Whether this attempt counts as one of those in the schedule.
        uses_attempt: bool,
    },
    Failed {
        counts_as_error: bool,
        /// Whether the webhook is turned off with the reason `gone`.
        is_gone: bool,
    },
}

/// Nothing of this scope is claimed before `until_ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) scope: HoldScope,
    pub(crate) until_ms: i64,
}

impl Schedule {
    pub(crate) fn new(steps: Vec<Duration>) -> Self {
        Self(steps)
    }

    /// What follows from `verdict` for a delivery.
    pub(crate) fn plan(&self, tried: Tried, verdict: &Verdict) -> Plan {
        let Verdict { next, counts_as_error, hold } = *verdict;
        let failed = |is_gone| Step::Failed { counts_as_error, is_gone };
        let due = |after: Option<Duration>, uses_attempt| {
            let due_ms = after.map(|after| later(tried.now_ms, after));
            let young = due_ms.filter(|due_ms| !is_too_old(tried.begun_at_ms, *due_ms));
            young.map_or(failed(false), |due_ms| Step::Retry { due_ms, uses_attempt })
        };
        let step = match next {
            Next::Done => Step::Delivered,
            Next::Retry { after } => due(self.wait(tried).map(|wait| wait.max(after)), true),
            Next::Wait { after } => due(Some(after), false),
            Next::End => failed(false),
            Next::EndAndDisable => failed(true),
        };
        Plan { step, held: hold.map(|hold| self.held(tried, hold)) }
    }

    /// How long a hold lasts. Without a time of the receiver: until the delivery would be tried again; of the
    /// last attempt, for the first step.
    fn held(&self, tried: Tried, hold: Hold) -> Held {
        let Hold { scope, time } = hold;
        let first = || self.0.first().copied().unwrap_or_default();
        let time = time.or_else(|| self.wait(tried)).unwrap_or_else(first);
        Held { scope, until_ms: later(tried.now_ms, time) }
    }

    /// The step after the attempts so far, with up to a fifth more. `None` if that was the last.
    fn wait(&self, tried: Tried) -> Option<Duration> {
        let index = usize::try_from(tried.attempts).ok()?.checked_sub(1)?;
        let step = *self.0.get(index)?;
        let most = step / JITTER_DIVISOR;
        let share = f64::from(tried.random) / f64::from(u32::MAX);
        Some(step.saturating_add(most.mul_f64(share)))
    }
}

impl Default for Schedule {
    fn default() -> Self {
        Self(DEFAULT_STEPS.to_vec())
    }
}

/// Whether a delivery that was made, or redelivered, at `begun_at_ms` is no longer tried at `now_ms`.
pub(crate) fn is_too_old(begun_at_ms: i64, now_ms: i64) -> bool {
    now_ms >= later(begun_at_ms, MAX_AGE)
}

/// `wait` after `from_ms`, never earlier.
fn later(from_ms: i64, wait: Duration) -> i64 {
    let whole_ms = wait.as_nanos().div_ceil(1_000_000);
    from_ms.saturating_add(i64::try_from(whole_ms).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    const BEGUN_AT_MS: i64 = 1_795_896_900_000;
    const HOUR_MS: i64 = 3_600_000;

    fn tried(attempts: u32, random: u32) -> Tried {
        Tried { attempts, begun_at_ms: BEGUN_AT_MS, now_ms: BEGUN_AT_MS, random }
    }

    fn verdict(next: Next, hold: Option<Option<u64>>) -> Verdict {
        let hold =
            hold.map(|seconds| Hold { scope: HoldScope::Webhook, time: seconds.map(Duration::from_secs) });
        Verdict { next, counts_as_error: true, hold }
    }

    fn after(seconds: u64) -> Next {
        Next::Retry { after: Duration::from_secs(seconds) }
    }

    fn due_ms(plan: Plan) -> Option<i64> {
        match plan.step {
            Step::Retry { due_ms, uses_attempt: _ } => Some(due_ms - BEGUN_AT_MS),
            Step::Delivered | Step::Failed { .. } => None,
        }
    }

    fn held_ms(plan: Plan) -> Option<i64> {
        plan.held.map(|held| held.until_ms - BEGUN_AT_MS)
    }

    #[test]
    fn default_steps_and_their_jitter() {
        let schedule = Schedule::default();
        let seconds = [5, 30, 120, 600, 1800, 7200, 18_000, 36_000, 36_000];
        for (attempts, seconds) in (1..).zip(seconds) {
            let due = |random| due_ms(schedule.plan(tried(attempts, random), &verdict(after(0), None)));
            assert_eq!(due(0), Some(seconds * 1000));
            assert_eq!(due(u32::MAX), Some(seconds * 1200));
        }
        let failed = Step::Failed { counts_as_error: true, is_gone: false };
        assert_eq!(schedule.plan(tried(10, 0), &verdict(after(0), None)).step, failed);
        assert_eq!(Schedule::new(Vec::new()).plan(tried(1, 0), &verdict(after(0), None)).step, failed);
    }

    #[test]
    fn receivers_delay_further_and_never_less() {
        let schedule = Schedule::default();
        let due =
            |attempts, seconds| due_ms(schedule.plan(tried(attempts, 0), &verdict(after(seconds), None)));
        assert_eq!(due(1, 3), Some(5_000));
        assert_eq!(due(1, 7), Some(7_000));
        assert_eq!(due(9, 7), Some(36_000_000));
        // A receiver that asks for time gets no attempt more.
        assert_eq!(due(10, 7), None);
    }

    #[test]
    fn other_steps() {
        let schedule = Schedule::default();
        let step = |next| schedule.plan(tried(1, 0), &verdict(next, None)).step;
        assert_eq!(step(Next::Done), Step::Delivered);
        assert_eq!(step(Next::End), Step::Failed { counts_as_error: true, is_gone: false });
        assert_eq!(step(Next::EndAndDisable), Step::Failed { counts_as_error: true, is_gone: true });
        let wait = Next::Wait { after: Duration::from_mins(10) };
        let due_ms = BEGUN_AT_MS + 600_000;
        assert_eq!(step(wait), Step::Retry { due_ms, uses_attempt: false });
        // Also after the last attempt.
        let late = schedule.plan(tried(99, 0), &verdict(wait, None)).step;
        assert_eq!(late, Step::Retry { due_ms, uses_attempt: false });
    }

    #[test]
    fn holds() {
        let schedule = Schedule::default();
        let held = |attempts, hold| held_ms(schedule.plan(tried(attempts, 0), &verdict(after(0), hold)));
        assert_eq!(held(2, None), None);
        assert_eq!(held(2, Some(Some(3))), Some(3_000));
        assert_eq!(held(2, Some(None)), Some(30_000));
        assert_eq!(held(10, Some(None)), Some(5_000));
        // A success may hold as well.
        assert_eq!(held_ms(schedule.plan(tried(1, 0), &verdict(Next::Done, Some(Some(2))))), Some(2_000));
    }

    #[test]
    fn three_days() {
        let age = |ms| is_too_old(BEGUN_AT_MS, BEGUN_AT_MS + ms);
        assert!(!age(72 * HOUR_MS - 1) && age(72 * HOUR_MS));
        let schedule = Schedule::default();
        // Nine hours and fifty-nine minutes before the end.
        let now_ms = BEGUN_AT_MS + 62 * HOUR_MS + 60_000;
        let step = |attempts, next, counts_as_error| {
            let tried = Tried { attempts, begun_at_ms: BEGUN_AT_MS, now_ms, random: 0 };
            schedule.plan(tried, &Verdict { next, counts_as_error, hold: None }).step
        };
        assert!(matches!(step(7, after(0), true), Step::Retry { .. }));
        assert_eq!(step(8, after(0), true), Step::Failed { counts_as_error: true, is_gone: false });
        assert_eq!(step(1, after(86_400), true), Step::Failed { counts_as_error: true, is_gone: false });
        let wait = Next::Wait { after: Duration::from_hours(10) };
        assert_eq!(step(1, wait, false), Step::Failed { counts_as_error: false, is_gone: false });
    }

    proptest! {
        #[test]
        fn a_retry_is_never_early_and_at_most_a_fifth_late(
            attempts in 0_u32..12, random: u32, asked_ms in 0_u64..100_000_000, nanos in 0_u64..1_000_000,
        ) {
            let schedule = Schedule::default();
            let asked = Duration::from_millis(asked_ms) + Duration::from_nanos(nanos);
            let plan = schedule.plan(tried(attempts, random), &verdict(Next::Retry { after: asked }, None));
            let step = attempts.checked_sub(1).and_then(|index| DEFAULT_STEPS.get(usize::try_from(index).unwrap()));
            prop_assert_eq!(due_ms(plan).is_some(), step.is_some());
            if let (Some(due_ms), Some(step)) = (due_ms(plan), step) {
                let waited = Duration::from_millis(u64::try_from(due_ms).unwrap());
                prop_assert!(waited >= *step && waited >= asked, "{waited:?}");
                let most = step.mul_f64(1.2).max(asked) + Duration::from_millis(1);
                prop_assert!(waited <= most, "{waited:?} > {most:?}");
            }
        }

        #[test]
        fn no_attempt_is_due_at_three_days(
            attempts in 1_u32..10, random: u32, age_ms in 0..80 * HOUR_MS, asked_s in 0_u64..90_000,
        ) {
            let now_ms = BEGUN_AT_MS + age_ms;
            let tried = Tried { attempts, begun_at_ms: BEGUN_AT_MS, now_ms, random };
            let plan = Schedule::default().plan(tried, &verdict(after(asked_s), None));
            if let Some(due_ms) = due_ms(plan) {
                prop_assert!(due_ms > age_ms && due_ms < 72 * HOUR_MS, "{due_ms}");
            }
        }

        #[test]
        fn any_numbers_give_a_plan(
            steps in proptest::collection::vec(any::<Duration>(), 0..3), attempts: u32, begun_at_ms: i64,
            now_ms: i64, random: u32, asked: Duration,
        ) {
            let tried = Tried { attempts, begun_at_ms, now_ms, random };
            let hold = Some(Hold { scope: HoldScope::Discord, time: None });
            let verdict = Verdict { next: Next::Retry { after: asked }, counts_as_error: true, hold };
            let plan = Schedule::new(steps).plan(tried, &verdict);
            prop_assert!(plan.held.is_some_and(|held| held.until_ms >= now_ms));
        }
    }
}
