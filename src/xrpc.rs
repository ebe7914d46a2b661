//! Calls of XRPC methods at a running `athook dev`, as the development identity.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use process::clock::Clock;
use process::exit::Failure;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use crate::developer::{self, Developer};
use crate::running::Running;

/// How long a call may take: more than the gateway's deadline.
const CALL_LIMIT: Duration = Duration::from_secs(15);
/// How long the core-service may take to be there after `athook dev` has started.
const READY_LIMIT: Duration = Duration::from_secs(10);
/// How often it is looked for.
const READY_INTERVAL: Duration = Duration::from_millis(100);
/// The longest answer, in bytes.
const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// A client of one `athook dev`.
pub(crate) struct Xrpc {
    running: Running,
    developer: Developer,
    client: Client<HttpConnector, Full<Bytes>>,
    clock: Clock,
}

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The gateway refused it.
    #[error("{nsid}: {name}: {message}")]
    Refused { nsid: String, name: String, message: String },
    /// There is no answer, or none of XRPC.
    #[error("{nsid} at {origin}")]
    Failed { nsid: String, origin: String, source: Failure },
}

impl CallError {
    /// Whether the method answered with this error.
    pub(crate) fn is(&self, expected: &str) -> bool {
        matches!(self, Self::Refused { name, .. } if name == expected)
    }
}

impl Xrpc {
    /// A client of the `athook dev` whose identity is in `folder`, once calls can be made. `None`: none runs.
    ///
    /// # Errors
    ///
    /// It runs, but its core-service is not there in time.
    pub(crate) async fn find(folder: &Path, clock: &Clock) -> Result<Option<Self>, Failure> {
        let Some(running) = Running::find(folder) else { return Ok(None) };
        let client = Client::builder(TokioExecutor::new()).build_http();
        let xrpc = Self { running, developer: Developer::open(folder)?, client, clock: clock.clone() };
        let end = Instant::now() + READY_LIMIT;
        loop {
            match xrpc.is_ready().await {
                None => return Ok(None),
                Some(true) => return Ok(Some(xrpc)),
                Some(false) if Instant::now() > end => {
                    return Err("`athook dev` runs, but its core-service is not ready".into());
                }
                Some(false) => sleep(READY_INTERVAL).await,
            }
        }
    }

    /// The same, for a tool that needs one.
    pub(crate) async fn of_running(folder: &Path) -> Result<Self, Failure> {
        Self::find(folder, &Clock::system())
            .await?
            .ok_or_else(|| "no `athook dev` runs in this folder".into())
    }

    /// Whether a gateway is there, and whether it reaches its core-service. `None`: nobody answers.
    async fn is_ready(&self) -> Option<bool> {
        let request = Request::get(format!("{}/readyz", self.running.xrpc)).body(Full::default()).ok()?;
        let answer = timeout(CALL_LIMIT, self.client.request(request)).await.ok()?.ok()?;
        Some(answer.status() == StatusCode::OK)
    }

    /// Calls a procedure.
    pub(crate) async fn procedure(&self, nsid: &str, input: &Value) -> Result<Value, CallError> {
        self.call(Method::POST, nsid, "", input.to_string()).await
    }

    /// Calls a query.
    pub(crate) async fn query(&self, nsid: &str, parameters: &[(&str, String)]) -> Result<Value, CallError> {
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
        self.call(Method::GET, nsid, &format!("?{query}"), String::new()).await
    }

    async fn call(&self, method: Method, nsid: &str, query: &str, body: String) -> Result<Value, CallError> {
        let failed = |source: Failure| CallError::Failed {
            nsid: nsid.to_owned(),
            origin: self.running.xrpc.clone(),
            source,
        };
        let exchange = timeout(CALL_LIMIT, self.exchange(method, nsid, query, body));
        let (status, body) = exchange.await.map_err(|late| failed(late.into()))?.map_err(failed)?;
        let value = match body.is_empty() {
            true => Ok(Value::Null),
            false => serde_json::from_slice::<Value>(&body),
        };
        let value = value.map_err(|error| failed(error.into()))?;
        if status.is_success() {
            return Ok(value);
        }
        let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        Err(CallError::Refused { nsid: nsid.to_owned(), name: text("error"), message: text("message") })
    }

    async fn exchange(
        &self,
        method: Method,
        nsid: &str,
        query: &str,
        body: String,
    ) -> Result<(StatusCode, Bytes), Failure> {
        let Running { xrpc, service_did } = &self.running;
        let token = self.developer.token(developer::DID, service_did, nsid, &self.clock)?;
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{xrpc}/xrpc/{nsid}{query}"))
            .header(AUTHORIZATION, format!("Bearer {token}"));
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let answer = self.client.request(request.body(Full::new(body.into()))?).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await?;
        Ok((status, body.to_bytes()))
    }
}
