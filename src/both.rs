//! Both services in one process: their combined settings, the order of start and shutdown.
//!
//! Owns what `athook dev` has beside `athook`: the development identity, webhooks to loopback and by http.
//! What is printed at start is in `banner`.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use core_service::config::{RawCoreArgs, RawDatabase, RawListen};
use gateway::config::RawGateway;
use process::clock::Clock;
use process::exit::Failure;
use process::settings::{Problems, RawShared, Shared, WrongSettings, given, or_default};
use process::shutdown::Shutdown;
use process::telemetry::Watch;
use url::Url;

use crate::banner::{self, Values};
use crate::command_line::Started;
use crate::developer::{self, Developer};
use crate::running::{Published, Running};
use crate::site_session::SiteSession;

const GATEWAY_LISTEN: &str = "127.0.0.1:8080";
const CORE_LISTEN: &str = "127.0.0.1:50051";
/// The method that the example in the banner calls.
const EXAMPLE: &str = "place.wisp.v2.secret.create";
/// The file of seal keys in the working directory.
const SEAL_KEYS_FILE: &str = "athook.keys";

/// The default of `--allow-http`.
const ALLOW_HTTP: &str = "false";
/// What the receivers of a developer may listen on.
const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "::1/128"];

/// The flags of `athook` and `athook dev`: those of both services, with their `--listen` flags renamed.
#[derive(clap::Args)]
pub(crate) struct RawBoth {
    /// Where to listen for XRPC
    #[arg(long, env = "GATEWAY_LISTEN", default_value = GATEWAY_LISTEN, value_name = "ADDRESS")]
    gateway_listen: String,
    /// Where to listen for gRPC
    #[arg(long, env = "CORE_LISTEN", default_value = CORE_LISTEN, value_name = "ADDRESS")]
    core_listen: String,
    /// There are two.
    #[arg(long, hide = true, value_parser = no_listen)]
    listen: Option<String>,
    #[command(flatten)]
    gateway: RawGateway,
    #[command(flatten)]
    core: RawCoreArgs,
    #[command(flatten)]
    shared: RawShared,
}

/// `--listen` is a flag of each service alone.
fn no_listen(_: &str) -> Result<String, &'static str> {
    Err("athook listens on two addresses: give --gateway-listen (XRPC) or --core-listen (gRPC)")
}

/// [`RawBoth`], checked.
pub(crate) struct Both {
    pub(crate) gateway_listen: SocketAddr,
    pub(crate) gateway: gateway::config::Config,
    pub(crate) core: core_service::config::Config,
    pub(crate) shared: Shared,
    pub(crate) keys_file: PathBuf,
    development: Option<Development>,
}

/// What `athook dev` has besides.
struct Development {
    /// Where the development identity is.
    folder: PathBuf,
    started: Started,
    database: RawDatabase,
    core_token_file: Option<String>,
}

/// `athook`, the small installation: runs both services until SIGTERM or SIGINT.
pub(crate) fn run(raw: RawBoth) -> ExitCode {
    run_checked(check(raw, None))
}

/// `athook dev`: the same on loopback only, with the development identity, and with webhooks to loopback and
/// by http.
pub(crate) fn run_dev(raw: RawBoth) -> ExitCode {
    run_checked(check(for_development(raw), Some(Started::this_process())))
}

/// The settings of `athook dev`.
pub(crate) fn for_development(mut raw: RawBoth) -> RawBoth {
    if or_default(&raw.core.allow_http, ALLOW_HTTP) == ALLOW_HTTP {
        raw.core.allow_http = "true".to_owned();
    }
    raw.shared.allow_private_ranges.extend(LOOPBACK.map(str::to_owned));
    raw
}

fn run_checked(checked: Result<Both, WrongSettings>) -> ExitCode {
    let checked = match checked {
        Ok(checked) => checked,
        Err(error) => return process::exit::settings(&error),
    };
    checked.shared.logs.install();
    process::exit::run(serve(checked))
}

