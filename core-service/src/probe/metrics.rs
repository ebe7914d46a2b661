//! Metrics of probes. No host and no DID is a label.

use process::metrics::{counters, seconds};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Probes by outcome, and how long they took.
pub(crate) struct ProbeMetrics {
    /// The duration of the probes that ran: reached or unreachable.
    pub(super) seconds: Histogram,
    pub(super) reached: Counter,
    pub(super) unreachable: Counter,
    /// Refused without a probe, by the rules for URL, name, IP literal and port.
    pub(super) refused: Counter,
    /// Refused by the rate limit of a DID or of a host.
    pub(super) limited: Counter,
    /// Refused because too many probes were in flight.
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
