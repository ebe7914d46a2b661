//! Settings: read as text by clap from flags and the environment, checked together, and refused together.
//!
//! Every value reaches a `Raw…` struct of texts; a [`Problems`] turns them into types and remembers each
//! one that is wrong, so that an operator sees all of them at once. An empty text counts as none was given, so that
//! `X=""` in the environment is the same as no `X`; clap does not see to that.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use http::Uri;
use http::uri::PathAndQuery;
use ipnet::IpNet;
use tracing_subscriber::EnvFilter;

use crate::logs::{Format, Logs};

/// Settings that do not fit. `Display` has a line for each.
#[derive(Debug, PartialEq, Eq)]
pub struct WrongSettings(Vec<String>);

impl fmt::Display for WrongSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("settings that do not fit:")?;
        for line in &self.0 {
            write!(f, "\n  {line}")?;
        }
        Ok(())
    }
}

impl std::error::Error for WrongSettings {}

/// Collects what is wrong with the settings while they are read.
#[derive(Debug, Default)]
pub struct Problems(Vec<String>);

impl Problems {
    /// Starts with nothing wrong.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Remembers that the setting `flag` breaks `rule`.
    pub fn note(&mut self, flag: &str, rule: impl fmt::Display) {
        self.0.push(format!("{flag}: {rule}"));
    }

    /// The value of `text`, or `None` and a problem.
    pub fn parse<T>(&mut self, flag: &str, text: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        match text.trim().parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.note(flag, format_args!("{text:?}: {error}"));
                None
            }
        }
    }

    /// A length of time with its unit: `8s`, `500ms`, `2m`.
    pub fn duration(&mut self, flag: &str, text: &str) -> Option<Duration> {
        match humantime::parse_duration(text.trim()) {
            Ok(value) => Some(value),
            Err(error) => {
                self.note(flag, format_args!("{text:?}: {error} (examples: 8s, 500ms, 2m)"));
                None
            }
        }
    }

    /// The text of a file, or `None` and a problem.
    pub fn file(&mut self, flag: &str, path: &PathBuf) -> Option<String> {
        match std::fs::read_to_string(path) {
            Ok(text) => Some(text),
            Err(error) => {
                self.note(flag, format_args!("{}: {error}", path.display()));
                None
            }
        }
    }

    /// `value`, if nothing was wrong; all the problems otherwise.
    ///
    /// # Errors
    ///
    /// Any problem noted. A `None` without a problem counts as one.
    pub fn finish<T>(mut self, value: Option<T>) -> Result<T, WrongSettings> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => {
                if self.0.is_empty() {
                    self.0.push("a setting is missing".to_owned());
                }
                Err(WrongSettings(self.0))
            }
        }
    }
}

const LOG: &str = "info";
const OTLP_SAMPLE: &str = "1.0";
const SHUTDOWN_DELAY: &str = "0s";
const DRAIN_LIMIT: &str = "20s";

/// The settings that both services have.
#[derive(Debug, Clone, clap::Args)]
pub struct RawShared {
    /// Private or special address ranges that may be reached all the same (CIDRs), for tests and closed networks
    #[arg(long, env = "ALLOW_PRIVATE_RANGES", value_delimiter = ',', value_name = "CIDR")]
    pub allow_private_ranges: Vec<String>,
    /// A PEM file of certificate authorities trusted besides the built-in ones
    #[arg(long, env = "EXTRA_CA", value_name = "FILE")]
    pub extra_ca: Option<String>,
    /// DNS servers, address:port [default: those of /etc/resolv.conf]
    #[arg(long, env = "DNS_SERVERS", value_delimiter = ',', value_name = "ADDRESS")]
    pub dns_servers: Vec<String>,
    /// The token that the two services share: one a line; the gateway sends the first, the core-service takes any
    #[arg(long, env = "CORE_TOKEN_FILE", value_name = "FILE")]
    pub core_token_file: Option<String>,
    /// Serve Prometheus metrics here, at /metrics, on a port that the public does not reach
    #[arg(long, env = "METRICS_LISTEN", value_name = "ADDRESS")]
    pub metrics_listen: Option<String>,
    /// Send traces to this OpenTelemetry collector (OTLP over gRPC): http://HOST:4317, or https
    #[arg(long, env = "OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
    /// Which part of the requests is traced, from 0 to 1; a request that says in `traceparent` whether it is, decides itself
    #[arg(long, env = "OTLP_SAMPLE", default_value = OTLP_SAMPLE, value_name = "RATIO")]
    pub otlp_sample: String,
    /// What to log: a level, or directives such as info,gateway=debug
    #[arg(long, env = "LOG", default_value = LOG, value_name = "FILTER")]
    pub log: String,
    /// human or json [default: human on a terminal, else json]
    #[arg(long, env = "LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// How long to go on serving after SIGTERM, so that load balancers notice
    #[arg(long, env = "SHUTDOWN_DELAY", default_value = SHUTDOWN_DELAY, value_name = "TIME")]
    pub shutdown_delay: String,
    /// How long requests in flight may take to finish after that
    #[arg(long, env = "DRAIN_LIMIT", default_value = DRAIN_LIMIT, value_name = "TIME")]
    pub drain_limit: String,
}

