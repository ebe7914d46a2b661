//! `cargo bench --bench delivery`: from a published event to its arrival, beside two yardsticks, in one run.
//!
//! The core-service runs as a release process, as an operator runs it, and delivers to a [`receiver`] that
//! answers at once, over plain HTTP on loopback. [`publishing`] has 200 webhooks at 50 origins, all signed,
//! and publishes events with a fan-out of 1 and of 50. The yardsticks are
//!
//! - the bare client ([`posting`]): the HTTP client of the core-service posts the same bodies, signed alike,
//!   to the same receiver;
//! - the bare inserts ([`rows`]): the rows of the same events, deliveries and attempts.
//!
//! Then, at one fan-out, the same deliveries in other [`circumstances`], among them those of a peer.
//!
//! All are measured in turn, in several rounds, every second one in reverse order, and medians are reported,
//! so that a machine that becomes slower slows all of them. A delivery that is missing or doubled is an
//! error.
//!
//! This file owns the command line and the order of measurements. What starts processes and databases is the
//! load bench's.

#[path = "../../tests/it/harness/receiver.rs"]
#[expect(dead_code, clippy::unwrap_used, reason = "the tests use more of it, and may panic")]
mod authority;
mod circumstances;
#[path = "../load/databases.rs"]
#[expect(dead_code, reason = "the load bench uses more of it")]
mod databases;
#[path = "../load/figures.rs"]
mod figures;
mod graphile;
mod pace;
#[path = "../../tests/it/harness/postgres.rs"]
#[expect(dead_code, clippy::unwrap_used, reason = "the tests use more of it, and may panic")]
mod postgres;
mod posting;
#[path = "../load/programs.rs"]
#[expect(dead_code, reason = "the load bench uses more of it")]
mod programs;
mod publishing;
mod receiver;
mod report;
mod rows;
mod sample;
mod server;
#[path = "../load/usage.rs"]
#[expect(dead_code, reason = "the load bench uses more of it")]
mod usage;
mod waiting;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use process::exit::{Failure, chain};
use tokio::runtime::Runtime;

use crate::authority::Authority;
use crate::circumstances::{Circumstance, Setting, prepare};
use crate::databases::{Database, Databases, OpenDatabase};
use crate::pace::{Measured, Pace};
use crate::posting::Posting;
use crate::programs::Programs;
use crate::publishing::Publishing;
use crate::receiver::{Behaviour, Receiver};
use crate::report::{Compared, Contestant, Results};
use crate::rows::Rows;
use crate::server::Server;

/// Ports of the receiver, each an origin.
const ORIGINS: usize = 50;
/// Deliveries a second of the paced measurements.
const PACED_DELIVERIES: usize = 200;
/// Deliveries of a burst.
const BURST_DELIVERIES: usize = 10_000;
/// Length of the warm-up of each contestant.
const WARM_UP: Duration = Duration::from_secs(1);

/// Measures deliveries beside yardsticks.
#[derive(clap::Parser)]
#[command(name = "delivery")]
struct Args {
    /// Seconds of each measurement
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// Rounds, best an even number; their medians are reported
    #[arg(long, default_value_t = 4)]
    rounds: usize,
    /// Webhooks that want each event
    #[arg(long, value_delimiter = ',', default_value = "1,50")]
    fan_outs: Vec<usize>,
    /// Other circumstances, measured at the last of the fan-outs
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "plain,tls,hanging,hanging-tls,waiting,two,three,graphile,graphile-batches"
    )]
    circumstances: Vec<Circumstance>,
    /// Measures the circumstances alone
    #[arg(long)]
    only_circumstances: bool,
    /// A copy of `benches/peers/graphile` in which npm has installed its packages
    #[arg(long, value_name = "FOLDER")]
    graphile: Option<PathBuf>,
    /// Databases; Postgres is skipped where it is not installed
    #[arg(long, value_delimiter = ',', default_value = "sqlite,postgres")]
    databases: Vec<Database>,
    /// The program to measure [default: the one built with this bench]
    #[arg(long, value_name = "FILE", default_value = env!("CARGO_BIN_EXE_athook"), hide_default_value = true)]
    athook: PathBuf,
    /// The program of an earlier commit to measure beside it
    #[arg(long, value_name = "FILE")]
    earlier: Option<PathBuf>,
    /// Set by `cargo bench`; without it, as when `cargo test --all-targets` runs this program, nothing is
    /// done
    #[arg(long, hide = true)]
    bench: bool,
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
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let authority = folder.path().join("authority.pem");
    std::fs::write(&authority, &Authority::shared().pem)?;
    let bench = Bench {
        args,
        authority,
        programs: Programs::new(folder.path(), folder.path())?,
        receiver: Receiver::start(ORIGINS, Behaviour { tls: false, hangs: false })?,
        runtime,
    };
    println!("disk: {:.0} synced pages of 4 KiB a second", usage::synced_pages_per_second(folder.path())?);
    let (mut all, mut compared) = (Vec::new(), Vec::new());
    for database in &args.databases {
        match database.open(folder.path())? {
            Some(opened) => {
                let pair = opened.create("pair", &args.athook)?;
                let measured = Measured::new(bench.runtime.block_on(Server::of(&pair.url))?);
                if !args.only_circumstances {
                    all.extend(bench.measure(*database, &opened, &pair, &measured)?);
                }
                compared.push(bench.compare(*database, &opened, &measured)?);
            }
            None => println!("{database}: not installed; skipped"),
        }
    }
    for results in &all {
        results.table();
    }
    for one in &compared {
        one.table();
    }
    println!(
        "\nsteady: published as fast as delivered; burst: as fast as accepted, {BURST_DELIVERIES} deliveries"
    );
    println!(
        "paced: {PACED_DELIVERIES} deliveries a second; CPU: of a delivery, in the processes that deliver,"
    );
    println!("and with that of Postgres\n");
    for results in &all {
        results.aims();
    }
    for one in &compared {
        one.aims();
    }
    report::databases(&compared);
    Ok(())
}

