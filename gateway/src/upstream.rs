//! The gRPC client for the core-service: discovery, load balancing, deadlines and retries.
//!
//! The host of `--core-url` can stand for many addresses, each of which can disappear at any time. A
//! background task looks the host up every few seconds ([`addresses`]) and keeps one HTTP/2 connection to
//! each address ([`rotation`]). A new connection joins the rotation once it has answered a health check
//! ([`dial`]). It leaves when it ends, when it does not answer a ping, or when a call on it misses its
//! deadline and a health check then fails too. A look-up that fails changes nothing. An address that is gone
//! gets no new calls, and those in flight finish.
//!
//! A call goes to the open connection with the fewest calls in flight ([`connection`]). It is retried on
//! another connection if the core-service provably did not process it. A query is also retried once when its
//! response broke off or was UNAVAILABLE.
//!
//! tonic's own channel is not used: it connects lazily and looks ready when its connection is dead. Here
//! hyper connects and reports when a connection ends, and tonic only frames messages.
//!
//! Messages are bytes. What they mean, which rpcs exist, and what a client sees of a failure is decided
//! elsewhere.

mod addresses;
mod connection;
mod dial;
pub(crate) mod metrics;
mod rotation;
mod socket;
#[cfg(test)]
mod tests;
pub mod tls;
pub mod trial;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use egress::resolver::Resolver;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::uri::PathAndQuery;
use process::certificates::PemError;
use process::settings::files::CoreToken;
use process::traces::TraceContext;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;
use tonic::{Code, Status};
use url::Url;

use addresses::AddressSource;
use connection::{CallMetadata, Connection, Failure};
use dial::Dialer;
use metrics::{Resent, UpstreamMetrics};
use tls::{Credentials, UpstreamTls};

/// The longest time that a call waits for a connection when none is open.
const CONNECTION_WAIT: Duration = Duration::from_secs(1);

/// How many times one call is sent at most, the first time included.
const MAX_TRIES: usize = 5;

/// Where the core-service is and how to connect to it.
pub(crate) struct UpstreamSettings {
    /// `--core-url`: `http` or `https`, a host, no path.
    pub(crate) url: Url,
    /// The shared token, sent with every call.
    pub(crate) token: Option<CoreToken>,
    /// Required for `https`, refused for `http`.
    pub(crate) tls: Option<UpstreamTls>,
    /// Resolves the host of the URL.
    pub(crate) resolver: Resolver,
    pub(crate) metrics: UpstreamMetrics,
}