/// [`RawShared`], checked.
#[derive(Debug, Clone)]
pub struct Shared {
    /// `--allow-private-ranges`.
    pub allow_private_ranges: Vec<IpNet>,
    /// `--extra-ca`: the PEM text.
    pub extra_ca: Option<String>,
    /// `--dns-servers`; empty: the machine's.
    pub dns_servers: Vec<SocketAddr>,
    /// `--core-token-file`: its lines; empty: no token.
    pub core_tokens: Vec<CoreToken>,
    /// `--metrics-listen`; none: metrics are not served.
    pub metrics_listen: Option<SocketAddr>,
    /// `--otlp-endpoint` and `--otlp-sample`; none: nothing is traced.
    pub otlp: Option<Otlp>,
    /// `--log` and `--log-format`.
    pub logs: Logs,
    /// `--shutdown-delay`.
    pub shutdown_delay: Duration,
    /// `--drain-limit`.
    pub drain_limit: Duration,
}

impl Shared {
    /// Checks the settings. What does not fit is noted in `problems`, with which no settings come out of
    /// [`Problems::finish`]; until then its default stands in, so that the other settings are checked too.
    pub fn check(raw: RawShared, problems: &mut Problems) -> Self {
        let RawShared {
            allow_private_ranges,
            extra_ca,
            dns_servers,
            core_token_file,
            metrics_listen,
            otlp_endpoint,
            otlp_sample,
            log,
            log_format,
            shutdown_delay,
            drain_limit,
        } = raw;
        let allow_private_ranges = list(problems, "--allow-private-ranges", &allow_private_ranges);
        let dns_servers = list(problems, "--dns-servers", &dns_servers);
        let extra_ca = optional_file(problems, "--extra-ca", extra_ca);
        let core_tokens = core_tokens(problems, core_token_file);
        let metrics_listen =
            given(metrics_listen).and_then(|address| problems.parse("--metrics-listen", &address));
        let otlp = otlp(problems, otlp_endpoint, &otlp_sample, extra_ca.as_ref().and_then(Option::as_deref));
        let log = given(Some(log)).unwrap_or_else(|| LOG.to_owned());
        if let Err(error) = EnvFilter::try_new(&log) {
            problems.note("--log", format_args!("{log:?}: {error}"));
        }
        let format = match given(log_format).as_deref() {
            None => Some(Logs::default_format()),
            Some("human") => Some(Format::Human),
            Some("json") => Some(Format::Json),
            Some(other) => {
                problems.note("--log-format", format_args!("{other:?}: human or json"));
                None
            }
        };
        let shutdown_delay =
            problems.duration("--shutdown-delay", or_default(&shutdown_delay, SHUTDOWN_DELAY));
        let drain_limit = problems.duration("--drain-limit", or_default(&drain_limit, DRAIN_LIMIT));
        Self {
            allow_private_ranges: allow_private_ranges.unwrap_or_default(),
            extra_ca: extra_ca.unwrap_or_default(),
            dns_servers: dns_servers.unwrap_or_default(),
            core_tokens: core_tokens.unwrap_or_default(),
            metrics_listen,
            otlp,
            logs: Logs { filter: log, format: format.unwrap_or_else(Logs::default_format) },
            shutdown_delay: shutdown_delay.unwrap_or_default(),
            drain_limit: drain_limit.unwrap_or_default(),
        }
    }
}

