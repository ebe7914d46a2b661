//! Metrics of authentication: signatures, keys and look-ups. No label has a DID or a host.

use std::time::Duration;

use process::metrics::{counters, counters_by, labels, seconds_by, series};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::did::{Did, Method};
use super::identity::fetch::LookupError;
use super::key::SigningKey;

/// The metrics of an authenticator.
pub(crate) struct AuthMetrics {
    pub(super) signatures: Signatures,
    pub(super) keys: Keys,
    plc: Lookups,
    web: Lookups,
}

/// Signatures by result.
pub(crate) struct Signatures {
    /// Good, from the cache.
    pub(super) remembered: Counter,
    /// Good, just verified.
    pub(super) verified: Counter,
    pub(super) bad: Counter,
}

/// Requested keys by source.
pub(crate) struct Keys {
    pub(super) folder: Counter,
    pub(super) fresh: Counter,
    /// Cached, but no longer fresh.
    pub(super) stale: Counter,
    /// The refusal is cached.
    pub(super) refused: Counter,
    /// Not cached.
    pub(super) missed: Counter,
}

/// Look-ups of one DID method.
struct Lookups {
    seconds: Histogram,
    found: Counter,
    none: Counter,
    unavailable: Counter,
    limited: Counter,
}

impl AuthMetrics {
    /// Registers the metrics.
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let [remembered, verified, bad] = counters(
            registry,
            "signatures",
            "Signatures of tokens: remembered as good, verified just now, or bad",
            "verdict",
            ["remembered", "verified", "bad"],
        );
        let [folder, fresh, stale, refused, missed] = counters(
            registry,
            "keys",
            "Signing keys by where they were found: a folder, the cache (fresh, stale, refused), or nowhere (missed)",
            "source",
            ["folder", "fresh", "stale", "refused", "missed"],
        );
        let count = counters_by(
            registry,
            "lookups",
            "Look-ups of DIDs: found; none, a definite answer; unavailable, no answer; limited, not begun",
        );
        let seconds = seconds_by(registry, "lookup", "From the beginning of a look-up of a DID to its end");
        let lookups = |kind| {
            let outcomes = ["found", "none", "unavailable", "limited"];
            let [found, none, unavailable, limited] = series(&count, &[("kind", kind)], "outcome", outcomes);
            let seconds = seconds.get_or_create_owned(&labels(&[("kind", kind)]));
            Lookups { seconds, found, none, unavailable, limited }
        };
        Self {
            signatures: Signatures { remembered, verified, bad },
            keys: Keys { folder, fresh, stale, refused, missed },
            plc: lookups("plc"),
            web: lookups("web"),
        }
    }

    /// Counts a look-up of `did` that took this long.
    pub(super) fn looked_up(&self, did: &Did, found: &Result<SigningKey, LookupError>, took: Duration) {
        let Lookups { seconds, found: with_key, none, unavailable, limited } = self.lookups(did);
        seconds.observe(took.as_secs_f64());
        let count = match found {
            Ok(_) => with_key,
            Err(LookupError::Refused(_)) => none,
            Err(LookupError::HostUnavailable(_) | LookupError::DirectoryUnavailable(_)) => unavailable,
            Err(LookupError::Busy) => limited,
        };
        count.inc();
    }

    /// Counts a look-up of `did` that the limits refused.
    pub(super) fn limited(&self, did: &Did) {
        self.lookups(did).limited.inc();
    }

    fn lookups(&self, did: &Did) -> &Lookups {
        match did.method() {
            Method::Plc => &self.plc,
            Method::Web { .. } => &self.web,
        }
    }
}
