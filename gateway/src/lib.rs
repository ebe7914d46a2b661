//! The gateway: serves XRPC and calls the core-service over gRPC.
//!
//! Owns XRPC, JSON, lexicons, HTTP statuses and service auth; its only state is caches. No method is known
//! by name: the methods come from lexicon documents that are bound to gRPC descriptors ([`binding`]). What a
//! secret or a webhook is, only the core-service knows.

#![warn(clippy::print_stdout, clippy::print_stderr, reason = "they panic: see process::output")]

pub(crate) mod auth;
pub mod binding;
pub mod client_address;
pub mod config;
mod connections;
mod error_name;
mod get_only;
pub mod inspection;
pub mod lexicon;
mod limits;
mod places;
mod routes;
mod site;
mod telemetry;
pub(crate) mod transcode;
pub mod upstream;
mod xrpc;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::{CommandFactory as _, FromArgMatches as _};
use egress::client::Egress;
use egress::policy::Policy;
use egress::resolver::Resolver;
use process::certificates::CertificateMetrics;
use process::exit::chain;
use process::settings::Problems;
use process::settings::groups::matches_from;
use process::shutdown::Shutdown;
use process::telemetry::{Telemetry, Watch};
use prometheus_client::registry::Registry;
use prost_reflect::DescriptorPool;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;

use crate::auth::metrics::AuthMetrics;
use crate::auth::{AuthSettings, Authenticator};
use crate::binding::Methods;
use crate::config::{Config, RawArgs};
use crate::connections::metrics::ConnectionMetrics;
use crate::lexicon::Lexicons;
use crate::limits::RateLimit;
use crate::site::Site;
use crate::telemetry::RequestLog;
use crate::telemetry::lines::LineLimits;
use crate::telemetry::requests::RequestMetrics;
use crate::upstream::metrics::UpstreamMetrics;
use crate::upstream::{Upstream, UpstreamSettings};
use crate::xrpc::metrics::CallMetrics;
use crate::xrpc::{CallLimits, Xrpc};

/// The prefix of the names of this service's metrics.
const METRICS: &str = "athook_gateway";

/// How long a health check of the core-service may take at the start, and the time between two of them.
const READY_CHECK: Duration = Duration::from_secs(1);
const READY_INTERVAL: Duration = Duration::from_millis(100);

