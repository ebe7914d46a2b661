//! Settings: clap reads them as texts from flags and the environment, then all are checked together.
//!
//! clap fills a `Raw…` struct of texts. [`Problems`] parses them and collects everything that is wrong, so
//! that an operator sees all mistakes at once. An empty text counts as not set, so that `X=""` in the
//! environment means the same as no `X`; clap itself would take it as a value.

pub mod files;
pub mod groups;
pub mod otlp;
mod urls;
mod values;

use std::fmt;
use std::mem;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use url::Url;

use self::files::{SharedFiles, SharedTrust};
use self::otlp::Otlp;
use self::values::{ranges, told, told_path};
use crate::files::ExposedFile;
use crate::logs::{Format, Logs};

/// Invalid settings. `Display` has a line for each.
#[derive(Debug, PartialEq, Eq)]
pub struct WrongSettings(Vec<String>);

impl WrongSettings {
    /// One line for each problem, which begins with the setting.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.0
    }
}

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

/// Collects what is wrong with the settings while they are parsed.
#[derive(Debug, Default)]
pub struct Problems {
    lines: Vec<String>,
    /// Files with secrets that others can read: no reason not to start, but to be warned of.
    exposed: Vec<ExposedFile>,
}

impl Problems {
    /// No problems yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Records that the setting `flag` breaks `rule`.
    pub fn note(&mut self, flag: &str, rule: impl fmt::Display) {
        let line = format!("{flag}: {rule}");
        // `athook` checks some settings for both services.
        if !self.lines.contains(&line) {
            self.lines.push(line);
        }
    }

    /// Parses `text`. `None`: it is invalid, and the problem is recorded.
    pub fn parse<T>(&mut self, flag: &str, text: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        match text.trim().parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.note(flag, format_args!("{}: {error}", told(text)));
                None
            }
        }
    }

    /// Reads a text file. `None`: it can't be read, and the problem is recorded.
    pub fn file(&mut self, flag: &str, path: &PathBuf) -> Option<String> {
        match std::fs::read_to_string(path) {
            Ok(text) => Some(text),
            Err(error) => {
                self.note(flag, format_args!("{}: {error}", told_path(path)));
                None
            }
        }
    }

    /// The same for a file with a secret in it, which others should not be able to read
    /// ([`exposed_files`](Self::exposed_files)).
    pub fn secret_file(&mut self, flag: &str, path: &PathBuf) -> Option<String> {
        // `athook` reads some files twice.
        let exposed = ExposedFile::find(flag, path).filter(|exposed| !self.exposed.contains(exposed));
        self.exposed.extend(exposed);
        self.file(flag, path)
    }

    /// The files with secrets so far that others can read; empty the next time. They are warned of as soon as
    /// there is a log.
    pub fn exposed_files(&mut self) -> Vec<ExposedFile> {
        mem::take(&mut self.exposed)
    }

    /// Returns `value` if there are no problems.
    ///
    /// # Errors
    ///
    /// All recorded problems. `None` without a problem is an error too.
    pub fn finish<T>(mut self, value: Option<T>) -> Result<T, WrongSettings> {
        match value {
            Some(value) if self.lines.is_empty() => Ok(value),
            _ => {
                if self.lines.is_empty() {
                    self.lines.push("a setting is missing".to_owned());
                }
                Err(WrongSettings(self.lines))
            }
        }
    }
}

/// The ports of examples: that of DNS, and one that metrics are often served on.
const DNS_PORT: u16 = 53;
const METRICS_PORT: u16 = 9090;
const NAT64: &str = "off";
const PLC_URL: &str = "https://plc.directory";
const LOG: &str = "info";
const OTLP_SAMPLE: &str = "1.0";
const SHUTDOWN_DELAY: &str = "0s";
const DRAIN_LIMIT: &str = "20s";

