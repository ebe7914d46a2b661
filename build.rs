//! Tells `athook version` which commit this is, with which compiler and for which machine it was built.
//!
//! Nothing that goes wrong here fails the build: then a value is "unknown". It runs again when `HEAD` moves.

use std::path::Path;
use std::process::Command;

const UNKNOWN: &str = "unknown";

fn main() {
    println!("cargo::rerun-if-env-changed=ATHOOK_REVISION");
    println!("cargo::rerun-if-changed=build.rs");
    let revision = revision_of_the_repository().or_else(|| variable("ATHOOK_REVISION"));
    let compiler = variable("RUSTC").and_then(|rustc| output(Command::new(rustc).arg("--version")));
    for (name, value) in
        [("ATHOOK_REVISION", revision), ("ATHOOK_RUSTC", compiler), ("ATHOOK_TARGET", variable("TARGET"))]
    {
        println!("cargo::rustc-env={name}={}", value.as_deref().unwrap_or(UNKNOWN));
    }
}

/// The commit that is checked out. `None` without git, and where this folder is not a repository of its own.
fn revision_of_the_repository() -> Option<String> {
    let own = std::env::current_dir().ok()?.canonicalize().ok()?;
    let top = git(&["rev-parse", "--show-toplevel"])?;
    if Path::new(&top).canonicalize().ok()? != own {
        return None;
    }
    // HEAD, and the branch that it names: as a file of its own, or among others in one. What is not there
    // must not be named, or each build would run this again.
    let branch = git(&["rev-parse", "--symbolic-full-name", "HEAD"]).filter(|name| name != "HEAD");
    for name in ["HEAD", "logs/HEAD", "packed-refs"].into_iter().chain(branch.as_deref()) {
        let file = git(&["rev-parse", "--git-path", name])?;
        if Path::new(&file).exists() {
            println!("cargo::rerun-if-changed={file}");
        }
    }
    git(&["rev-parse", "HEAD"])
}

fn git(arguments: &[&str]) -> Option<String> {
    output(Command::new("git").args(arguments))
}

/// The line that a command prints, if it succeeds.
fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    one_line(std::str::from_utf8(&output.stdout).ok()?)
}

#[expect(clippy::disallowed_methods, reason = "cargo tells build scripts by the environment")]
fn variable(name: &str) -> Option<String> {
    one_line(&std::env::var(name).ok()?)
}

/// The text, unless it is blank or more than a line, which could be an instruction to cargo.
fn one_line(text: &str) -> Option<String> {
    let line = text.trim();
    (!line.is_empty() && !line.contains('\n')).then(|| line.to_owned())
}
