//! `core-service reseal`: every sealed value under the first of the seal keys.
//!
//! Owns the loop, its pauses, its reports, and what counts as done; a round is the store's.

use std::process::ExitCode;
use std::time::Duration;

use process::exit::{self, Failure};
use process::settings::Problems;
use process::shutdown::Shutdown;
use tokio::time::sleep;

use super::install_logs;
use crate::config::{RawDatabase, check_database, seal_keys};
use crate::randomness::Randomness;
use crate::seal::SealKeys;
use crate::store::database::DatabaseUrl;
use crate::store::operator::reseal::{Cursor, Reseal, Tally};

/// Between two batches that wrote: SQLite has one writer at a time, and the services want their turn.
const PAUSE: Duration = Duration::from_millis(10);

#[derive(clap::Args)]
pub(super) struct RawReseal {
    #[command(flatten)]
    database: RawDatabase,
    /// The keys: one standard-base64 32-byte key a line; all open, and everything moves to the first
    #[arg(long, env = "SEAL_KEYS_FILE", value_name = "FILE")]
    seal_keys_file: Option<String>,
}

/// It ended, and yet the older keys are still needed.
#[derive(Debug, thiserror::Error)]
enum NotDone {
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
    let (database, keys) = match problems.finish(database.zip(keys)) {
        Ok(settings) => settings,
        Err(error) => return exit::settings(&error),
    };
    install_logs();
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
    let mut tally = Tally::default();
    let mut at = Cursor::START;
    loop {
        if shutdown.is_leaving() {
            report(tally, total);
            return Err(NotDone::Stopped.into());
        }
        let (batch, next) = reseal.round(at).await?;
        tally.add(batch);
        let Some(next) = next else { break };
        at = next;
        if batch.done() > 0 {
            tracing::info!(done = tally.done(), total, "resealing");
        }
        if batch.resealed > 0 {
            sleep(PAUSE).await;
        }
    }
    tally.add(reseal.index_key().await?);
    report(tally, total);
    if tally.unopenable > 0 {
        return Err(NotDone::Unopenable(tally.unopenable).into());
    }
    match reseal.under_other_keys().await? {
        0 => {
            tracing::info!("every sealed value is under the first key");
            Ok(())
        }
        left => Err(NotDone::Left(left).into()),
    }
}

fn report(tally: Tally, total: u64) {
    let Tally { resealed, current, changed, unopenable } = tally;
    tracing::info!(
        resealed,
        already_current = current,
        changed_meanwhile = changed,
        unopenable,
        total,
        "resealed"
    );
}
