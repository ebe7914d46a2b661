//! `cargo bench --bench load`: the pair under load, beside two yardsticks and its peers in the same run.
//!
//! Gateway and core-service run as separate release processes, as an operator runs them. Both procedures are driven
//! over some numbers of connections, with a fresh token for each call and with tokens seen before. The yardsticks are
//!
//! - (a) the same rows inserted one by one, each with its own commit and the same durability, by as many tasks of one
//!   process, without HTTP or gRPC ([`inserts`]);
//! - (b) the same gateway before a core-service that answers at once ([`stub`]).
//!
//! Where they are given: the pair of an earlier commit; a Node server on the reference XRPC library, which does what
//! the pair does, on SQLite; and Envoy's transcoder, which does what the gateway does but for the tokens, before the
//! core-service of (b).
//!
//! Everything is measured in rounds, all sides by turns, and told as medians, so that a machine that gets slower
//! halfway makes all of them slower; every other round goes the other way round, for what a side leaves behind, on the disk
//! say, is the next one's. Any error response ends the run with exit code 1.
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
use crate::inserts::Inserts;
use crate::programs::Programs;
use crate::report::{Cell, Sample, What};
use crate::sides::{Database, Databases, Side};

/// Warm-up of each side before anything is measured.
const WARM_UP: Duration = Duration::from_secs(1);
/// The same for Node, which compiles what is called often.
const NODE_WARM_UP: Duration = Duration::from_secs(4);
/// Connections of the warm-up.
const WARM_UP_CONNECTIONS: usize = 64;
/// How long everything is left alone before memory is read as idle.
const REST: Duration = Duration::from_secs(1);
/// Connections that the client reads from before it sends again.
const CLIENT_IO_EVENTS: usize = 8;
/// Connections of the ordinary calls beside the slow ones.
const BESIDE_SLOW: usize = 64;

