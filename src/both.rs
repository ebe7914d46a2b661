//! Both services in one process: their combined settings, the order of start and shutdown, the banner.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use core_service::config::{RawCoreArgs, RawDatabase, RawListen};
use gateway::config::RawGateway;
use process::clock::Clock;
use process::exit::Failure;
use process::settings::{Problems, RawShared, Shared, or_default};
use process::shutdown::Shutdown;
use process::telemetry::{Telemetry, Watch};
use tokio::net::TcpListener;
use url::Url;

use crate::developer::{self, Developer, file_or_new};

const GATEWAY_LISTEN: &str = "127.0.0.1:8080";
const CORE_LISTEN: &str = "127.0.0.1:50051";
/// The method that the example in the banner calls.
const EXAMPLE: &str = "place.wisp.v2.secret.create";
/// The default of `--seal-keys-file`.
const SEAL_KEYS_FILE: &str = "athook.keys";

/// The flags of `athook`: those of both services, with their `--listen` flags renamed.
#[derive(clap::Args)]
pub(crate) struct RawBoth {
    /// Where to listen for XRPC
    #[arg(long, env = "GATEWAY_LISTEN", default_value = GATEWAY_LISTEN, value_name = "ADDRESS")]
    gateway_listen: String,
    /// Where to listen for gRPC
    #[arg(long, env = "CORE_LISTEN", default_value = CORE_LISTEN, value_name = "ADDRESS")]
    core_listen: String,
    #[command(flatten)]
    gateway: RawGateway,
    #[command(flatten)]
    core: RawCoreArgs,
    #[command(flatten)]
    shared: RawShared,
}

struct Both {
    gateway_listen: SocketAddr,
    gateway: gateway::config::Config,
    core: core_service::config::Config,
    shared: Shared,
    developer_folder: PathBuf,
}

/// Runs both services until SIGTERM or SIGINT.
pub(crate) fn run(raw: RawBoth) -> ExitCode {
    let checked = match check(raw) {
        Ok(checked) => checked,
        Err(exit) => return exit,
    };
    checked.shared.logs.install();
    process::exit::run(serve(checked))
}

fn check(raw: RawBoth) -> Result<Both, ExitCode> {
    let RawBoth { gateway_listen, core_listen, gateway, mut core, shared } = raw;
    let mut problems = Problems::new();
    let keys_file = core.seal_keys_file.take().filter(|file| !file.is_empty());
    if keys_file.is_none() {
        let created =
            file_or_new(Path::new(SEAL_KEYS_FILE), || Ok(STANDARD.encode(developer::random_bytes::<32>()?)));
        if let Err(error) = created {
            problems.note("--seal-keys-file", error);
        }
    }
    core.seal_keys_file = Some(keys_file.unwrap_or_else(|| SEAL_KEYS_FILE.to_owned()));

    let gateway_listen = problems.parse("--gateway-listen", or_default(&gateway_listen, GATEWAY_LISTEN));
    let shared = Shared::check(shared, &mut problems);
    let folder = developer_folder(&core.database, &mut problems);
    let listen = RawListen { flag: "--core-listen", text: or_default(&core_listen, CORE_LISTEN) };
    let core = core_service::config::Config::check(core, listen, &shared, &mut problems);
    let gateway = gateway::config::Config::check(gateway, shared.clone(), &mut problems);
    let checked = gateway_listen.zip(gateway).zip(core).zip(folder).map(
        |(((gateway_listen, gateway), core), developer_folder)| Both {
            core: core.with_public_url(gateway.public_url.clone()),
            gateway_listen,
            gateway,
            shared,
            developer_folder,
        },
    );
    problems.finish(checked).map_err(|error| process::exit::settings(&error))
}

