//! `cargo bench --bench intake`: from a replay of the network's stream to the database, beside bare parsing.
//!
//! The core-service runs as a release process, as an operator runs it, on SQLite. It reads the whole network
//! from a stand-in of a Jetstream in this process, for 10,000 streamers with a webhook each and 1,000 wh
//! records; [`world`] makes them. [`frames`] says what the network does: likes, posts and follows of the
//! sizes and shares that were recorded, some of which somebody wants.
//!
//! The yardstick is [`parsing`] of the same frames in one thread, the record left as it is.
//!
//! All are measured in turn, in several rounds, and medians are reported. What was wanted and did not get its
//! row is an error.

mod beside;
mod frames;
mod parsing;
#[path = "../load/programs.rs"]
#[expect(dead_code, reason = "the load bench uses more of it")]
mod programs;
#[path = "../load/usage.rs"]
#[expect(dead_code, reason = "the load bench uses more of it")]
mod usage;
mod world;

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser as _;
use fakes::jetstream::Wire;
use process::exit::{Failure, chain};

use crate::frames::Frames;
use crate::programs::Programs;
use crate::world::{Sample, World};

/// What one event may cost, as a multiple of bare parsing.
const MOST_TIMES_PARSING: f64 = 5.0;
/// Events a second that one core takes.
const LEAST_EVENTS_PER_S: f64 = 10_000.0;
/// The most memory, in MiB.
const MOST_MEMORY_MIB: f64 = 150.0;

/// Measures the intake beside bare parsing.
#[derive(clap::Parser)]
#[command(name = "intake")]
struct Args {
    /// Events of one replay
    #[arg(long, default_value_t = 60_000)]
    events: usize,
    /// Replays of each kind; their medians are reported
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Accounts with a webhook
    #[arg(long, default_value_t = 10_000)]
    streamers: usize,
    /// wh records
    #[arg(long, default_value_t = 1_000)]
    scopes: usize,
    /// How many of the scopes want backlinks, for which each record is searched
    #[arg(long, default_value_t = 0)]
    backlinks: usize,
    /// What share of the events somebody wants, in per cent
    #[arg(long, value_delimiter = ',', default_value = "0,20")]
    wanted: Vec<usize>,
    /// Which wires
    #[arg(long, value_delimiter = ',', default_value = "v2,v1")]
    wires: Vec<OfWire>,
    /// Whether what is wanted is delivered, too: `off` leaves that to another process
    #[arg(long, default_value = "off")]
    delivery: String,
    /// Events a second beside which ordinary calls are measured; 0: they are not
    #[arg(long, default_value_t = 10_000)]
    pace: usize,
    /// The program to measure [default: the one built with this bench]
    #[arg(long, value_name = "FILE", default_value = env!("CARGO_BIN_EXE_athook"), hide_default_value = true)]
    athook: PathBuf,
    /// Set by `cargo bench`; without it, as when `cargo test --all-targets` runs this program, nothing is
    /// done
    #[arg(long, hide = true)]
    bench: bool,
}

/// Which wire.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum OfWire {
    V1,
    V2,
}

impl From<OfWire> for Wire {
    fn from(wire: OfWire) -> Self {
        match wire {
            OfWire::V1 => Self::V1,
            OfWire::V2 => Self::V2,
        }
    }
}

impl fmt::Display for OfWire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1 => "v1",
            Self::V2 => "v2, compressed",
        })
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let ended = if args.bench { run(&args) } else { Ok(()) };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", chain(&*error));
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Failure> {
    process::files::raise_limit();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let programs = Programs::new(folder.path(), folder.path())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    println!(
        "| wire | wanted | bytes | events/s | CPU µs/event | parsing µs/event | ratio | events/s of a core \
         | peak MiB |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    let mut aims = Vec::new();
    let mut latencies = Vec::new();
    for wire in &args.wires {
        for wanted in &args.wanted {
            let mut frames = Frames::new(args.streamers, args.scopes, *wanted);
            let file = folder.path().join(format!("{wire}-{wanted}.db"));
            let world = runtime.block_on(World::start(args, &programs, &file, (*wire).into()))?;
            let mut samples = Vec::new();
            let mut bytes = 0.0;
            for round in 0..=args.rounds {
                eprintln!("{wire}, {wanted} % wanted: round {round} of {}", args.rounds);
                let (items, wanted) = frames.next(args.events);
                let parsing = parsing::parse(&items, (*wire).into())?;
                bytes = parsing.bytes;
                let sample = runtime.block_on(world.replay(items, wanted, parsing))?;
                // The first one warms up.
                if round > 0 {
                    samples.push(sample);
                }
            }
            let median = Sample::median(&samples);
            let Sample { events_per_s, cpu_us, parsing_us } = median;
            let ratio = cpu_us / parsing_us;
            let of_a_core = 1e6 / cpu_us;
            let peak = world.peak_memory_mib()?;
            println!(
                "| {wire} | {wanted} % | {bytes:.0} | {events_per_s:.0} | {cpu_us:.2} | {parsing_us:.2} | {ratio:.1} | \
                 {of_a_core:.0} | {peak:.0} |"
            );
            aims.push((format!("{wire}, {wanted} % wanted"), of_a_core, ratio, peak));
            if args.pace > 0 {
                let mut rounds = Vec::new();
                for round in 0..args.rounds {
                    let (items, _) = frames.next(beside::events(args.pace));
                    rounds.push(runtime.block_on(beside::measure(&world, items, round))?);
                }
                latencies.push((format!("{wire}, {wanted} % wanted"), rounds));
            }
        }
    }
    for (name, rounds) in latencies {
        println!("\n{name}: 200 calls/s, without the stream and beside {} events/s, in ms:", args.pace);
        for [quiet, beside] in rounds {
            println!(
                "median {:.2} and {:.2}; p99 {:.2} and {:.2}, {:.1} times",
                quiet.median_ms,
                beside.median_ms,
                quiet.p99_ms,
                beside.p99_ms,
                beside.p99_ms / quiet.p99_ms
            );
        }
    }
    println!("\nCPU: of the core-service, all threads; with --delivery on, that of the deliveries, too\n");
    for (name, of_a_core, ratio, peak) in aims {
        let kept = |is_kept: bool| if is_kept { "kept" } else { "MISSED" };
        println!(
            "{name}: {LEAST_EVENTS_PER_S:.0} events/s on a core: {}; {MOST_TIMES_PARSING:.0} times parsing: {}; \
             {MOST_MEMORY_MIB:.0} MiB: {}",
            kept(of_a_core >= LEAST_EVENTS_PER_S),
            kept(ratio <= MOST_TIMES_PARSING),
            kept(peak <= MOST_MEMORY_MIB)
        );
    }
    Ok(())
}
