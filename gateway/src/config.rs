//! The gateway's settings: flags and environment to a checked [`Config`].
//!
//! The gateway reads the environment only here, through clap. An empty value counts as not set.

pub(crate) mod core_files;
pub mod service;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use process::clock::Clock;
use process::files::ExposedFile;
use process::reload::Watched;
use process::settings::{Problems, RawShared, Shared, WrongSettings, given, list, or_default};
use tokio::sync::Notify;
use url::Url;

use self::core_files::{CoreFiles, CoreTls};
use crate::client_address::ClientAddresses;
use crate::upstream;

const LISTEN: &str = "127.0.0.1:8080";
/// That of [`LISTEN`], for examples.
const PORT: u16 = 8080;
const CORE_URL: &str = "http://127.0.0.1:50051";
const SITE: &str = "on";
const SERVICE_IDS: &str = "wisp_place,streamplace";
const RATE_LIMIT: &str = "3000";
const DEADLINE: &str = "8s";
/// More than the 60 s for which common load balancers keep their connections.
const IDLE_TIMEOUT: &str = "75s";

/// The flags of the `gateway` binary.
#[derive(Debug, Clone, clap::Parser)]
#[command(
    name = "gateway",
    version,
    about = "Serves XRPC to the public and calls the core-service over gRPC"
)]
pub struct RawArgs {
    /// Where to listen for XRPC
    #[arg(long, env = "GATEWAY_LISTEN", default_value = LISTEN, value_name = "ADDRESS")]
    pub listen: String,
    #[command(flatten)]
    pub(crate) gateway: RawGateway,
    #[command(flatten)]
    pub(crate) shared: RawShared,
}

/// The gateway's own settings as unchecked text, without the listen address.
#[derive(Debug, Clone, clap::Args)]
pub struct RawGateway {
    /// The core-service; every address of its name is used
    #[arg(long, env = "CORE_URL", default_value = CORE_URL, value_name = "URL")]
    pub core_url: String,
    /// A PEM file with the authority of the core-service's certificate
    #[arg(long, env = "CORE_CA", value_name = "FILE")]
    pub core_ca: Option<String>,
    /// A PEM file with the certificate that the gateway shows to the core-service
    #[arg(long, env = "CORE_CERT", value_name = "FILE")]
    pub core_cert: Option<String>,
    /// A PEM file with the key of that certificate
    #[arg(long, env = "CORE_KEY", value_name = "FILE")]
    pub core_key: Option<String>,
    /// The origin under which clients reach the gateway [default: http://localhost and the port that it
    /// listens on]
    #[arg(long, env = "PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<String>,
    /// The DID of this service [default: did:web of the public URL]
    #[arg(long, env = "SERVICE_DID", value_name = "DID")]
    pub service_did: Option<String>,
    /// The service ids in the DID document, without `#`
    #[arg(
        long,
        env = "SERVICE_IDS",
        value_delimiter = ',',
        default_value = SERVICE_IDS,
        value_name = "ID"
    )]
    pub service_ids: Vec<String>,
    /// The `aud` values accepted in tokens [default: the service DID, bare and with each service id]
    #[arg(long, env = "AUDIENCE", value_delimiter = ',', value_name = "DID")]
    pub audience: Vec<String>,
    /// A folder of DID documents (*.json) looked at before the network
    #[arg(long, env = "DID_DOCUMENTS", value_name = "DIR")]
    pub did_documents: Option<String>,
    /// Calls in 5 minutes for each DID; 0: no limit
    #[arg(long, env = "RATE_LIMIT", default_value = RATE_LIMIT, value_name = "CALLS")]
    pub rate_limit: String,
    /// How long one request may take, from its arrival
    #[arg(long, env = "DEADLINE", default_value = DEADLINE, value_name = "TIME")]
    pub deadline: String,
    /// How long a connection may be without a request before it is closed; more than a load balancer in
    /// front keeps its connections
    #[arg(long, env = "IDLE_TIMEOUT", default_value = IDLE_TIMEOUT, value_name = "TIME")]
    pub idle_timeout: String,
    /// Proxies whose --client-address-header is believed: their addresses or ranges (CIDRs)
    #[arg(long, env = "TRUSTED_PROXIES", value_delimiter = ',', value_name = "CIDR")]
    pub trusted_proxies: Vec<String>,
    /// The header in which trusted proxies list the addresses that a request came through, such as
    /// x-forwarded-for [default: the peer is the client]
    #[arg(long, env = "CLIENT_ADDRESS_HEADER", value_name = "NAME")]
    pub client_address_header: Option<String>,
    /// Connections that one client address may have open; 0: no limit, as behind a proxy [default: half of
    /// all]
    #[arg(long, env = "CONNECTIONS_PER_ADDRESS", value_name = "N")]
    pub connections_per_address: Option<String>,
    /// Pages for people, on or off: documentation of the methods, and a console
    #[arg(long, env = "SITE", default_value = SITE, value_name = "WHETHER")]
    pub site: String,
    /// A folder of lexicon documents to serve [default: the built-in ones]
    #[arg(long, env = "LEXICONS", value_name = "DIR")]
    pub lexicons: Option<String>,
    /// A file with the FileDescriptorSet of the gRPC service to call [default: the built-in one]
    #[arg(long, env = "DESCRIPTORS", value_name = "FILE")]
    pub descriptors: Option<String>,
}