/// Checks the settings of `athook`, or those of `athook dev` if it was started so.
///
/// # Errors
///
/// All wrong settings at once.
pub(crate) fn check(raw: RawBoth, dev: Option<Started>) -> Result<Both, WrongSettings> {
    let RawBoth { gateway_listen, core_listen, listen: _, gateway, mut core, shared } = raw;
    let mut problems = Problems::new();
    let own_keys = own_seal_keys_file(&core.database, &mut problems);
    let keys_file = given(core.seal_keys_file.clone()).map_or_else(|| own_keys.clone(), PathBuf::from);
    core.own_seal_keys_file = Some(own_keys);
    let gateway_listen =
        problems.address("--gateway-listen", or_default(&gateway_listen, GATEWAY_LISTEN), 8080);
    let core_token_file = given(shared.core_token_file.clone());
    let shared = Shared::check(shared, &mut problems);
    let database = core.database.clone();
    let folder = developer::folder(&database, &mut problems);
    let listen = RawListen {
        flag: "--core-listen",
        text: or_default(&core_listen, CORE_LISTEN),
        // The gateway in this process shows no certificate unless it is told to.
        protection: "--core-token-file",
    };
    let core = core_service::config::Config::check(core, listen, &shared, &mut problems);
    if dev.is_some() {
        let of_core = |address: fn(&core_service::config::Config) -> Option<SocketAddr>| {
            core.as_ref().and_then(address)
        };
        for (flag, address) in [
            ("--gateway-listen", gateway_listen),
            ("--core-listen", of_core(|core| Some(core.listen()))),
            ("--health-listen", of_core(core_service::config::Config::health_listen)),
            ("--metrics-listen", shared.metrics_listen),
        ] {
            if address.is_some_and(|address| !address.ip().to_canonical().is_loopback()) {
                problems.note(
                    flag,
                    "`athook dev` listens on loopback only; run `athook` to be reached from outside",
                );
            }
        }
    }
    let gateway = gateway::config::Config::check(gateway, gateway_listen, shared.clone(), &mut problems);
    if core.as_ref().is_some_and(core_service::config::Config::has_tls)
        && gateway.as_ref().is_some_and(|gateway| !gateway.calls_with_tls())
    {
        problems.note(
            "--tls-cert",
            "the gateway in this process then needs TLS too: give --core-ca and an https --core-url, or run \
             `athook core-service` and `athook gateway` apart",
        );
    }
    let checked = gateway_listen.zip(gateway).zip(core).zip(folder).map(
        |(((gateway_listen, gateway), core), folder)| Both {
            core: core.with_public_url(gateway.public_url.clone()),
            gateway_listen,
            gateway,
            shared,
            keys_file,
            development: dev.map(|started| Development { folder, started, database, core_token_file }),
        },
    );
    problems.finish(checked)
}

async fn serve(both: Both) -> Result<(), Failure> {
    let Both { gateway_listen, mut gateway, core, shared, keys_file, development } = both;
    let gateway_listener = process::exit::listen("--gateway-listen", gateway_listen)?;
    let core_listener = process::exit::listen("--core-listen", core.listen())?;
    let health_listener = match core.health_listen() {
        Some(address) => Some(process::exit::listen("--health-listen", address)?),
        None => None,
    };
    let mut watch = Watch::start(&shared, &gateway.clock)?;
    let gateway_telemetry = watch.telemetry("athook-gateway")?;
    let core_telemetry = watch.telemetry("athook-core-service")?;
    if !gateway.calls_with_tls() {
        // Call the core-service in this process, on whatever port it got.
        gateway.core_url = reachable(core_listener.local_addr()?)?;
    }
    let xrpc = reachable(gateway_listener.local_addr()?)?;
    let values = Values {
        xrpc,
        grpc: core_listener.local_addr()?,
        service_did: gateway.service_did.clone(),
        database: core.database().to_string(),
        keys: keys_file,
    };
    gateway.did_documents.extend(development.as_ref().map(|development| development.folder.clone()));
    let site_session = match development {
        Some(_) if gateway.site => Some(site_session(&mut gateway)?),
        _ => None,
    };
    let ready = Arc::clone(&gateway.ready);

    // The gateway drains first. The core-service begins to drain when the gateway has ended, since nobody
    // calls it then.
    let gateway_shutdown = Shutdown::new(shared.shutdown_delay, shared.drain_limit);
    gateway_shutdown.begin_on_signal()?;
    if development.is_some() {
        gateway_shutdown.begin_on_hangup()?;
    }
    let core_shutdown = Shutdown::new(Duration::ZERO, shared.drain_limit);
    let serving_gateway = {
        let (shutdown, core_shutdown) = (gateway_shutdown.clone(), core_shutdown.clone());
        async move {
            let result = gateway::serve(gateway, gateway_listener, shutdown, gateway_telemetry).await;
            core_shutdown.begin();
            result
        }
    };
    let serving_core = async {
        let result =
            core_service::serve(core, core_listener, health_listener, core_shutdown, core_telemetry).await;
        gateway_shutdown.begin();
        result
    };
    let announcing = async {
        tokio::select! {
            () = ready.notified() => {}
            () = gateway_shutdown.leaving() => return Ok(None),
        }
        let announced = announce(&values, development.as_ref(), site_session.as_deref());
        if announced.is_err() {
            gateway_shutdown.begin();
        }
        announced
    };
    let (gateway_result, core_result, announced) = tokio::join!(serving_gateway, serving_core, announcing);
    watch.end().await;
    core_result?;
    gateway_result?;
    announced.map(drop)
}