struct Bench<'a> {
    args: &'a Args,
    programs: Programs,
    /// The file of the authority of receivers with TLS.
    authority: PathBuf,
    receiver: Receiver,
    runtime: Runtime,
}

impl Bench<'_> {
    /// Measures all fan-outs on one database.
    fn measure(
        &self,
        database: Database,
        databases: &Databases,
        pair: &OpenDatabase,
        measured: &Measured,
    ) -> Result<Vec<Results>, Failure> {
        let athook = self.publishing(&self.args.athook, &pair.url, measured)?;
        let earlier = match &self.args.earlier {
            Some(earlier) => {
                Some(self.publishing(earlier, &databases.create("earlier", earlier)?.url, measured)?)
            }
            None => None,
        };
        let posting = Posting::new(&self.receiver)?;
        let inserts = databases.create("inserts", &self.args.athook)?;
        let rows = self.runtime.block_on(Rows::connect(&inserts.url))?;
        posting.run(WARM_UP, None)?;

        let length = Duration::from_secs(self.args.seconds);
        let mut all = Vec::new();
        for &fan_out in &self.args.fan_outs {
            let pause = Duration::from_secs(1) * u32::try_from(fan_out)? / u32::try_from(PACED_DELIVERIES)?;
            let paces = [Pace::Steady(length), burst(fan_out)?, Pace::Paced(length, pause)];
            let contestants = [Contestant::Steady, Contestant::Burst, Contestant::Paced];
            let before = [Contestant::EarlierSteady, Contestant::EarlierBurst, Contestant::EarlierPaced];
            let run = |of: &Publishing, pace| {
                self.runtime.block_on(measured.run(of, &self.receiver, fan_out, pace))
            };
            let mut results = Results { database, fan_out, samples: BTreeMap::new() };
            for round in 1..=self.args.rounds {
                eprintln!("{database}, fan-out {fan_out}: round {round} of {}", self.args.rounds);
                let mut turns: Vec<usize> = (0..paces.len()).collect();
                if round % 2 == 0 {
                    turns.reverse();
                }
                for turn in turns {
                    let mut add = |who, sample| results.samples.entry(who).or_default().push(sample);
                    add(contestants[turn], run(&athook, paces[turn])?);
                    if let Some(earlier) = &earlier {
                        add(before[turn], run(earlier, paces[turn])?);
                    }
                    match contestants[turn] {
                        Contestant::Steady => add(Contestant::Posts, posting.run(length, None)?),
                        Contestant::Paced => {
                            let pause = pause / u32::try_from(fan_out)?;
                            add(Contestant::PacedPosts, posting.run(length, Some(pause))?);
                        }
                        _ => add(Contestant::Rows, self.runtime.block_on(rows.run(fan_out, length))?),
                    }
                }
            }
            all.push(results);
        }
        Ok(all)
    }

    /// Measures the circumstances on one database.
    fn compare(
        &self,
        database: Database,
        databases: &Databases,
        measured: &Measured,
    ) -> Result<Compared, Failure> {
        let fan_out = self.args.fan_outs.last().copied().ok_or("no fan-out")?;
        let setting = Setting {
            programs: &self.programs,
            authority: &self.authority,
            runtime: &self.runtime,
            athook: &self.args.athook,
            graphile: self.args.graphile.as_deref(),
            measured,
            fan_out,
        };
        let mut prepared = prepare(&setting, database, databases, &self.args.circumstances)?;
        let paces = [Pace::Steady(Duration::from_secs(self.args.seconds)), burst(fan_out)?];
        let mut compared = Compared { database, fan_out, samples: BTreeMap::new() };
        for round in 1..=self.args.rounds {
            for one in &mut prepared {
                eprintln!("{database}, {}: round {round} of {}", one.circumstance, self.args.rounds);
                let samples = one.measure(&setting, Pace::Steady(WARM_UP), &paces)?;
                compared.samples.entry(one.circumstance).or_default().push(samples);
            }
            prepared.reverse();
        }
        Ok(compared)
    }

    /// Starts an `athook` with the webhooks of all fan-outs, and delivers some events to each.
    fn publishing(
        &self,
        athook: &Path,
        database_url: &str,
        measured: &Measured,
    ) -> Result<Publishing, Failure> {
        let Self { programs, authority, runtime, receiver, .. } = self;
        let mut publishing =
            Publishing::start(programs, authority, runtime, athook, database_url, 1, Vec::new())?;
        runtime.block_on(async {
            for &fan_out in &self.args.fan_outs {
                publishing.make_webhooks(receiver, fan_out).await?;
                measured.run(&publishing, receiver, fan_out, Pace::Steady(WARM_UP)).await?;
            }
            Ok(publishing)
        })
    }
}

fn burst(fan_out: usize) -> Result<Pace, Failure> {
    Ok(Pace::Burst(u32::try_from(BURST_DELIVERIES / fan_out)?))
}
