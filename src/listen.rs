//! `athook listen`: a receiver on loopback that prints each request and verifies its signatures.
//!
//! Beside a running `athook dev` it makes a webhook for itself ([`own_webhook`]), and removes it at the end.

mod own_webhook;
mod printed;

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use process::clock::Clock;
use process::exit::Failure;
use process::settings::{Problems, given, or_default};
use process::shutdown::Shutdown;

use self::own_webhook::OwnWebhook;
use crate::developer::{self, Developer};
use crate::running::Running;
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
    #[command(flatten)]
    database: core_service::config::RawDatabase,
}

/// Receives until SIGTERM or SIGINT.
pub(crate) fn run(raw: RawListen) -> ExitCode {
    let RawListen { port, secret, database } = raw;
    let mut problems = Problems::new();
    let port: Option<u16> = problems.parse("--port", or_default(&port, PORT));
    let folder = developer::folder(&database, &mut problems);
    match problems.finish(port.zip(folder)) {
        Err(error) => process::exit::settings(&error),
        Ok((port, folder)) => process::exit::run(async move { listen(port, given(secret), &folder).await }),
    }
}

async fn listen(port: u16, secret: Option<String>, folder: &Path) -> Result<(), Failure> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = process::exit::listen("--port", address)?;
    let url = format!("http://{}/", listener.local_addr()?);
    let shutdown = Shutdown::new(Duration::ZERO, DRAIN_LIMIT);
    shutdown.begin_on_signal()?;

    let clock = Clock::system();
    let (token, own, how) = match secret {
        Some(token) => (Some(token), None, "verifies with the token of --secret".to_owned()),
        None => match development(folder, &clock).await? {
            Some(xrpc) => {
                let token = format!("whsec_{}", STANDARD.encode(developer::random_bytes::<TOKEN_BYTES>()?));
                let own = OwnWebhook::make(xrpc, &url, &token).await?;
                let how = format!("has a webhook of {} for every event; Ctrl-C removes it", developer::DID);
                (Some(token), Some(own), how)
            }
            None => {
                let how = "verifies nothing: no `athook dev` runs in this folder, and there is no --secret";
                (None, None, how.to_owned())
            }
        },
    };
    print(&format!("athook listens on {url} and {how}\n\n"));

    let received = Arc::new(Received { token, clock });
    let router = Router::new().fallback(move |request: Request| {
        let received = Arc::clone(&received);
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
    Ok(())
}

/// A client of the `athook dev` that runs in this folder. `None`: none does.
async fn development(folder: &Path, clock: &Clock) -> Result<Option<Xrpc>, Failure> {
    let Some(running) = Running::find(folder) else { return Ok(None) };
    let xrpc = Xrpc::new(running, Developer::open(folder)?, clock.clone());
    Ok(own_webhook::ready(&xrpc).await?.then_some(xrpc))
}

/// What every request is judged by.
struct Received {
    token: Option<String>,
    clock: Clock,
}

impl Received {
    /// Prints a request with the verdict on it.
    async fn receive(&self, request: Request) -> StatusCode {
        let (head, body) = request.into_parts();
        let Ok(body) = axum::body::to_bytes(body, MAX_BODY_BYTES).await else {
            return StatusCode::PAYLOAD_TOO_LARGE;
        };
        let now = self.clock.unix_seconds();
        let verdict = Verdict::of(self.token.as_deref(), &head.headers, &body, now);
        print(&printed::request(&head.method, &head.uri, &head.headers, &body, &verdict));
        StatusCode::NO_CONTENT
    }
}

/// Writes to standard output. Whoever closed it misses it.
fn print(text: &str) {
    let mut output = std::io::stdout();
    let _ = output.write_all(text.as_bytes()).and_then(|()| output.flush());
}
