//! The command line: `core-service` serves, `core-service migrate` brings the schema up to date and ends.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use process::exit;
use process::logs::Logs;
use process::settings::{Problems, RawShared, Shared, or_default};
use process::shutdown::Shutdown;

use crate::config::{Config, RawCoreArgs, RawDatabase, RawListen, check_database};

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
    /// Bring the database's schema up to date, and end
    Migrate(MigrateArgs),
}

#[derive(Args)]
struct ServeArgs {
    /// The address to serve gRPC on
    #[arg(long, env = "CORE_LISTEN", default_value = LISTEN, value_name = "ADDRESS")]
    listen: String,
    #[command(flatten)]
    core: RawCoreArgs,
    #[command(flatten)]
    shared: RawShared,
}

#[derive(Args)]
struct MigrateArgs {
    #[command(flatten)]
    database: RawDatabase,
}

const LISTEN: &str = "127.0.0.1:50051";

/// The whole program, for `args` with the program's name first.
#[must_use]
pub fn command_main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let Cli { command, serve } = Cli::parse_from(args);
    match command {
        None => run_serve(serve),
        Some(Command::Serve(serve)) => run_serve(*serve),
        Some(Command::Migrate(migrate)) => run_migrate(migrate),
    }
}

fn run_serve(args: ServeArgs) -> ExitCode {
    let ServeArgs { listen, core, shared } = args;
    let mut problems = Problems::new();
    let listen = RawListen { flag: "--listen", text: or_default(&listen, LISTEN) };
    let shared = Shared::check(shared, &mut problems);
    let config = Config::check(core, listen, &shared, &mut problems);
    let config = match problems.finish(config) {
        Ok(config) => config,
        Err(error) => return exit::settings(&error),
    };
    shared.logs.install();
    exit::run(async move {
        let shutdown = Shutdown::new(shared.shutdown_delay, shared.drain_limit);
        shutdown.begin_on_signal()?;
        let listener = exit::listen("--listen", config.listen()).await?;
        let health_listener = match config.health_listen() {
            Some(address) => Some(exit::listen("--health-listen", address).await?),
            None => None,
        };
        crate::serve(config, listener, health_listener, shutdown).await?;
        Ok(())
    })
}

fn run_migrate(args: MigrateArgs) -> ExitCode {
    let MigrateArgs { database } = args;
    let mut problems = Problems::new();
    let database = check_database(database, &mut problems);
    let database = match problems.finish(database) {
        Ok(database) => database,
        Err(error) => return exit::settings(&error),
    };
    Logs { filter: "info".to_owned(), format: Logs::default_format() }.install();
    exit::run(async move { Ok(crate::store::migrate(&database).await?) })
}
