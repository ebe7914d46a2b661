//! Metrics: what a process counts and measures, and how Prometheus reads it ([`endpoint`]).
//!
//! Owns the registry, what every process has in it, and the shapes that all metrics share. What is counted is each
//! service's. There is one registry for each process, handed in and never global; whoever counts asks for its
//! counters once, at start, and holds them, so that counting is an atomic addition.
//!
//! No label has a value that a user controls: values are known at start.

pub mod endpoint;

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

/// Upper bounds of the classes of every duration, in seconds: from what a cache answers to what a deadline cuts.
const SECONDS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The labels of one series, by name.
pub type Labels = Vec<(&'static str, String)>;

/// The metrics of a process. Clones are the same ones.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Mutex<Registry>>);

impl Metrics {
    /// Metrics of a process that starts now: its version and its start, and nothing else yet.
    #[must_use]
    pub fn new(clock: &Clock) -> Self {
        let mut registry = Registry::default();
        let version = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("athook_build", "The release that runs", version);
        let started = Gauge::<i64>::default();
        started.set(clock.unix_seconds());
        let help = "When the process started, in seconds since 1970";
        registry.register_with_unit("process_start_time", help, Unit::Seconds, started);
        Self(Arc::new(Mutex::new(registry)))
    }

    /// Lets `register` add metrics whose names begin with `prefix` and an underscore.
    pub fn register<T>(&self, prefix: &str, register: impl FnOnce(&mut Registry) -> T) -> T {
        let mut registry = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        register(registry.sub_registry_with_prefix(prefix))
    }

    /// All metrics as they are now, in the OpenMetrics text format 1.0.0.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let registry = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        encode(&mut text, &registry).expect("a String takes all that is written");
        text
    }
}

/// A counter without labels, in `registry`. Its name gets the suffix `_total`.
pub fn counter(registry: &mut Registry, name: &str, help: &str) -> Counter {
    let counter = Counter::default();
    registry.register(name, help, counter.clone());
    counter
}

/// Counters that differ in the value of `label`, one for each of `values`, in `registry`. Their name gets the suffix
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

/// Counters with labels, in `registry`. Their name gets the suffix `_total`.
pub fn counters_by(registry: &mut Registry, name: &str, help: &str) -> Family<Labels, Counter> {
    let family = Family::default();
    registry.register(name, help, family.clone());
    family
}

/// The counters of `family` that have the labels `fixed` and one of `values` as their `label`.
pub fn series<const N: usize>(
    family: &Family<Labels, Counter>,
    fixed: &[(&'static str, &str)],
    label: &'static str,
    values: [&str; N],
) -> [Counter; N] {
    values.map(|value| family.get_or_create_owned(&labels(&[fixed, &[(label, value)]].concat())))
}

/// The labels of one series.
#[must_use]
pub fn labels(texts: &[(&'static str, &str)]) -> Labels {
    texts.iter().map(|&(name, value)| (name, value.to_owned())).collect()
}

/// A gauge without labels, in `registry`.
pub fn gauge(registry: &mut Registry, name: &str, help: &str) -> Gauge {
    let gauge = Gauge::default();
    registry.register(name, help, gauge.clone());
    gauge
}

/// A gauge in `registry` that is asked for its values, by their labels, at each reading, and costs nothing between them.
pub fn asked_gauge<Ask>(registry: &mut Registry, name: &'static str, help: &'static str, ask: Ask)
where
    Ask: Fn() -> Vec<(Labels, usize)> + Send + Sync + 'static,
{
    registry.register_collector(Box::new(Asked { name, help, ask }));
}

struct Asked<Ask> {
    name: &'static str,
    help: &'static str,
    ask: Ask,
}

impl<Ask> fmt::Debug for Asked<Ask> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<Ask> Collector for Asked<Ask>
where
    Ask: Fn() -> Vec<(Labels, usize)> + Send + Sync + 'static,
{
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Self { name, help, ask } = self;
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in ask() {
            ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// A histogram of durations without labels, in `registry`. Its name gets the suffix `_seconds`.
pub fn seconds(registry: &mut Registry, name: &str, help: &str) -> Histogram {
    let histogram = in_seconds();
    registry.register_with_unit(name, help, Unit::Seconds, histogram.clone());
    histogram
}

/// Histograms of durations with labels, in `registry`. Their name gets the suffix `_seconds`.
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
            asked_gauge(registry, "hens", "Hens", || vec![(labels(&[("colour", "red")]), 7)]);
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
