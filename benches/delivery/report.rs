//! The report: medians in a table, and whether the aims are met.

use std::collections::BTreeMap;
use std::fmt;

use crate::circumstances::Circumstance;
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
/// Aims relative to the peer: deliveries/s, and processor time with that of Postgres.
const TIMES_GRAPHILE: f64 = 4.0;
const TIMES_GRAPHILE_CPU: f64 = 0.25;
/// Aims for processor time, with that of Postgres: beside a full queue and of three core-services relative to
/// one with an empty queue, and on SQLite relative to Postgres.
const TIMES_CPU_WAITING: f64 = 1.3;
const TIMES_CPU_THREE: f64 = 1.2;
const TIMES_CPU_SQLITE: f64 = 2.0 / 3.0;

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
            "\n{}, fan-out {:<4} {:>10} {:>13} {:>8} {:>8} {:>7} {:>9} {:>12}",
            self.database,
            self.fan_out,
            "events/s",
            "deliveries/s",
            "p50 ms",
            "p99 ms",
            "CPU µs",
            "with db",
            "of bare client",
        );
        for (who, samples) in &self.samples {
            let middle = |figure: fn(&Sample) -> f64| median(samples.iter().map(figure));
            println!(
                "{who:<20} {:>10.0} {:>13.0} {:>8.2} {:>8.2} {:>7.0} {:>9.0} {:>12.2}",
                middle(|sample| sample.events_per_s),
                middle(deliveries),
                middle(|sample| sample.p50_ms),
                middle(p99),
                middle(|sample| sample.cpu_us),
                middle(cpu),
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

/// All samples of the circumstances on one database.
pub(crate) struct Compared {
    pub(crate) database: Database,
    pub(crate) fan_out: usize,
    /// The samples of each round: steady, and of a burst.
    pub(crate) samples: BTreeMap<Circumstance, Vec<Vec<Sample>>>,
}

/// How events were published.
const PACES: [&str; 2] = ["steady", "burst"];

impl Compared {
    fn of(&self, circumstance: Circumstance, pace: usize) -> impl Iterator<Item = &Sample> {
        self.samples.get(&circumstance).into_iter().flatten().map(move |samples| &samples[pace])
    }

    fn middle(&self, circumstance: Circumstance, pace: usize, figure: fn(&Sample) -> f64) -> f64 {
        median(self.of(circumstance, pace).map(figure))
    }

    /// The median over the rounds of a figure of `one` divided by that of `other`.
    fn ratio(&self, one: Circumstance, other: Circumstance, pace: usize, figure: fn(&Sample) -> f64) -> f64 {
        let pairs = self.of(one, pace).zip(self.of(other, pace));
        median(pairs.map(|(one, other)| figure(one) / figure(other)))
    }

    /// Prints the medians, and the ratios to one core-service alone.
    pub(crate) fn table(&self) {
        println!(
            "\n{:<28} {:>13} {:>8} {:>8} {:>7} {:>9} {:>11} {:>9}",
            format!("{}, fan-out {}", self.database, self.fan_out),
            "deliveries/s",
            "p50 ms",
            "p99 ms",
            "CPU µs",
            "with db",
            "times rate",
            "times CPU",
        );
        for (pace, name) in PACES.iter().enumerate() {
            for circumstance in self.samples.keys() {
                println!(
                    "{:<28} {:>13.0} {:>8.2} {:>8.2} {:>7.0} {:>9.0} {:>11.2} {:>9.2}",
                    format!("{circumstance}, {name}"),
                    self.middle(*circumstance, pace, deliveries),
                    self.middle(*circumstance, pace, |sample| sample.p50_ms),
                    self.middle(*circumstance, pace, p99),
                    self.middle(*circumstance, pace, |sample| sample.cpu_us),
                    self.middle(*circumstance, pace, cpu),
                    self.ratio(*circumstance, Circumstance::Plain, pace, deliveries),
                    self.ratio(*circumstance, Circumstance::Plain, pace, cpu),
                );
            }
        }
    }

    /// Prints whether the aims are met.
    pub(crate) fn aims(&self) {
        let measured = |circumstance| self.samples.contains_key(&circumstance);
        for (pace, name) in PACES.iter().enumerate() {
            let name = format!("{}, {name}", self.database);
            for peer in [Circumstance::Graphile, Circumstance::GraphileBatches] {
                if measured(peer) {
                    let ratio = |figure| self.ratio(Circumstance::Plain, peer, pace, figure);
                    at_least(&name, &format!("times the rate of {peer}"), ratio(deliveries), TIMES_GRAPHILE);
                    at_most(&name, &format!("times the CPU of {peer}"), ratio(cpu), TIMES_GRAPHILE_CPU);
                }
            }
            let aims = [(Circumstance::Waiting, TIMES_CPU_WAITING), (Circumstance::Three, TIMES_CPU_THREE)];
            for (circumstance, aim) in aims {
                if measured(circumstance) {
                    let ratio = self.ratio(circumstance, Circumstance::Plain, pace, cpu);
                    at_most(&format!("{name}: {circumstance}"), "times the CPU", ratio, aim);
                }
            }
        }
    }
}

/// Prints whether SQLite costs less than Postgres.
pub(crate) fn databases(compared: &[Compared]) {
    let of = |database| compared.iter().find(|one| one.database == database);
    if let (Some(sqlite), Some(postgres)) = (of(Database::Sqlite), of(Database::Postgres)) {
        for (pace, name) in PACES.iter().enumerate() {
            let cpu = |of: &Compared| of.middle(Circumstance::Plain, pace, cpu);
            let ratio = cpu(sqlite) / cpu(postgres);
            at_most(&format!("SQLite, {name}"), "times the CPU of Postgres", ratio, TIMES_CPU_SQLITE);
        }
    }
}

fn cpu(sample: &Sample) -> f64 {
    sample.cpu_with_database_us
}

fn deliveries(sample: &Sample) -> f64 {
    sample.deliveries_per_s
}

fn p99(sample: &Sample) -> f64 {
    sample.p99_ms
}
