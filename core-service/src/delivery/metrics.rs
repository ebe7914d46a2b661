//! Metrics of deliveries.
//!
//! Most count what this process does. The depth of the queue is read from the database, so every replica that
//! shares it tells the same numbers.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use process::metrics::{Labels, computed_gauge, counter, counters_by, gauge, labels};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::lanes::Lanes;
use super::outcome::Outcome;

/// Upper bounds of the buckets of the time until a first attempt, in seconds: from a free place to a receiver
/// that is held for an hour.
const WAIT_SECONDS: [f64; 16] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0];

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
    first_attempts: Histogram,
    pending: Gauge,
    oldest_due: Gauge<f64, AtomicU64>,
}

/// How much waits in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QueueDepth {
    /// Deliveries that have not ended.
    pub(crate) pending: u64,
    /// How long the delivery that is due for longest has waited for an attempt; zero if none is due.
    pub(crate) oldest_due: Duration,
}

impl DeliveryMetrics {
    /// Registers the metrics; `lanes` are the places for attempts.
    pub(crate) fn new(registry: &mut Registry, lanes: &Lanes) -> Self {
        let attempts = counters_by(registry, "delivery_attempts", "Attempts of deliveries by outcome");
        for outcome in Outcome::ALL {
            attempts.get_or_create_owned(&labels(&[("outcome", outcome.as_str())]));
        }
        let first_attempts = Histogram::new(WAIT_SECONDS);
        registry.register_with_unit(
            "delivery_first_attempt",
            "From an event's publication to the start of its first attempt at a webhook",
            Unit::Seconds,
            first_attempts.clone(),
        );
        let oldest_due = Gauge::default();
        registry.register_with_unit(
            "delivery_oldest_due",
            "How long the delivery that is due for longest has waited, in the whole database",
            Unit::Seconds,
            oldest_due.clone(),
        );
        in_flight(registry, lanes);
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
            first_attempts,
            pending: gauge(
                registry,
                "deliveries_pending",
                "Deliveries that are due, wait for another try or are attempted, in the whole database",
            ),
            oldest_due,
        }
    }

    /// Counts the end of an attempt.
    pub(crate) fn attempt(&self, outcome: Outcome) {
        self.attempts.get_or_create(&labels(&[("outcome", outcome.as_str())])).inc();
    }

    /// Counts the start of a first attempt, so long after the event was published.
    pub(crate) fn first_attempt(&self, waited: Duration) {
        self.first_attempts.observe(waited.as_secs_f64());
    }

    /// Shows how much waits now.
    pub(crate) fn show(&self, depth: QueueDepth) {
        let QueueDepth { pending, oldest_due } = depth;
        self.pending.set(i64::try_from(pending).unwrap_or(i64::MAX));
        self.oldest_due.set(oldest_due.as_secs_f64());
    }
}

fn in_flight(registry: &mut Registry, lanes: &Lanes) {
    let taken = lanes.clone();
    let help = "Attempts of this process whose outcomes are not written yet";
    computed_gauge(registry, "deliveries_in_flight", help, move || vec![(Vec::new(), taken.taken())]);
    let limit = gauge(registry, "deliveries_in_flight_limit", "Attempts that a process makes at once");
    limit.set(i64::try_from(lanes.limit()).unwrap_or(i64::MAX));
}
