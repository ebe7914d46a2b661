//! What is counted of calls that end before the core-service is asked.

use process::metrics::counter;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

/// Calls that a limit has ended.
pub(crate) struct CallMetrics {
    /// For want of a place.
    pub(super) shed: Counter,
    /// By the rate limit of a DID.
    pub(super) rate_limited: Counter,
}

impl CallMetrics {
    pub(crate) fn new(registry: &mut Registry) -> Self {
        Self {
            shed: counter(registry, "calls_shed", "Calls refused because too many were in progress"),
            rate_limited: counter(registry, "calls_rate_limited", "Calls refused by the rate limit of a DID"),
        }
    }
}