async fn serve(both: Both) -> Result<(), Failure> {
    let Both { gateway_listen, mut gateway, core, shared, developer_folder } = both;
    let gateway_listener = process::exit::listen("--gateway-listen", gateway_listen).await?;
    let core_listener = process::exit::listen("--core-listen", core.listen()).await?;
    let health_listener = match core.health_listen() {
        Some(address) => Some(process::exit::listen("--health-listen", address).await?),
        None => None,
    };
    let mut watch = Watch::start(&shared, &gateway.clock).await?;
    let gateway_telemetry = watch.telemetry("athook-gateway")?;
    let core_telemetry = watch.telemetry("athook-core-service")?;
    let developer = Developer::open(&developer_folder)?;
    gateway.did_documents.push(developer_folder.clone());
    if gateway.core_tls.is_none() {
        // Call the core-service in this process, on whatever port it got.
        gateway.core_url = reachable(core_listener.local_addr()?)?;
    }
    let banner = banner(&BannerValues {
        xrpc: reachable(gateway_listener.local_addr()?)?,
        grpc: core_listener.local_addr()?,
        service_did: &gateway.service_did,
        database: core.database().to_string(),
        developer: &developer,
        folder: &developer_folder,
    })?;

    // The gateway drains first. The core-service begins to drain when the gateway has ended, since nobody
    // calls it then.
    let gateway_shutdown = Shutdown::new(shared.shutdown_delay, shared.drain_limit);
    gateway_shutdown.begin_on_signal()?;
    let core_shutdown = Shutdown::new(Duration::ZERO, shared.drain_limit);
    let serving_gateway = {
        let (shutdown, core_shutdown) = (gateway_shutdown.clone(), core_shutdown.clone());
        async move {
            let result = serve_gateway(gateway, gateway_listener, shutdown, gateway_telemetry, banner).await;
            core_shutdown.begin();
            result
        }
    };
    let serving_core = async move {
        let result =
            core_service::serve(core, core_listener, health_listener, core_shutdown, core_telemetry).await;
        gateway_shutdown.begin();
        result
    };
    let (gateway_result, core_result) = tokio::join!(serving_gateway, serving_core);
    watch.end().await;
    core_result?;
    gateway_result
}

async fn serve_gateway(
    config: gateway::config::Config,
    listener: TcpListener,
    shutdown: Shutdown,
    telemetry: Telemetry,
    banner: String,
) -> Result<(), Failure> {
    if let Err(error) = writeln!(std::io::stdout(), "{banner}") {
        tracing::debug!(%error, "the banner can't be written");
    }
    gateway::serve(config, listener, shutdown, telemetry).await?;
    Ok(())
}

struct BannerValues<'a> {
    xrpc: Url,
    grpc: SocketAddr,
    service_did: &'a str,
    database: String,
    developer: &'a Developer,
    folder: &'a Path,
}

/// The text printed at start: addresses, files, and a command that creates a first secret.
fn banner(values: &BannerValues<'_>) -> Result<String, Failure> {
    let BannerValues { xrpc, grpc, service_did, database, developer, folder } = values;
    let clock = Clock::system();
    let token = developer.token(developer::DID, service_did, EXAMPLE, &clock)?;
    let xrpc = xrpc.as_str().trim_end_matches('/');
    // A new name at each start, so that the command always works.
    let name = format!("first-{}", clock.unix_ms());
    Ok(format!(
        "athook {version}
  XRPC   {xrpc} as {service_did}
  gRPC   {grpc}
  data   {database}
  keys   {folder} has the development identity

Create a secret (the token in this line is good for an hour):

curl -X POST {xrpc}/xrpc/{EXAMPLE} -H 'Content-Type: application/json' -H 'Authorization: Bearer {token}' -d '{{\"name\":\"{name}\"}}'

More tokens: athook token --method <NSID>
",
        version = env!("CARGO_PKG_VERSION"),
        folder = folder.display(),
    ))
}

/// The URL of a listener for clients on this machine: a listener on all addresses is reached on loopback.
fn reachable(mut address: SocketAddr) -> Result<Url, Failure> {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() {
            [127, 0, 0, 1].into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        });
    }
    Ok(format!("http://{address}").parse()?)
}

/// The folder of the development identity: beside an SQLite file, with the extension `.dev`; else
/// `athook.dev` in the working directory.
pub(crate) fn developer_folder(database: &RawDatabase, problems: &mut Problems) -> Option<PathBuf> {
    let file = core_service::config::sqlite_file(database.clone(), problems)?;
    Some(file.map_or_else(|| PathBuf::from("athook.dev"), |file| file.with_extension("dev")))
}
