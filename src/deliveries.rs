//! `athook deliveries`: what became of a webhook's events, from a running `athook dev`.

use std::num::NonZeroUsize;
use std::path::Path;
use std::process::ExitCode;

use process::exit::Failure;
use process::output;
use process::settings::Problems;
use serde_json::Value;

use crate::developer;
use crate::printable;
use crate::table::table;
use crate::xrpc::Xrpc;

const METHOD: &str = "internal.athook.webhook.listDeliveries";
const LIMIT: &str = "50";
/// The most deliveries of one call.
const PAGE: usize = 100;
const COLUMNS: [(&str, &str); 8] = [
    ("DELIVERY", "id"),
    ("WEBHOOK-ID", "eventId"),
    ("TYPE", "type"),
    ("STATE", "state"),
    ("ATTEMPTS", "attempts"),
    ("OUTCOME", "lastOutcome"),
    ("CREATED", "createdAt"),
    ("NEXT ATTEMPT", "nextAttemptAt"),
];

/// The flags of `athook deliveries`.
#[derive(clap::Args)]
pub(crate) struct RawDeliveries {
    /// The webhook's id
    #[arg(value_name = "WEBHOOK")]
    webhook: String,
    /// Only those that failed
    #[arg(long)]
    failed: bool,
    /// How many to show at most, the newest first
    #[arg(long, default_value = LIMIT, value_name = "COUNT")]
    limit: String,
    /// Print each as a line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: core_service::config::RawDatabase,
}

/// Prints deliveries, newest first.
pub(crate) fn run(raw: RawDeliveries) -> ExitCode {
    let RawDeliveries { webhook, failed, limit, json, database } = raw;
    let mut problems = Problems::new();
    let limit: Option<NonZeroUsize> = problems.parse_as("--limit", &limit, "a number from 1 on");
    let folder = developer::folder(&database, &mut problems);
    match problems.finish(limit.zip(folder)) {
        Err(error) => process::exit::settings(&error),
        Ok((limit, folder)) => process::exit::run(async move {
            let deliveries = deliveries(&folder, &webhook, failed, limit.get()).await?;
            output::print(text(&deliveries, json))
        }),
    }
}

async fn deliveries(folder: &Path, webhook: &str, failed: bool, limit: usize) -> Result<Vec<Value>, Failure> {
    let xrpc = Xrpc::of_running(folder).await?;
    let mut deliveries: Vec<Value> = Vec::new();
    let mut cursor = None;
    while deliveries.len() < limit {
        let rest = (limit - deliveries.len()).min(PAGE);
        let mut parameters = vec![("webhookId", webhook.to_owned()), ("limit", rest.to_string())];
        parameters.extend(failed.then(|| ("state", "failed".to_owned())));
        parameters.extend(cursor.take().map(|cursor| ("cursor", cursor)));
        let mut page = xrpc.query(METHOD, &parameters).await?;
        deliveries.extend(page["deliveries"].as_array_mut().into_iter().flat_map(std::mem::take));
        match page["cursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    Ok(deliveries)
}

fn text(deliveries: &[Value], json: bool) -> String {
    if json {
        deliveries.iter().map(|delivery| format!("{delivery}\n")).collect()
    } else if deliveries.is_empty() {
        "no deliveries\n".to_owned()
    } else {
        let rows: Vec<Value> = deliveries.iter().map(row).collect();
        table(&COLUMNS, &rows)
    }
}

/// The event is shown as receivers see it: in `webhook-id`.
fn row(delivery: &Value) -> Value {
    let mut row = delivery.clone();
    row["eventId"] = format!("msg_{}", printable::value(&delivery["eventId"])).into();
    row
}
