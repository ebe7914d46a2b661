//! `cargo bench --bench load`: gateway and core-service (the pair) under load, beside two yardsticks and the
//! peers, in one run.
//!
//! Gateway and core-service run as separate release processes, as an operator runs them. Two procedures are
//! called on several numbers of connections, with a fresh token for each call and with tokens that the
//! gateway has seen before. The yardsticks are
//!
//! - (a) the same rows inserted one by one, each with its own commit and the same durability, by as many
//!   tasks of one
//!   process, without HTTP or gRPC ([`inserts`]);
//! - (b) the same gateway with a core-service that answers at once ([`stub`]).
//!
//! Optional subjects: the pair of an earlier commit; a Node server on the reference XRPC library, which does
//! what the pair does, on SQLite; and Envoy's transcoder, which does what the gateway does except for the
//! tokens, with the core-service of (b).
//!
//! All subjects are measured in turn, in several rounds, and medians are reported, so that a machine that
//! becomes slower slows all of them. Every second round runs in reverse order, since each contestant inherits
//! the state of the disk from the one before it. If any call fails, the exit code is 1.
//!
//! This file owns the command line and the order of measurements. [`client`] is the client, [`calls`] makes
//! what it sends.

mod calls;
mod client;
mod databases;
mod figures;
#[path = "../../tests/it/harness/identity.rs"]
#[expect(dead_code, clippy::unwrap_used, reason = "the tests use more of it, and may panic")]
mod identity;
mod inserts;
#[path = "../../tests/it/harness/postgres.rs"]
#[expect(dead_code, clippy::unwrap_used, reason = "the tests use more of it, and may panic")]
mod postgres;
mod programs;
mod report;
mod sample;
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
use crate::databases::{Database, Databases};
use crate::inserts::Inserts;
use crate::programs::Programs;
use crate::report::{Cell, Contestant};
use crate::sample::Sample;
use crate::sides::Side;

/// Warm-up of each contestant before anything is measured.
const WARM_UP: Duration = Duration::from_secs(1);
/// Warm-up of Node, which compiles what is called often.
const NODE_WARM_UP: Duration = Duration::from_secs(4);
/// Connections of the warm-up.
const WARM_UP_CONNECTIONS: usize = 64;
/// How long the processes are idle before their idle memory is read.
const REST: Duration = Duration::from_secs(1);
/// Ready sockets Tokio polls per tick in the client before it runs the tasks they woke.
const CLIENT_IO_EVENTS: usize = 8;
/// Connections of the ordinary calls beside the slow clients.
const BESIDE_SLOW: usize = 64;

