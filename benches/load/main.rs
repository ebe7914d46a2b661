//! `cargo bench --bench load`: the pair under load, beside two yardsticks in the same run.
//!
//! Gateway and core-service run as separate release processes, as an operator runs them. Both procedures are driven
//! over some numbers of connections, with a fresh token for each call and with tokens seen before. The yardsticks are
//!
//! - (a) the same rows inserted one by one, each with its own commit and the same durability, by as many tasks of one
//!   process, without HTTP or gRPC ([`inserts`]);
//! - (b) the same gateway before a core-service that answers at once ([`stub`]).
//!
//! Everything is measured in rounds, pair and yardsticks by turns, and told as medians, so that a machine that gets
//! slower halfway makes all of them slower. Any error response ends the run with exit code 1.
//!
//! Here: the command line and the order of things. The client is in [`client`], what it sends in [`calls`].

mod calls;
mod client;
#[path = "../../tests/it/harness/identity.rs"]
#[expect(dead_code, clippy::unwrap_used, reason = "the tests need more of it, and may panic")]
mod identity;
mod inserts;
#[path = "../../tests/it/harness/postgres.rs"]
#[expect(dead_code, clippy::unwrap_used, reason = "the tests need more of it, and may panic")]
mod postgres;
mod programs;
mod report;
mod sides;
mod slow;
mod stub;
mod usage;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use process::exit::{Failure, chain};
use tokio::runtime::Runtime;

use crate::calls::{Callers, Calls, Procedure, Tokens};
use crate::programs::Programs;
use crate::report::{Cell, Round, Sample};
use crate::sides::{Database, Side};

/// Warm-up of each pair of processes before anything is measured.
const WARM_UP: Duration = Duration::from_secs(1);
/// Connections of the warm-up.
const WARM_UP_CONNECTIONS: usize = 64;
/// How long everything is left alone before memory is read as idle.
const REST: Duration = Duration::from_secs(1);
/// Connections of the ordinary calls beside the slow ones.
const BESIDE_SLOW: usize = 64;

