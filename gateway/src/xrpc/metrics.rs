//! Metrics of calls that a limit refused before the core-service was called.

use process::metrics::{counter, counters};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

/// Calls that a limit refused.
pub(crate) struct CallMetrics {
    /// By the limit of calls at the core-service.
    pub(super) shed_calls: Counter,
    /// By a limit on look-ups.
    pub(super) shed_lookups: Counter,
    /// By the limit of bodies that are arriving.
    pub(super) shed_bodies: Counter,
    /// By the rate limit of a DID.
    pub(super) rate_limited: Counter,
}

impl CallMetrics {
    /// Registers the metrics.
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let [shed_calls, shed_lookups, shed_bodies] = counters(
            registry,
            "calls_shed",
            "Calls refused because too many were at the core-service, waited for a look-up or waited for their body",
            "place",
            ["call", "lookup", "body"],
        );
        Self {
            shed_calls,
            shed_lookups,
            shed_bodies,
            rate_limited: counter(registry, "calls_rate_limited", "Calls refused by the rate limit of a DID"),
        }
    }
}
