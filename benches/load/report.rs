//! The report: medians in a table, ratios to the peers, and whether the aims are met.

use std::collections::BTreeMap;
use std::fmt;

use process::exit::Failure;

use crate::calls::{Procedure, Tokens};
use crate::databases::Database;
use crate::figures::{at_least, at_most, median};
use crate::programs::Program;
use crate::sample::{Cost, Sample};
use crate::sides::Side;
use crate::slow::CLIENTS;
use crate::usage;

/// Aims for the pair on SQLite: its calls/s relative to yardstick (a) at 64 connections and to yardstick (b)
/// at 256, and the processor time of a call at 64, in microseconds.
const TIMES_INSERTS: f64 = 1.7;
const TIMES_STUBBED: f64 = 0.5;
const GATEWAY_US_FRESH: f64 = 120.0;
const GATEWAY_US_SEEN: f64 = 70.0;
const CORE_US: f64 = 110.0;
/// Aims for the calls/s of the pair relative to Node, and of the gateway with the stub relative to Envoy with
/// the stub.
const TIMES_NODE: f64 = 6.0;
const TIMES_ENVOY: f64 = 3.0;
/// The aim for the median latency beside slow clients, relative to the undisturbed one.
const SLOWED: f64 = 1.5;

/// A contestant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Contestant {
    /// Gateway and core-service.
    Pair,
    /// Gateway and core-service of an earlier commit.
    Earlier,
    /// Yardstick (a).
    Inserts,
    /// Yardstick (b).
    Stubbed,
    Node,
    Envoy,
}

impl fmt::Display for Contestant {
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

/// All samples of one kind of call: a procedure, with fresh or seen tokens, on some number of connections.
pub(crate) struct Cell {
    pub(crate) procedure: Procedure,
    pub(crate) tokens: Tokens,
    pub(crate) connections: usize,
    /// A sample of each contestant for each round.
    samples: BTreeMap<Contestant, Vec<Sample>>,
    /// The time for a signature at the start of each round, in microseconds: how fast the processor was.
    signature_us: Vec<f64>,
}

impl Cell {
    pub(crate) fn new(procedure: Procedure, tokens: Tokens, connections: usize) -> Self {
        Self { procedure, tokens, connections, samples: BTreeMap::new(), signature_us: Vec::new() }
    }

    /// Starts a round, in which a signature takes `signature_us` microseconds.
    pub(crate) fn begin_round(&mut self, signature_us: f64) {
        self.signature_us.push(signature_us);
    }

    /// Adds the sample of a round.
    pub(crate) fn add(&mut self, who: Contestant, sample: Sample) {
        self.samples.entry(who).or_default().push(sample);
    }

    /// The number of failed calls, of all contestants.
    pub(crate) fn errors(&self) -> u64 {
        self.samples.values().flatten().map(|sample| sample.errors).sum()
    }

    fn of(&self, who: Contestant) -> &[Sample] {
        self.samples.get(&who).map_or(&[], Vec::as_slice)
    }

    /// The median over the rounds of a figure of `one` divided by that of `other`. NaN if one was not
    /// measured.
    fn ratio(&self, one: Contestant, other: Contestant, figure: impl Fn(&Sample) -> f64) -> f64 {
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

/// Prints what is known before any load.
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

/// Prints the table of medians.
pub(crate) fn table(cells: &[Cell]) {
    println!(
        "\n{:<14} {:<6} {:>5} {:<7} {:>8} {:>8} {:>8} {:>6} {:>8} {:>8} {:>9} {:>8} {:>6}",
        "procedure",
        "tokens",
        "conns",
        "who",
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
        for (who, samples) in &cell.samples {
            row(cell, *who, samples);
        }
    }
    println!("front: the gateway, Envoy or Node");
    println!("sig: time to verify one ES256K signature, which shows how fast the processor was");
    println!("(a): the same rows inserted one by one, each with its own commit, without HTTP or gRPC");
    println!("(b): the same gateway with a core-service that answers at once; Envoy calls that one too");
}

fn row(cell: &Cell, who: Contestant, samples: &[Sample]) {
    let Cell { procedure, tokens, connections, samples: _, signature_us } = cell;
    let errors: u64 = samples.iter().map(|sample| sample.errors).sum();
    let middle = |figure: &dyn Fn(&Sample) -> f64| median(samples.iter().map(figure));
    let cost = |figure: fn(&Cost) -> f64| middle(&|sample| sample.cost.as_ref().map_or(f64::NAN, figure));
    print!(
        "{:<14} {:<6} {connections:>5} {who:<7} {:>8.0} {:>8.2} {:>8.2} {errors:>6}",
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

/// Prints the ratios of the pair to an earlier commit and to Node, and of the gateway to Envoy.
pub(crate) fn peers(cells: &[Cell]) {
    println!();
    for cell in cells {
        let name = cell.name();
        if !cell.of(Contestant::Earlier).is_empty() {
            let ratio =
                |figure: fn(&Sample) -> f64| cell.ratio(Contestant::Pair, Contestant::Earlier, figure);
            println!(
                "{name}: relative to the earlier commit: calls/s {:.2}, processor time of a call {:.2} in the \
                 gateway and {:.2} in the core-service",
                ratio(rate),
                ratio(front_us),
                ratio(core_us)
            );
        }
        if !cell.of(Contestant::Node).is_empty() {
            at_least(&name, "times Node", cell.ratio(Contestant::Pair, Contestant::Node, rate), TIMES_NODE);
        }
        if !cell.of(Contestant::Envoy).is_empty() {
            at_least(
                &name,
                "times Envoy",
                cell.ratio(Contestant::Stubbed, Contestant::Envoy, rate),
                TIMES_ENVOY,
            );
        }
    }
}

/// Prints whether the aims are met. They are set for SQLite.
pub(crate) fn aims(cells: &[Cell]) {
    println!();
    for cell in cells {
        let gateway_us = match cell.tokens {
            Tokens::Fresh => GATEWAY_US_FRESH,
            Tokens::Seen => GATEWAY_US_SEEN,
        };
        let name = cell.name();
        let pair = |figure: fn(&Sample) -> f64| median(cell.of(Contestant::Pair).iter().map(figure));
        let ratio_to = |other| cell.ratio(Contestant::Pair, other, rate);
        if cell.connections == 64 {
            if !cell.of(Contestant::Inserts).is_empty() {
                at_least(&name, "times (a)", ratio_to(Contestant::Inserts), TIMES_INSERTS);
            }
            at_most(&name, "µs in the gateway", pair(front_us), gateway_us);
            at_most(&name, "µs in the core-service", pair(core_us), CORE_US);
        }
        if cell.connections == 256 && !cell.of(Contestant::Stubbed).is_empty() {
            at_least(&name, "times (b)", ratio_to(Contestant::Stubbed), TIMES_STUBBED);
        }
    }
}

/// Prints the latency of ordinary calls, undisturbed and beside slow clients.
pub(crate) fn slow(rounds: &[(Sample, Sample)]) {
    let undisturbed = median(rounds.iter().map(|(undisturbed, _)| undisturbed.p50_ms));
    let disturbed = median(rounds.iter().map(|(_, disturbed)| disturbed.p50_ms));
    let slowed = median(rounds.iter().map(|(undisturbed, disturbed)| disturbed.p50_ms / undisturbed.p50_ms));
    println!("\np50 undisturbed {undisturbed:.2} ms, beside {CLIENTS} slow clients {disturbed:.2} ms");
    at_most(&format!("beside {CLIENTS} slow clients"), "times the undisturbed p50", slowed, SLOWED);
}
