//! Metrics of deliveries.

use process::metrics::{Labels, counter, counters_by, labels};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::outcome::Outcome;

/// What deliveries count.
#[derive(Debug)]
pub(crate) struct DeliveryMetrics {
    attempts: Family<Labels, Counter>,
    /// Outcomes that were not written, since their lease was lost.
    pub(crate) leases_lost: Counter,
    /// Deliveries that were not stored, since their webhook has too many.
    pub(crate) dropped: Counter,
    /// Webhooks that were turned off.
    pub(crate) disabled: Counter,
}

impl DeliveryMetrics {
    /// Registers the metrics.
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let attempts = counters_by(registry, "delivery_attempts", "Attempts of deliveries by outcome");
        for outcome in Outcome::ALL {
            attempts.get_or_create_owned(&labels(&[("outcome", outcome.as_str())]));
        }
        Self {
            attempts,
            leases_lost: counter(
                registry,
                "delivery_leases_lost",
                "Outcomes that were not written, since another process may have the delivery by now",
            ),
            dropped: counter(
                registry,
                "deliveries_dropped",
                "Deliveries that were not stored, since their webhook had --max-pending of them",
            ),
            disabled: counter(
                registry,
                "webhooks_disabled",
                "Webhooks that were turned off, since their receivers were gone or failed for too long",
            ),
        }
    }

    /// Counts the end of an attempt.
    pub(crate) fn attempt(&self, outcome: Outcome) {
        self.attempts.get_or_create(&labels(&[("outcome", outcome.as_str())])).inc();
    }
}
