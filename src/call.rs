//! `athook call`: calls a method at a running `athook dev`, as the development identity.

use std::path::Path;
use std::process::ExitCode;

use gateway::binding::Verb;
use process::exit::Failure;
use process::output::print_line;
use process::settings::Problems;
use serde_json::{Map, Value};
use shrike::syntax::Nsid;

use crate::developer;
use crate::printable;
use crate::unique_names;
use crate::xrpc::Xrpc;

/// The flags of `athook call`.
#[derive(clap::Args)]
pub(crate) struct RawCall {
    /// The method
    #[arg(value_name = "NSID")]
    method: String,
    /// The input of a procedure or the parameters of a query, an object of JSON [default: {}]
    #[arg(value_name = "JSON", default_value = "{}", hide_default_value = true)]
    input: String,
    /// Print the answer on one line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: core_service::config::RawDatabase,
}

/// Calls the method and prints its output. Exit code 0: it succeeded; 1: it did not; 2: the arguments are
/// wrong.
pub(crate) fn run(raw: RawCall) -> ExitCode {
    let RawCall { method, input, json, database } = raw;
    let mut problems = Problems::new();
    let _: Option<Nsid> =
        problems.parse_as("NSID", &method, "the NSID of a method, such as place.wisp.v2.secret.list");
    let input = unique_names::from_str::<Map<String, Value>>(&input);
    let input = input.map_err(|error| problems.note("JSON", format_args!("not an object: {error}"))).ok();
    let folder = developer::folder(&database, &mut problems);
    match problems.finish(input.zip(folder)) {
        Err(error) => process::exit::settings(&error),
        Ok((input, folder)) => process::exit::run(async move { call(&folder, &method, input, json).await }),
    }
}

async fn call(folder: &Path, nsid: &str, input: Map<String, Value>, json: bool) -> Result<(), Failure> {
    let xrpc = Xrpc::of_running(folder).await?;
    let methods = gateway::bound(None, None)?;
    // A method that is not built in may be either; most are procedures.
    let output = match methods.get(nsid).map(|method| method.verb()) {
        Some(Verb::Query) => xrpc.query(nsid, &parameters(&input)).await?,
        Some(Verb::Procedure) | None => xrpc.procedure(nsid, &Value::Object(input)).await?,
    };
    if output.is_null() {
        return Ok(());
    }
    if json { print_line(output) } else { print_line(format_args!("{output:#}")) }
}

/// The members of `input` as parameters of a query: a list is a parameter several times.
fn parameters(input: &Map<String, Value>) -> Vec<(&str, String)> {
    let each = input.iter().flat_map(|(name, value)| match value {
        Value::Array(items) => items.iter().map(|item| (name.as_str(), printable::value(item))).collect(),
        value => vec![(name.as_str(), printable::value(value))],
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parameters_of_a_query() {
        let input = json!({ "a": "x y", "b": 1, "c": true, "d": ["p", "q"] });
        let expected = [("a", "x y"), ("b", "1"), ("c", "true"), ("d", "p"), ("d", "q")];
        let parameters = parameters(input.as_object().unwrap());
        assert!(
            parameters.iter().map(|(name, value)| (*name, value.as_str())).eq(expected),
            "{parameters:?}"
        );
    }
}
