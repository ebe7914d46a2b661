//! The report: medians in a table, and whether the aims are met.

use std::collections::BTreeMap;
use std::fmt;

use crate::databases::Database;
use crate::figures::{at_least, at_most, median};
use crate::sample::Sample;

/// Aims at [`FAN_OUT`]: deliveries/s relative to the bare client's.
const TIMES_POSTS_SQLITE: f64 = 0.5;
const TIMES_POSTS_POSTGRES: f64 = 1.0 / 3.0;
const FAN_OUT: usize = 50;
/// Aims for the 99th percentile at a steady pace: relative to the bare client's, or at most so long.
const TIMES_POSTS_P99: f64 = 5.0;
const P99_MS: f64 = 10.0;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Contestant {
    Steady,
    Burst,
    Paced,
    EarlierSteady,
    EarlierBurst,
    EarlierPaced,
    Posts,
    PacedPosts,
    Rows,
}

impl fmt::Display for Contestant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Steady => "athook, steady",
            Self::Burst => "athook, burst",
            Self::Paced => "athook, paced",
            Self::EarlierSteady => "earlier, steady",
            Self::EarlierBurst => "earlier, burst",
            Self::EarlierPaced => "earlier, paced",
            Self::Posts => "bare client",
            Self::PacedPosts => "bare client, paced",
            Self::Rows => "bare inserts",
        })
    }
}

/// All samples of one fan-out on one database.
pub(crate) struct Results {
    pub(crate) database: Database,
    pub(crate) fan_out: usize,
    /// A sample of each contestant for each round.
    pub(crate) samples: BTreeMap<Contestant, Vec<Sample>>,
}

impl Results {
    fn of(&self, who: Contestant) -> &[Sample] {
        self.samples.get(&who).map_or(&[], Vec::as_slice)
    }

    /// The median over the rounds of a figure of `one` divided by that of `other`.
    fn ratio(&self, one: Contestant, other: Contestant, figure: fn(&Sample) -> f64) -> f64 {
        median(self.of(one).iter().zip(self.of(other)).map(|(one, other)| figure(one) / figure(other)))
    }

    /// Prints the medians.
    pub(crate) fn table(&self) {
        println!(
            "\n{}, fan-out {:<4} {:>10} {:>13} {:>8} {:>8} {:>7} {:>12}",
            self.database,
            self.fan_out,
            "events/s",
            "deliveries/s",
            "p50 ms",
            "p99 ms",
            "CPU µs",
            "of bare client",
        );
        for (who, samples) in &self.samples {
            let middle = |figure: fn(&Sample) -> f64| median(samples.iter().map(figure));
            println!(
                "{who:<20} {:>10.0} {:>13.0} {:>8.2} {:>8.2} {:>7.0} {:>12.2}",
                middle(|sample| sample.events_per_s),
                middle(deliveries),
                middle(|sample| sample.p50_ms),
                middle(p99),
                middle(|sample| sample.cpu_us),
                self.ratio(*who, Contestant::Posts, deliveries),
            );
        }
    }

    /// Prints whether the aims are met.
    pub(crate) fn aims(&self) {
        let name = format!("{}, fan-out {}", self.database, self.fan_out);
        if self.fan_out == FAN_OUT {
            let aim = match self.database {
                Database::Sqlite => TIMES_POSTS_SQLITE,
                Database::Postgres => TIMES_POSTS_POSTGRES,
            };
            for who in [Contestant::Steady, Contestant::Burst] {
                let ratio = self.ratio(who, Contestant::Posts, deliveries);
                at_least(&format!("{name}: {who}"), "times the bare client", ratio, aim);
            }
        }
        // Whichever is the longer.
        let p99_of = |who| median(self.of(who).iter().map(p99));
        let aim = P99_MS.max(TIMES_POSTS_P99 * p99_of(Contestant::PacedPosts));
        at_most(&format!("{name}: {}", Contestant::Paced), "ms at p99", p99_of(Contestant::Paced), aim);
    }
}

fn deliveries(sample: &Sample) -> f64 {
    sample.deliveries_per_s
}

fn p99(sample: &Sample) -> f64 {
    sample.p99_ms
}
