//! `athook listen`: a receiver on loopback that prints each request and verifies its signatures.
//!
//! Beside a running `athook dev` it makes a webhook for itself ([`own_webhook`]), and removes it at the end.

mod answering;
mod own_webhook;
mod printed;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use process::clock::Clock;
use process::exit::{Failure, chain};
use process::output::print;
use process::settings::{Problems, WrongSettings, given, or_default};
use process::shutdown::Shutdown;
use tokio::time::Instant;

use self::answering::Answering;
use self::own_webhook::OwnWebhook;
use self::printed::{Form, Printed};
use crate::developer;
use crate::event_types::{EVENT_TYPES, event_type};
use crate::sign::token;
use crate::verdict::Verdict;
use crate::xrpc::Xrpc;

const PORT: &str = "9100";
/// The longest body that is read, in bytes.
const MAX_BODY_BYTES: usize = 1024 * 1024;
/// How long a request that is being received may take at the end.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);
/// Random bytes of the token.
const TOKEN_BYTES: usize = 24;

/// The flags of `athook listen`.
#[derive(clap::Args)]
pub(crate) struct RawListen {
    /// The port to listen on, on 127.0.0.1
    #[arg(long, default_value = PORT, value_name = "PORT")]
    port: String,
    /// The token of the secret to verify with; no webhook is made then [default: beside a running `athook
    /// dev` a new one]
    #[arg(long, value_name = "TOKEN")]
    secret: Option<String>,
    /// Pass each request on to this http URL, and answer as it does
    #[arg(long, value_name = "URL", conflicts_with_all = ["status", "fail"])]
    forward: Option<String>,
    /// Answer with this HTTP status; with --fail only so often [default: 204; with --fail 500]
    #[arg(long, value_name = "STATUS")]
    status: Option<String>,
    /// Answer only the first COUNT requests with --status
    #[arg(long, value_name = "COUNT")]
    fail: Option<String>,
    /// The types of events that the webhook asks for, separated by commas [default: all]
    #[arg(long, value_name = "TYPES")]
    events: Option<String>,
    /// Print each request as a line of JSON
    #[arg(long)]
    json: bool,
    /// Print bodies of any length as a whole
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    database: core_service::config::RawDatabase,
}

/// The settings, checked.
struct Settings {
    port: u16,
    secret: Option<String>,
    answering: Answering,
    events: Vec<String>,
    form: Form,
    folder: PathBuf,
}

/// Receives until SIGTERM or SIGINT, or until its standard output is closed.
pub(crate) fn run(raw: RawListen) -> ExitCode {
    match check(raw) {
        Err(error) => process::exit::settings(&error),
        Ok(settings) => process::exit::run(listen(settings)),
    }
}

fn check(raw: RawListen) -> Result<Settings, WrongSettings> {
    let RawListen { port, secret, forward, status, fail, events, json, verbose, database } = raw;
    let mut problems = Problems::new();
    let port: Option<u16> = problems.parse_as("--port", or_default(&port, PORT), "a port, 0 to 65535");
    let folder = developer::folder(&database, &mut problems);
    let answering = Answering::check(given(forward), given(status), given(fail), &mut problems);
    let secret = secret.map(|secret| token(secret, &mut problems));
    let form = if json { Form::Json } else { Form::Text { verbose } };
    let events = match given(events) {
        None => Some(EVENT_TYPES.map(str::to_owned).to_vec()),
        Some(types) => types.split(',').map(|one| event_type("--events", one, &mut problems)).collect(),
    };
    let checked = port.zip(folder).zip(answering).zip(events);
    let settings = checked.map(|(((port, folder), answering), events)| Settings {
        port,
        secret: secret.flatten(),
        answering,
        events,
        form,
        folder,
    });
    problems.finish(settings)
}

async fn listen(settings: Settings) -> Result<(), Failure> {
    let Settings { port, secret, answering, events, form, folder } = settings;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = process::exit::listen("--port", address)?;
    let url = format!("http://{}/", listener.local_addr()?);
    let shutdown = Shutdown::new(Duration::ZERO, DRAIN_LIMIT);
    shutdown.begin_on_signal()?;

    let clock = Clock::system();
    let (token, own, how) = match secret {
        Some(token) => (Some(token), None, "verifies with the token of --secret".to_owned()),
        None => match Xrpc::find(&folder, &clock).await? {
            Some(xrpc) => {
                let token = format!("whsec_{}", STANDARD.encode(developer::random_bytes::<TOKEN_BYTES>()?));
                let own = OwnWebhook::make(xrpc, &url, &token, &events).await?;
                let types = printed::types(&events);
                let how = format!(
                    "has the webhook {} of {} for {types}; Ctrl-C removes it",
                    own.id(),
                    developer::DID
                );
                (Some(token), Some(own), how)
            }
            None => {
                let how = "verifies nothing: no `athook dev` runs in this folder, and there is no --secret";
                (None, None, how.to_owned())
            }
        },
    };
    let received = Arc::new(Received {
        token,
        clock,
        answering,
        form,
        shutdown: shutdown.clone(),
        unprinted: OnceLock::new(),
    });
    let first = format!("athook listens on {url} and {how}\n");
    match form {
        Form::Text { .. } => received.print(&format!("{first}\n")),
        // Standard output has lines of JSON alone.
        Form::Json => process::logs::print(first.trim_end()),
    }

    let receiving = Arc::clone(&received);
    let router = Router::new().fallback(move |request: Request| {
        let received = Arc::clone(&receiving);
        async move { received.receive(request).await }
    });
    let draining = shutdown.clone();
    let serving = axum::serve(listener, router)
        .with_graceful_shutdown(async move { draining.draining().await })
        .into_future();
    let (_end, served) = shutdown.limit(serving).await;
    if let Some(own) = own {
        own.remove().await?;
    }
    served.transpose()?;
    received.unprinted.get().map_or(Ok(()), |error| Err(error.clone().into()))
}

/// What every request is judged by and answered with.
struct Received {
    token: Option<String>,
    clock: Clock,
    answering: Answering,
    form: Form,
    shutdown: Shutdown,
    /// Why standard output can't be written any more.
    unprinted: OnceLock<String>,
}

impl Received {
    /// Answers a request, and prints it with the verdict and the answer.
    async fn receive(&self, request: Request) -> Response {
        let (head, body) = request.into_parts();
        let Ok(body) = axum::body::to_bytes(body, MAX_BODY_BYTES).await else {
            return StatusCode::PAYLOAD_TOO_LARGE.into_response();
        };
        let now = self.clock.unix_seconds();
        let verdict = Verdict::of(self.token.as_deref(), &head.headers, &body, now);
        let begun = Instant::now();
        let (answer, no_answer) = match self.answering.answer(&head, &body).await {
            Ok(answer) => (answer, None),
            Err(failure) => (StatusCode::BAD_GATEWAY.into_response(), Some(chain(&*failure))),
        };
        let printed = Printed {
            method: &head.method,
            uri: &head.uri,
            headers: &head.headers,
            body: &body,
            verdict: &verdict,
            status: answer.status(),
            no_answer,
            milliseconds: begun.elapsed().as_millis(),
        };
        self.print(&printed.text(self.form));
        answer
    }

    /// Writes to standard output. If nobody reads it any more, it is time to end.
    fn print(&self, text: &str) {
        if let Err(error) = print(text) {
            self.unprinted.get_or_init(|| error.to_string());
            self.shutdown.begin();
        }
    }
}
