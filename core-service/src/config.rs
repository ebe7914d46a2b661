//! The settings of the core-service: clap reads flags and environment variables as text, [`Config::check`]
//! parses them.
//!
//! All settings are checked before any error is reported, so that an operator sees every problem at once
//! ([`Problems`]). An empty text counts as not given. Nothing else in this crate reads the environment.

pub(crate) mod credentials;
pub(crate) mod delivery;
pub(crate) mod intake;
pub(crate) mod keys;
pub(crate) mod protection;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use process::clock::Clock;
use process::files::ExposedFile;
use process::reload::Watched;
use process::settings::{Problems, Shared, given, or_default};
use url::Url;

use self::credentials::{CredentialFiles, Credentials};
use self::delivery::{DeliveryConfig, DeliveryMode, RawDelivery};
use self::intake::{IntakeConfig, IntakeMode, RawIntake};
use self::keys::KeySource;
use self::protection::protected;
use crate::domain::webhook_url::Schemes;
use crate::probe::ProbeMode;
use crate::store::commit::Limits;
use crate::store::database::url::{DatabaseUrl, LEAST_POOLED_CONNECTIONS, check_environment};

/// The port of examples, which is the usual one.
const PORT: u16 = 50051;
const DATABASE_URL: &str = "sqlite://athook.db?mode=rwc";
const PREPARED_STATEMENTS: &str = "on";
const DATABASE_CONNECTIONS: &str = "8";
const MAX_WEBHOOKS: &str = "50";
const MAX_SECRETS: &str = "100";
const PROBE: &str = "connect";
const ALLOW_HTTP: &str = "false";
const ROTATION_OVERLAP: &str = "0s";
/// The highest value of `--max-webhooks` and `--max-secrets`: the columns that count them have 32 bits.
const HIGHEST_LIMIT: u32 = 1_000_000;
/// The highest value of `--database-connections`.
const MOST_CONNECTIONS: u32 = 1_000;
/// The longest `--rotation-overlap`, in days: an old token should not stay valid for longer.
const MAX_ROTATION_OVERLAP_DAYS: u64 = 30;

/// Where the database is, as text. Not `Debug`: it may have a password.
#[derive(Clone, clap::Args)]
pub struct RawDatabase {
    /// Where the database is: sqlite://FILE?mode=rwc or postgres://USER:PASSWORD@HOST/DATABASE [default:
    /// sqlite://athook.db?mode=rwc]
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<String>,
    /// A file whose first line is the database URL, in place of --database-url
    #[arg(long, env = "DATABASE_URL_FILE", value_name = "FILE")]
    pub database_url_file: Option<String>,
    /// Whether Postgres keeps prepared statements: on, or off for a pooler in transaction mode
    #[arg(long, env = "PREPARED_STATEMENTS", default_value = PREPARED_STATEMENTS, value_name = "HOW")]
    pub prepared_statements: String,
    /// How many connections to Postgres, or to its pooler, the process opens at most
    #[arg(long, env = "DATABASE_CONNECTIONS", default_value = DATABASE_CONNECTIONS, value_name = "NUMBER")]
    pub database_connections: String,
}

/// `--database-connections`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct DatabaseConnections(u32);

impl FromStr for DatabaseConnections {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(number @ 1..=MOST_CONNECTIONS) => Ok(Self(number)),
            _ => Err(format!("a number from 1 to {MOST_CONNECTIONS}")),
        }
    }
}

/// `--prepared-statements`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PreparedStatements(bool);

impl FromStr for PreparedStatements {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "on" => Ok(Self(true)),
            "off" => Ok(Self(false)),
            _ => Err("on or off"),
        }
    }
}

/// The settings that only the core-service has, as text, without the address to listen on.
#[derive(Clone, clap::Args)]
pub struct RawCoreArgs {
    /// Where the database is.
    #[command(flatten)]
    pub database: RawDatabase,
    /// Also serve gRPC health here, in plaintext: for probes that speak no TLS
    #[arg(long, env = "HEALTH_LISTEN", value_name = "ADDRESS")]
    pub health_listen: Option<String>,
    /// The keys that seal tokens and URLs: one standard-base64 32-byte key a line; the first seals, all open
    #[arg(long, env = "SEAL_KEYS_FILE", value_name = "FILE")]
    pub seal_keys_file: Option<String>,
    /// The file that takes its place where none is given. It is made if there is none.
    #[arg(skip)]
    pub own_seal_keys_file: Option<PathBuf>,
    /// The certificate chain of this server (PEM)
    #[arg(long, env = "TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<String>,
    /// The private key of this server (PEM)
    #[arg(long, env = "TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<String>,
    /// The certificate authorities that clients must have a certificate of (PEM)
    #[arg(long, env = "TLS_CLIENT_CA", value_name = "FILE")]
    pub tls_client_ca: Option<String>,
    /// How many webhooks a DID may have
    #[arg(long, env = "MAX_WEBHOOKS", default_value = MAX_WEBHOOKS, value_name = "NUMBER")]
    pub max_webhooks: String,
    /// How many secrets a DID may have
    #[arg(long, env = "MAX_SECRETS", default_value = MAX_SECRETS, value_name = "NUMBER")]
    pub max_secrets: String,
    /// How a new webhook's URL is tried: connect (look up, connect, TLS handshake), resolve (look up) or off
    #[arg(long, env = "PROBE", default_value = PROBE, value_name = "HOW")]
    pub probe: String,
    /// Webhook URLs may be http
    #[arg(
        long,
        env = "ALLOW_HTTP",
        default_value = ALLOW_HTTP,
        num_args = 0..=1,
        default_missing_value = "true",
        value_name = "BOOL"
    )]
    pub allow_http: String,
    /// How long a secret's previous token goes on signing beside the new one after a rotation
    #[arg(long, env = "ROTATION_OVERLAP", default_value = ROTATION_OVERLAP, value_name = "TIME")]
    pub rotation_overlap: String,
    /// Deliveries.
    #[command(flatten)]
    pub delivery: RawDelivery,
    /// The public network.
    #[command(flatten)]
    pub intake: RawIntake,
}