/// Measures gateway and core-service under load, beside yardsticks and peers.
#[derive(clap::Parser)]
#[command(name = "load")]
struct Args {
    /// Seconds of each measurement
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Rounds, best an even number; their medians are reported
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Connections of the client
    #[arg(long, value_delimiter = ',', default_value = "1,64,256")]
    connections: Vec<usize>,
    /// Databases; Postgres is skipped where it is not installed
    #[arg(long, value_delimiter = ',', default_value = "sqlite,postgres")]
    databases: Vec<Database>,
    /// Procedures to call
    #[arg(long, value_delimiter = ',', default_value = "create-secret,create-webhook")]
    procedures: Vec<Procedure>,
    /// Tokens to send: one that the gateway has not seen for each call, or always the same ones
    #[arg(long, value_delimiter = ',', default_value = "fresh,seen")]
    tokens: Vec<Tokens>,
    /// The program to measure [default: the one built with this bench]
    #[arg(long, value_name = "FILE", default_value = env!("CARGO_BIN_EXE_athook"), hide_default_value = true)]
    athook: PathBuf,
    /// The program of an earlier commit to measure beside it
    #[arg(long, value_name = "FILE")]
    earlier: Option<PathBuf>,
    /// The folder in which the Node server is installed
    #[arg(long, value_name = "FOLDER")]
    node: Option<PathBuf>,
    /// The program of Envoy
    #[arg(long, value_name = "FILE")]
    envoy: Option<PathBuf>,
    /// Skip the yardsticks
    #[arg(long)]
    bare: bool,
    /// Set by `cargo bench`; without it, as when `cargo test --all-targets` runs this program, nothing is
    /// done
    #[arg(long, hide = true)]
    bench: bool,
    /// Run the core-service that answers at once, on this address
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
    // One thread, which leaves the other processors to the services. With few sockets per tick, the client
    // sends on a connection soon after it has read from it, as independent clients do.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_io_events_per_tick(CLIENT_IO_EVENTS)
        .build()?;
    // On the disk of the build: in a memory file system every commit would be free.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let documents = folder.path().join("dids");
    let callers = Callers::make(&documents)?;
    let programs = Programs::new(&documents, folder.path())?;
    let bench = Bench { args, callers, programs, runtime };
    println!("disk: {:.0} synced pages of 4 KiB a second", usage::synced_pages_per_second(folder.path())?);
    let mut errors = 0;
    for database in &args.databases {
        match database.open(folder.path())? {
            Some(opened) => errors += bench.measure(*database, &opened)?,
            None => println!("{database}: not installed; skipped"),
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

/// How a contestant is measured.
enum Subject {
    Side(Side),
    Inserts(Inserts),
}

impl Bench<'_> {
    /// Runs all measurements on one database. Returns the number of failed calls.
    fn measure(&self, database: Database, databases: &Databases) -> Result<u64, Failure> {
        let pair =
            Side::pair(&self.programs, &self.args.athook, &databases.create("pair", &self.args.athook)?)?;
        std::thread::sleep(REST);
        report::start(database, &pair)?;
        let mut subjects = vec![(Contestant::Pair, Subject::Side(pair))];
        subjects.extend(self.beside(databases)?);
        for (contestant, subject) in &subjects {
            if let Subject::Side(side) = subject {
                let length = if *contestant == Contestant::Node { NODE_WARM_UP } else { WARM_UP };
                for procedure in &self.args.procedures {
                    self.drive(side, *procedure, Tokens::Seen, WARM_UP_CONNECTIONS, length)?;
                }
            }
        }

        let mut cells = self.cells();
        let length = Duration::from_secs(self.args.seconds);
        for round in 1..=self.args.rounds {
            eprintln!("{database}: round {round} of {}", self.args.rounds);
            let mut turns: Vec<_> = subjects.iter().collect();
            if round % 2 == 0 {
                turns.reverse();
            }
            for cell in &mut cells {
                let Cell { procedure, tokens, connections, .. } = *cell;
                cell.begin_round(usage::signature_us()?);
                for (contestant, subject) in &turns {
                    // Envoy verifies no tokens, so fresh ones make no difference.
                    if *contestant == Contestant::Envoy && tokens == Tokens::Fresh {
                        continue;
                    }
                    let sample = match subject {
                        Subject::Side(side) => self.drive(side, procedure, tokens, connections, length)?,
                        Subject::Inserts(inserts) => inserts.run(procedure, connections, length)?,
                    };
                    cell.add(*contestant, sample);
                }
            }
        }
        report::table(&cells);
        report::peers(&cells);
        report::aims(&cells);
        let mut errors = cells.iter().map(Cell::errors).sum::<u64>();
        if let Some((Contestant::Pair, Subject::Side(pair))) = subjects.first() {
            let slow = self.beside_slow_clients(pair, length)?;
            report::slow(&slow);
            let disturbed = slow.iter().flat_map(|(undisturbed, disturbed)| [undisturbed, disturbed]);
            errors += disturbed.map(|sample| sample.errors).sum::<u64>();
        }
        Ok(errors)
    }

    /// All subjects but the pair.
    fn beside(&self, databases: &Databases) -> Result<Vec<(Contestant, Subject)>, Failure> {
        let Args { athook, earlier, node, envoy, bare, .. } = self.args;
        let programs = &self.programs;
        let mut beside = Vec::new();
        if let Some(earlier) = earlier {
            beside.push((
                Contestant::Earlier,
                Subject::Side(Side::pair(programs, earlier, &databases.create("earlier", earlier)?)?),
            ));
        }
        if !bare {
            let most = self.args.connections.iter().copied().max().unwrap_or(1);
            let inserts = Inserts::connect(&databases.create("inserts", athook)?.url, &self.callers, most)?;
            beside.push((Contestant::Inserts, Subject::Inserts(inserts)));
            beside.push((Contestant::Stubbed, Subject::Side(Side::before_stub(programs, athook)?)));
        }
        if let (Some(node), Some(file)) = (node, &databases.create("node", athook)?.file) {
            beside.push((Contestant::Node, Subject::Side(Side::node(programs, node, file)?)));
        }
        if let Some(envoy) = envoy {
            beside.push((Contestant::Envoy, Subject::Side(Side::envoy(programs, envoy)?)));
        }
        Ok(beside)
    }

    fn cells(&self) -> Vec<Cell> {
        let mut cells = Vec::new();
        for &procedure in &self.args.procedures {
            for &tokens in &self.args.tokens {
                for &connections in &self.args.connections {
                    cells.push(Cell::new(procedure, tokens, connections));
                }
            }
        }
        cells
    }

    /// Calls a side for `length`, and returns the results and the cost.
    fn drive(
        &self,
        side: &Side,
        procedure: Procedure,
        tokens: Tokens,
        connections: usize,
        length: Duration,
    ) -> Result<Sample, Failure> {
        let calls = Calls::sign(&self.callers, side.dialect, procedure, tokens, connections, length);
        self.runtime.block_on(client::send_repeated_tokens(side.front.address(), &calls))?;
        let before = side.cpu()?;
        let results = self.runtime.block_on(client::run(side.front.address(), connections, calls, length))?;
        let after = side.cpu()?;
        if let Some(text) = &results.first_error {
            eprintln!("{procedure} at {connections} connections: {text}");
        }
        Ok(results.sample(Some(side.cost(&before, &after, results.calls())?)))
    }

    /// Measures ordinary calls alone and beside clients that send a byte a second; both in each round.
    fn beside_slow_clients(&self, pair: &Side, length: Duration) -> Result<Vec<(Sample, Sample)>, Failure> {
        let mut rounds = Vec::new();
        for _ in 0..self.args.rounds {
            let ordinary = || self.drive(pair, Procedure::CreateSecret, Tokens::Seen, BESIDE_SLOW, length);
            let undisturbed = ordinary()?;
            let token = self.callers.token(Procedure::CreateSecret);
            let slow = self.runtime.block_on(slow::Clients::connect(pair.front.address(), &token))?;
            let disturbed = ordinary()?;
            self.runtime.block_on(slow.leave());
            rounds.push((undisturbed, disturbed));
        }
        Ok(rounds)
    }
}
