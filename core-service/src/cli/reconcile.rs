//! `core-service reconcile`: reads wh records at their owners' PDSes.

use std::process::ExitCode;

use process::exit;
use process::output::print_line;
use process::settings::{Problems, RawShared, Shared, given};

use super::install_logs;
use crate::config::{Config, RawCoreArgs, RawListen};
use crate::domain::did::Did;
use crate::reconcile::{Reconciled, reconcile};

#[derive(clap::Args)]
pub(super) struct RawReconcile {
    /// The DID whose wh records are read [default: all known owners, and those that --relay knows]
    #[arg(long, value_name = "DID")]
    did: Option<String>,
    #[command(flatten)]
    core: RawCoreArgs,
    #[command(flatten)]
    shared: RawShared,
}

/// Not all accounts could be read. The log has the causes.
#[derive(Debug, thiserror::Error)]
#[error("the wh records of some accounts are not read; run it again")]
struct Incomplete;

pub(super) fn run(raw: RawReconcile) -> ExitCode {
    let RawReconcile { did, core, shared } = raw;
    let mut problems = Problems::new();
    let did: Option<Option<Did>> = match given(did) {
        Some(did) => problems.parse("--did", &did).map(Some),
        None => Some(None),
    };
    let shared = Shared::check(shared, &mut problems);
    // Nothing is served.
    let listen = RawListen { flag: "--listen", text: "127.0.0.1:0", protection: "" };
    let config = Config::check(core, listen, &shared, &mut problems);
    let exposed = problems.exposed_files();
    let (config, did) = match problems.finish(config.zip(did)) {
        Ok(settings) => settings,
        Err(error) => return exit::settings(&error),
    };
    install_logs(&exposed);
    exit::run(async move {
        let Reconciled { owners, unread, changed } = reconcile(config, did).await?;
        for owner in &unread {
            print_line(format_args!("not read: {owner}"))?;
        }
        let read = owners - unread.len();
        print_line(format_args!(
            "read the wh records of {read} of {owners} accounts; changed: those of {changed}"
        ))?;
        if unread.is_empty() { Ok(()) } else { Err(Incomplete.into()) }
    })
}
