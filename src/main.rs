//! `athook`: both services in one process, for small installations and, as `athook dev`, for a first try;
//! each of them alone, as `athook gateway …` and `athook core-service …`; and the tools, one file a command.
//!
//! Owns how the two services are combined, and the development identity.

#![warn(clippy::print_stdout, clippy::print_stderr, reason = "they panic: see process::output")]

mod banner;
mod both;
mod call;
mod command_line;
mod completion;
mod deliveries;
mod developer;
mod doctor;
mod event_types;
mod listen;
mod printable;
mod publish;
mod redeliver;
mod running;
mod send_test;
mod sign;
mod site_session;
mod table;
mod token;
mod unique_names;
mod verdict;
mod version;
mod xrpc;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use process::settings::groups::matches_from;

/// Webhooks for AT Protocol services: gateway and core-service in one process. For a first try: athook dev
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
    /// Both services for a first try: on loopback only, with a development identity, and with webhooks to
    /// loopback and by http
    Dev(Box<both::RawBoth>),
    /// The gateway alone; see `athook gateway --help`
    #[command(disable_help_flag = true)]
    Gateway(Rest),
    /// The core-service alone and its commands; see `athook core-service --help`
    #[command(disable_help_flag = true)]
    CoreService(Rest),
    /// Print a service-auth token of the development identity, which a running `athook dev` takes
    Token(token::RawToken),
    /// Publish an event to a core-service
    Publish(publish::RawPublish),
    /// Receive deliveries on this machine, print them and verify their signatures
    Listen(listen::RawListen),
    /// Call a method at a running `athook dev`, as the development identity
    Call(call::RawCall),
    /// Show what became of a webhook's events, from a running `athook dev`
    Deliveries(deliveries::RawDeliveries),
    /// Make a delivery once more, at a running `athook dev`
    Redeliver(redeliver::RawRedeliver),
    /// Send a sample event to a webhook, at a running `athook dev`, and say what came of it
    Test(send_test::RawTest),
    /// Print the header fields that sign a body
    Sign(sign::RawSign),
    /// Say whether the signatures of a request fit a token
    Verify(sign::RawVerify),
    /// Print a script that completes commands and flags in a shell
    ///
    /// For bash: athook completion bash > ~/.local/share/bash-completion/completions/athook
    Completion(completion::RawCompletion),
    /// Say what the settings of `athook` lead to: what can be reached, what can't, and which flag changes it
    ///
    /// Changes nothing. Exit code 0: `athook` works with these settings; 1: it does not, or not all of it.
    /// Where an `athook dev` runs in this folder its rules are taken.
    Doctor(Box<both::RawBoth>),
    /// Print the version, the commit, the compiler and the target
    Version,
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
    let arguments = matches_from(Args::command(), std::env::args_os());
    let Args { command, both } = Args::from_arg_matches(&arguments).unwrap_or_else(|error| error.exit());
    match command {
        None => both::run(both),
        Some(Command::Gateway(rest)) => gateway::command(rest.named("gateway")),
        Some(Command::CoreService(rest)) => core_service::cli::command_main(rest.named("core-service")),
        Some(Command::Dev(raw)) => both::run_dev(*raw),
        Some(Command::Token(raw)) => token::run(raw),
        Some(Command::Publish(raw)) => publish::run(raw),
        Some(Command::Listen(raw)) => listen::run(raw),
        Some(Command::Call(raw)) => call::run(raw),
        Some(Command::Deliveries(raw)) => deliveries::run(raw),
        Some(Command::Redeliver(raw)) => redeliver::run(raw),
        Some(Command::Test(raw)) => send_test::run(raw),
        Some(Command::Sign(raw)) => sign::run_sign(raw),
        Some(Command::Verify(raw)) => sign::run_verify(raw),
        Some(Command::Completion(raw)) => completion::run(&raw, Args::command()),
        Some(Command::Doctor(raw)) => doctor::run(*raw),
        Some(Command::Version) => version::run(),
    }
}
