//! The rate limit: a token bucket of calls for each DID, and the `RateLimit-*` headers.
//!
//! The limit holds for each process: gateways share nothing.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};
use http::{HeaderMap, HeaderName, HeaderValue};
use process::clock::Clock;

/// The window of `--rate-limit`.
const WINDOW: Duration = Duration::from_secs(300);
/// The burst is this fraction of the window's calls.
const BURST_DIVISOR: u32 = 5;
/// Full buckets are removed once in this many calls. A bucket is full again at most a fifth of the window
/// after its last call, and only a DID with a valid token has one, so the limits on DID look-ups bound their
/// number.
const CLEAN_UP_EVERY: u64 = 4096;

/// The headers that are set here; CORS exposes them.
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

/// The state of a bucket after one call.
pub(crate) struct RateLimitState {
    /// If the call is over the limit, the time until the next one is allowed.
    pub(crate) wait: Option<Duration>,
    limit: u32,
    remaining: u32,
    reset_unix_seconds: i64,
}

impl RateLimit {
    /// Allows `calls` in [`WINDOW`] for each DID; 0 means no limit.
    pub(crate) fn new(calls: u32, clock: Clock) -> Self {
        let buckets = NonZeroU32::new(calls).and_then(|limit| {
            let burst = NonZeroU32::new(calls / BURST_DIVISOR).unwrap_or(NonZeroU32::MIN);
            let quota = Quota::with_period(WINDOW / calls)?.allow_burst(burst);
            Some((limit, RateLimiter::keyed(quota).with_middleware()))
        });
        Self { buckets, calls: AtomicU64::new(0), clock }
    }

    /// Takes one call from the bucket of `did`. Returns `None` if there is no limit.
    pub(crate) fn take(&self, did: &str) -> Option<RateLimitState> {
        let (limit, buckets) = self.buckets.as_ref()?;
        if self.calls.fetch_add(1, Ordering::Relaxed) % CLEAN_UP_EVERY == CLEAN_UP_EVERY - 1 {
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
        Some(RateLimitState {
            wait,
            limit: limit.get(),
            remaining,
            reset_unix_seconds: self.clock.unix_seconds().saturating_add(full_again),
        })
    }
}

impl RateLimitState {
    /// Sets `RateLimit-Limit` (calls in the window), `-Remaining` (calls allowed now), `-Reset` (Unix seconds
    /// when the bucket is full again, as atproto clients read it) and `-Policy`.
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
            let state = limit.take("did:plc:a").unwrap();
            assert_eq!((state.wait, state.remaining), (None, left));
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
