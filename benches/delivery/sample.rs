//! What one measurement found: rates, the time from sending to arrival, and the cost.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use process::exit::Failure;

use crate::receiver::Arrival;

/// The figures of one measurement.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    /// Accepted, for each second of the time in which events were published; NaN where there are no events.
    pub(crate) events_per_s: f64,
    /// From the first event on until the outcome of the last delivery is stored.
    pub(crate) deliveries_per_s: f64,
    /// From the call that publishes, or the post, to the arrival.
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// Processor time of a delivery, in microseconds; NaN where it is not measured.
    pub(crate) cpu_us: f64,
    /// With that of the database server, if there is one.
    pub(crate) cpu_with_database_us: f64,
}

/// What was sent: the first number, and the time of each number from there on.
pub(crate) struct Sent {
    pub(crate) first: u32,
    pub(crate) times: Vec<Instant>,
}

/// How long from sending to arrival, of each of `arrivals`, sorted.
///
/// # Errors
///
/// Something did not arrive `copies` times.
pub(crate) fn latencies(sent: &Sent, arrivals: &[Arrival], copies: usize) -> Result<Vec<Duration>, Failure> {
    let mut counts: HashMap<u32, usize> = HashMap::new();
    let mut latencies = Vec::with_capacity(arrivals.len());
    for Arrival { number, at } in arrivals {
        *counts.entry(*number).or_default() += 1;
        let index = usize::try_from(number.wrapping_sub(sent.first))?;
        let sent = sent.times.get(index).ok_or("a request of an earlier measurement")?;
        latencies.push(at.saturating_duration_since(*sent));
    }
    if counts.len() != sent.times.len() || counts.values().any(|count| *count != copies) {
        return Err(format!("{} of {} messages arrived", counts.len(), sent.times.len()).into());
    }
    latencies.sort_unstable();
    Ok(latencies)
}

/// The `percent`th percentile of sorted times, in milliseconds.
pub(crate) fn percentile_ms(sorted: &[Duration], percent: usize) -> f64 {
    let at = sorted.get(sorted.len() * percent / 100).or(sorted.last());
    at.map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
}

/// So many for each second.
pub(crate) fn rate(count: usize, time: Duration) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / time.as_secs_f64()
}

/// Microseconds of `time` for each of `count`.
pub(crate) fn micros_each(time: Duration, count: usize) -> f64 {
    time.as_secs_f64() * 1e6 / f64::from(u32::try_from(count.max(1)).unwrap_or(u32::MAX))
}
