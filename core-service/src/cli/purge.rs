//! `core-service purge`: deletes everything that one DID has.

use std::process::ExitCode;

use process::clock::Clock;
use process::exit;
use process::output::print_line;
use process::settings::Problems;

use super::install_logs;
use crate::config::{RawDatabase, check_database};
use crate::domain::did::Did;
use crate::store::commit::purge::Purged;
use crate::store::purge::purge_at;

#[derive(clap::Args)]
pub(super) struct RawPurge {
    /// The DID whose secrets, webhooks and events are removed
    #[arg(long, value_name = "DID")]
    did: String,
    #[command(flatten)]
    database: RawDatabase,
}

pub(super) fn run(raw: RawPurge) -> ExitCode {
    let RawPurge { did, database } = raw;
    let mut problems = Problems::new();
    let did: Option<Did> = problems.parse("--did", &did);
    let database = check_database(database, &mut problems);
    let exposed = problems.exposed_files();
    let (did, database) = match problems.finish(did.zip(database)) {
        Ok(settings) => settings,
        Err(error) => return exit::settings(&error),
    };
    install_logs(&exposed);
    exit::run(async move {
        let purged = purge_at(&database, &did, Clock::system().unix_ms()).await?;
        let Purged { secrets, webhooks, events, deliveries, attempts } = purged;
        print_line(format_args!(
            "removed of {did}: {secrets} secrets, {webhooks} webhooks, {events} events, {deliveries} deliveries, \
             {attempts} attempts"
        ))
    })
}
