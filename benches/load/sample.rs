//! The figures of one measurement: the results of its calls, and what they cost the two processes.

use std::time::{Duration, Instant};

/// The results of the calls of one task, or of a whole measurement.
#[derive(Debug, Default)]
pub(crate) struct CallResults {
    /// Of successful calls, in microseconds.
    latencies_us: Vec<u32>,
    pub(crate) errors: u64,
    /// The error of the first failed call.
    pub(crate) first_error: Option<String>,
    /// From the first call to the last response.
    took: Duration,
}

impl CallResults {
    /// The number of calls, successful or not.
    pub(crate) fn calls(&self) -> u64 {
        self.latencies_us.len() as u64 + self.errors
    }

    pub(crate) fn add_success(&mut self, latency: Duration) {
        self.latencies_us.push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
    }

    pub(crate) fn add_error(&mut self, text: String) {
        self.errors += 1;
        self.first_error.get_or_insert(text);
    }

    /// Combines the results of all tasks of a measurement that began at `started`.
    pub(crate) fn sum(results: Vec<Self>, started: Instant) -> Self {
        let mut sum = Self { took: started.elapsed(), ..Self::default() };
        for Self { latencies_us, errors, first_error, took: _ } in results {
            sum.latencies_us.extend(latencies_us);
            sum.errors += errors;
            sum.first_error = sum.first_error.or(first_error);
        }
        sum.latencies_us.sort_unstable();
        sum
    }

    /// The figures of a whole measurement.
    pub(crate) fn sample(&self, cost: Option<Cost>) -> Sample {
        let percentile = |percent: usize| {
            let index = self.latencies_us.len() * percent / 100;
            let latency = self.latencies_us.get(index).or(self.latencies_us.last());
            f64::from(latency.copied().unwrap_or_default()) / 1_000.0
        };
        let count = u32::try_from(self.latencies_us.len()).unwrap_or(u32::MAX);
        Sample {
            rate: f64::from(count) / self.took.as_secs_f64(),
            p50_ms: percentile(50),
            p99_ms: percentile(99),
            errors: self.errors,
            cost,
        }
    }
}

/// The figures of one measurement.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    /// Successful calls per second.
    pub(crate) rate: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) errors: u64,
    /// `None`: there were no services, as in yardstick (a).
    pub(crate) cost: Option<Cost>,
}

/// What a measurement cost the two processes: processor time for each call, in microseconds, and memory at
/// its end.
#[derive(Debug, Clone)]
pub(crate) struct Cost {
    pub(crate) front_us: f64,
    pub(crate) core_us: f64,
    pub(crate) front_mib: f64,
    pub(crate) core_mib: f64,
}