/// Checked settings of a gateway.
#[derive(Debug, Clone)]
pub struct Config {
    /// `--core-url`.
    pub core_url: Url,
    /// `--core-ca`, `--core-cert` and `--core-key`.
    pub(crate) core_tls: CoreTls,
    /// Where it comes from, and the shared files with it.
    pub(crate) core_files: CoreFiles,
    /// All these files as they were before they were read.
    pub(crate) watched: Watched,
    /// `--public-url`, an origin.
    pub public_url: Url,
    /// `--service-did`.
    pub service_did: String,
    /// `--service-ids`.
    pub service_ids: Vec<String>,
    /// `--audience`.
    pub audiences: Vec<String>,
    /// `--did-documents`; callers of [`serve`](crate::serve) may add more.
    pub did_documents: Vec<PathBuf>,
    /// `--rate-limit`; 0: off.
    pub rate_limit: u32,
    /// `--deadline`.
    pub deadline: Duration,
    /// `--idle-timeout`.
    pub idle_timeout: Duration,
    /// `--trusted-proxies` and `--client-address-header`.
    pub client_addresses: ClientAddresses,
    /// `--connections-per-address`; 0: no limit, `None`: half of all.
    pub connections_per_address: Option<usize>,
    /// `--site`.
    pub site: bool,
    /// Further paths of the site, such as `/site/…`, with its headers. `None` unless this process is for
    /// development; the pages are told.
    pub site_routes: Option<Router>,
    /// `--lexicons`.
    pub lexicons: Option<PathBuf>,
    /// `--descriptors`.
    pub descriptors: Option<PathBuf>,
    /// The settings that both services have.
    pub shared: Shared,
    /// Files with secrets that others can read, to be warned of.
    pub exposed_files: Vec<ExposedFile>,
    /// Notified when a core-service is connected and serves.
    pub ready: Arc<Notify>,
    /// The source of time.
    pub clock: Clock,
}

impl Config {
    /// Whether calls to the core-service use TLS.
    #[must_use]
    pub fn calls_with_tls(&self) -> bool {
        self.core_tls.tls.is_some()
    }
}

impl RawArgs {
    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// All wrong settings at once.
    pub fn check(self) -> Result<(SocketAddr, Config), WrongSettings> {
        let Self { listen, gateway, shared } = self;
        let mut problems = Problems::new();
        let listen = problems.address("--listen", or_default(&listen, LISTEN), PORT);
        let shared = Shared::check(shared, &mut problems);
        let config = Config::check(gateway, listen, shared, &mut problems);
        problems.finish(listen.zip(config))
    }
}

