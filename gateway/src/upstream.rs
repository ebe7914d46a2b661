//! The one way to the core-service: addresses, balancing, deadline, retry. The only gRPC client code.
//!
//! A name can stand for many addresses, and every one of them can go at any time. A background task looks the
//! name up again and again ([`names`]) and keeps one HTTP/2 connection to each address ([`rotation`]); a
//! connection is in the rotation only while it is known to be alive ([`dial`]), and a call is made on one of
//! those ([`connection`]). There is no lazy connection that looks ready when it is dead, which is why tonic's
//! own channel is not used: hyper connects, and tells when a connection ends.
//!
//! Messages are bytes here. What they mean, which rpc there is, and what a failure becomes for the client of
//! the gateway is decided elsewhere.

mod connection;
mod dial;
pub(crate) mod metrics;
mod names;
mod rotation;
mod socket;
#[cfg(test)]
mod tests;
pub mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use egress::resolver::Resolver;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::uri::PathAndQuery;
use process::settings::CoreToken;
use process::traces::TraceContext;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;
use tonic::{Code, Status};
use url::Url;

use connection::{Connection, Failure, ForRequest};
use dial::Dialer;
use metrics::{Resent, UpstreamMetrics};
use names::Names;
use tls::UpstreamTls;

/// How long a call waits for a connection when there is none, at most.
const CONNECTION_WAIT: Duration = Duration::from_secs(1);

/// How often one call is sent, at most: calls that were not processed are sent again, and a query once more
/// than that.
const MAX_TRIES: usize = 5;

/// Where the core-service is, and how to speak to it.
pub(crate) struct UpstreamSettings {
    /// `--core-url`: `http` or `https`, a host, no path.
    pub(crate) url: Url,
    /// The shared token, sent with every call.
    pub(crate) token: Option<CoreToken>,
    /// TLS; needed for `https` and refused for `http`.
    pub(crate) tls: Option<UpstreamTls>,
    /// Looks up the host of the URL.
    pub(crate) resolver: Resolver,
    pub(crate) metrics: UpstreamMetrics,
}

