//! `athook completion`: a script with which a shell completes commands and flags.

use std::process::ExitCode;

use clap::Command;
use clap_complete::{Shell, generate};
use process::output::print;

/// The flags of `athook completion`.
#[derive(clap::Args)]
pub(crate) struct RawCompletion {
    /// The shell that reads the script
    shell: Shell,
}

/// Prints the script for `command`, the whole command line.
pub(crate) fn run(raw: &RawCompletion, command: Command) -> ExitCode {
    let mut command = with_services(command);
    let mut script = Vec::new();
    generate(raw.shell, &mut command, "athook", &mut script);
    process::exit::run(async move { print(String::from_utf8(script)?) })
}

/// The two services have command lines of their own.
fn with_services(command: Command) -> Command {
    command
        .mut_subcommand("gateway", |_| gateway::command_line())
        .mut_subcommand("core-service", |_| core_service::cli::command_line())
}
