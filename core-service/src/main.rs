//! The `core-service` binary; everything is in the library, so that `athook core-service` is the same.

use std::process::ExitCode;

fn main() -> ExitCode {
    core_service::cli::command_main(std::env::args_os())
}