/// Says that it works and how to use it. Nothing is made in the folder of the development identity before.
fn announce(
    values: &Values,
    development: Option<&Development>,
    site_session: Option<&SiteSession>,
) -> Result<Option<Published>, Failure> {
    let (banner, running) = match development {
        None => (banner::small(values), None),
        Some(development) => {
            let banner = development.banner(values, site_session)?;
            let origin = values.xrpc.as_str().trim_end_matches('/').to_owned();
            let running = Running { xrpc: origin, service_did: values.service_did.clone() };
            (banner, Some(running.publish(&development.folder)?))
        }
    };
    if let Err(error) = writeln!(std::io::stdout(), "{banner}") {
        tracing::debug!(%error, "the banner can't be written");
    }
    Ok(running)
}

/// Lets the pages of this gateway sign in as the development identity.
fn site_session(gateway: &mut gateway::config::Config) -> Result<Arc<SiteSession>, Failure> {
    let methods = gateway::bound(gateway.lexicons.as_deref(), gateway.descriptors.as_deref())?;
    let audience = gateway.audiences.first().unwrap_or(&gateway.service_did);
    let session = SiteSession::new(methods, audience.clone(), gateway.clock.clone());
    gateway.site_routes = Some(Arc::clone(&session).router());
    Ok(session)
}

/// The file of seal keys where none is given: beside an SQLite file, with the extension `.keys`; else in the
/// working directory, where it also is if it is there already and none is beside the database.
fn own_seal_keys_file(database: &RawDatabase, problems: &mut Problems) -> PathBuf {
    let here = PathBuf::from(SEAL_KEYS_FILE);
    let file = core_service::config::sqlite_file(database.clone(), problems).flatten();
    let beside = file.map(|file| file.with_extension("keys"));
    beside.filter(|beside| beside.exists() || !here.exists()).unwrap_or(here)
}

impl Development {
    /// What is printed; the link in it is of `site_session`.
    fn banner(&self, values: &Values, site_session: Option<&SiteSession>) -> Result<String, Failure> {
        let Self { folder, started, database, core_token_file } = self;
        let developer = Developer::open(folder)?;
        let clock = Clock::system();
        let token = developer.token(developer::DID, &values.service_did, EXAMPLE, &clock)?;
        let code = site_session.map(|session| session.offer(developer)).transpose()?;
        let RawDatabase { database_url, database_url_file, .. } = database.clone();
        let listen_flags = match (given(database_url), given(database_url_file)) {
            // Nothing is looked for beside Postgres, whose URL may have a password.
            _ if folder == Path::new(developer::FOLDER) => Vec::new(),
            (Some(url), _) => vec!["--database-url".to_owned(), url],
            (None, Some(file)) => vec!["--database-url-file".to_owned(), file],
            (None, None) => Vec::new(),
        };
        let mut publish_flags = Vec::new();
        if values.grpc.to_string() != CORE_LISTEN {
            publish_flags.extend(["--core-url".to_owned(), format!("http://{}", values.grpc)]);
        }
        if let Some(file) = core_token_file {
            publish_flags.extend(["--core-token-file".to_owned(), file.clone()]);
        }
        Ok(banner::development(
            values,
            &banner::Development {
                folder: folder.display().to_string(),
                started,
                listen_flags,
                publish_flags,
                code,
                example: EXAMPLE,
                token,
                // A new name at each start, so that the command always works.
                secret: format!("first-{}", clock.unix_ms()),
            },
        ))
    }
}

/// The folder of the development identity for these settings, if they have one.
pub(crate) fn development_folder(raw: &RawBoth) -> Option<PathBuf> {
    developer::folder(&raw.core.database, &mut Problems::new())
}

/// The URL of a listener for clients on this machine: a listener on all addresses is reached on loopback.
pub(crate) fn reachable(mut address: SocketAddr) -> Result<Url, Failure> {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() {
            [127, 0, 0, 1].into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        });
    }
    Ok(format!("http://{address}").parse()?)
}