/// Why the gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A lexicon document is malformed or unreadable.
    #[error("the lexicons do not load")]
    Lexicons(#[source] lexicon::LexiconErrors),
    /// The file of descriptors is unreadable.
    #[error("{file}: the descriptors can't be read")]
    DescriptorFile {
        /// The file of `--descriptors`.
        file: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The descriptors are malformed.
    #[error("the descriptors do not decode")]
    Descriptors(#[source] prost_reflect::DescriptorError),
    /// Lexicons and descriptors do not fit each other.
    #[error("the lexicons and the descriptors do not fit each other")]
    Drift(#[source] binding::Drift),
    /// The HTTP client for DID look-ups failed to build.
    #[error("the client for look-ups can't be made")]
    Egress(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The client of the core-service failed to build.
    #[error("the client of the core-service can't be made")]
    Upstream(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The operating system refused something.
    #[error("can't serve")]
    Io(#[from] std::io::Error),
}

/// Serves on `listener` until `shutdown` has drained.
///
/// # Errors
///
/// [`Error`]: the gateway did not start; nothing was served.
pub async fn serve(
    config: Config,
    listener: TcpListener,
    shutdown: Shutdown,
    telemetry: Telemetry,
) -> Result<(), Error> {
    let Telemetry { metrics, tracer } = telemetry;
    for file in &config.exposed_files {
        file.warn();
    }
    let (lexicons, methods) = load(config.lexicons.as_deref(), config.descriptors.as_deref())?;
    let GatewayMetrics {
        requests,
        lines,
        connections,
        calls,
        auth: auth_metrics,
        upstream: upstream_metrics,
    } = metrics.register(METRICS, |registry| GatewayMetrics::new(registry, &methods));
    let resolver = Resolver::new(&config.shared.dns_servers).map_err(|error| Error::Egress(error.into()))?;
    let policy = Policy::new(config.shared.allow_private_ranges.clone())
        .refuse(config.shared.refuse_ranges.clone())
        .nat64(config.shared.nat64);
    let trust = &config.shared.trust;
    let egress = Egress::new(policy, resolver, trust.extra_ca.as_deref())
        .map_err(|error| Error::Egress(error.into()))?;
    let names =
        Resolver::uncached(&config.shared.dns_servers).map_err(|error| Error::Egress(error.into()))?;
    let upstream = Upstream::start(UpstreamSettings {
        url: config.core_url.clone(),
        token: trust.core_tokens.first().cloned(),
        tls: config.core_tls.tls.clone(),
        resolver: names,
        metrics: upstream_metrics,
    })
    .map_err(|error| Error::Upstream(error.into()))?;
    let certificates = metrics.register(METRICS, CertificateMetrics::new);
    config.core_tls.show_certificates(trust, &certificates);
    let reading_again = {
        let (files, upstream, egress) = (config.core_files.clone(), upstream.clone(), egress.clone());
        let mut before = (config.core_tls.clone(), trust.clone());
        config.watched.clone().read_again(move || {
            let mut problems = Problems::new();
            before = files.read_again(&before, &mut problems);
            let (core, trust) = &before;
            if let Err(error) = egress.trust(trust.extra_ca.as_deref()) {
                problems.note("--extra-ca", chain(&error));
            }
            core.show_certificates(trust, &certificates);
            upstream.show(trust.core_tokens.first(), core.tls.clone());
            problems.finish(Some(()))
        })
    };
    let _reading_again = AbortOnDropHandle::new(tokio::spawn(reading_again?));
    let _announcing = AbortOnDropHandle::new(tokio::spawn({
        let (upstream, ready) = (upstream.clone(), Arc::clone(&config.ready));
        async move {
            while !upstream.healthy(Instant::now() + READY_CHECK).await {
                sleep(READY_INTERVAL).await;
            }
            ready.notify_one();
        }
    }));
    let site = config.site.then(|| Site::new(&config, &lexicons, &methods, egress.clone()));
    let auth = AuthSettings {
        audiences: config.audiences.clone(),
        plc_url: config.shared.plc_url.clone(),
        did_documents: config.did_documents.clone(),
    };
    let xrpc = Xrpc {
        methods,
        authenticator: Authenticator::new(auth, egress, config.clock.clone(), auth_metrics),
        rate_limit: RateLimit::new(config.rate_limit, config.clock.clone()),
        upstream,
        deadline: config.deadline,
        client_addresses: config.client_addresses.clone(),
        limits: CallLimits::default(),
        metrics: calls,
    };
    let log = RequestLog { requests, lines, tracer };
    let router = routes::router(xrpc, site, &config, shutdown.clone(), log);
    let limits = connections::Limits::of_this_process(config.connections_per_address, config.idle_timeout);
    connections::serve(listener, router, limits, shutdown, connections).await;
    Ok(())
}

/// All metrics of the gateway.
struct GatewayMetrics {
    requests: RequestMetrics,
    lines: LineLimits,
    connections: ConnectionMetrics,
    calls: CallMetrics,
    auth: AuthMetrics,
    upstream: UpstreamMetrics,
}

impl GatewayMetrics {
    fn new(registry: &mut Registry, methods: &Methods) -> Self {
        Self {
            requests: RequestMetrics::new(registry, methods),
            lines: LineLimits::new(registry),
            connections: ConnectionMetrics::new(registry),
            calls: CallMetrics::new(registry),
            auth: AuthMetrics::new(registry),
            upstream: UpstreamMetrics::new(registry, methods.iter().map(|method| method.path())),
        }
    }
}

/// Binds the given lexicons and descriptors, or the built-in ones.
///
/// # Errors
///
/// They do not load, or do not fit each other.
pub fn bound(lexicons: Option<&Path>, descriptors: Option<&Path>) -> Result<Methods, Error> {
    load(lexicons, descriptors).map(|(_, methods)| methods)
}

fn load(lexicons: Option<&Path>, descriptors: Option<&Path>) -> Result<(Lexicons, Methods), Error> {
    let lexicons = match lexicons {
        Some(folder) => Lexicons::from_dir(folder),
        None => Lexicons::embedded(),
    };
    let lexicons = lexicons.map_err(Error::Lexicons)?;
    let pool = match descriptors {
        Some(file) => {
            let bytes = std::fs::read(file)
                .map_err(|source| Error::DescriptorFile { file: file.display().to_string(), source })?;
            DescriptorPool::decode(bytes.as_slice())
        }
        None => DescriptorPool::decode(proto::DESCRIPTORS),
    };
    let methods = binding::bind(&lexicons, &pool.map_err(Error::Descriptors)?).map_err(Error::Drift)?;
    Ok((lexicons, methods))
}

/// The command line of `gateway`.
#[must_use]
pub fn command_line() -> clap::Command {
    RawArgs::command()
}

/// Runs the `gateway` command until it stops. The first of the `arguments` is the program's name. Errors at
/// start are printed on standard error.
pub fn command(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> std::process::ExitCode {
    let arguments = matches_from(command_line(), arguments);
    let raw = RawArgs::from_arg_matches(&arguments).unwrap_or_else(|error| error.exit());
    let (listen, config) = match raw.check() {
        Ok(checked) => checked,
        Err(error) => return process::exit::settings(&error),
    };
    config.shared.logs.install();
    process::exit::run(async move {
        let listener = process::exit::listen("--listen", listen)?;
        let mut watch = Watch::start(&config.shared, &config.clock)?;
        let telemetry = watch.telemetry("athook-gateway")?;
        let shutdown = Shutdown::new(config.shared.shutdown_delay, config.shared.drain_limit);
        shutdown.begin_on_signal()?;
        tracing::info!(address = %listener.local_addr()?, "gateway listens");
        let served = serve(config, listener, shutdown, telemetry).await;
        watch.end().await;
        Ok(served?)
    })
}
