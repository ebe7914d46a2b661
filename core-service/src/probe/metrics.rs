//! What is counted of the trying of webhook URLs. No host and no DID is a label.

use process::metrics::{counters, seconds};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Probes, by their outcome.
pub(crate) struct ProbeMetrics {
    /// Of the probes that were begun.
    pub(super) seconds: Histogram,
    pub(super) reached: Counter,
    pub(super) unreachable: Counter,
    /// By the rules for URLs, names and addresses that need no look-up.
    pub(super) refused: Counter,
    /// By the limits for a DID and for a host.
    pub(super) limited: Counter,
    /// For want of a place.
    pub(super) overloaded: Counter,
}

impl ProbeMetrics {
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let [reached, unreachable, refused, limited, overloaded] = counters(
            registry,
            "probes",
            "Webhook URLs that were tried: reached, unreachable; or not: refused by a rule, limited, overloaded",
            "outcome",
            ["reached", "unreachable", "refused", "limited", "overloaded"],
        );
        let seconds = seconds(registry, "probe", "From the beginning of a probe to its end");
        Self { seconds, reached, unreachable, refused, limited, overloaded }
    }
}
