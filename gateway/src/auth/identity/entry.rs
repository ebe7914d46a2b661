//! What the cache has of a DID, and what that means some time later. Times are milliseconds since 1970.

use crate::auth::key::SigningKey;
use crate::auth::refusal::Refusal;

pub(super) const SECOND_MS: i64 = 1_000;
pub(super) const MINUTE_MS: i64 = 60_000;
pub(super) const HOUR_MS: i64 = 60 * MINUTE_MS;

/// How long a key is fresh.
const FRESH_MS: i64 = HOUR_MS;

/// How long a key is used while nobody answers.
const STALE_MS: i64 = 24 * HOUR_MS;

/// How long a refusal is cached that was asked for again.
const REFUSED_MS: i64 = 5 * SECOND_MS;

/// The pause between a failed refresh and the next one, for each DID.
const RETRY_MS: i64 = MINUTE_MS;

/// The result of the last look-up of a DID. Times are milliseconds since 1970.
#[derive(Debug, Clone)]
pub(super) enum CacheEntry {
    Key {
        key: SigningKey,
        fetched_ms: i64,
        /// When the last refresh failed because nobody answered.
        failed_ms: Option<i64>,
    },
    Refused {
        refusal: Refusal,
        at_ms: i64,
        /// The look-up before had no key either.
        again: bool,
    },
}

/// What a cache entry means now.
pub(super) enum KeyState {
    Fresh(SigningKey),
    /// Usable, but must be refreshed.
    Due(SigningKey),
    /// Usable; a refresh failed less than [`RETRY_MS`] ago.
    Stale(SigningKey),
    Refused(Refusal),
    Unknown,
}

impl CacheEntry {
    /// What the entry means at this time.
    pub(super) fn state(self, now_ms: i64) -> KeyState {
        match self {
            Self::Key { key, fetched_ms, failed_ms } => {
                if is_within(FRESH_MS, fetched_ms, now_ms) {
                    KeyState::Fresh(key)
                } else if !is_usable(fetched_ms, now_ms) {
                    KeyState::Unknown
                } else if failed_ms.is_some_and(|at| is_within(RETRY_MS, at, now_ms)) {
                    KeyState::Stale(key)
                } else {
                    KeyState::Due(key)
                }
            }
            Self::Refused { refusal, at_ms, again } if again && is_within(REFUSED_MS, at_ms, now_ms) => {
                KeyState::Refused(refusal)
            }
            Self::Refused { .. } => KeyState::Unknown,
        }
    }
}

/// Whether a key is recent enough to be used while it is refreshed. A key from the future, after the clock
/// went backwards, is usable too.
pub(super) fn is_usable(fetched_ms: i64, now_ms: i64) -> bool {
    now_ms.abs_diff(fetched_ms) < STALE_MS.unsigned_abs()
}

/// Whether less than `span_ms` has passed. If the clock went backwards, the entry counts as expired.
pub(super) fn is_within(span_ms: i64, since_ms: i64, now_ms: i64) -> bool {
    (0..span_ms).contains(&now_ms.saturating_sub(since_ms))
}
