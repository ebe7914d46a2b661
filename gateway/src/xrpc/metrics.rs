//! Metrics of calls that a limit refused before the core-service was called.

use process::metrics::counter;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

/// Calls that a limit refused.
pub(crate) struct CallMetrics {
    /// By the limit of calls at once.
    pub(super) shed: Counter,
    /// By the rate limit of a DID.
    pub(super) rate_limited: Counter,
}

impl CallMetrics {
    /// Registers the metrics.
    pub(crate) fn new(registry: &mut Registry) -> Self {
        Self {
            shed: counter(registry, "calls_shed", "Calls refused because too many were in progress"),
            rate_limited: counter(registry, "calls_rate_limited", "Calls refused by the rate limit of a DID"),
        }
    }
}
