//! The `core-service` binary. All of it is in the library, so that `athook core-service` is the same program.

use std::process::ExitCode;

fn main() -> ExitCode {
    process::files::create_private();
    core_service::cli::command_main(std::env::args_os())
}