/// Drives gateway and core-service under load, beside yardsticks.
#[derive(clap::Parser)]
#[command(name = "load")]
struct Args {
    /// Seconds of each measurement
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Rounds, better an even number; what is told are their medians
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Connections of the client
    #[arg(long, value_delimiter = ',', default_value = "1,64,256")]
    connections: Vec<usize>,
    /// Databases; Postgres is left out where its programs are missing
    #[arg(long, value_delimiter = ',', default_value = "sqlite,postgres")]
    databases: Vec<Database>,
    /// What is called
    #[arg(long, value_delimiter = ',', default_value = "create-secret,create-webhook")]
    procedures: Vec<Procedure>,
    /// Which tokens the calls bring
    #[arg(long, value_delimiter = ',', default_value = "fresh,seen")]
    tokens: Vec<Tokens>,
    /// The program to measure [default: the one built with this bench]
    #[arg(long, value_name = "FILE", default_value = env!("CARGO_BIN_EXE_athook"), hide_default_value = true)]
    athook: PathBuf,
    /// The program of an earlier commit, to be measured beside it
    #[arg(long, value_name = "FILE")]
    earlier: Option<PathBuf>,
    /// The folder in which the Node server is installed
    #[arg(long, value_name = "FOLDER")]
    node: Option<PathBuf>,
    /// The program of Envoy
    #[arg(long, value_name = "FILE")]
    envoy: Option<PathBuf>,
    /// Leave the yardsticks out
    #[arg(long)]
    bare: bool,
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
    // The client takes what it needs of one processor and leaves the rest to the services. Its connections are as those
    // of clients that know nothing of each other: it sends on one as soon as it has read from it.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_io_events_per_tick(CLIENT_IO_EVENTS)
        .build()?;
    // On the disk that holds the build: a folder in memory would make every commit free.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let documents = folder.path().join("dids");
    let callers = Callers::make(&documents)?;
    let programs = Programs::new(&documents, folder.path())?;
    let bench = Bench { args, callers, programs, runtime };
    println!("disk: {:.0} synced pages of 4 KiB a second", usage::synced_pages_per_second(folder.path())?);
    let mut errors = 0;
    for database in &args.databases {
        match database.open(&bench.args.athook, bench.args.earlier.as_deref(), folder.path())? {
            Some(opened) => errors += bench.measure(*database, &opened)?,
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

/// One of those that are measured by turns.
enum Contestant {
    Side(Side),
    Inserts(Inserts),
}

impl Bench<'_> {
    /// Everything on one database. Returns how many calls failed.
    fn measure(&self, database: Database, databases: &Databases) -> Result<u64, Failure> {
        let pair = Side::pair(&self.programs, &self.args.athook, &databases.pair)?;
        std::thread::sleep(REST);
        report::start(database, &pair)?;
        let mut contestants = vec![(What::Pair, Contestant::Side(pair))];
        contestants.extend(self.beside(databases)?);
        for (what, contestant) in &contestants {
            if let Contestant::Side(side) = contestant {
                let length = if *what == What::Node { NODE_WARM_UP } else { WARM_UP };
                for procedure in &self.args.procedures {
                    self.drive(side, *procedure, Tokens::Seen, WARM_UP_CONNECTIONS, length)?;
                }
            }
        }

        let mut cells = self.cells();
        let length = Duration::from_secs(self.args.seconds);
        for round in 1..=self.args.rounds {
            eprintln!("{database}: round {round} of {}", self.args.rounds);
            let mut turns: Vec<_> = contestants.iter().collect();
            if round % 2 == 0 {
                turns.reverse();
            }
            for cell in &mut cells {
                let Cell { procedure, tokens, connections, .. } = *cell;
                cell.begin_round(usage::signature_us()?);
                for (what, contestant) in &turns {
                    // Envoy verifies no token: it is as with one that was seen.
                    if *what == What::Envoy && tokens == Tokens::Fresh {
                        continue;
                    }
                    let sample = match contestant {
                        Contestant::Side(side) => self.drive(side, procedure, tokens, connections, length)?,
                        Contestant::Inserts(inserts) => inserts.run(procedure, connections, length)?,
                    };
                    cell.add(*what, sample);
                }
            }
        }
        report::table(&cells);
        report::peers(&cells);
        report::aims(&cells);
        let mut errors = cells.iter().map(Cell::errors).sum::<u64>();
        if let Some((What::Pair, Contestant::Side(pair))) = contestants.first() {
            let slow = self.beside_slow_clients(pair, length)?;
            report::slow(&slow);
            let disturbed = slow.iter().flat_map(|(undisturbed, disturbed)| [undisturbed, disturbed]);
            errors += disturbed.map(|sample| sample.errors).sum::<u64>();
        }
        Ok(errors)
    }

    /// What the pair is measured beside.
    fn beside(&self, databases: &Databases) -> Result<Vec<(What, Contestant)>, Failure> {
        let Args { athook, earlier, node, envoy, bare, .. } = self.args;
        let programs = &self.programs;
        let mut beside = Vec::new();
        if let Some(earlier) = earlier {
            beside
                .push((What::Earlier, Contestant::Side(Side::pair(programs, earlier, &databases.earlier)?)));
        }
        if !bare {
            let most = self.args.connections.iter().copied().max().unwrap_or(1);
            let inserts = Inserts::connect(&databases.inserts.url, &self.callers, most)?;
            beside.push((What::Inserts, Contestant::Inserts(inserts)));
            beside.push((What::Stubbed, Contestant::Side(Side::before_stub(programs, athook)?)));
        }
        if let (Some(node), Some(file)) = (node, &databases.node.file) {
            beside.push((What::Node, Contestant::Side(Side::node(programs, node, file)?)));
        }
        if let Some(envoy) = envoy {
            beside.push((What::Envoy, Contestant::Side(Side::envoy(programs, envoy)?)));
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

    /// Calls a side for `length`, and says what came of it and what it cost.
    fn drive(
        &self,
        side: &Side,
        procedure: Procedure,
        tokens: Tokens,
        connections: usize,
        length: Duration,
    ) -> Result<Sample, Failure> {
        let calls = Calls::sign(&self.callers, side.dialect, procedure, tokens, connections, length);
        self.runtime.block_on(client::see_tokens(side.front.address(), &calls))?;
        let before = side.cpu()?;
        let tally = self.runtime.block_on(client::run(side.front.address(), connections, calls, length))?;
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
            let slow = self.runtime.block_on(slow::Clients::connect(pair.front.address(), &token))?;
            let disturbed = ordinary()?;
            self.runtime.block_on(slow.leave());
            rounds.push((undisturbed, disturbed));
        }
        Ok(rounds)
    }
}
