//! Metrics of what clients make a server hold.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

use crate::metrics::counters;

/// The metrics of one [`Ledger`](super::Ledger).
#[derive(Debug, Clone)]
pub struct HeldMetrics {
    /// Connections whose clients took nothing of their answers.
    pub(super) stalled: Counter,
    /// Connections that were closed since all together held too much.
    pub(super) over_limit: Counter,
}

impl HeldMetrics {
    /// Registers the metrics.
    pub fn new(registry: &mut Registry) -> Self {
        let [stalled, over_limit] = counters(
            registry,
            "connections_closed_for_memory",
            "Connections that were closed because their clients did not take their answers (stalled), or because \
             all together held too much (over_limit)",
            "reason",
            ["stalled", "over_limit"],
        );
        Self { stalled, over_limit }
    }
}
