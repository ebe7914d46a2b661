//! Metrics of connections from clients.

use process::held::metrics::HeldMetrics;
use process::metrics::{counter, gauge};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The connection metrics of a gateway.
pub(crate) struct ConnectionMetrics {
    pub(super) open: Gauge,
    pub(super) limit: Gauge,
    pub(super) accepted: Counter,
    /// How often the limit was reached.
    pub(super) full: Counter,
    /// Connections of an address that had as many as it may.
    pub(super) refused: Counter,
    pub(super) held: HeldMetrics,
    /// Failed accepts.
    pub(super) failures: Counter,
}

impl ConnectionMetrics {
    /// Registers the metrics.
    pub(crate) fn new(registry: &mut Registry) -> Self {
        Self {
            open: gauge(registry, "connections", "Connections that are open"),
            limit: gauge(registry, "connections_limit", "Connections that may be open at once"),
            accepted: counter(registry, "connections_accepted", "Connections that were accepted"),
            full: counter(
                registry,
                "connections_full",
                "How often the last free place was taken, so that the next connection had to wait",
            ),
            refused: counter(
                registry,
                "connections_refused",
                "Connections that were closed because their address had as many as it may",
            ),
            held: HeldMetrics::new(registry),
            failures: counter(
                registry,
                "connections_failed",
                "Connections that the operating system would not hand over",
            ),
        }
    }
}
