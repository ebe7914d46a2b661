//! `athook redeliver`: makes a delivery once more, at a running `athook dev`.

use std::path::Path;
use std::process::ExitCode;

use process::exit::Failure;
use process::output::print_line;
use process::settings::Problems;
use serde_json::json;

use crate::developer;
use crate::xrpc::Xrpc;

/// The flags of `athook redeliver`.
#[derive(clap::Args)]
pub(crate) struct RawRedeliver {
    /// The delivery's id
    #[arg(value_name = "DELIVERY")]
    delivery: String,
    /// Print the delivery as a line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: core_service::config::RawDatabase,
}

/// Makes the delivery due at once.
pub(crate) fn run(raw: RawRedeliver) -> ExitCode {
    let RawRedeliver { delivery, json, database } = raw;
    let mut problems = Problems::new();
    if delivery.starts_with("msg_") {
        let what = "the id of an event, as receivers see it; the ids of its deliveries are in `athook deliveries WEBHOOK`";
        problems.note("DELIVERY", format_args!("{delivery:?}: {what}"));
    }
    let folder = developer::folder(&database, &mut problems);
    match problems.finish(folder) {
        Err(error) => process::exit::settings(&error),
        Ok(folder) => process::exit::run(async move { redeliver(&folder, &delivery, json).await }),
    }
}

async fn redeliver(folder: &Path, id: &str, json: bool) -> Result<(), Failure> {
    let xrpc = Xrpc::of_running(folder).await?;
    let output = xrpc.procedure("internal.athook.webhook.redeliver", &json!({ "id": id })).await?;
    let delivery = &output["delivery"];
    if json {
        print_line(delivery)
    } else {
        print_line(format_args!("due: msg_{}", delivery["eventId"].as_str().unwrap_or_default()))
    }
}
