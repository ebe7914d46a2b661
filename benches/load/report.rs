//! What is told: samples, their medians, the table, the ratios, and how far the aims are met.

use std::collections::BTreeMap;
use std::fmt;

use process::exit::Failure;

use crate::calls::{Procedure, Tokens};
use crate::programs::Program;
use crate::sides::{Database, Side};
use crate::slow::CLIENTS;
use crate::usage;

/// The aims for the pair on SQLite: of yardstick (a) at 64 connections, of yardstick (b) at 256, and microseconds of
/// processor time a call at 64.
const SHARE_OF_INSERTS: f64 = 3.0;
const SHARE_OF_STUBBED: f64 = 0.5;
const GATEWAY_US_FRESH: f64 = 120.0;
const GATEWAY_US_SEEN: f64 = 70.0;
const CORE_US: f64 = 110.0;
/// The aims for the pair in terms of Node, and for the gateway before the stub in terms of Envoy before it, at 64.
const TIMES_NODE: f64 = 8.0;
const TIMES_ENVOY: f64 = 2.0;
/// The aim for the median latency beside slow clients, in terms of the undisturbed one.
const SLOWED: f64 = 2.0;

/// One measurement.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    /// Good answers in a second.
    pub(crate) rate: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) errors: u64,
    /// `None`: without services.
    pub(crate) cost: Option<Cost>,
}

/// What a measurement cost the two processes: microseconds of processor time a call, and memory at its end.
#[derive(Debug, Clone)]
pub(crate) struct Cost {
    pub(crate) front_us: f64,
    pub(crate) core_us: f64,
    pub(crate) front_mib: f64,
    pub(crate) core_mib: f64,
}

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum What {
    Pair,
    /// The pair of an earlier commit.
    Earlier,
    /// Yardstick (a).
    Inserts,
    /// Yardstick (b).
    Stubbed,
    Node,
    Envoy,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pair => "pair",
            Self::Earlier => "earlier",
            Self::Inserts => "(a)",
            Self::Stubbed => "(b)",
            Self::Node => "Node",
            Self::Envoy => "Envoy",
        })
    }
}

/// What was measured in one way in all rounds.
pub(crate) struct Cell {
    pub(crate) procedure: Procedure,
    pub(crate) tokens: Tokens,
    pub(crate) connections: usize,
    /// A sample of each for every round.
    samples: BTreeMap<What, Vec<Sample>>,
    /// Microseconds for a signature at the beginning of every round: how fast the processor was then.
    signature_us: Vec<f64>,
}

impl Cell {
    pub(crate) fn new(procedure: Procedure, tokens: Tokens, connections: usize) -> Self {
        Self { procedure, tokens, connections, samples: BTreeMap::new(), signature_us: Vec::new() }
    }

    /// Begins a round, in which a signature takes so long.
    pub(crate) fn begin_round(&mut self, signature_us: f64) {
        self.signature_us.push(signature_us);
    }

    /// Adds what a round gave.
    pub(crate) fn add(&mut self, what: What, sample: Sample) {
        self.samples.entry(what).or_default().push(sample);
    }

    /// Calls that failed, in all.
    pub(crate) fn errors(&self) -> u64 {
        self.samples.values().flatten().map(|sample| sample.errors).sum()
    }

    fn of(&self, what: What) -> &[Sample] {
        self.samples.get(&what).map_or(&[], Vec::as_slice)
    }

    /// The median of one in terms of another of the same round; NaN where one of them was not measured.
    fn ratio(&self, one: What, other: What, figure: impl Fn(&Sample) -> f64) -> f64 {
        median(self.of(one).iter().zip(self.of(other)).map(|(one, other)| figure(one) / figure(other)))
    }

    fn name(&self) -> String {
        format!("{}, {} tokens, {} connections", self.procedure, self.tokens, self.connections)
    }
}

fn front_us(sample: &Sample) -> f64 {
    sample.cost.as_ref().map_or(f64::NAN, |cost| cost.front_us)
}

fn core_us(sample: &Sample) -> f64 {
    sample.cost.as_ref().map_or(f64::NAN, |cost| cost.core_us)
}

fn rate(sample: &Sample) -> f64 {
    sample.rate
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    match figures.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => figures[count / 2],
        count => f64::midpoint(figures[count / 2 - 1], figures[count / 2]),
    }
}

/// What is known before any load.
pub(crate) fn start(database: Database, pair: &Side) -> Result<(), Failure> {
    println!("\n{database}");
    let line = |name, program: &Program| {
        let memory = usage::memory_mib(program.pid())?;
        let ready = program.ready_after().as_millis();
        println!("{name}: ready after {ready} ms, {memory:.1} MiB idle");
        Ok::<_, Failure>(())
    };
    if let Some(core) = &pair.core {
        line("core-service", core)?;
    }
    line("gateway", &pair.front)
}