/// The address to listen on, as text, and the flag that it came from: `--listen`, or `--core-listen` where
/// both services are in one process.
#[derive(Debug, Clone, Copy)]
pub struct RawListen<'a> {
    /// The flag, for error messages.
    pub flag: &'a str,
    /// Address and port.
    pub text: &'a str,
    /// The settings that protect an address which others can reach, for error messages.
    pub protection: &'a str,
}

/// Checked settings.
pub struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) health_listen: Option<SocketAddr>,
    pub(crate) database: DatabaseUrl,
    pub(crate) seal_keys: KeySource,
    pub(crate) credentials: Credentials,
    /// Where they come from.
    pub(crate) credential_files: CredentialFiles,
    /// The same files as they were before they were read.
    pub(crate) watched: Watched,
    pub(crate) limits: Limits,
    pub(crate) probe: ProbeMode,
    pub(crate) schemes: Schemes,
    pub(crate) rotation_overlap: Duration,
    pub(crate) delivery: DeliveryConfig,
    pub(crate) intake: IntakeConfig,
    pub(crate) public_url: Option<Url>,
    pub(crate) allow_private_ranges: Vec<IpNet>,
    pub(crate) refuse_ranges: Vec<IpNet>,
    pub(crate) nat64: bool,
    pub(crate) dns_servers: Vec<SocketAddr>,
    pub(crate) plc_url: Url,
    /// To be warned of.
    pub(crate) exposed_files: Vec<ExposedFile>,
    pub(crate) clock: Clock,
}

impl Config {
    /// Checks the settings. `None` if one is wrong; `problems` then says what.
    pub fn check(
        raw: RawCoreArgs,
        listen: RawListen<'_>,
        shared: &Shared,
        problems: &mut Problems,
    ) -> Option<Self> {
        let RawCoreArgs {
            database,
            health_listen,
            seal_keys_file,
            own_seal_keys_file,
            tls_cert,
            tls_key,
            tls_client_ca,
            max_webhooks,
            max_secrets,
            probe,
            allow_http,
            rotation_overlap,
            delivery,
            intake,
        } = raw;
        let address: Option<SocketAddr> = problems.address(listen.flag, listen.text, PORT);
        let health_listen = match given(health_listen) {
            None => Some(None),
            Some(text) => problems.address("--health-listen", &text, PORT).map(Some),
        };
        let database = check_database(database, problems);
        let seal_keys = KeySource::check(seal_keys_file, own_seal_keys_file, problems);
        let files = CredentialFiles::check(
            [tls_cert, tls_key, tls_client_ca],
            delivery.publisher_tokens_file.clone(),
            shared.files.clone(),
            problems,
        );
        let watched = files.as_ref().map(|files| Watched::new(files.paths()));
        let credentials = files.as_ref().and_then(|files| files.read(shared.trust.clone(), problems));
        let webhooks = limit("--max-webhooks", &max_webhooks, MAX_WEBHOOKS, problems);
        let secrets = limit("--max-secrets", &max_secrets, MAX_SECRETS, problems);
        let probe = problems.parse("--probe", or_default(&probe, PROBE));
        let allow_http =
            problems.parse_as("--allow-http", or_default(&allow_http, ALLOW_HTTP), "true or false");
        let rotation_overlap =
            problems.duration("--rotation-overlap", or_default(&rotation_overlap, ROTATION_OVERLAP));
        let longest = Duration::from_hours(24 * MAX_ROTATION_OVERLAP_DAYS);
        if rotation_overlap.is_some_and(|overlap| overlap > longest) {
            problems.note("--rotation-overlap", format_args!("at most {MAX_ROTATION_OVERLAP_DAYS}days"));
        }
        let delivery = DeliveryConfig::check(delivery, problems);
        let only = delivery.as_ref().is_some_and(|delivery| delivery.mode == DeliveryMode::Only);
        if only && database.as_ref().is_some_and(|database| database.sqlite_file().is_some()) {
            problems.note("--delivery", "only: not on SQLite, which one process serves and delivers from");
        }
        let intake = IntakeConfig::check(intake, problems);
        let only = intake.as_ref().is_some_and(|intake| intake.mode == IntakeMode::Only);
        if only && database.as_ref().is_some_and(|database| database.sqlite_file().is_some()) {
            problems.note("--intake", "only: not on SQLite, which one process serves and reads from");
        }
        if let (Some(address), Some(credentials)) = (address, &credentials)
            && let Err(open) = protected(address, credentials)
        {
            problems.note(listen.flag, format_args!("{open}: set {}", listen.protection));
        }
        Some(Self {
            listen: address?,
            health_listen: health_listen?,
            database: database?,
            seal_keys: seal_keys?,
            credentials: credentials?,
            credential_files: files?,
            watched: watched?,
            limits: Limits { secrets: secrets?, webhooks: webhooks? },
            probe: probe?,
            schemes: if allow_http? { Schemes::HttpsAndHttp } else { Schemes::Https },
            rotation_overlap: rotation_overlap?,
            delivery: delivery?,
            intake: intake?,
            public_url: None,
            allow_private_ranges: shared.allow_private_ranges.clone(),
            refuse_ranges: shared.refuse_ranges.clone(),
            nat64: shared.nat64,
            dns_servers: shared.dns_servers.clone(),
            plc_url: shared.plc_url.clone(),
            exposed_files: problems.exposed_files(),
            clock: Clock::system(),
        })
    }

