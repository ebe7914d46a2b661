//! What is counted of authentication: signatures, keys and look-ups. No DID and no host is a label.

use std::time::Duration;

use process::metrics::{counters, counters_by, labels, seconds_by, series};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::did::{Did, Method};
use super::identity::fetch::Miss;
use super::key::SigningKey;

/// The work of an authenticator.
pub(crate) struct AuthMetrics {
    pub(super) signatures: Signatures,
    pub(super) keys: Keys,
    plc: LookUps,
    web: LookUps,
}

/// Signatures, by what was found out about them.
pub(crate) struct Signatures {
    /// Good, and known to be.
    pub(super) remembered: Counter,
    /// Good, after a verification.
    pub(super) verified: Counter,
    pub(super) bad: Counter,
}

/// Keys that were asked for, by where they were.
pub(crate) struct Keys {
    pub(super) folder: Counter,
    pub(super) fresh: Counter,
    /// Remembered for longer than it is fresh.
    pub(super) stale: Counter,
    /// It is remembered that there is none.
    pub(super) refused: Counter,
    /// Nothing was remembered.
    pub(super) missed: Counter,
}

/// Look-ups of one kind of DID.
struct LookUps {
    seconds: Histogram,
    found: Counter,
    none: Counter,
    unavailable: Counter,
    limited: Counter,
}

impl AuthMetrics {
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
        let look_ups = |kind| {
            let outcomes = ["found", "none", "unavailable", "limited"];
            let [found, none, unavailable, limited] = series(&count, &[("kind", kind)], "outcome", outcomes);
            let seconds = seconds.get_or_create_owned(&labels(&[("kind", kind)]));
            LookUps { seconds, found, none, unavailable, limited }
        };
        Self {
            signatures: Signatures { remembered, verified, bad },
            keys: Keys { folder, fresh, stale, refused, missed },
            plc: look_ups("plc"),
            web: look_ups("web"),
        }
    }

    /// A look-up of `did` has ended after `took`.
    pub(super) fn looked_up(&self, did: &Did, found: &Result<SigningKey, Miss>, took: Duration) {
        let LookUps { seconds, found: with_key, none, unavailable, limited: _ } = self.look_ups(did);
        seconds.observe(took.as_secs_f64());
        let count = match found {
            Ok(_) => with_key,
            Err(Miss::Definite(_)) => none,
            Err(Miss::HostDown(_) | Miss::DirectoryDown(_)) => unavailable,
        };
        count.inc();
    }

    /// The limits on look-ups forbade one of `did`.
    pub(super) fn limited(&self, did: &Did) {
        self.look_ups(did).limited.inc();
    }

    fn look_ups(&self, did: &Did) -> &LookUps {
        match did.method() {
            Method::Plc => &self.plc,
            Method::Web { .. } => &self.web,
        }
    }
}
