//! `core-service migrate`: brings the database's schema up to date.

use std::process::ExitCode;

use process::exit;
use process::settings::Problems;

use super::install_logs;
use crate::config::{RawDatabase, check_database};
use crate::store;

#[derive(clap::Args)]
pub(super) struct RawMigrate {
    #[command(flatten)]
    database: RawDatabase,
}

pub(super) fn run(raw: RawMigrate) -> ExitCode {
    let RawMigrate { database } = raw;
    let mut problems = Problems::new();
    let database = check_database(database, &mut problems);
    let exposed = problems.exposed_files();
    let database = match problems.finish(database) {
        Ok(database) => database,
        Err(error) => return exit::settings(&error),
    };
    install_logs(&exposed);
    exit::run(async move { Ok(store::migrate(&database).await?) })
}
