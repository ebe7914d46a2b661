//! The `gateway` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    process::files::create_private();
    gateway::command(std::env::args_os())
}
