//! What is told: samples, their medians, the table, and how far the aims are met.

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
    pub(crate) gateway_us: f64,
    pub(crate) core_us: f64,
    pub(crate) gateway_mib: f64,
    pub(crate) core_mib: f64,
}

/// The pair and its yardsticks, one after the other.
pub(crate) struct Round {
    pub(crate) pair: Sample,
    /// Yardstick (a).
    pub(crate) inserts: Sample,
    /// Yardstick (b).
    pub(crate) stubbed: Sample,
}

/// What was measured in one way in all rounds.
pub(crate) struct Cell {
    pub(crate) procedure: Procedure,
    pub(crate) tokens: Tokens,
    pub(crate) connections: usize,
    pub(crate) rounds: Vec<Round>,
}

impl Cell {
    /// Calls that failed, in all.
    pub(crate) fn errors(&self) -> u64 {
        self.rounds
            .iter()
            .map(|Round { pair, inserts, stubbed }| pair.errors + inserts.errors + stubbed.errors)
            .sum()
    }

    fn median(&self, figure: impl Fn(&Round) -> f64) -> f64 {
        median(self.rounds.iter().map(figure))
    }

    fn of_inserts(&self) -> f64 {
        self.median(|round| round.pair.rate / round.inserts.rate)
    }

    fn of_stubbed(&self) -> f64 {
        self.median(|round| round.pair.rate / round.stubbed.rate)
    }
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
    line("core-service", &pair.core)?;
    line("gateway", &pair.gateway)
}

/// The table of medians.
pub(crate) fn table(cells: &[Cell]) {
    println!(
        "\n{:<14} {:<6} {:>5} {:<7} {:>8} {:>8} {:>8} {:>6} {:>10} {:>8} {:>11} {:>8} {:>6} {:>6}",
        "procedure",
        "tokens",
        "conns",
        "what",
        "req/s",
        "p50 ms",
        "p99 ms",
        "errors",
        "gateway µs",
        "core µs",
        "gateway MiB",
        "core MiB",
        "of (a)",
        "of (b)"
    );
    for cell in cells {
        row(cell, "pair", |round| &round.pair);
        println!(" {:>6.2} {:>6.2}", cell.of_inserts(), cell.of_stubbed());
        row(cell, "(a)", |round| &round.inserts);
        println!();
        row(cell, "(b)", |round| &round.stubbed);
        println!();
    }
    println!("(a): the same rows inserted one by one, each with its own commit, without HTTP or gRPC");
    println!("(b): the same gateway before a core-service that answers at once");
}

/// A line of the table, without its end.
fn row(cell: &Cell, what: &str, sample: impl Fn(&Round) -> &Sample) {
    let Cell { procedure, tokens, connections, rounds } = cell;
    let errors: u64 = rounds.iter().map(|round| sample(round).errors).sum();
    let median = |figure: &dyn Fn(&Sample) -> f64| cell.median(|round| figure(sample(round)));
    let cost =
        |figure: &dyn Fn(&Cost) -> f64| median(&|sample| sample.cost.as_ref().map_or(f64::NAN, figure));
    print!(
        "{:<14} {:<6} {connections:>5} {what:<7} {:>8.0} {:>8.2} {:>8.2} {errors:>6}",
        procedure.to_string(),
        tokens.to_string(),
        median(&|sample| sample.rate),
        median(&|sample| sample.p50_ms),
        median(&|sample| sample.p99_ms),
    );
    if rounds.iter().all(|round| sample(round).cost.is_some()) {
        print!(
            " {:>10.0} {:>8.0} {:>11.1} {:>8.1}",
            cost(&|cost| cost.gateway_us),
            cost(&|cost| cost.core_us),
            cost(&|cost| cost.gateway_mib),
            cost(&|cost| cost.core_mib),
        );
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
        let cost =
            |figure: fn(&Cost) -> f64| cell.median(|round| round.pair.cost.as_ref().map_or(f64::NAN, figure));
        let name = format!("{}, {} tokens, {} connections", cell.procedure, cell.tokens, cell.connections);
        match cell.connections {
            64 => {
                at_least(&name, "of (a)", cell.of_inserts(), SHARE_OF_INSERTS);
                at_most(&name, "µs of the gateway", cost(|cost| cost.gateway_us), gateway_us);
                at_most(&name, "µs of the core-service", cost(|cost| cost.core_us), CORE_US);
            }
            256 => at_least(&name, "of (b)", cell.of_stubbed(), SHARE_OF_STUBBED),
            _ => {}
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
