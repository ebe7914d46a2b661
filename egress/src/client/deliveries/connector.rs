//! How hyper-util's client opens connections: by [`Egress`], so that each leads to an address that was
//! checked.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http_body_util::Full;
use hyper_util::client::legacy::{Builder, Client};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tower::Service;
use url::Url;

use crate::client::certificate::noticing;
use crate::client::deliveries::ConnectionLimits;
use crate::client::deliveries::socket::{IDLE_LIMIT, Socket};
use crate::client::exchange::{MAX_HEAD, MAX_HEADERS};
use crate::client::{Egress, connect};
use crate::error::{Failure, Unreachable};

/// How long TCP and TLS handshakes may take together. An attempt can get another connection while it waits
/// for its own, which then goes on in the background and has no deadline but this.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// The most connections that are kept idle for one origin.
const MAX_IDLE: usize = 64;

/// The largest response head over HTTP/2, in bytes as HTTP/2 counts them.
const HTTP2_MAX_HEAD: u32 = 16 * 1024;

/// How much of an answer a host may send ahead of its reader over HTTP/2, in bytes.
const HTTP2_STREAM_WINDOW: u32 = 32 * 1024;

/// The same for all streams of a connection: a window for each of the 64 attempts that an origin can have.
const HTTP2_CONNECTION_WINDOW: u32 = 64 * HTTP2_STREAM_WINDOW;

/// How many streams of a connection may be dropped before the host has noticed. Answers are cut short
/// regularly.
const HTTP2_RESET_STREAMS: usize = 64;

/// Opens connections for hyper-util's client. Clones share the bounds.
#[derive(Clone)]
pub(super) struct Connector {
    egress: Egress,
    handshakes: Arc<Semaphore>,
    kept: Arc<Semaphore>,
}

impl Connector {
    pub(super) fn new(egress: &Egress, limits: ConnectionLimits) -> Self {
        let ConnectionLimits { handshakes, kept } = limits;
        Self {
            egress: egress.clone(),
            handshakes: Arc::new(Semaphore::new(handshakes.min(Semaphore::MAX_PERMITS))),
            kept: Arc::new(Semaphore::new(kept.min(Semaphore::MAX_PERMITS))),
        }
    }

    async fn connect(&self, uri: &Uri) -> Result<Socket, Unreachable> {
        let url = Url::parse(&uri.to_string()).map_err(|_| Unreachable::Failed(Failure::NoHost))?;
        let addresses = self.egress.resolve(&url).await?;
        // Never closed.
        let _permit = self.handshakes.acquire().await;
        let tls = self.egress.tls.load_full();
        let connecting = noticing(connect::open(&addresses, &url, &tls.http2, |_| true));
        let (stream, certificate_requested) = timeout(HANDSHAKE_LIMIT, connecting)
            .await
            .map_err(|_| Unreachable::Failed(Failure::TimedOut(HANDSHAKE_LIMIT)))?;
        let place = Arc::clone(&self.kept).try_acquire_owned().ok();
        let stream = stream.map_err(Unreachable::Failed)?;
        Ok(Socket::new(stream, certificate_requested, place))
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Socket>;
    type Error = Unreachable;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Unreachable>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Unreachable>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { connector.connect(&uri).await.map(TokioIo::new) })
    }
}

/// A client that keeps its connections.
pub(super) fn pooled(connector: Connector) -> Client<Connector, Full<Bytes>> {
    builder().pool_idle_timeout(IDLE_LIMIT).pool_max_idle_per_host(MAX_IDLE).build(connector)
}

/// A client with a new connection for each request.
pub(super) fn single_use(connector: Connector) -> Client<Connector, Full<Bytes>> {
    builder().pool_max_idle_per_host(0).build(connector)
}

fn builder() -> Builder {
    let mut builder = Client::builder(TokioExecutor::new());
    builder
        .pool_timer(TokioTimer::new())
        // The one retry is ours.
        .retry_canceled_requests(false)
        .http1_max_buf_size(MAX_HEAD)
        .http1_max_headers(MAX_HEADERS)
        .http2_initial_stream_window_size(HTTP2_STREAM_WINDOW)
        .http2_initial_connection_window_size(HTTP2_CONNECTION_WINDOW)
        .http2_max_header_list_size(HTTP2_MAX_HEAD)
        .http2_max_concurrent_reset_streams(HTTP2_RESET_STREAMS);
    builder
}