/// The settings that both services have.
#[derive(Debug, Clone, clap::Args)]
pub struct RawShared {
    /// Private or special-purpose address ranges that may be reached anyway (CIDRs), for tests and closed
    /// networks
    #[arg(long, env = "ALLOW_PRIVATE_RANGES", value_delimiter = ',', value_name = "CIDR")]
    pub allow_private_ranges: Vec<String>,
    /// Address ranges that may not be reached (CIDRs), besides the special-purpose ones
    #[arg(long, env = "REFUSE_RANGES", value_delimiter = ',', value_name = "CIDR")]
    pub refuse_ranges: Vec<String>,
    /// on in a network with NAT64: an address in 64:ff9b::/96 may be reached if the IPv4 address in it may
    #[arg(
        long,
        env = "NAT64",
        default_value = NAT64,
        num_args = 0..=1,
        default_missing_value = "on",
        value_name = "SWITCH"
    )]
    pub nat64: String,
    /// A PEM file of certificate authorities to trust besides the built-in ones
    #[arg(long, env = "EXTRA_CA", value_name = "FILE")]
    pub extra_ca: Option<String>,
    /// DNS servers, address:port [default: those of /etc/resolv.conf]
    #[arg(long, env = "DNS_SERVERS", value_delimiter = ',', value_name = "ADDRESS")]
    pub dns_servers: Vec<String>,
    /// The PLC directory, where DIDs are looked up
    #[arg(long, env = "PLC_URL", default_value = PLC_URL, value_name = "URL")]
    pub plc_url: String,
    /// A file of shared tokens, one on each line; the gateway sends the first, the core-service accepts any
    #[arg(long, env = "CORE_TOKEN_FILE", value_name = "FILE")]
    pub core_token_file: Option<String>,
    /// Serve Prometheus metrics at /metrics on this address, which should not be public
    #[arg(long, env = "METRICS_LISTEN", value_name = "ADDRESS")]
    pub metrics_listen: Option<String>,
    /// Send traces to this OpenTelemetry collector (OTLP over gRPC): http://HOST:4317, or https
    #[arg(long, env = "OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
    /// Fraction of requests to trace, 0 to 1; a request with a `traceparent` header follows that header
    /// instead
    #[arg(long, env = "OTLP_SAMPLE", default_value = OTLP_SAMPLE, value_name = "RATIO")]
    pub otlp_sample: String,
    /// What to log: a level, or directives such as info,gateway=debug; libraries log errors unless named
    /// (h2=debug)
    #[arg(long, env = "LOG", default_value = LOG, value_name = "FILTER")]
    pub log: String,
    /// human or json [default: human on a terminal, else json]
    #[arg(long, env = "LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// How long to keep serving after SIGTERM, so that load balancers notice
    #[arg(long, env = "SHUTDOWN_DELAY", default_value = SHUTDOWN_DELAY, value_name = "TIME")]
    pub shutdown_delay: String,
    /// How long requests in flight may then take to finish
    #[arg(long, env = "DRAIN_LIMIT", default_value = DRAIN_LIMIT, value_name = "TIME")]
    pub drain_limit: String,
}

/// [`RawShared`], checked.
#[derive(Debug, Clone)]
pub struct Shared {
    /// `--allow-private-ranges`.
    pub allow_private_ranges: Vec<IpNet>,
    /// `--refuse-ranges`.
    pub refuse_ranges: Vec<IpNet>,
    /// `--nat64`.
    pub nat64: bool,
    /// `--extra-ca` and `--core-token-file`, which are read again while the service runs.
    pub files: SharedFiles,
    /// What they have now.
    pub trust: SharedTrust,
    /// `--dns-servers`. Empty: use the machine's.
    pub dns_servers: Vec<SocketAddr>,
    /// `--plc-url`.
    pub plc_url: Url,
    /// `--metrics-listen`. `None`: metrics are not served.
    pub metrics_listen: Option<SocketAddr>,
    /// `--otlp-endpoint` and `--otlp-sample`. `None`: nothing is traced.
    pub otlp: Option<Otlp>,
    /// `--log` and `--log-format`.
    pub logs: Logs,
    /// `--shutdown-delay`.
    pub shutdown_delay: Duration,
    /// `--drain-limit`.
    pub drain_limit: Duration,
}