/// The table of medians.
pub(crate) fn table(cells: &[Cell]) {
    println!(
        "\n{:<14} {:<6} {:>5} {:<7} {:>8} {:>8} {:>8} {:>6} {:>8} {:>8} {:>9} {:>8} {:>6}",
        "procedure",
        "tokens",
        "conns",
        "what",
        "req/s",
        "p50 ms",
        "p99 ms",
        "errors",
        "front µs",
        "core µs",
        "front MiB",
        "core MiB",
        "sig µs",
    );
    for cell in cells {
        for (what, samples) in &cell.samples {
            row(cell, *what, samples);
        }
    }
    println!("front: the gateway, or what is in its place");
    println!("sig: one ES256K signature verified at the time; the processor is not always as fast");
    println!("(a): the same rows inserted one by one, each with its own commit, without HTTP or gRPC");
    println!(
        "(b): the same gateway before a core-service that answers at once; Envoy is before that one too"
    );
}

fn row(cell: &Cell, what: What, samples: &[Sample]) {
    let Cell { procedure, tokens, connections, samples: _, signature_us } = cell;
    let errors: u64 = samples.iter().map(|sample| sample.errors).sum();
    let middle = |figure: &dyn Fn(&Sample) -> f64| median(samples.iter().map(figure));
    let cost = |figure: fn(&Cost) -> f64| middle(&|sample| sample.cost.as_ref().map_or(f64::NAN, figure));
    print!(
        "{:<14} {:<6} {connections:>5} {what:<7} {:>8.0} {:>8.2} {:>8.2} {errors:>6}",
        procedure.to_string(),
        tokens.to_string(),
        middle(&rate),
        middle(&|sample| sample.p50_ms),
        middle(&|sample| sample.p99_ms),
    );
    if samples.iter().all(|sample| sample.cost.is_some()) {
        print!(
            " {:>8.0} {:>8.0} {:>9.1} {:>8.1}",
            cost(|cost| cost.front_us),
            cost(|cost| cost.core_us),
            cost(|cost| cost.front_mib),
            cost(|cost| cost.core_mib),
        );
    } else {
        print!("{:36}", "");
    }
    println!("{:>6.0}", median(signature_us.iter().copied()));
}

/// The pair in terms of an earlier commit and of Node, and the gateway in terms of Envoy.
pub(crate) fn peers(cells: &[Cell]) {
    println!();
    for cell in cells {
        let name = cell.name();
        if !cell.of(What::Earlier).is_empty() {
            let ratio = |figure: fn(&Sample) -> f64| cell.ratio(What::Pair, What::Earlier, figure);
            println!(
                "{name}: of the earlier one {:.2} of the calls, {:.2} of the gateway's and {:.2} of the \
                 core-service's time a call",
                ratio(rate),
                ratio(front_us),
                ratio(core_us)
            );
        }
        if !cell.of(What::Node).is_empty() {
            at_least(&name, "of Node", cell.ratio(What::Pair, What::Node, rate), TIMES_NODE);
        }
        if !cell.of(What::Envoy).is_empty() {
            at_least(&name, "of Envoy", cell.ratio(What::Stubbed, What::Envoy, rate), TIMES_ENVOY);
        }
    }
}

/// How far the aims are met. They are set for SQLite.
pub(crate) fn aims(cells: &[Cell]) {
    println!();
    for cell in cells {
        let gateway_us = match cell.tokens {
            Tokens::Fresh => GATEWAY_US_FRESH,
            Tokens::Seen => GATEWAY_US_SEEN,
        };
        let name = cell.name();
        let pair = |figure: fn(&Sample) -> f64| median(cell.of(What::Pair).iter().map(figure));
        let of = |what| cell.ratio(What::Pair, what, rate);
        if cell.connections == 64 {
            if !cell.of(What::Inserts).is_empty() {
                at_least(&name, "of (a)", of(What::Inserts), SHARE_OF_INSERTS);
            }
            at_most(&name, "µs of the gateway", pair(front_us), gateway_us);
            at_most(&name, "µs of the core-service", pair(core_us), CORE_US);
        }
        if cell.connections == 256 && !cell.of(What::Stubbed).is_empty() {
            at_least(&name, "of (b)", of(What::Stubbed), SHARE_OF_STUBBED);
        }
    }
}

/// The latency of ordinary calls, undisturbed and beside slow clients.
pub(crate) fn slow(rounds: &[(Sample, Sample)]) {
    let undisturbed = median(rounds.iter().map(|(undisturbed, _)| undisturbed.p50_ms));
    let disturbed = median(rounds.iter().map(|(_, disturbed)| disturbed.p50_ms));
    let slowed = median(rounds.iter().map(|(undisturbed, disturbed)| disturbed.p50_ms / undisturbed.p50_ms));
    println!("\np50 undisturbed {undisturbed:.2} ms, beside {CLIENTS} slow clients {disturbed:.2} ms");
    at_most(&format!("beside {CLIENTS} slow clients"), "times the undisturbed p50", slowed, SLOWED);
}

fn at_least(name: &str, unit: &str, figure: f64, aim: f64) {
    let verdict = if figure >= aim { "met" } else { "MISSED" };
    println!("{verdict:<6} {name}: {figure:.2} {unit}, at least {aim}");
}

fn at_most(name: &str, unit: &str, figure: f64, aim: f64) {
    let verdict = if figure <= aim { "met" } else { "MISSED" };
    println!("{verdict:<6} {name}: {figure:.2} {unit}, at most {aim}");
}
