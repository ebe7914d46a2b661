//! `athook`: both services in one process, for a first try and for small installations; and each of them
//! alone, as `athook gateway …` and `athook core-service …`.
//!
//! Owns how the two services are combined, and the development identity.

mod both;
mod developer;
mod token;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Webhooks for AT Protocol services: gateway and core-service in one process.
#[derive(Parser)]
#[command(name = "athook", version, args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    both: both::RawBoth,
}

#[derive(Subcommand)]
enum Command {
    /// The gateway alone; see `athook gateway --help`
    #[command(disable_help_flag = true)]
    Gateway(Rest),
    /// The core-service alone and its commands; see `athook core-service --help`
    #[command(disable_help_flag = true)]
    CoreService(Rest),
    /// Print a service-auth token of the development identity
    Token(token::RawToken),
}

#[derive(clap::Args)]
struct Rest {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

impl Rest {
    fn named(self, name: &str) -> impl Iterator<Item = OsString> {
        std::iter::once(name.into()).chain(self.arguments)
    }
}

fn main() -> ExitCode {
    process::files::create_private();
    let Args { command, both } = Args::parse();
    match command {
        None => both::run(both),
        Some(Command::Gateway(rest)) => gateway::command(rest.named("gateway")),
        Some(Command::CoreService(rest)) => core_service::cli::command_main(rest.named("core-service")),
        Some(Command::Token(raw)) => token::run(raw),
    }
}
