//! What the intake counts. What a label says comes from fixed lists.

use std::sync::atomic::AtomicU64;

use process::metrics::{Labels, counter, counters_by, labels};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::batch::Stored;
use super::derive::Refusal;

/// Kinds of what the stream sends.
const KINDS: [&str; 5] = ["commit", "identity", "account", "sync", "unreadable"];
/// Types of the events that are made of it.
pub(crate) const TYPES: [&str; 8] =
    ["chat", "livestream", "follow", "mention", "stream.received", "create", "update", "delete"];
/// Reasons beside those of [`Refusal`].
const OTHER_REASONS: [&str; 6] = ["nobody", "inactive", "payload_large", "resync", "unreadable", "poison"];

/// The counters and gauges of the intake.
#[derive(Debug)]
pub(crate) struct IntakeMetrics {
    events: Family<Labels, Counter>,
    matched: Family<Labels, Counter>,
    skipped: Family<Labels, Counter>,
    /// Connections that ended or could not be opened.
    pub(crate) disconnects: Counter,
    pub(crate) gaps: Counter,
    /// Listings at a PDS or a relay that failed.
    pub(crate) listings_failed: Counter,
    /// Batches that were not written at the first try.
    pub(crate) writes_failed: Counter,
    /// 1 in a process that may read: `--intake` is not off.
    pub(crate) on: Gauge,
    /// 1 in the process that reads.
    pub(crate) holder: Gauge,
    /// How far the last event that was stored is behind the clock.
    pub(crate) lag: Gauge<f64, AtomicU64>,
    /// When the last event came, in Unix seconds.
    pub(crate) last_event: Gauge<f64, AtomicU64>,
    /// Owners and streamers whose records are still to be listed.
    pub(crate) to_list: Gauge,
}

impl IntakeMetrics {
    /// Registers the metrics.
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let events = counters_by(registry, "intake_events", "Events of the network's stream by kind");
        for kind in KINDS {
            events.get_or_create_owned(&labels(&[("kind", kind)]));
        }
        let matched =
            counters_by(registry, "intake_matched", "Events that were stored with a delivery, by type");
        for event_type in TYPES {
            matched.get_or_create_owned(&labels(&[("type", event_type)]));
        }
        let skipped = counters_by(
            registry,
            "intake_skipped",
            "Events that somebody wanted and that got no delivery, by reason",
        );
        for reason in Refusal::ALL.map(Refusal::as_str).into_iter().chain(OTHER_REASONS) {
            skipped.get_or_create_owned(&labels(&[("reason", reason)]));
        }
        let seconds = |registry: &mut Registry, name: &str, help: &str| {
            let gauge = Gauge::default();
            registry.register_with_unit(name, help, Unit::Seconds, gauge.clone());
            gauge
        };
        let gauge = |registry: &mut Registry, name: &str, help: &str| {
            let gauge: Gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        Self {
            events,
            matched,
            skipped,
            disconnects: counter(
                registry,
                "intake_disconnects",
                "Connections to a Jetstream that ended or could not be opened",
            ),
            gaps: counter(registry, "intake_gaps", "Parts of the stream that could not be read any more"),
            listings_failed: counter(
                registry,
                "intake_listings_failed",
                "Listings of records at a PDS, or of repositories at a relay, that failed",
            ),
            writes_failed: counter(
                registry,
                "intake_writes_failed",
                "Batches of the stream that were not written at the first try",
            ),
            on: gauge(registry, "intake_on", "Whether this process may read the stream: 1, else 0"),
            holder: gauge(registry, "intake_holder", "Whether this process reads the stream: 1, else 0"),
            lag: seconds(
                registry,
                "intake_lag",
                "How far the last event that is stored is behind the clock; 0 in a process that does not read",
            ),
            last_event: seconds(
                registry,
                "intake_last_event_timestamp",
                "When this process last read an event, in seconds since 1970",
            ),
            to_list: gauge(
                registry,
                "intake_to_list",
                "Owners and streamers whose records are still to be listed at their PDSes",
            ),
        }
    }

    /// Counts something that the stream sent.
    pub(crate) fn event(&self, kind: &'static str) {
        self.events.get_or_create_owned(&labels(&[("kind", kind)])).inc();
    }

    /// Counts an event without a delivery.
    pub(crate) fn skip(&self, reason: &'static str) {
        self.skipped.get_or_create_owned(&labels(&[("reason", reason)])).inc();
    }

    /// Counts what was stored.
    pub(crate) fn stored(&self, stored: &Stored) {
        for event_type in &stored.events {
            self.matched.get_or_create_owned(&labels(&[("type", event_type)])).inc();
        }
        for reason in &stored.skipped {
            self.skip(reason);
        }
    }
}
