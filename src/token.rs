//! `athook token`: a service-auth token of the development identity. A running `athook dev` takes it.

use std::path::Path;
use std::process::ExitCode;

use process::clock::Clock;
use process::exit::Failure;
use process::output::print_line;
use process::settings::{Problems, given};
use shrike::syntax::Nsid;

use crate::developer::{self, Developer};
use crate::running::Running;

/// The flags of `athook token`.
#[derive(clap::Args)]
pub(crate) struct RawToken {
    /// The method that the token is valid for
    #[arg(long, value_name = "NSID")]
    method: String,
    /// The caller; a DID document for it is written beside the database [default: the development identity]
    #[arg(long, value_name = "DID")]
    did: Option<String>,
    /// The service that is called [default: that of the running `athook dev`, else did:web of the public
    /// URL]
    #[arg(long, env = "SERVICE_DID", value_name = "DID")]
    service_did: Option<String>,
    /// The origin under which clients reach the gateway [default: http://localhost:8080]
    #[arg(long, env = "PUBLIC_URL", value_name = "URL")]
    public_url: Option<String>,
    #[command(flatten)]
    database: core_service::config::RawDatabase,
}

/// Prints a token on standard output, and on standard error who takes it. It is valid for an hour.
pub(crate) fn run(raw: RawToken) -> ExitCode {
    let RawToken { method, did, service_did, public_url, database } = raw;
    let mut problems = Problems::new();
    let _: Option<Nsid> =
        problems.parse_as("--method", &method, "the NSID of a method, such as place.wisp.v2.secret.list");
    let did = did.unwrap_or_else(|| developer::DID.to_owned());
    if !did.starts_with("did:plc:") && !did.starts_with("did:web:") {
        problems.note("--did", format_args!("{did:?}: a did:plc or did:web"));
    }
    let folder = developer::folder(&database, &mut problems);
    let running = folder.as_deref().and_then(Running::find).map(|running| running.service_did);
    let service_did = match (given(service_did), given(public_url.clone())) {
        (None, None) => running,
        (service_did, _) => service_did,
    };
    let audience = gateway::config::service::did(service_did, public_url, &mut problems);
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
    if developer.is_new {
        process::logs::print(format_args!(
            "made a new development identity in {folder}: an `athook dev` that runs in another folder does not \
             take this token"
        ));
    }
    if gateway::bound(None, None)?.get(nsid).is_none() {
        process::logs::print(format_args!(
            "athook serves no method {nsid}; the token is good for it only where --lexicons has it"
        ));
    }
    process::logs::print(format_args!(
        "good for an hour at a running `athook dev` whose keys are in {folder}"
    ));
    Ok(())
}
