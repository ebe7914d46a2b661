//! `athook publish`: publishes events to a core-service over gRPC: one that flags describe, the same several
//! times, or those of a file.

mod event;
mod file;
mod report;
mod sending;

use std::fs::File;
use std::io::BufReader;
use std::num::NonZeroU64;
use std::process::ExitCode;
use std::time::Duration;

use process::clock::Clock;
use process::exit::Failure;
use process::settings::files::{CoreToken, core_tokens};
use process::settings::{Problems, given, optional_file, or_default};
use prost_types::Timestamp;
use proto::athook::Event;
use proto::athook::event::Payload;
use proto::timestamp;
use tokio::signal::unix::{SignalKind, signal};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use self::event::RawEvent;
use self::file::{Lines, Numbered};
use self::report::Report;
use self::sending::send;
use crate::developer;

const CORE_URL: &str = "http://127.0.0.1:50051";
/// How long connecting may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long a call may take: as long as the core-service takes for one.
const CALL_LIMIT: Duration = Duration::from_secs(30);
/// The default of `--repeat`.
const ONCE: &str = "1";

/// The flags of `athook publish`.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct RawPublish {
    #[command(subcommand)]
    event: Option<RawEvent>,
    /// Publish the events of this file of JSON lines, in place of one; -: of standard input
    #[arg(long, required = true, value_name = "FILE")]
    file: Option<String>,
    #[command(flatten)]
    common: RawCommon,
}

/// The flags of an event that flags describe, besides [`RawCommon`].
#[derive(clap::Args)]
pub(crate) struct RawOne {
    /// Publish a sample: what is not given is made up
    #[arg(long)]
    example: bool,
    /// Publish it so many times, each time as a new event
    #[arg(long, default_value = ONCE, value_name = "COUNT", conflicts_with = "idempotency_key")]
    repeat: String,
    /// The event's key: an event with the same key is stored once [default: a random one]
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    #[command(flatten)]
    common: RawCommon,
}

impl RawOne {
    /// Whose webhooks a sample is for. `None`: no sample is wanted.
    fn sample_for(&self) -> Option<String> {
        self.example.then(|| streamer(self.common.streamer.clone()))
    }
}

/// The flags that a file and all types have.
#[derive(clap::Args)]
pub(crate) struct RawCommon {
    /// Whose webhooks are called [default: the development identity]
    #[arg(long, value_name = "DID")]
    streamer: Option<String>,
    /// When it happened, as 2026-11-21T12:00:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    occurred_at: Option<String>,
    /// Who publishes [default: empty, or the name of the token]
    #[arg(long, value_name = "NAME")]
    publisher: Option<String>,
    /// The core-service
    #[arg(long, env = "CORE_URL", default_value = CORE_URL, value_name = "URL")]
    core_url: String,
    /// A file whose first line is the token for the core-service: a shared one, or a publisher's own
    #[arg(long, env = "CORE_TOKEN_FILE", value_name = "FILE")]
    core_token_file: Option<String>,
    /// A PEM file with the authority of the core-service's certificate
    #[arg(long, env = "CORE_CA", value_name = "FILE")]
    core_ca: Option<String>,
    /// A PEM file with the certificate to show to the core-service
    #[arg(long, env = "CORE_CERT", value_name = "FILE")]
    core_cert: Option<String>,
    /// A PEM file with the key of that certificate
    #[arg(long, env = "CORE_KEY", value_name = "FILE")]
    core_key: Option<String>,
    /// Print a line of JSON for each event
    #[arg(long)]
    json: bool,
}

/// What an event has unless it says otherwise.
#[derive(Debug, Clone)]
struct Defaults {
    publisher: String,
    streamer: String,
    occurred_at: Timestamp,
}

/// The core-service, and what is shown to it.
struct Core {
    endpoint: Endpoint,
    url: String,
    token: Option<CoreToken>,
}

/// The events.
enum Source {
    /// One with this key, or so many with random ones.
    Flags { payload: Payload, key: Option<String>, times: NonZeroU64 },
    /// `-`: standard input.
    File(String),
}

/// Publishes the events and prints what became of them. Exit code 0: all are stored; 1: some are not; 2: the
/// settings are wrong.
pub(crate) fn run(raw: RawPublish) -> ExitCode {
    let RawPublish { event, file, common } = raw;
    let mut problems = Problems::new();
    let (source, common) = match event {
        None => (Some(Source::File(file.unwrap_or_default())), common),
        Some(event) => {
            let (payload, RawOne { example: _, repeat, idempotency_key: key, common }) = event.into_parts();
            let times = problems.parse_as("--repeat", &repeat, "a number from 1 on");
            (times.map(|times| Source::Flags { payload, key, times }), common)
        }
    };
    let json = common.json;
    let checked = source.zip(check(common, &mut problems));
    match problems.finish(checked) {
        Err(error) => process::exit::settings(&error),
        Ok((source, (defaults, core))) => process::exit::run(publish(source, defaults, core, json)),
    }
}

