//! `core-service export`: writes all rows of a database to standard output or into a new file.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write as _, stdout};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use process::exit::{self, Failure};
use process::settings::{Problems, given};

use super::install_logs;
use crate::config::{RawDatabase, check_database};
use crate::store::database::url::DatabaseUrl;
use crate::store::operator::transfer::export::export;
use crate::store::operator::transfer::line::RowCounts;

/// The mode of a new file: only its owner may read it. An export has all DIDs and all sealed values.
const MODE: u32 = 0o600;

#[derive(clap::Args)]
pub(super) struct RawExport {
    #[command(flatten)]
    database: RawDatabase,
    /// Write into this file, which must not exist yet [default: standard output]
    #[arg(long, value_name = "FILE")]
    to: Option<String>,
}

pub(super) fn run(raw: RawExport) -> ExitCode {
    let RawExport { database, to } = raw;
    let mut problems = Problems::new();
    let database = check_database(database, &mut problems);
    let exposed = problems.exposed_files();
    let database = match problems.finish(database) {
        Ok(database) => database,
        Err(error) => return exit::settings(&error),
    };
    install_logs(&exposed);
    exit::run(async move {
        let counts = match given(to) {
            None => export(&database, &mut BufWriter::new(stdout().lock())).await?,
            Some(path) => export_to_file(&database, &PathBuf::from(path)).await?,
        };
        let RowCounts { accounts, secrets, webhooks, events, deliveries, attempts, .. } = counts;
        tracing::info!(accounts, secrets, webhooks, events, deliveries, attempts, "exported");
        Ok(())
    })
}

/// Exports into a new file, which is on disk when this returns, and is removed if the export fails.
async fn export_to_file(database: &DatabaseUrl, path: &Path) -> Result<RowCounts, Failure> {
    let with_path = |error: std::io::Error| format!("--to {}: {error}", path.display());
    let file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(path).map_err(with_path)?;
    let written = write(database, file).await;
    if written.is_err()
        && let Err(error) = std::fs::remove_file(path)
    {
        tracing::warn!("{}", with_path(error));
    }
    written
}

async fn write(database: &DatabaseUrl, file: File) -> Result<RowCounts, Failure> {
    let mut file = BufWriter::new(file);
    let counts = export(database, &mut file).await?;
    file.flush()?;
    file.get_ref().sync_all()?;
    Ok(counts)
}