impl Config {
    /// Checks the gateway's own settings; it will listen on `listen`. Returns `None` if it noted a problem.
    pub fn check(
        raw: RawGateway,
        listen: Option<SocketAddr>,
        shared: Shared,
        problems: &mut Problems,
    ) -> Option<Self> {
        let RawGateway {
            core_url,
            core_ca,
            core_cert,
            core_key,
            public_url,
            service_did,
            service_ids,
            audience,
            did_documents,
            rate_limit,
            deadline,
            idle_timeout,
            trusted_proxies,
            client_address_header,
            connections_per_address,
            site,
            lexicons,
            descriptors,
        } = raw;
        let core_url = problems.http_url("--core-url", or_default(&core_url, CORE_URL), CORE_URL);
        let has_authorities = given(core_ca.clone()).is_some();
        for unfit in core_url.iter().flat_map(|url| upstream::unfit(url, has_authorities)) {
            problems.note("--core-url", unfit);
        }
        let core_files = CoreFiles::check([core_ca, core_cert, core_key], shared.files.clone(), problems);
        let watched = core_files.as_ref().map(|files| Watched::new(files.paths()));
        let core_tls = core_files.as_ref().and_then(|files| files.read(problems));
        let public_url = service::public_url(public_url, listen, problems);
        if public_url
            .as_ref()
            .is_some_and(|url| url.path() != "/" || url.query().or(url.fragment()).is_some())
        {
            problems.note(
                "--public-url",
                "an origin such as https://hooks.example: scheme, host and perhaps a port, no path",
            );
        }
        let rate_limit = problems.number("--rate-limit", or_default(&rate_limit, RATE_LIMIT));
        let deadline = problems.duration("--deadline", or_default(&deadline, DEADLINE));
        if deadline.is_some_and(|deadline| deadline.is_zero()) {
            problems.note("--deadline", "more than 0s");
        }
        let idle_timeout = problems.duration("--idle-timeout", or_default(&idle_timeout, IDLE_TIMEOUT));
        if idle_timeout.is_some_and(|idle_timeout| idle_timeout.is_zero()) {
            problems.note("--idle-timeout", "more than 0s");
        }
        let client_addresses = ClientAddresses::check(&trusted_proxies, client_address_header, problems);
        let connections_per_address = given(connections_per_address)
            .map(|number| problems.number("--connections-per-address", &number));
        let site = problems.switch("--site", or_default(&site, SITE));
        let (lexicons, descriptors) = (given(lexicons), given(descriptors));
        if lexicons.is_some() != descriptors.is_some() {
            problems.note("--lexicons, --descriptors", "both or none");
        }
        let service_ids = service::checked_ids(&service_ids, problems);
        let audiences: Option<Vec<String>> = list(problems, "--audience", &audience);
        for audience in audiences.iter().flatten().filter(|audience| !service::is_plain(audience)) {
            problems
                .note("--audience", format_args!("{audience:?}: a DID, perhaps with `#` and a service id"));
        }
        let service_did = service::checked_did(service_did, public_url.as_ref(), problems);
        if let (Some(did), Some(audiences)) = (&service_did, &audiences)
            && !audiences.is_empty()
            && !audiences.iter().any(|audience| audience.split('#').next() == Some(did))
        {
            problems.note(
                "--audience",
                format_args!("none of them is this service, {did}, whose tokens would be refused"),
            );
        }
        let did_documents = given(did_documents).map(PathBuf::from);
        if let Some(folder) = &did_documents
            && let Err(error) = std::fs::read_dir(folder)
        {
            problems.note("--did-documents", format_args!("{}: {error}", folder.display()));
        }

        // All checks have run, so that all problems are noted: from here on it may return.
        let (service_ids, audiences, service_did) = (service_ids?, audiences?, service_did?);
        let audiences = if audiences.is_empty() {
            let with_ids = service_ids.iter().map(|id| format!("{service_did}#{id}"));
            std::iter::once(service_did.clone()).chain(with_ids).collect()
        } else {
            audiences
        };
        Some(Self {
            core_url: core_url?,
            core_tls: core_tls?,
            core_files: core_files?,
            watched: watched?,
            public_url: public_url?,
            service_did,
            service_ids,
            audiences,
            did_documents: did_documents.into_iter().collect(),
            rate_limit: rate_limit?,
            deadline: deadline?,
            idle_timeout: idle_timeout?,
            client_addresses: client_addresses?,
            connections_per_address: match connections_per_address {
                None => None,
                Some(checked) => Some(checked?),
            },
            site: site?,
            site_routes: None,
            lexicons: lexicons.map(PathBuf::from),
            descriptors: descriptors.map(PathBuf::from),
            shared,
            exposed_files: problems.exposed_files(),
            ready: Arc::default(),
            clock: Clock::system(),
        })
    }
}

#[cfg(test)]
mod tests;
