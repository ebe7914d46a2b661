//! The limit of log lines for requests without an authenticated caller: a small request of a stranger would
//! otherwise become a line ten times as long.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use process::metrics::counter;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

/// Lines in each [`INTERVAL`] for requests without an authenticated caller.
const MAX_ANONYMOUS_LINES: u64 = 100;
const INTERVAL: Duration = Duration::from_secs(1);

/// Counts the lines of the current interval.
pub(crate) struct AnonymousLines {
    state: Mutex<State>,
    not_logged: Counter,
}

struct State {
    begun: Instant,
    lines: u64,
    not_logged: u64,
}

impl AnonymousLines {
    /// Registers the metric.
    pub(crate) fn new(registry: &mut Registry) -> Self {
        Self {
            state: Mutex::new(State { begun: Instant::now(), lines: 0, not_logged: 0 }),
            not_logged: counter(
                registry,
                "requests_not_logged",
                "Requests without an authenticated caller that have no log line, since there were too many",
            ),
        }
    }

    /// Whether another line may be written now. Says once in an interval how many were not.
    pub(super) fn pass(&self) -> bool {
        let now = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(state.begun) >= INTERVAL {
            let not_logged = state.not_logged;
            *state = State { begun: now, lines: 0, not_logged: 0 };
            if not_logged > 0 {
                tracing::warn!(not_logged, "requests without a caller came too fast to log each of them");
            }
        }
        let passes = state.lines < MAX_ANONYMOUS_LINES;
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
    async fn a_hundred_lines_in_each_second() {
        let lines = AnonymousLines::new(&mut Registry::default());
        for round in 1..=2 {
            let passed = (0..1000).filter(|_| lines.pass()).count();
            assert_eq!(passed, 100);
            assert_eq!(lines.not_logged.get(), round * 900);
            tokio::time::advance(INTERVAL).await;
        }
    }
}
