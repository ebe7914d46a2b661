//! `core-service reseal`: moves every sealed value to the first of the seal keys.
//!
//! Owns the loop over the batches, its pauses and progress logs, and when the work counts as done. A batch is
//! the store's ([`crate::store::operator::reseal`]).

use std::process::ExitCode;
use std::time::Duration;

use process::exit::{self, Failure};
use process::settings::Problems;
use process::shutdown::Shutdown;
use tokio::time::sleep;

use super::install_logs;
use crate::config::keys::seal_keys;
use crate::config::{RawDatabase, check_database};
use crate::randomness::Randomness;
use crate::seal::SealKeys;
use crate::store::database::url::DatabaseUrl;
use crate::store::operator::reseal::{Counts, Cursor, Reseal};

/// The pause after a batch that wrote: SQLite has one writer at a time, and services write too.
const PAUSE: Duration = Duration::from_millis(10);

#[derive(clap::Args)]
pub(super) struct RawReseal {
    #[command(flatten)]
    database: RawDatabase,
    /// The keys: one standard-base64 32-byte key a line; all open, and everything moves to the first
    #[arg(long, env = "SEAL_KEYS_FILE", value_name = "FILE")]
    seal_keys_file: Option<String>,
}

/// Reseal ended, but the older keys are still needed.
#[derive(Debug, thiserror::Error)]
enum Incomplete {
    #[error("stopped before the end; run it again to go on")]
    Stopped,
    #[error("{0} sealed values do not open and were left as they are; the lines above have their ids")]
    Unopenable(u64),
    #[error(
        "{0} sealed values came under another key meanwhile; start every core-service with these keys, then run it again"
    )]
    Left(u64),
}

pub(super) fn run(raw: RawReseal) -> ExitCode {
    let RawReseal { database, seal_keys_file } = raw;
    let mut problems = Problems::new();
    let database = check_database(database, &mut problems);
    let keys = seal_keys(seal_keys_file, &mut problems);
    let exposed = problems.exposed_files();
    let (database, keys) = match problems.finish(database.zip(keys)) {
        Ok(settings) => settings,
        Err(error) => return exit::settings(&error),
    };
    install_logs(&exposed);
    exit::run(async move {
        let shutdown = Shutdown::new(Duration::ZERO, Duration::ZERO);
        shutdown.begin_on_signal()?;
        reseal(&database, keys, &shutdown).await
    })
}

async fn reseal(url: &DatabaseUrl, keys: SealKeys, shutdown: &Shutdown) -> Result<(), Failure> {
    let reseal = Reseal::open(url, keys, Randomness::of_the_system()).await?;
    let ended = reseal_all(&reseal, shutdown).await;
    reseal.close().await;
    ended
}

async fn reseal_all(reseal: &Reseal, shutdown: &Shutdown) -> Result<(), Failure> {
    let total = reseal.total().await?;
    tracing::info!(total, "resealing");
    let mut counts = Counts::default();
    let mut cursor = Cursor::START;
    loop {
        if shutdown.is_leaving() {
            report(counts, total);
            return Err(Incomplete::Stopped.into());
        }
        let (batch, next) = reseal.batch(cursor).await?;
        counts.add(batch);
        let Some(next) = next else { break };
        cursor = next;
        if batch.total() > 0 {
            tracing::info!(done = counts.total(), total, "resealing");
        }
        if batch.resealed > 0 {
            sleep(PAUSE).await;
        }
    }
    counts.add(reseal.index_key().await?);
    report(counts, total);
    if counts.unopenable > 0 {
        return Err(Incomplete::Unopenable(counts.unopenable).into());
    }
    match reseal.under_other_keys().await? {
        0 => {
            tracing::info!("every sealed value is under the first key");
            Ok(())
        }
        left => Err(Incomplete::Left(left).into()),
    }
}

fn report(counts: Counts, total: u64) {
    let Counts { resealed, current, changed, unopenable } = counts;
    tracing::info!(
        resealed,
        already_current = current,
        changed_meanwhile = changed,
        unopenable,
        total,
        "resealed"
    );
}
