//! The `gateway` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    gateway::command(std::env::args_os())
}
