//! Metrics: the registry of the process, and the endpoint from which Prometheus reads it ([`endpoint`]).
//!
//! Owns the metrics that every process has, and helpers that register the others. Each service owns its own
//! metrics. There is one registry in a process; it is passed in and never global. Code gets its counters
//! once, at start, and keeps them, so that counting is one atomic addition.
//!
//! Label values are known at start. None comes from a user, so the number of series is bounded.

pub mod endpoint;
mod plain;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::clock::Clock;
use crate::logs::lost_lines;

/// Upper bounds of the buckets of every duration histogram, in seconds: from a cache hit to an expired
/// deadline.
const SECONDS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The labels of one series: names and values.
pub type Labels = Vec<(&'static str, String)>;

/// The metrics of a process. Clones share the registry.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Mutex<Registry>>);

impl Metrics {
    /// The metrics that every process has: its version and its start time, which is now.
    #[must_use]
    pub fn new(clock: &Clock) -> Self {
        let mut registry = Registry::default();
        let version = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("athook_build", "The release that runs", version);
        let started = Gauge::<i64>::default();
        started.set(clock.unix_seconds());
        let help = "When the process started, in seconds since 1970";
        registry.register_with_unit("process_start_time", help, Unit::Seconds, started);
        registry.register("athook_log_lines_lost", "Log lines that could not be written", lost_lines());
        Self(Arc::new(Mutex::new(registry)))
    }

    /// Calls `register` with a registry that puts `prefix` and an underscore before each name.
    pub fn register<T>(&self, prefix: &str, register: impl FnOnce(&mut Registry) -> T) -> T {
        let mut registry = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        register(registry.sub_registry_with_prefix(prefix))
    }

    /// The current values of all metrics, in the OpenMetrics text format 1.0.0.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let registry = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        encode(&mut text, &registry).expect("a String takes all that is written");
        text
    }
}

/// Registers a counter without labels. Its name gets the suffix `_total`.
pub fn counter(registry: &mut Registry, name: &str, help: &str) -> Counter {
    let counter = Counter::default();
    registry.register(name, help, counter.clone());
    counter
}

/// Registers a counter with one label and creates a series for each of its `values`. The name gets the suffix
/// `_total`.
pub fn counters<const N: usize>(
    registry: &mut Registry,
    name: &str,
    help: &str,
    label: &'static str,
    values: [&str; N],
) -> [Counter; N] {
    series(&counters_by(registry, name, help), &[], label, values)
}

/// Registers a counter with labels. Its name gets the suffix `_total`.
pub fn counters_by(registry: &mut Registry, name: &str, help: &str) -> Family<Labels, Counter> {
    let family = Family::default();
    registry.register(name, help, family.clone());
    family
}

/// Creates the series of `family` with the labels `fixed` and, as `label`, each of `values`.
pub fn series<const N: usize>(
    family: &Family<Labels, Counter>,
    fixed: &[(&'static str, &str)],
    label: &'static str,
    values: [&str; N],
) -> [Counter; N] {
    values.map(|value| family.get_or_create_owned(&labels(&[fixed, &[(label, value)]].concat())))
}

/// Makes the labels of one series from their texts.
#[must_use]
pub fn labels(texts: &[(&'static str, &str)]) -> Labels {
    texts.iter().map(|&(name, value)| (name, value.to_owned())).collect()
}

/// Registers a gauge without labels.
pub fn gauge(registry: &mut Registry, name: &str, help: &str) -> Gauge {
    let gauge = Gauge::default();
    registry.register(name, help, gauge.clone());
    gauge
}

/// Registers a gauge whose series are read from `values` at each scrape, and cost nothing in between.
pub fn computed_gauge<Values>(registry: &mut Registry, name: &'static str, help: &'static str, values: Values)
where
    Values: Fn() -> Vec<(Labels, usize)> + Send + Sync + 'static,
{
    registry.register_collector(Box::new(ComputedGauge { name, help, values }));
}

struct ComputedGauge<Values> {
    name: &'static str,
    help: &'static str,
    values: Values,
}

impl<Values> fmt::Debug for ComputedGauge<Values> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ComputedGauge").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<Values> Collector for ComputedGauge<Values>
where
    Values: Fn() -> Vec<(Labels, usize)> + Send + Sync + 'static,
{
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Self { name, help, values } = self;
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in values() {
            ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// Registers a histogram of durations without labels. Its name gets the suffix `_seconds`.
pub fn seconds(registry: &mut Registry, name: &str, help: &str) -> Histogram {
    let histogram = in_seconds();
    registry.register_with_unit(name, help, Unit::Seconds, histogram.clone());
    histogram
}

/// Registers a histogram of durations with labels. Its name gets the suffix `_seconds`.
pub fn seconds_by(registry: &mut Registry, name: &str, help: &str) -> Family<Labels, Histogram> {
    let family = Family::new_with_constructor(in_seconds as fn() -> Histogram);
    registry.register_with_unit(name, help, Unit::Seconds, family.clone());
    family
}

fn in_seconds() -> Histogram {
    Histogram::new(SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_what_was_registered_and_counted() {
        let metrics = Metrics::new(&Clock::manual(1_700_000_000_000));
        let [good, _bad] = metrics
            .register("athook_test", |registry| counters(registry, "eggs", "Eggs", "kind", ["good", "bad"]));
        let cooking = metrics.register("athook_test", |registry| seconds(registry, "cooking", "Cooking"));
        metrics.register("athook_test", |registry| {
            computed_gauge(registry, "hens", "Hens", || vec![(labels(&[("colour", "red")]), 7)]);
        });
        good.inc();
        cooking.observe(0.003);
        let text = metrics.text();
        for line in [
            concat!("athook_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
            "process_start_time_seconds 1700000000",
            "# TYPE athook_test_eggs counter",
            "athook_test_hens{colour=\"red\"} 7",
            "athook_test_eggs_total{kind=\"good\"} 1",
            "athook_test_eggs_total{kind=\"bad\"} 0",
            "athook_test_cooking_seconds_bucket{le=\"0.005\"} 1",
            "athook_test_cooking_seconds_count 1",
        ] {
            assert!(text.lines().any(|has| has == line), "{line} is not in {text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
