//! The limits of log lines for requests without an authenticated caller, and for failed requests of such
//! callers: a small request of a stranger, who may have as many DIDs as they like, would otherwise become a
//! line ten times as long.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use process::metrics::counter;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

/// Lines in each [`INTERVAL`] for requests without an authenticated caller, and as many for failed requests
/// of authenticated callers.
const MAX_LINES: u64 = 100;
const INTERVAL: Duration = Duration::from_secs(1);

/// The limits of lines of both kinds.
pub(crate) struct LineLimits {
    /// Of requests without an authenticated caller.
    pub(super) anonymous: LineLimit,
    /// Of failed requests of authenticated callers. What succeeds has the rate limit.
    pub(super) failed: LineLimit,
}

/// Counts the lines of the current interval.
pub(super) struct LineLimit {
    state: Mutex<State>,
    not_logged: Counter,
}

struct State {
    begun: Instant,
    lines: u64,
    not_logged: u64,
}

impl LineLimits {
    /// Registers the metric.
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let not_logged = counter(
            registry,
            "requests_not_logged",
            "Requests without an authenticated caller, and failed ones of such callers, that have no log line, since \
             there were too many",
        );
        let limit = || LineLimit {
            state: Mutex::new(State { begun: Instant::now(), lines: 0, not_logged: 0 }),
            not_logged: not_logged.clone(),
        };
        Self { anonymous: limit(), failed: limit() }
    }
}

impl LineLimit {
    /// Whether another line may be written now. Says once in an interval how many were not.
    pub(super) fn pass(&self) -> bool {
        let now = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(state.begun) >= INTERVAL {
            let not_logged = state.not_logged;
            *state = State { begun: now, lines: 0, not_logged: 0 };
            if not_logged > 0 {
                tracing::warn!(not_logged, "requests came too fast to log each of them");
            }
        }
        let passes = state.lines < MAX_LINES;
        if passes {
            state.lines += 1;
        } else {
            state.not_logged += 1;
            self.not_logged.inc();
        }
        passes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_hundred_lines_of_each_kind_in_each_second() {
        let lines = LineLimits::new(&mut Registry::default());
        for round in 1..=2 {
            for limit in [&lines.anonymous, &lines.failed] {
                let passed = (0..1000).filter(|_| limit.pass()).count();
                assert_eq!(passed, 100);
            }
            assert_eq!(lines.failed.not_logged.get(), round * 2 * 900);
            tokio::time::advance(INTERVAL).await;
        }
    }
}
