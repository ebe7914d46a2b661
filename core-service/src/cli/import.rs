//! `core-service import`: reads an export from standard input or a file into an empty database.

use std::fs::File;
use std::io::{BufReader, stdin};
use std::process::ExitCode;

use process::clock::Clock;
use process::exit;
use process::settings::{Problems, given};

use super::install_logs;
use crate::config::{RawDatabase, check_database};
use crate::store::operator::transfer::import::import;
use crate::store::operator::transfer::line::RowCounts;

#[derive(clap::Args)]
pub(super) struct RawImport {
    #[command(flatten)]
    database: RawDatabase,
    /// Read from this file [default: standard input]
    #[arg(long, value_name = "FILE")]
    from: Option<String>,
}

pub(super) fn run(raw: RawImport) -> ExitCode {
    let RawImport { database, from } = raw;
    let mut problems = Problems::new();
    let database = check_database(database, &mut problems);
    let exposed = problems.exposed_files();
    let database = match problems.finish(database) {
        Ok(database) => database,
        Err(error) => return exit::settings(&error),
    };
    install_logs(&exposed);
    exit::run(async move {
        let now_ms = Clock::system().unix_ms();
        let counts = match given(from) {
            None => import(&database, stdin().lock(), now_ms).await?,
            Some(path) => {
                let file = File::open(&path).map_err(|error| format!("--from {path}: {error}"))?;
                import(&database, BufReader::new(file), now_ms).await?
            }
        };
        let RowCounts { accounts, secrets, webhooks, events, deliveries, attempts, .. } = counts;
        tracing::info!(accounts, secrets, webhooks, events, deliveries, attempts, "imported");
        Ok(())
    })
}
