//! Metrics of the client for the core-service: calls, retries, connections and look-ups.

use std::collections::HashMap;

use http::uri::PathAndQuery;
use process::metrics::{counter, counters, counters_by, gauge, labels, seconds_by, series};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use proto::error::{CODES, code_index};
use tokio::time::Instant;
use tonic::Code;

/// The metrics of one [`Upstream`](super::Upstream).
pub(crate) struct UpstreamMetrics {
    rpcs: HashMap<PathAndQuery, Rpc>,
    pub(super) resent: Resent,
    pub(super) connections: Gauge,
    pub(super) ejected: Ejected,
    pub(super) dials_failed: Counter,
    pub(super) lookups_failed: Counter,
}

struct Rpc {
    seconds: Histogram,
    codes: [Counter; CODES.len()],
}

/// Calls that were sent again, by reason.
pub(crate) struct Resent {
    /// The call was provably not processed.
    pub(super) not_processed: Counter,
    /// The response to a query broke off.
    pub(super) broken: Counter,
    /// The response to a query was UNAVAILABLE.
    pub(super) unavailable: Counter,
}

/// Connections that left the rotation, by reason.
pub(crate) struct Ejected {
    pub(super) ended: Counter,
    pub(super) silent: Counter,
}

impl UpstreamMetrics {
    /// Registers the metrics, with a series for each of the rpcs at `paths` (`/package.Service/Method`).
    pub(crate) fn new<'a>(registry: &mut Registry, paths: impl Iterator<Item = &'a PathAndQuery>) -> Self {
        let count = counters_by(
            registry,
            "upstream_calls",
            "Calls of the core-service by rpc and gRPC code; a call that was retried counts once",
        );
        let seconds = seconds_by(
            registry,
            "upstream_call",
            "Calls of the core-service, from the first try to the last answer",
        );
        let rpcs = paths.map(|path| {
            let rpc = path.as_str().trim_start_matches('/');
            let codes = series(&count, &[("rpc", rpc)], "code", CODES);
            let seconds = seconds.get_or_create_owned(&labels(&[("rpc", rpc)]));
            (path.clone(), Rpc { seconds, codes })
        });
        let rpcs = rpcs.collect();
        let [not_processed, broken, unavailable] = counters(
            registry,
            "upstream_resends",
            "Calls that were sent again: not processed by the core-service, or queries without an answer",
            "reason",
            ["not_processed", "broken", "unavailable"],
        );
        let [ended, silent] = counters(
            registry,
            "upstream_ejections",
            "Connections to the core-service that left the rotation: they ended, or did not answer",
            "reason",
            ["ended", "silent"],
        );
        Self {
            rpcs,
            resent: Resent { not_processed, broken, unavailable },
            connections: gauge(
                registry,
                "upstream_connections",
                "Connections to the core-service in the rotation",
            ),
            ejected: Ejected { ended, silent },
            dials_failed: counter(
                registry,
                "upstream_dials_failed",
                "Connections to the core-service that could not be made",
            ),
            lookups_failed: counter(
                registry,
                "upstream_lookups_failed",
                "Look-ups of the core-service's name that failed",
            ),
        }
    }

    /// Starts to time a call of the rpc at `path`.
    pub(super) fn start_call(&self, path: &PathAndQuery) -> CallTimer<'_> {
        CallTimer { rpc: self.rpcs.get(path), started: Instant::now(), code: Code::Cancelled }
    }
}

/// Counts and times a call when it is dropped: as CANCELLED, unless it finished before.
pub(crate) struct CallTimer<'a> {
    rpc: Option<&'a Rpc>,
    started: Instant,
    code: Code,
}

impl CallTimer<'_> {
    pub(super) fn finish(mut self, code: Code) {
        self.code = code;
    }
}

impl Drop for CallTimer<'_> {
    fn drop(&mut self) {
        if let Some(Rpc { seconds, codes }) = self.rpc {
            seconds.observe(self.started.elapsed().as_secs_f64());
            codes[code_index(self.code)].inc();
        }
    }
}
