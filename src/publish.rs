//! `athook publish`: publishes one event to a core-service over gRPC.

mod event;

use std::process::ExitCode;
use std::time::Duration;

use process::clock::Clock;
use process::exit::Failure;
use process::settings::{CoreToken, Problems, core_tokens, given, optional_file, or_default};
use prost_types::Timestamp;
use proto::athook::event_service_client::EventServiceClient;
use proto::athook::{Event, Outcome, PublishRequest, Result as Published};
use serde_json::json;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};

use self::event::RawEvent;
use crate::developer;

const CORE_URL: &str = "http://127.0.0.1:50051";
/// How long connecting may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long the call may take.
const CALL_LIMIT: Duration = Duration::from_secs(10);

/// The flags of `athook publish`.
#[derive(clap::Args)]
pub(crate) struct RawPublish {
    #[command(subcommand)]
    event: RawEvent,
}

/// The flags that all types have.
#[derive(clap::Args)]
pub(crate) struct RawCommon {
    /// Whose webhooks are called [default: the development identity]
    #[arg(long, value_name = "DID")]
    streamer: Option<String>,
    /// When it happened, as 2026-11-21T12:00:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    occurred_at: Option<String>,
    /// The event's key: an event with the same key is stored once [default: a random one]
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
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
    /// Print a line of JSON
    #[arg(long)]
    json: bool,
}

/// The settings, checked.
struct Publication {
    event: Event,
    core: Endpoint,
    core_url: String,
    token: Option<CoreToken>,
    json: bool,
}

/// Publishes the event and prints what became of it. Exit code 0: it is stored; 1: it is not; 2: the settings
/// are wrong.
pub(crate) fn run(raw: RawPublish) -> ExitCode {
    let (payload, common) = raw.event.into_parts();
    match check(common) {
        Err(exit) => exit,
        Ok(mut publication) => {
            publication.event.payload = Some(payload);
            process::exit::run(publish(publication))
        }
    }
}

/// Everything but the payload, which the core-service judges.
fn check(raw: RawCommon) -> Result<Publication, ExitCode> {
    let RawCommon {
        streamer,
        occurred_at,
        idempotency_key,
        publisher,
        core_url,
        core_token_file,
        core_ca,
        core_cert,
        core_key,
        json,
    } = raw;
    let mut problems = Problems::new();
    let occurred_at = match given(occurred_at) {
        None => Some(now()),
        Some(text) => problems.parse::<Timestamp>("--occurred-at", &text),
    };
    let idempotency_key = match idempotency_key.map_or_else(developer::random_id, Ok) {
        Ok(key) => Some(key),
        Err(error) => {
            problems.note("--idempotency-key", error);
            None
        }
    };
    let core_url = or_default(&core_url, CORE_URL).trim().to_owned();
    let tokens = core_tokens(&mut problems, core_token_file);
    let core = endpoint(&core_url, [core_ca, core_cert, core_key], &mut problems);
    let checked = occurred_at.zip(idempotency_key).zip(tokens).zip(core);
    let publication = checked.map(|(((occurred_at, idempotency_key), tokens), core)| Publication {
        event: Event {
            publisher: publisher.unwrap_or_default(),
            idempotency_key,
            streamer_did: given(streamer).unwrap_or_else(|| developer::DID.to_owned()),
            occurred_at: Some(occurred_at),
            payload: None,
        },
        core,
        core_url,
        token: tokens.into_iter().next(),
        json,
    });
    problems.finish(publication).map_err(|error| process::exit::settings(&error))
}

fn now() -> Timestamp {
    let unix_ms = Clock::system().unix_ms();
    let nanos = i32::try_from(unix_ms.rem_euclid(1000) * 1_000_000).unwrap_or_default();
    Timestamp { seconds: unix_ms.div_euclid(1000), nanos }
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
        Err(error) => {
            problems.note(FLAG, format_args!("{url:?}: {}", process::exit::chain(&error)));
            return None;
        }
    };
    let ca = match (endpoint.uri().scheme_str(), ca) {
        (Some("http"), None) => return Some(endpoint),
        (Some("https"), Some(ca)) => ca,
        (Some("https"), None) => {
            problems.note(FLAG, "https needs --core-ca");
            return None;
        }
        _ => {
            problems.note(FLAG, format_args!("{url:?}: http, or https with --core-ca"));
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

async fn publish(publication: Publication) -> Result<(), Failure> {
    let Publication { event, core, core_url, token, json } = publication;
    let (key, streamer) = (event.idempotency_key.clone(), event.streamer_did.clone());
    let channel = core
        .connect()
        .await
        .map_err(|error| format!("no core-service at {core_url}: {}", process::exit::chain(&error)))?;
    let mut request = Request::new(PublishRequest { events: vec![event] });
    if let Some(token) = token {
        let bearer = format!("Bearer {}", token.expose()).parse()?;
        request.metadata_mut().insert("authorization", bearer);
    }
    let answer =
        EventServiceClient::new(channel).publish(request).await.map_err(|status| refusal(&status))?;
    let result = answer.into_inner().results.into_iter().next().ok_or("the answer has no result")?;
    let line = if json { json_line(&result, &key) } else { text(&result, &streamer) };
    println!("{line}");
    match result.outcome() {
        Outcome::Stored | Outcome::Seen => Ok(()),
        Outcome::Conflict => Err("the idempotency key belongs to an event with other content".into()),
        Outcome::Unspecified => Err("the answer has no outcome".into()),
    }
}

fn refusal(status: &Status) -> Failure {
    format!("the core-service refuses: {:?}: {}", status.code(), status.message()).into()
}

/// The name of the outcome in the `.proto`, without its prefix.
fn outcome(result: &Published) -> &'static str {
    let name = result.outcome().as_str_name();
    name.strip_prefix("OUTCOME_").unwrap_or(name)
}

fn json_line(result: &Published, key: &str) -> String {
    let Published { event_id, outcome: _, deliveries } = result;
    json!({ "eventId": event_id, "outcome": outcome(result), "deliveries": deliveries, "idempotencyKey": key })
        .to_string()
}

fn text(result: &Published, streamer: &str) -> String {
    let Published { event_id, outcome: _, deliveries } = result;
    let outcome_name = outcome(result).to_lowercase();
    match deliveries {
        _ if result.outcome() == Outcome::Conflict => format!("{outcome_name}: msg_{event_id} has this key"),
        0 => format!("{outcome_name}: msg_{event_id}, and no webhook of {streamer} asks for it"),
        1 => format!("{outcome_name}: msg_{event_id}, 1 delivery"),
        _ => format!("{outcome_name}: msg_{event_id}, {deliveries} deliveries"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results() {
        let result = |outcome: Outcome, deliveries| Published {
            event_id: "0198".to_owned(),
            outcome: outcome.into(),
            deliveries,
        };
        for (result, line) in [
            (result(Outcome::Stored, 0), "stored: msg_0198, and no webhook of did:plc:a asks for it"),
            (result(Outcome::Stored, 1), "stored: msg_0198, 1 delivery"),
            (result(Outcome::Seen, 2), "seen: msg_0198, 2 deliveries"),
            (result(Outcome::Conflict, 0), "conflict: msg_0198 has this key"),
        ] {
            assert_eq!(text(&result, "did:plc:a"), line);
        }
        assert_eq!(
            json_line(&result(Outcome::Conflict, 0), "k"),
            r#"{"deliveries":0,"eventId":"0198","idempotencyKey":"k","outcome":"CONFLICT"}"#
        );
    }
}