/// Where traces go, and how many.
#[derive(Debug, Clone, PartialEq)]
pub struct Otlp {
    /// `--otlp-endpoint`: `http` or `https`, a host, perhaps a port.
    pub endpoint: Uri,
    /// `--otlp-sample`: the part of the requests that is traced when they do not say so themselves, from 0 to 1.
    pub sample: f64,
    /// `--extra-ca`, for `https`.
    pub extra_ca: Option<String>,
}

/// The token that the gateway shows to the core-service. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct CoreToken(String);

impl CoreToken {
    /// The token itself, for the one header that carries it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for CoreToken {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() < CORE_TOKEN_MIN_BYTES || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("a token is at least 16 bytes of printable ASCII without space");
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for CoreToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Shorter shared tokens are refused, in bytes: they could be guessed.
const CORE_TOKEN_MIN_BYTES: usize = 16;

/// `text`, unless it is empty or blank.
#[must_use]
pub fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.trim().is_empty())
}

/// `text`, or `default` when it is empty or blank.
#[must_use]
pub fn or_default<'a>(text: &'a str, default: &'a str) -> &'a str {
    if text.trim().is_empty() { default } else { text }
}

/// The values of a list setting; empty texts are left out, as in `A=""` from the environment.
pub fn list<T>(problems: &mut Problems, flag: &str, texts: &[String]) -> Option<Vec<T>>
where
    T: FromStr,
    T::Err: fmt::Display,
{
    let mut values = Some(Vec::new());
    for text in texts.iter().filter(|text| !text.trim().is_empty()) {
        let value = problems.parse(flag, text);
        values = values.zip(value).map(|(mut values, value)| {
            values.push(value);
            values
        });
    }
    values
}

/// The text of a file that may be left out. `None`: it could not be read, and that was noted.
pub fn optional_file(problems: &mut Problems, flag: &str, path: Option<String>) -> Option<Option<String>> {
    match given(path) {
        None => Some(None),
        Some(path) => problems.file(flag, &path.into()).map(Some),
    }
}

fn otlp(
    problems: &mut Problems,
    endpoint: Option<String>,
    sample: &str,
    extra_ca: Option<&str>,
) -> Option<Otlp> {
    const FLAG: &str = "--otlp-endpoint";
    let sample: Option<f64> = problems.parse("--otlp-sample", or_default(sample, OTLP_SAMPLE));
    if sample.is_some_and(|sample| !(0.0..=1.0).contains(&sample)) {
        problems.note("--otlp-sample", "from 0 to 1");
    }
    let endpoint: Uri = problems.parse(FLAG, &given(endpoint)?)?;
    let only_origin = matches!(endpoint.scheme_str(), Some("http" | "https"))
        && matches!(endpoint.path_and_query().map(PathAndQuery::as_str), None | Some("" | "/"))
        && !endpoint.authority().is_some_and(|authority| authority.as_str().contains('@'));
    if !only_origin {
        problems.note(FLAG, "http:// or https:// with a host, and no path, query or user");
    }
    Some(Otlp { endpoint, sample: sample?, extra_ca: extra_ca.map(str::to_owned) })
}

fn core_tokens(problems: &mut Problems, path: Option<String>) -> Option<Vec<CoreToken>> {
    const FLAG: &str = "--core-token-file";
    let Some(text) = optional_file(problems, FLAG, path)? else { return Some(Vec::new()) };
    let mut tokens = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        match line.trim().parse() {
            Ok(token) => tokens.push(token),
            Err(rule) => {
                problems.note(FLAG, format_args!("line {}: {rule}", index + 1));
                return None;
            }
        }
    }
    if tokens.is_empty() {
        problems.note(FLAG, "the file has no token");
        return None;
    }
    Some(tokens)
}

#[cfg(test)]
mod tests;