/// Drives gateway and core-service under load, beside yardsticks.
#[derive(clap::Parser)]
#[command(name = "load")]
struct Args {
    /// Seconds of each measurement
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Rounds; what is told are their medians
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Connections of the client
    #[arg(long, value_delimiter = ',', default_value = "1,64,256")]
    connections: Vec<usize>,
    /// Databases; Postgres is left out where its programs are missing
    #[arg(long, value_delimiter = ',', default_value = "sqlite,postgres")]
    databases: Vec<Database>,
    /// The program to measure, such as that of another commit [default: the one built with this bench]
    #[arg(long, value_name = "FILE", default_value = env!("CARGO_BIN_EXE_athook"), hide_default_value = true)]
    athook: PathBuf,
    /// Comes from `cargo bench`; without it, as `cargo test --all-targets` starts this, nothing is done
    #[arg(long, hide = true)]
    bench: bool,
    /// Be the core-service that answers at once, on this address
    #[arg(long, hide = true)]
    answer_at_once: Option<SocketAddr>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let ended = match args.answer_at_once {
        Some(address) => stub::serve(address),
        None if args.bench => run(&args),
        None => Ok(()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", chain(&*error));
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Failure> {
    // The client takes what it needs of one processor and leaves the rest to the services.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // On the disk that holds the build: a folder in memory would make every commit free.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let documents = folder.path().join("dids");
    let callers = Callers::make(&documents)?;
    let programs = Programs::new(&args.athook, &documents, folder.path())?;
    let bench = Bench { args, callers, programs, runtime };
    println!("disk: {:.0} synced pages of 4 KiB a second", usage::synced_pages_per_second(folder.path())?);
    let stubbed = Side::before_stub(&bench.programs)?;
    let mut errors = 0;
    for database in &args.databases {
        match database.open(&bench.programs, folder.path())? {
            Some(opened) => errors += bench.measure(*database, &opened, &stubbed)?,
            None => println!("{database}: its programs are not here; left out"),
        }
    }
    if errors > 0 {
        return Err(format!("{errors} calls failed").into());
    }
    Ok(())
}

struct Bench<'a> {
    args: &'a Args,
    callers: Callers,
    programs: Programs,
    runtime: Runtime,
}

impl Bench<'_> {
    /// Everything on one database. Returns how many calls failed.
    fn measure(&self, database: Database, opened: &sides::Opened, stubbed: &Side) -> Result<u64, Failure> {
        let inserts = inserts::Inserts::connect(&opened.yardstick, &self.callers, self.most_connections())?;
        let pair = Side::pair(&self.programs, &opened.pair)?;
        std::thread::sleep(REST);
        report::start(database, &pair)?;
        for side in [&pair, stubbed] {
            self.drive(side, Procedure::CreateSecret, Tokens::Seen, WARM_UP_CONNECTIONS, WARM_UP)?;
        }

        let mut cells = self.cells();
        let length = Duration::from_secs(self.args.seconds);
        for round in 1..=self.args.rounds {
            eprintln!("{database}: round {round} of {}", self.args.rounds);
            for cell in &mut cells {
                let Cell { procedure, tokens, connections, rounds: _ } = *cell;
                let pair = self.drive(&pair, procedure, tokens, connections, length)?;
                let inserts = inserts.run(procedure, connections, length)?;
                let stubbed = self.drive(stubbed, procedure, tokens, connections, length)?;
                cell.rounds.push(Round { pair, inserts, stubbed });
            }
        }
        report::table(&cells);
        report::aims(&cells);
        let slow = self.beside_slow_clients(&pair, length)?;
        report::slow(&slow);
        let disturbed = slow.iter().flat_map(|(undisturbed, disturbed)| [undisturbed, disturbed]);
        Ok(cells.iter().map(Cell::errors).sum::<u64>() + disturbed.map(|sample| sample.errors).sum::<u64>())
    }

    fn cells(&self) -> Vec<Cell> {
        let mut cells = Vec::new();
        for procedure in Procedure::ALL {
            for tokens in Tokens::ALL {
                for &connections in &self.args.connections {
                    cells.push(Cell { procedure, tokens, connections, rounds: Vec::new() });
                }
            }
        }
        cells
    }

    fn most_connections(&self) -> usize {
        self.args.connections.iter().copied().max().unwrap_or(1)
    }

    /// Calls a side for `length`, and says what came of it and what it cost.
    fn drive(
        &self,
        side: &Side,
        procedure: Procedure,
        tokens: Tokens,
        connections: usize,
        length: Duration,
    ) -> Result<Sample, Failure> {
        let calls = Calls::sign(&self.callers, procedure, tokens, connections, length);
        self.runtime.block_on(client::see_tokens(side.gateway.address(), &calls))?;
        let before = side.cpu()?;
        let tally = self.runtime.block_on(client::run(side.gateway.address(), connections, calls, length))?;
        let after = side.cpu()?;
        if let Some(text) = &tally.first_error {
            eprintln!("{procedure} at {connections} connections: {text}");
        }
        Ok(tally.sample(Some(side.cost(&before, &after, tally.calls())?)))
    }

    /// The latency of ordinary calls alone and beside clients that send a byte a second; a pair for each round.
    fn beside_slow_clients(&self, pair: &Side, length: Duration) -> Result<Vec<(Sample, Sample)>, Failure> {
        let mut rounds = Vec::new();
        for _ in 0..self.args.rounds {
            let ordinary = || self.drive(pair, Procedure::CreateSecret, Tokens::Seen, BESIDE_SLOW, length);
            let undisturbed = ordinary()?;
            let token = self.callers.token(Procedure::CreateSecret);
            let slow = self.runtime.block_on(slow::Clients::connect(pair.gateway.address(), &token))?;
            let disturbed = ordinary()?;
            drop(slow);
            rounds.push((undisturbed, disturbed));
        }
        Ok(rounds)
    }
}