impl Shared {
    /// Checks the settings. An invalid one is recorded in `problems`, so that [`Problems::finish`] fails
    /// later; until then its default takes its place, so that the other settings are checked too.
    pub fn check(raw: RawShared, problems: &mut Problems) -> Self {
        let RawShared {
            allow_private_ranges,
            refuse_ranges,
            nat64,
            extra_ca,
            dns_servers,
            plc_url,
            core_token_file,
            metrics_listen,
            otlp_endpoint,
            otlp_sample,
            log,
            log_format,
            shutdown_delay,
            drain_limit,
        } = raw;
        let allow_private_ranges = ranges(problems, "--allow-private-ranges", &allow_private_ranges);
        let refuse_ranges = ranges(problems, "--refuse-ranges", &refuse_ranges);
        let nat64 = problems.switch("--nat64", or_default(&nat64, NAT64));
        let dns_servers = list_of(problems, "--dns-servers", &dns_servers, |problems, flag, text| {
            problems.address(flag, text, DNS_PORT)
        });
        let plc_url = problems.http_url("--plc-url", or_default(&plc_url, PLC_URL), PLC_URL);
        let files = SharedFiles { extra_ca: given(extra_ca), core_token: given(core_token_file) };
        let trust = files.read(problems).unwrap_or_default();
        let metrics_listen =
            given(metrics_listen).and_then(|text| problems.address("--metrics-listen", &text, METRICS_PORT));
        let otlp = otlp::check(problems, otlp_endpoint, &otlp_sample, trust.extra_ca.as_deref());
        let log = given(Some(log)).unwrap_or_else(|| LOG.to_owned());
        problems.log_filter("--log", &log);
        let format = match given(log_format).as_deref() {
            None => Some(Logs::default_format()),
            Some("human") => Some(Format::Human),
            Some("json") => Some(Format::Json),
            Some(other) => {
                problems.note("--log-format", format_args!("{}: human or json", told(other)));
                None
            }
        };
        let shutdown_delay =
            problems.duration("--shutdown-delay", or_default(&shutdown_delay, SHUTDOWN_DELAY));
        let drain_limit = problems.duration("--drain-limit", or_default(&drain_limit, DRAIN_LIMIT));
        Self {
            allow_private_ranges: allow_private_ranges.unwrap_or_default(),
            refuse_ranges: refuse_ranges.unwrap_or_default(),
            nat64: nat64.unwrap_or_default(),
            files,
            trust,
            dns_servers: dns_servers.unwrap_or_default(),
            plc_url: plc_url.unwrap_or_else(|| PLC_URL.parse().expect("a URL")),
            metrics_listen,
            otlp,
            logs: Logs { filter: log, format: format.unwrap_or_else(Logs::default_format) },
            shutdown_delay: shutdown_delay.unwrap_or_default(),
            drain_limit: drain_limit.unwrap_or_default(),
        }
    }
}

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

/// Parses a list setting. Empty entries, as from `A=""` in the environment, are skipped.
pub fn list<T>(problems: &mut Problems, flag: &str, texts: &[String]) -> Option<Vec<T>>
where
    T: FromStr,
    T::Err: fmt::Display,
{
    list_of(problems, flag, texts, Problems::parse)
}

/// Parses a list setting with `parse`, which records what is wrong.
fn list_of<T>(
    problems: &mut Problems,
    flag: &str,
    texts: &[String],
    parse: impl Fn(&mut Problems, &str, &str) -> Option<T>,
) -> Option<Vec<T>> {
    let mut values = Some(Vec::new());
    for text in texts.iter().filter(|text| !text.trim().is_empty()) {
        let value = parse(problems, flag, text);
        values = values.zip(value).map(|(mut values, value)| {
            values.push(value);
            values
        });
    }
    values
}

/// Reads the file of an optional setting. `Some(None)`: not set. `None`: it can't be read, and the problem is
/// recorded.
pub fn optional_file(problems: &mut Problems, flag: &str, path: Option<String>) -> Option<Option<String>> {
    match given(path) {
        None => Some(None),
        Some(path) => problems.file(flag, &path.into()).map(Some),
    }
}

/// The same for a file with a secret in it ([`Problems::secret_file`]).
pub fn optional_secret_file(
    problems: &mut Problems,
    flag: &str,
    path: Option<String>,
) -> Option<Option<String>> {
    match given(path) {
        None => Some(None),
        Some(path) => problems.secret_file(flag, &path.into()).map(Some),
    }
}

#[cfg(test)]
mod tests;
