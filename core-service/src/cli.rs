//! The command line: `core-service` serves; every other command has a file of its own, does its work and
//! ends.

mod export;
mod import;
mod migrate;
mod purge;
mod reconcile;
mod requeue;
mod reseal;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use process::exit;
use process::files::ExposedFile;
use process::logs::Logs;
use process::settings::groups::matches_from;
use process::settings::{Problems, RawShared, Shared, given, or_default};
use process::shutdown::Shutdown;
use process::telemetry::Watch;

use crate::config::protection::PROTECTION;
use crate::config::{Config, RawCoreArgs, RawListen};

#[derive(Parser)]
#[command(name = "core-service", version, about = "athook's secrets and webhooks, behind gRPC")]
#[command(args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Serve gRPC; this is what happens without a command
    Serve(Box<ServeArgs>),
    /// Bring the database's schema up to date
    Migrate(migrate::RawMigrate),
    /// Seal everything under the first of the seal keys, beside services that run
    ///
    /// First start every core-service with the new key as the first line of its file and the old one after
    /// it. After this command has succeeded the old key can go. It can be stopped, and run again to go on.
    Reseal(reseal::RawReseal),
    /// Write all rows as lines of JSON, to be read by `import`
    ///
    /// What is sealed stays sealed, and the key under which URLs are hashed comes along: the other database
    /// needs the same file of seal keys. The lines are the database as it was at the beginning; what is
    /// written later is not in them.
    Export(export::RawExport),
    /// Read what `export` wrote into an empty database
    ///
    /// Brings the schema up to date, and writes all rows or none. The core-service of that database needs the
    /// file of seal keys of the one that was exported.
    Import(import::RawImport),
    /// Remove all secrets, webhooks and events of a DID
    ///
    /// Deliveries and attempts go with their events, in steps, beside services that run. It can be repeated:
    /// if it was stopped, the next run removes the rest.
    Purge(purge::RawPurge),
    /// Read wh records at their owners' PDSes, beside services that run
    ///
    /// What a service does by itself at its start, once a day and after a gap. It takes the settings of a
    /// service. What the network has said since wins; records that are no longer there go only if the list of
    /// their owner is complete.
    Reconcile(Box<reconcile::RawReconcile>),
    /// Make deliveries once more that were attempted since a time, beside services that run
    ///
    /// For receivers that lost what they got, or a database that lost what became of attempts. Each keeps its
    /// webhook-id, by which receivers know what they have. Leases that have ended are freed. What ends after
    /// the command has begun is left alone, and so is what was cancelled, has no payload any more, or belongs
    /// to a webhook that is off or deleted.
    Requeue(requeue::RawRequeue),
}

#[derive(Args)]
struct ServeArgs {
    /// The address to serve gRPC on
    #[arg(long, env = "CORE_LISTEN", default_value = LISTEN, value_name = "ADDRESS")]
    listen: String,
    /// Where clients reach the gateway; receivers of deliveries see it in `User-Agent`
    #[arg(long, env = "PUBLIC_URL", value_name = "URL")]
    public_url: Option<String>,
    #[command(flatten)]
    core: RawCoreArgs,
    #[command(flatten)]
    shared: RawShared,
}

const LISTEN: &str = "127.0.0.1:50051";

/// The command line of `core-service`.
#[must_use]
pub fn command_line() -> clap::Command {
    Cli::command()
}

/// Runs the program. The first of `args` is the program's name.
#[must_use]
pub fn command_main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = matches_from(command_line(), args);
    let Cli { command, serve } = Cli::from_arg_matches(&args).unwrap_or_else(|error| error.exit());
    match command {
        None => run_serve(serve),
        Some(Command::Serve(serve)) => run_serve(*serve),
        Some(Command::Migrate(raw)) => migrate::run(raw),
        Some(Command::Reseal(raw)) => reseal::run(raw),
        Some(Command::Export(raw)) => export::run(raw),
        Some(Command::Import(raw)) => import::run(raw),
        Some(Command::Purge(raw)) => purge::run(raw),
        Some(Command::Reconcile(raw)) => reconcile::run(*raw),
        Some(Command::Requeue(raw)) => requeue::run(raw),
    }
}

fn run_serve(args: ServeArgs) -> ExitCode {
    let ServeArgs { listen, public_url, core, shared } = args;
    let mut problems = Problems::new();
    let listen = RawListen { flag: "--listen", text: or_default(&listen, LISTEN), protection: PROTECTION };
    let shared = Shared::check(shared, &mut problems);
    let config = Config::check(core, listen, &shared, &mut problems);
    let public_url =
        given(public_url).and_then(|url| problems.http_url("--public-url", &url, "https://hooks.example"));
    let config = match problems.finish(config) {
        Ok(config) => config,
        Err(error) => return exit::settings(&error),
    };
    let config = match public_url {
        Some(url) => config.with_public_url(url),
        None => config,
    };
    shared.logs.install();
    exit::run(async move {
        let shutdown = Shutdown::new(shared.shutdown_delay, shared.drain_limit);
        shutdown.begin_on_signal()?;
        let mut watch = Watch::start(&shared, &config.clock)?;
        let telemetry = watch.telemetry("athook-core-service")?;
        let listener = exit::listen("--listen", config.listen())?;
        let health_listener = match config.health_listen() {
            Some(address) => Some(exit::listen("--health-listen", address)?),
            None => None,
        };
        let served = crate::serve(config, listener, health_listener, shutdown, telemetry).await;
        watch.end().await;
        Ok(served?)
    })
}

/// Sets up the logs of a command that is not a service, to standard error at `info`, and warns of the files
/// with secrets that others can read.
fn install_logs(exposed: &[ExposedFile]) {
    Logs { filter: "info".to_owned(), format: Logs::default_format() }.install();
    for file in exposed {
        file.warn();
    }
}
