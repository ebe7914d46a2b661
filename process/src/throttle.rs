//! Log lines that strangers can provoke: at most one a second from each place in the code.
//!
//! How often such a thing happens is what metrics are for; the log shows examples of it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The shortest time between two lines of one place.
const INTERVAL: Duration = Duration::from_secs(1);

/// Lets one line pass in each interval. [`once_a_second`](crate::once_a_second) makes one for each place that
/// uses it.
#[derive(Debug)]
pub struct Throttle(Mutex<State>);

#[derive(Debug)]
struct State {
    passed: Option<Instant>,
    left_out: u64,
}

impl Throttle {
    /// One that has let nothing pass yet.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it is for statics")]
    pub const fn new() -> Self {
        Self(Mutex::new(State { passed: None, left_out: 0 }))
    }

    /// How many lines were left out since the last one, if another may be written now.
    pub fn pass(&self) -> Option<u64> {
        let now = Instant::now();
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.passed.is_some_and(|passed| now.saturating_duration_since(passed) < INTERVAL) {
            state.left_out += 1;
            return None;
        }
        state.passed = Some(now);
        Some(std::mem::take(&mut state.left_out))
    }
}

/// Logs as `tracing`'s macro of this name does, but at most once a second from this place. The field
/// `left_out` says how many lines were not written since the last one.
///
/// ```
/// # let error = "";
/// process::once_a_second!(warn, %error, "can't accept a connection");
/// ```
#[macro_export]
macro_rules! once_a_second {
    ($level:ident, $($line:tt)+) => {{
        static THROTTLE: $crate::throttle::Throttle = $crate::throttle::Throttle::new();
        if let Some(left_out) = THROTTLE.pass() {
            tracing::$level!(left_out, $($line)+);
        }
    }};
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_line_in_each_second() {
        let throttle = Throttle::new();
        assert_eq!(throttle.pass(), Some(0));
        tokio::time::advance(INTERVAL - Duration::from_millis(1)).await;
        assert_eq!((throttle.pass(), throttle.pass()), (None, None));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!((throttle.pass(), throttle.pass()), (Some(2), None));
        tokio::time::advance(10 * INTERVAL).await;
        assert_eq!(throttle.pass(), Some(1));
    }
}
