//! What `athook listen` answers: a status of its own, or what another receiver answers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::{Request, StatusCode, Uri};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use process::exit::Failure;
use process::settings::Problems;
use tokio::time::timeout;

/// How long the other receiver may take: longer than the default of `--delivery-timeout`.
const FORWARD_LIMIT: Duration = Duration::from_secs(30);

/// How requests are answered.
pub(super) enum Answering {
    Status {
        status: StatusCode,
        /// How many more requests get it, then 204; `None`: all.
        times: Option<AtomicU64>,
    },
    Forward {
        to: Uri,
        client: Box<Client<HttpConnector, Full<Bytes>>>,
    },
}

impl Answering {
    /// Reads the flags. `None`: one is wrong, and the problem is recorded.
    pub(super) fn check(
        forward: Option<String>,
        status: Option<String>,
        fail: Option<String>,
        problems: &mut Problems,
    ) -> Option<Self> {
        let times = match fail {
            None => None,
            Some(text) => Some(AtomicU64::new(problems.number("--fail", &text)?)),
        };
        let default =
            if times.is_some() { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::NO_CONTENT };
        let status =
            status.map_or(Some(default), |text| problems.parse_as("--status", &text, "200 to 999"))?;
        // hyper answers a request with these in a way of its own.
        if status.is_informational() {
            problems.note("--status", format_args!("{status}: 200 to 999"));
            return None;
        }
        let Some(text) = forward else { return Some(Self::Status { status, times }) };
        let to: Uri = problems.parse_url("--forward", &text, "http://127.0.0.1:3000/")?;
        let with_user = to.authority().is_some_and(|authority| authority.as_str().contains('@'));
        if to.scheme_str() != Some("http") || to.host().is_none() || with_user {
            problems.note("--forward", "an http URL without a user, such as http://127.0.0.1:3000/");
            return None;
        }
        let client = Client::builder(TokioExecutor::new()).build_http();
        Some(Self::Forward { to, client: Box::new(client) })
    }

    /// The answer to one request.
    ///
    /// # Errors
    ///
    /// The other receiver does not answer.
    pub(super) async fn answer(&self, head: &Parts, body: &Bytes) -> Result<Response, Failure> {
        match self {
            Self::Status { status, times: None } => Ok(status.into_response()),
            Self::Status { status, times: Some(times) } => {
                let one_less = |left: u64| left.checked_sub(1);
                let some_left = times.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok();
                Ok(if some_left { *status } else { StatusCode::NO_CONTENT }.into_response())
            }
            Self::Forward { to, client } => {
                let mut request = Request::new(Full::new(body.clone()));
                *request.method_mut() = head.method.clone();
                *request.uri_mut() = to.clone();
                *request.headers_mut() = head.headers.clone();
                // Those of this connection.
                for name in [HOST, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
                    request.headers_mut().remove(name);
                }
                let answer = timeout(FORWARD_LIMIT, client.request(request)).await??;
                Ok(answer.map(Body::new))
            }
        }
    }
}
