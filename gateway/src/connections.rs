//! Connections: accepting, their limits, and closing them when the service stops.
//!
//! Each limit is a named constant. What HTTP's own parser refuses (a header section that is too large, say) is answered
//! by hyper, before any request exists. What one request may cost is `xrpc`'s.
//!
//! hyper limits the time for the head of an HTTP/1 request, but neither the time in which a client shows which version
//! it speaks, nor an HTTP/2 connection without requests, nor a client that does not read its answers. So there is one
//! rule for all of them here: a connection without a request loses its place.

pub(crate) mod metrics;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use process::exit::chain;
use process::files::connection_limit;
use process::shutdown::{End, Shutdown};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower::ServiceExt as _;

use self::metrics::ConnectionMetrics;

/// Connections at once, if there are files for them; one more waits in the operating system's queue until another closes.
const MAX_CONNECTIONS: usize = 8192;
/// How long a client may take to send the head of a request, and how long a connection may be without a request. Twice
/// that at most; a client that then does not go is cut off after as long again.
const HEAD_TIME: Duration = Duration::from_secs(30);
/// The head of a request (request line and headers), in bytes.
const MAX_HEAD_BYTES: usize = 32 * 1024;
/// HTTP/2 requests at once on one connection.
const MAX_STREAMS: u32 = 100;
/// HTTP/2 requests that a client took back before they were looked at, at once on one connection; over it the
/// connection ends ("rapid reset", CVE-2023-44487).
const MAX_PENDING_RESETS: usize = 20;
/// HTTP/2 requests that were reset here for breaking the protocol, over the life of one connection; over it the
/// connection ends (RUSTSEC-2024-0003).
const MAX_ERROR_RESETS: usize = 1024;
/// An HTTP/2 connection that shows no life is asked for it, and closed if it does not answer in [`HTTP2_PING_TIMEOUT`].
const HTTP2_PING_EVERY: Duration = Duration::from_secs(30);
const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause after the operating system refuses to accept, for want of file descriptors as a rule.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The limits that a test sets lower.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// [`MAX_CONNECTIONS`].
    connections: usize,
    /// [`HEAD_TIME`].
    head_time: Duration,
}

impl Limits {
    /// Those of a gateway in this process.
    pub(crate) fn of_this_process() -> Self {
        Self { connections: connection_limit(MAX_CONNECTIONS), ..Self::default() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: MAX_CONNECTIONS, head_time: HEAD_TIME }
    }
}

/// Serves `router` on `listener` until `shutdown` drains; then closes what is idle and waits for the rest, within the
/// drain limit. Dropped: every connection is cut off.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    shutdown: Shutdown,
    metrics: ConnectionMetrics,
) {
    let Limits { connections: most, head_time } = limits;
    let builder = Arc::new(builder(head_time));
    let mut connections = JoinSet::new();
    metrics.limit.set(in_gauge(most));
    loop {
        tokio::select! {
            stream = accept(&listener, &metrics), if connections.len() < most => {
                metrics.accepted.inc();
                let (builder, router, shutdown) = (Arc::clone(&builder), router.clone(), shutdown.clone());
                connections.spawn(async move { drive(stream, &builder, router, head_time, &shutdown).await });
                if connections.len() == most {
                    metrics.full.inc();
                }
            }
            Some(_ended) = connections.join_next() => {}
            () = shutdown.draining() => break,
        }
        metrics.open.set(in_gauge(connections.len()));
    }
    drop(listener);
    let ending = async {
        while connections.join_next().await.is_some() {
            metrics.open.set(in_gauge(connections.len()));
        }
    };
    if let (End::Cut, _) = shutdown.limit(ending).await {
        tracing::warn!("the drain limit passed; requests in flight were cut off");
    }
}

fn in_gauge(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A request has 100 header fields at most, as hyper has it: told that number, it makes room for them in a slower way.
fn builder(head_time: Duration) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(head_time)
        .max_buf_size(MAX_HEAD_BYTES)
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_ERROR_RESETS)
        .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX))
        .keep_alive_interval(HTTP2_PING_EVERY)
        .keep_alive_timeout(HTTP2_PING_TIMEOUT);
    builder
}

async fn accept(listener: &TcpListener, metrics: &ConnectionMetrics) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "a connection goes on with Nagle's algorithm");
                }
                return stream;
            }
            Err(error) => {
                metrics.failures.inc();
                tracing::warn!(%error, "can't accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves one connection until it ends, is idle for too long, or has finished its requests while `shutdown` drains.
async fn drive(
    stream: TcpStream,
    builder: &auto::Builder<TokioExecutor>,
    router: Router,
    head_time: Duration,
    shutdown: &Shutdown,
) {
    let requests = Arc::new(Requests::default());
    let service = {
        let requests = Arc::clone(&requests);
        service_fn(move |request: Request<Incoming>| {
            let counted = Counted::new(Arc::clone(&requests));
            let answering = router.clone().oneshot(request);
            async move {
                let _counted = counted;
                answering.await
            }
        })
    };
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.draining() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        () = requests.none_for(head_time) => {
            connection.as_mut().graceful_shutdown();
            match timeout(head_time, connection).await {
                Ok(ended) => ended,
                Err(_) => return tracing::debug!("an idle connection was cut off"),
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(causes = chain(&*error), "a connection ended early");
    }
}

/// How many requests a connection has had.
#[derive(Default)]
struct Requests {
    begun: AtomicU64,
    ended: AtomicU64,
}

impl Requests {
    /// Waits until there was no request for `time`, or a little more than that: up to twice as long.
    async fn none_for(&self, time: Duration) {
        let mut seen = 0;
        loop {
            sleep(time).await;
            // In this order: a request that begins in between counts as one in flight.
            let ended = self.ended.load(Ordering::SeqCst);
            let begun = self.begun.load(Ordering::SeqCst);
            if begun == seen && begun == ended {
                return;
            }
            seen = begun;
        }
    }
}

/// Counts a request from its arrival to its answer, or to its drop.
struct Counted(Arc<Requests>);

impl Counted {
    fn new(requests: Arc<Requests>) -> Self {
        requests.begun.fetch_add(1, Ordering::SeqCst);
        Self(requests)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests;