    /// The address to listen on.
    #[must_use]
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// The address for gRPC health in plaintext, if one is set.
    #[must_use]
    pub fn health_listen(&self) -> Option<SocketAddr> {
        self.health_listen
    }

    /// Whether clients need TLS.
    #[must_use]
    pub fn has_tls(&self) -> bool {
        self.credentials.tls.is_some()
    }

    /// Where the database is, without the password.
    pub fn database(&self) -> impl fmt::Display {
        self.database.clone()
    }

    /// The same settings with the address of the gateway for clients, which receivers of deliveries see in
    /// `User-Agent`.
    #[must_use]
    pub fn with_public_url(self, public_url: Url) -> Self {
        Self { public_url: Some(public_url), ..self }
    }

    /// The same settings with another clock, for tests.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }
}

/// The SQLite file in the settings; `Some(None)` for another kind of database. `None` if a setting is wrong;
/// `problems` then says what.
pub fn sqlite_file(raw: RawDatabase, problems: &mut Problems) -> Option<Option<PathBuf>> {
    Some(check_database(raw, problems)?.sqlite_file())
}

/// The database in the settings. `None` if a setting is wrong; `problems` then says what.
pub(crate) fn check_database(raw: RawDatabase, problems: &mut Problems) -> Option<DatabaseUrl> {
    let RawDatabase { database_url, database_url_file, prepared_statements, database_connections } = raw;
    let connections = or_default(&database_connections, DATABASE_CONNECTIONS);
    let connections: Option<DatabaseConnections> = problems.parse("--database-connections", connections);
    let prepared_statements = or_default(&prepared_statements, PREPARED_STATEMENTS);
    let prepared: Option<PreparedStatements> = problems.parse("--prepared-statements", prepared_statements);
    let (flag, text) = match (given(database_url), given(database_url_file)) {
        (None, None) => ("--database-url", DATABASE_URL.to_owned()),
        (Some(text), None) => ("--database-url", text),
        (None, Some(path)) => {
            let flag = "--database-url-file";
            let text = problems.secret_file(flag, &PathBuf::from(path))?;
            (flag, text.lines().next().unwrap_or_default().trim().to_owned())
        }
        (Some(_), Some(_)) => {
            problems.note("--database-url", "give this or --database-url-file, not both");
            return None;
        }
    };
    let url = text.parse::<DatabaseUrl>();
    if url.as_ref().is_ok_and(|url| url.sqlite_file().is_none()) {
        #[expect(clippy::disallowed_methods, reason = "the driver reads them")]
        let checked = check_environment(|name| std::env::var(name).ok());
        if let Err(error) = checked {
            problems.note(flag, error);
        }
    }
    match url {
        Ok(url) => {
            let (PreparedStatements(prepared), DatabaseConnections(connections)) =
                prepared.zip(connections)?;
            if !prepared && connections < LEAST_POOLED_CONNECTIONS {
                let least =
                    format_args!("at least {LEAST_POOLED_CONNECTIONS} with --prepared-statements off");
                problems.note("--database-connections", least);
                return None;
            }
            Some(url.with_prepared_statements(prepared).with_connections(connections))
        }
        Err(error) => {
            // Without the text, which may have a password.
            problems.note(flag, error);
            None
        }
    }
}

fn limit(flag: &str, text: &str, default: &str, problems: &mut Problems) -> Option<u32> {
    let limit: u32 = problems.number(flag, or_default(text, default))?;
    if limit > HIGHEST_LIMIT {
        problems.note(flag, format_args!("at most {HIGHEST_LIMIT}"));
        return None;
    }
    Some(limit)
}

#[cfg(test)]
mod tests;