/// The settings that all sources have. What is wrong with an event is the core-service's to say.
fn check(raw: RawCommon, problems: &mut Problems) -> Option<(Defaults, Core)> {
    let RawCommon {
        streamer: of,
        occurred_at,
        publisher,
        core_url,
        core_token_file,
        core_ca,
        core_cert,
        core_key,
        json: _,
    } = raw;
    let occurred_at = match given(occurred_at) {
        None => Some(timestamp::of_unix_ms(Clock::system().unix_ms())),
        Some(text) => problems.parse_as("--occurred-at", &text, "a time such as 2026-11-29T08:00:00Z"),
    };
    let url = or_default(&core_url, CORE_URL).trim().to_owned();
    let tokens = core_tokens(problems, core_token_file);
    let endpoint = endpoint(&url, [core_ca, core_cert, core_key], problems);
    occurred_at.zip(tokens).zip(endpoint).map(|((occurred_at, tokens), endpoint)| {
        let publisher = publisher.unwrap_or_default();
        let defaults = Defaults { publisher, streamer: streamer(of), occurred_at };
        (defaults, Core { endpoint, url, token: tokens.into_iter().next() })
    })
}

fn streamer(given_did: Option<String>) -> String {
    given(given_did).unwrap_or_else(|| developer::DID.to_owned())
}

/// The core-service at `url`; with TLS if the URL is https. `None`: a setting is wrong, and the problem is
/// recorded.
fn endpoint(url: &str, files: [Option<String>; 3], problems: &mut Problems) -> Option<Endpoint> {
    const FLAG: &str = "--core-url";
    let [ca, cert, key] = files;
    let ca = optional_file(problems, "--core-ca", ca)?;
    let identity =
        optional_file(problems, "--core-cert", cert)?.zip(optional_file(problems, "--core-key", key)?);
    let endpoint = match Endpoint::from_shared(url.to_owned()) {
        Ok(endpoint) => endpoint.connect_timeout(CONNECT_LIMIT).timeout(CALL_LIMIT),
        Err(_) => {
            problems.note(FLAG, format_args!("a URL with a host, such as {CORE_URL}"));
            return None;
        }
    };
    if endpoint.uri().authority().is_some_and(|authority| authority.as_str().contains('@')) {
        problems.note(FLAG, "a URL without a user");
        return None;
    }
    let ca = match (endpoint.uri().scheme_str(), ca) {
        (Some("http"), None) => return Some(endpoint),
        (Some("https"), Some(ca)) => ca,
        (Some("https"), None) => {
            problems.note(FLAG, "https needs --core-ca");
            return None;
        }
        _ => {
            problems.note(FLAG, format_args!("http, such as {CORE_URL}, or https with --core-ca"));
            return None;
        }
    };
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca));
    if let Some((cert, key)) = identity {
        tls = tls.identity(Identity::from_pem(cert, key));
    }
    match endpoint.tls_config(tls) {
        Ok(endpoint) => Some(endpoint),
        Err(error) => {
            problems.note("--core-ca, --core-cert, --core-key", process::exit::chain(&error));
            None
        }
    }
}

async fn publish(source: Source, defaults: Defaults, core: Core, json: bool) -> Result<(), Failure> {
    match source {
        Source::Flags { payload, key, times } => {
            let single = times == NonZeroU64::MIN;
            let report = if single { Report::of_one(json) } else { Report::of_many(json, Some(times.get())) };
            let event = Event {
                publisher: defaults.publisher,
                idempotency_key: String::new(),
                streamer_did: defaults.streamer,
                occurred_at: Some(defaults.occurred_at),
                payload: Some(payload),
            };
            let events = (0..times.get()).map(|_| {
                let idempotency_key = key.clone().map_or_else(developer::random_id, Ok)?;
                Ok(Numbered { line: None, event: Event { idempotency_key, ..event.clone() } })
            });
            send(core, events, report, interrupted()?).await
        }
        Source::File(path) if path == "-" => {
            let report = Report::of_many(json, None);
            // A signal ends the process at once, as it may wait for input.
            send(core, Lines::new(std::io::stdin().lock(), defaults), report, std::future::pending()).await
        }
        Source::File(path) => {
            let open = || {
                let file = File::open(&path).map_err(|error| format!("{path}: {error}"))?;
                Ok::<_, Failure>(Lines::new(BufReader::new(file), defaults.clone()))
            };
            // Nothing of a file with a bad line is published.
            let mut count = 0;
            for event in open()? {
                event?;
                count += 1;
            }
            send(core, open()?, Report::of_many(json, Some(count)), interrupted()?).await
        }
    }
}

/// Ends at SIGINT or SIGTERM.
fn interrupted() -> Result<impl Future<Output = ()>, Failure> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
