//! `athook version`: what exactly this program is.

use std::process::ExitCode;

use process::output::print_line;

/// Prints the version, the commit, the compiler and the target, each on a line. What the build could not find
/// out is `unknown`.
pub(crate) fn run() -> ExitCode {
    process::exit::run(async { print_line(text()) })
}

fn text() -> String {
    format!(
        "athook {}\ncommit {}\n{}\ntarget {}",
        env!("CARGO_PKG_VERSION"),
        env!("ATHOOK_REVISION"),
        env!("ATHOOK_RUSTC"),
        env!("ATHOOK_TARGET"),
    )
}