/// Why there can be no connection with these settings.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnfitSettings {
    #[error("the URL of the core-service is http:// or https:// with a host, and no path, query or user")]
    Url,
    #[error("https:// needs a certificate authority for the core-service (--core-ca)")]
    NoAuthority,
    #[error("certificates (--core-ca) need an https:// URL")]
    TlsWithoutHttps,
    #[error(transparent)]
    Pem(#[from] PemError),
    #[error("these certificates can't be used")]
    Tls(#[from] rustls::Error),
}

/// Everything that is wrong with the URL of the core-service, given whether `--core-ca` names certificate
/// authorities.
pub(crate) fn unfit(url: &Url, has_authorities: bool) -> Vec<UnfitSettings> {
    dial::unfit(url, has_authorities)
}

/// The settings of one call.
pub(crate) struct Call {
    /// When the response must be there. The time that is left is sent as `grpc-timeout`.
    pub(crate) deadline: Instant,
    /// Whether it is harmless to process the call twice, as it is for a query.
    pub(crate) idempotent: bool,
    /// Sent as the metadata `x-request-id`.
    pub(crate) request_id: String,
    /// The trace that the call belongs to, if any. Its span is sent as the metadata `traceparent`.
    pub(crate) trace: TraceContext,
}

/// Why there is no response: the source of a status that the gateway made, for the log.
#[derive(Debug, thiserror::Error)]
enum NoAnswer {
    #[error("no connection to the core-service")]
    NoConnection,
    #[error("{address} gave no answer in time")]
    Late { address: SocketAddr },
    #[error("{address} did not take the call: {detail}")]
    NotTaken { address: SocketAddr, detail: String },
    #[error("{address} gave no whole answer: {detail}")]
    Broken { address: SocketAddr, detail: String },
}

/// The client. Clones share its connections.
#[derive(Clone)]
pub(crate) struct Upstream {
    rotation: watch::Receiver<Vec<Arc<Connection>>>,
    /// Where the search for the least busy connection starts: it moves on with each call, so that connections
    /// that are equally busy take turns.
    search_start: Arc<AtomicUsize>,
    /// Notified by a call that finds no open connection, so that the next DNS look-up happens early.
    lookup_wanted: Arc<Notify>,
    metrics: Arc<UpstreamMetrics>,
    credentials: Arc<ArcSwap<Credentials>>,
    /// Stopped when the last clone is dropped.
    _rotation_task: Arc<AbortOnDropHandle<()>>,
}

impl Upstream {
    /// Starts to connect to the core-service, in a task that runs until the last clone is dropped.
    ///
    /// Returns at once, even if the core-service can't be reached: the gateway may start first. Must be
    /// called within a Tokio runtime.
    ///
    /// # Errors
    ///
    /// The URL is invalid, or TLS is configured for `http` or not configured for `https`.
    pub(crate) fn start(settings: UpstreamSettings) -> Result<Self, UnfitSettings> {
        let UpstreamSettings { url, token, tls, resolver, metrics } = settings;
        let metrics = Arc::new(metrics);
        let credentials = Arc::new(ArcSwap::from_pointee(Credentials::new(token.as_ref(), tls)));
        let dialer = Dialer::new(&url, Arc::clone(&credentials))?;
        let addresses = AddressSource::new(&url, resolver).ok_or(UnfitSettings::Url)?;
        let (sender, rotation) = watch::channel(Vec::new());
        let lookup_wanted = Arc::default();
        let task = tokio::spawn(rotation::maintain(
            addresses,
            dialer,
            sender,
            Arc::clone(&lookup_wanted),
            Arc::clone(&metrics),
        ));
        Ok(Self {
            rotation,
            search_start: Arc::default(),
            lookup_wanted,
            metrics,
            credentials,
            _rotation_task: Arc::new(AbortOnDropHandle::new(task)),
        })
    }

    /// Shows another token from the next call on, and uses other certificates from the next connection on.
    pub(crate) fn show(&self, token: Option<&CoreToken>, tls: Option<UpstreamTls>) {
        self.credentials.store(Arc::new(Credentials::new(token, tls)));
    }

    /// Sends `message` to the rpc at `path` (`/package.Service/Method`) and returns the response message.
    ///
    /// # Errors
    ///
    /// The status that the core-service sent. If it sent none, a status without details: DEADLINE_EXCEEDED
    /// when the deadline has passed, else UNAVAILABLE. The source of that status says what happened, for the
    /// log.
    pub(crate) async fn call(
        &self,
        path: &PathAndQuery,
        message: Bytes,
        call: Call,
    ) -> Result<Bytes, Status> {
        let timer = self.metrics.start_call(path);
        let mut span = call.trace.call(path.as_str().trim_start_matches('/'));
        let response = self.call_with_retries(path, message, call, span.context().traceparent()).await;
        let code = response.as_ref().map_or_else(Status::code, |_| Code::Ok);
        timer.finish(code);
        span.note("rpc.system", "grpc");
        span.note("rpc.grpc.status_code", i64::from(i32::from(code)));
        if code != Code::Ok {
            span.fail();
        }
        response
    }

    async fn call_with_retries(
        &self,
        path: &PathAndQuery,
        message: Bytes,
        call: Call,
        traceparent: Option<String>,
    ) -> Result<Bytes, Status> {
        let Resent { not_processed, broken, unavailable } = &self.metrics.resent;
        let Call { deadline, idempotent, request_id, trace: _ } = call;
        let metadata = CallMetadata { request_id: &request_id, traceparent: traceparent.as_deref() };
        // Whether a call that may have been processed can be sent again.
        let mut may_repeat = idempotent;
        let mut tried = None;
        let mut retry_reason: Option<&Counter> = None;
        let mut last_failure = NoAnswer::NoConnection;
        for _ in 0..MAX_TRIES {
            let Some(connection) = self.connection(tried.as_ref(), deadline).await else {
                return Err(unreachable_status(last_failure));
            };
            let address = connection.address();
            if let Some(resent) = retry_reason {
                resent.inc();
                process::once_a_second!(debug, request_id, %address, "a call is sent again");
            }
            let sent = connection.unary(path, message.clone(), deadline, Some(metadata));
            retry_reason = match sent.await {
                Ok(response) => return Ok(response),
                Err(Failure::Late) => {
                    let mut status = Status::deadline_exceeded("the deadline has passed");
                    status.set_source(Arc::new(NoAnswer::Late { address }));
                    return Err(status);
                }
                Err(Failure::Answered(status)) => {
                    if status.code() != Code::Unavailable || !may_repeat {
                        return Err(status);
                    }
                    may_repeat = false;
                    Some(unavailable)
                }
                Err(Failure::NotProcessed(detail)) => {
                    last_failure = NoAnswer::NotTaken { address, detail };
                    Some(not_processed)
                }
                Err(Failure::Broken(detail)) => {
                    last_failure = NoAnswer::Broken { address, detail };
                    if !may_repeat {
                        return Err(unreachable_status(last_failure));
                    }
                    may_repeat = false;
                    Some(broken)
                }
            };
            tried = Some(connection);
        }
        Err(unreachable_status(last_failure))
    }

    /// Whether any connected core-service reports SERVING by `deadline` (standard health service, service
    /// name empty). One is enough: during a rolling restart some are always shutting down.
    pub(crate) async fn healthy(&self, deadline: Instant) -> bool {
        if self.connection(None, deadline).await.is_none() {
            return false;
        }
        let connections = self.rotation.borrow().clone();
        let mut checks: FuturesUnordered<_> =
            connections.iter().map(|one| one.is_serving(deadline)).collect();
        while let Some(checked) = checks.next().await {
            if matches!(checked, Ok(true)) {
                return true;
            }
        }
        false
    }

    /// The least busy connection, but `tried` only if there is no other. `None` if none opens within
    /// [`CONNECTION_WAIT`] or before `deadline`.
    async fn connection(
        &self,
        tried: Option<&Arc<Connection>>,
        deadline: Instant,
    ) -> Option<Arc<Connection>> {
        let now = Instant::now();
        let until = deadline.min(now + CONNECTION_WAIT);
        let mut rotation = self.rotation.clone();
        loop {
            if let Some(connection) = self.least_busy(tried, now) {
                return Some(connection);
            }
            self.lookup_wanted.notify_one();
            timeout_at(until, rotation.changed()).await.ok()?.ok()?;
        }
    }

    fn least_busy(&self, tried: Option<&Arc<Connection>>, now: Instant) -> Option<Arc<Connection>> {
        let rotation = self.rotation.borrow();
        let start = self.search_start.fetch_add(1, Ordering::Relaxed) % rotation.len().max(1);
        rotation
            .iter()
            .cycle()
            .skip(start)
            .take(rotation.len())
            .filter(|one| one.is_open())
            .min_by_key(|one| {
                let was_tried = tried.is_some_and(|tried| Arc::ptr_eq(tried, one));
                (was_tried, one.is_stalled(now), one.in_flight())
            })
            .cloned()
    }
}

fn unreachable_status(cause: NoAnswer) -> Status {
    let mut status = Status::unavailable("the core-service can't be reached");
    status.set_source(Arc::new(cause));
    status
}
