//! `athook token`: a service-auth token of the development identity. A running `athook dev` takes it.

use std::path::Path;
use std::process::ExitCode;

use process::clock::Clock;
use process::exit::Failure;
use process::output::print_line;
use process::settings::Problems;
use shrike::syntax::Nsid;

use crate::developer::{self, Developer};

/// The flags of `athook token`.
#[derive(clap::Args)]
pub(crate) struct RawToken {
    /// The method that the token is valid for
    #[arg(long, value_name = "NSID")]
    method: String,
    /// The caller; a DID document for it is written beside the database [default: the development identity]
    #[arg(long, value_name = "DID")]
    did: Option<String>,
    /// The service that is called [default: did:web of the public URL]
    #[arg(long, env = "SERVICE_DID", value_name = "DID")]
    service_did: Option<String>,
    /// The origin under which clients reach the gateway
    #[arg(long, env = "PUBLIC_URL", default_value = "http://localhost:8080", value_name = "URL")]
    public_url: String,
    #[command(flatten)]
    database: core_service::config::RawDatabase,
}

/// Prints a token on standard output, and on standard error who takes it. It is valid for an hour.
pub(crate) fn run(raw: RawToken) -> ExitCode {
    let RawToken { method, did, service_did, public_url, database } = raw;
    let mut problems = Problems::new();
    if let Err(error) = method.parse::<Nsid>() {
        problems.note("--method", format_args!("{method:?}: {error}"));
    }
    let did = did.unwrap_or_else(|| developer::DID.to_owned());
    if !did.starts_with("did:plc:") && !did.starts_with("did:web:") {
        problems.note("--did", format_args!("{did:?}: a did:plc or did:web"));
    }
    let audience = gateway::config::service_did(service_did, &public_url, &mut problems);
    let folder = developer::folder(&database, &mut problems);
    match problems.finish(audience.zip(folder)) {
        Err(error) => process::exit::settings(&error),
        Ok((audience, folder)) => process::exit::run(async move { print(&folder, &did, &audience, &method) }),
    }
}

fn print(folder: &Path, did: &str, audience: &str, nsid: &str) -> Result<(), Failure> {
    let developer = Developer::open(folder)?;
    developer.publish(did)?;
    print_line(developer.token(did, audience, nsid, &Clock::system())?)?;
    let folder = folder.display();
    process::logs::print(format_args!(
        "good for an hour at a running `athook dev` whose keys are in {folder}"
    ));
    Ok(())
}
