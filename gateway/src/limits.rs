//! The rate limit: how many calls one DID may make, as a token bucket, and the headers that tell of it.
//!
//! The limit holds for each process; nothing is shared between gateways.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};
use http::{HeaderMap, HeaderName, HeaderValue};
use process::clock::Clock;

/// The window that `--rate-limit` counts in.
const WINDOW: Duration = Duration::from_secs(300);
/// The bucket holds this part of the window's calls: the most that can come at once.
const BURST_DIVISOR: u32 = 5;
/// Full buckets are forgotten after each so many calls. A bucket is full a fifth of the window after its last
/// call, and a DID must show a valid token to have one, so their number is bounded by the look-up limits.
const FORGET_EVERY: u64 = 4096;

/// The names of the headers set here, which CORS exposes.
pub(crate) const HEADERS: [HeaderName; 4] = [
    HeaderName::from_static("ratelimit-limit"),
    HeaderName::from_static("ratelimit-remaining"),
    HeaderName::from_static("ratelimit-reset"),
    HeaderName::from_static("ratelimit-policy"),
];

type Buckets = RateLimiter<String, DefaultKeyedStateStore<String>, DefaultClock, StateInformationMiddleware>;

/// One bucket for each DID.
pub(crate) struct RateLimit {
    buckets: Option<(NonZeroU32, Buckets)>,
    calls: AtomicU64,
    clock: Clock,
}

/// What the bucket says of one call.
pub(crate) struct Verdict {
    /// `None`: go on. Otherwise how long until the next call is let through.
    pub(crate) wait: Option<Duration>,
    limit: u32,
    remaining: u32,
    reset_unix_seconds: i64,
}

impl RateLimit {
    /// `calls` in [`WINDOW`] for each DID; 0: no limit.
    pub(crate) fn new(calls: u32, clock: Clock) -> Self {
        let buckets = NonZeroU32::new(calls).and_then(|limit| {
            let burst = NonZeroU32::new(calls / BURST_DIVISOR).unwrap_or(NonZeroU32::MIN);
            let quota = Quota::with_period(WINDOW / calls)?.allow_burst(burst);
            Some((limit, RateLimiter::keyed(quota).with_middleware()))
        });
        Self { buckets, calls: AtomicU64::new(0), clock }
    }

    /// Takes one call from the bucket of `did`. `None`: there is no limit.
    pub(crate) fn take(&self, did: &str) -> Option<Verdict> {
        let (limit, buckets) = self.buckets.as_ref()?;
        if self.calls.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == FORGET_EVERY - 1 {
            buckets.retain_recent();
            buckets.shrink_to_fit();
        }
        let period = WINDOW / limit.get();
        let burst = (limit.get() / BURST_DIVISOR).max(1);
        let (wait, remaining) = match buckets.check_key(&did.to_owned()) {
            Ok(state) => (None, state.remaining_burst_capacity()),
            Err(refused) => (Some(refused.wait_time_from(DefaultClock::default().now())), 0),
        };
        let full_again = period * (burst - remaining.min(burst));
        let full_again = i64::try_from(full_again.as_secs()).unwrap_or(i64::MAX);
        Some(Verdict {
            wait,
            limit: limit.get(),
            remaining,
            reset_unix_seconds: self.clock.unix_seconds().saturating_add(full_again),
        })
    }
}

impl Verdict {
    /// Sets RateLimit-Limit (calls in the window), -Remaining (calls that would be let through now), -Reset (Unix
    /// seconds when the bucket is full again, as atproto's clients read it) and -Policy.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        let Self { wait: _, limit, remaining, reset_unix_seconds } = self;
        let [limit_name, remaining_name, reset_name, policy_name] = HEADERS;
        headers.insert(limit_name, HeaderValue::from(*limit));
        headers.insert(remaining_name, HeaderValue::from(*remaining));
        headers.insert(reset_name, HeaderValue::from(*reset_unix_seconds));
        if let Ok(policy) = HeaderValue::try_from(format!("{limit};w={}", WINDOW.as_secs())) {
            headers.insert(policy_name, policy);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_a_fifth_and_each_did_has_its_own() {
        let limit = RateLimit::new(50, Clock::manual(1_000_000));
        for left in (0..10).rev() {
            let verdict = limit.take("did:plc:a").unwrap();
            assert_eq!((verdict.wait, verdict.remaining), (None, left));
        }
        let refused = limit.take("did:plc:a").unwrap();
        let wait = refused.wait.unwrap();
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(6), "{wait:?}");
        assert_eq!(limit.take("did:plc:b").unwrap().wait, None);
        let mut headers = HeaderMap::new();
        refused.write(&mut headers);
        assert_eq!(headers["ratelimit-limit"], "50");
        assert_eq!(headers["ratelimit-remaining"], "0");
        assert_eq!(headers["ratelimit-reset"], "1060");
        assert_eq!(headers["ratelimit-policy"], "50;w=300");
    }

    #[test]
    fn a_limit_below_five_lets_one_through() {
        let limit = RateLimit::new(1, Clock::system());
        assert_eq!(limit.take("did:plc:a").unwrap().wait, None);
        assert!(limit.take("did:plc:a").unwrap().wait.is_some());
    }

    #[test]
    fn zero_is_no_limit() {
        assert!(RateLimit::new(0, Clock::system()).take("did:plc:a").is_none());
    }
}
