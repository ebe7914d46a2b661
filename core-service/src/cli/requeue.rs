//! `core-service requeue`: makes deliveries once more that were attempted since a time.

use std::process::ExitCode;

use chrono::{DateTime, SecondsFormat};
use process::clock::Clock;
use process::exit;
use process::output::print_line;
use process::settings::{Problems, given};

use super::install_logs;
use crate::config::delivery::{MAX_PENDING, max_pending};
use crate::config::{RawDatabase, check_database};
use crate::store::commit::requeue::Requeued;
use crate::store::requeue::{Done, Request, requeue_at};

#[derive(clap::Args)]
pub(super) struct RawRequeue {
    /// Deliveries that were last attempted at or after this time: 2026-11-29T08:00:00Z
    #[arg(long, value_name = "DATETIME")]
    since: String,
    /// … and before this time [default: now]
    #[arg(long, value_name = "DATETIME")]
    before: Option<String>,
    /// Deliveries that may wait for one webhook; the others are counted and left alone
    #[arg(long, env = "MAX_PENDING", default_value = MAX_PENDING, value_name = "NUMBER")]
    max_pending: String,
    #[command(flatten)]
    database: RawDatabase,
}

pub(super) fn run(raw: RawRequeue) -> ExitCode {
    let RawRequeue { since, before, max_pending: pending, database } = raw;
    let mut problems = Problems::new();
    let since: Option<Datetime> = problems.parse("--since", &since);
    if since.is_some_and(|since| since.0 > Clock::system().unix_ms()) {
        problems.note("--since", "is in the future, and nothing was attempted since then");
    }
    let before: Option<Option<Datetime>> = match given(before) {
        Some(before) => problems.parse("--before", &before).map(Some),
        None => Some(None),
    };
    if let (Some(since), Some(Some(before))) = (since, before)
        && since.0 >= before.0
    {
        problems.note("--before", "must be after --since");
    }
    let max_pending = max_pending(&pending, &mut problems);
    let database = check_database(database, &mut problems);
    let exposed = problems.exposed_files();
    let request = since.zip(before).zip(max_pending).map(|((since, before), max_pending)| Request {
        since_ms: since.0,
        before_ms: before.map(|before| before.0),
        max_pending,
    });
    let (request, database) = match problems.finish(request.zip(database)) {
        Ok(settings) => settings,
        Err(error) => return exit::settings(&error),
    };
    install_logs(&exposed);
    exit::run(async move {
        let Done { requeued, freed, before_ms } = requeue_at(&database, request).await?;
        let Requeued { due, cancelled, off, without_payload, no_room } = requeued;
        print_line(format_args!("due again: {due} deliveries; leases freed: {freed}"))?;
        print_line(format_args!(
            "left alone: {cancelled} cancelled, {off} of webhooks that are off or deleted, {without_payload} \
             without payload, {no_room} without room"
        ))?;
        if no_room > 0 {
            let before = DateTime::from_timestamp_millis(before_ms).unwrap_or_default();
            let before = before.to_rfc3339_opts(SecondsFormat::Millis, true);
            print_line(format_args!("when there is room, repeat it with --before {before}"))?;
        }
        Ok(())
    })
}

/// A point in time, in Unix milliseconds.
#[derive(Debug, Clone, Copy)]
struct Datetime(i64);

/// What is no datetime.
#[derive(Debug, thiserror::Error)]
#[error("must be a datetime such as 2026-11-29T08:00:00Z, from 1970 on")]
struct NoDatetime;

impl std::str::FromStr for Datetime {
    type Err = NoDatetime;

    fn from_str(text: &str) -> Result<Self, NoDatetime> {
        let time = DateTime::parse_from_rfc3339(text).map_err(|_| NoDatetime)?;
        let ms = time.timestamp_millis();
        if ms < 0 { Err(NoDatetime) } else { Ok(Self(ms)) }
    }
}