/// Settings with which the core-service can't be spoken to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnfitSettings {
    #[error("the URL of the core-service is http:// or https:// with a host, and no path, query or user")]
    Url,
    #[error("https:// needs a certificate authority for the core-service (--core-ca)")]
    NoAuthority,
    #[error("certificates (--core-ca) need an https:// URL")]
    TlsWithoutHttps,
    #[error("the {what} is no PEM of that kind")]
    Pem { what: &'static str, source: rustls::pki_types::pem::Error },
    #[error("the {what} has no PEM section of that kind")]
    EmptyPem { what: &'static str },
    #[error("these certificates can't be used")]
    Tls(#[from] rustls::Error),
}

/// What does not fit in the URL of the core-service; `has_authorities`: with certificate authorities for it.
pub(crate) fn unfit(url: &Url, has_authorities: bool) -> Vec<UnfitSettings> {
    dial::unfit(url, has_authorities)
}

/// One call, beside its path and message.
pub(crate) struct Call {
    /// When the caller needs an answer; sent along as `grpc-timeout`.
    pub(crate) deadline: Instant,
    /// Whether sending it twice is harmless: a query.
    pub(crate) idempotent: bool,
    /// Sent along as metadata `x-request-id`.
    pub(crate) request_id: String,
    /// Where the call belongs in a trace; if it does, its span is sent along as metadata `traceparent`.
    pub(crate) trace: TraceContext,
}

/// Why the core-service gave no answer: the source of a status that is not its own.
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

/// The core-service, as the gateway sees it. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Upstream {
    rotation: watch::Receiver<Vec<Arc<Connection>>>,
    /// Where to begin looking for the least busy connection, so that ties are broken by turns.
    turn: Arc<AtomicUsize>,
    /// Told when a call finds no connection.
    wanted: Arc<Notify>,
    metrics: Arc<UpstreamMetrics>,
    /// Stops with the last clone.
    _keeper: Arc<AbortOnDropHandle<()>>,
}

impl Upstream {
    /// Begins to look for the core-service, in the background, until the last clone is dropped.
    ///
    /// Returns at once, also when the core-service is not there: the gateway may be the first to start. Must be
    /// called within a Tokio runtime.
    ///
    /// # Errors
    ///
    /// The URL does not fit, or not with what is given for TLS.
    pub(crate) fn start(settings: UpstreamSettings) -> Result<Self, UnfitSettings> {
        let UpstreamSettings { url, token, tls, resolver, metrics } = settings;
        let metrics = Arc::new(metrics);
        let dialer = Dialer::new(&url, token.as_ref(), tls)?;
        let names = Names::of(&url, resolver).ok_or(UnfitSettings::Url)?;
        let (sender, rotation) = watch::channel(Vec::new());
        let wanted = Arc::default();
        let keeping = rotation::keep(names, dialer, sender, Arc::clone(&wanted), Arc::clone(&metrics));
        let keeper = tokio::spawn(keeping);
        Ok(Self {
            rotation,
            turn: Arc::default(),
            wanted,
            metrics,
            _keeper: Arc::new(AbortOnDropHandle::new(keeper)),
        })
    }

    /// Sends `message` to the rpc at `path` (`/package.Service/Method`) and returns the answer's message.
    ///
    /// Sent again, on another connection if there is one, when the core-service provably did not process it; an
    /// idempotent call also once when it ended in UNAVAILABLE.
    ///
    /// # Errors
    ///
    /// The status that the core-service gave. Without an answer from it: a bare UNAVAILABLE, and a bare
    /// DEADLINE_EXCEEDED once the deadline has passed; its source, for the log, says what happened.
    pub(crate) async fn call(
        &self,
        path: &PathAndQuery,
        message: Bytes,
        call: Call,
    ) -> Result<Bytes, Status> {
        let calling = self.metrics.calling(path);
        let mut span = call.trace.call(path.as_str().trim_start_matches('/'));
        let answer = self.call_until_answered(path, message, call, span.context().traceparent()).await;
        let code = answer.as_ref().map_or_else(Status::code, |_| Code::Ok);
        calling.answered(code);
        span.note("rpc.system", "grpc");
        span.note("rpc.grpc.status_code", i64::from(i32::from(code)));
        if code != Code::Ok {
            span.fail();
        }
        answer
    }

    async fn call_until_answered(
        &self,
        path: &PathAndQuery,
        message: Bytes,
        call: Call,
        traceparent: Option<String>,
    ) -> Result<Bytes, Status> {
        let Resent { not_processed, broken, unavailable } = &self.metrics.resent;
        let Call { deadline, idempotent, request_id, trace: _ } = call;
        let sent_for = ForRequest { request_id: &request_id, traceparent: traceparent.as_deref() };
        let mut may_repeat = idempotent;
        let mut tried = None;
        let mut again: Option<&Counter> = None;
        let mut last = NoAnswer::NoConnection;
        for _ in 0..MAX_TRIES {
            let Some(connection) = self.connection(tried.as_ref(), deadline).await else {
                return Err(unreachable_status(last));
            };
            let address = connection.address();
            if let Some(why) = again {
                why.inc();
                tracing::debug!(request_id, %address, "a call is sent again");
            }
            let sent = connection.unary(path, message.clone(), deadline, Some(sent_for));
            again = match sent.await {
                Ok(answer) => return Ok(answer),
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
                    last = NoAnswer::NotTaken { address, detail };
                    Some(not_processed)
                }
                Err(Failure::Broken(detail)) => {
                    last = NoAnswer::Broken { address, detail };
                    if !may_repeat {
                        return Err(unreachable_status(last));
                    }
                    may_repeat = false;
                    Some(broken)
                }
            };
            tried = Some(connection);
        }
        Err(unreachable_status(last))
    }

    /// Whether a connected core-service says by `deadline` that it is SERVING (standard health service, service
    /// name empty). One is enough: during a rolling restart there is always one that is on its way out.
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

    /// A connection to call on, another than `tried` if there is one. `None`: there was none for a while.
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
            self.wanted.notify_one();
            timeout_at(until, rotation.changed()).await.ok()?.ok()?;
        }
    }

    fn least_busy(&self, tried: Option<&Arc<Connection>>, now: Instant) -> Option<Arc<Connection>> {
        let rotation = self.rotation.borrow();
        let (before, after) =
            rotation.split_at(self.turn.fetch_add(1, Ordering::Relaxed) % rotation.len().max(1));
        after
            .iter()
            .chain(before)
            .filter(|one| one.is_open())
            .min_by_key(|one| {
                let is_tried = tried.is_some_and(|tried| Arc::ptr_eq(tried, one));
                (is_tried, one.is_stalled(now), one.in_flight())
            })
            .cloned()
    }
}

fn unreachable_status(why: NoAnswer) -> Status {
    let mut status = Status::unavailable("the core-service can't be reached");
    status.set_source(Arc::new(why));
    status
}
