//! Connections from clients: accepting them, their limits, and graceful shutdown.
//!
//! How long a connection may be without a request in flight is decided by [`idle`]: [`HEAD_TIME`] for the
//! head of a request, and `--idle-timeout` between requests. It is more than the keep-alive of common load
//! balancers, which otherwise send a request just when the gateway closes. What clients make the gateway hold
//! in memory is limited by [`process::held`].
//!
//! Requests that HTTP's own parser refuses, such as one with too large a header section, are answered by
//! hyper. The limits of one request are in [`xrpc`](crate::xrpc).

mod idle;
pub(crate) mod metrics;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use process::exit::chain;
use process::files::connection_limit;
use process::held::socket::Socket;
use process::held::{HELD_LIMIT_BYTES, Ledger};
use process::once_a_second;
use process::shutdown::{End, Shutdown};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tower::ServiceExt as _;

use self::idle::{Idleness, WatchedSocket};
use self::metrics::ConnectionMetrics;
use crate::client_address::{ClientAddress, PeerAddress};
use crate::places::{Place, Places};

/// Connections at once, if the process may open that many files. Further ones wait in the operating system's
/// accept queue until another closes.
const MAX_CONNECTIONS: usize = 8192;
/// One address may have this fraction of the connections, unless `--connections-per-address` says otherwise:
/// a half.
const SHARE_OF_AN_ADDRESS: usize = 2;
/// How long a client may take to send the head of a request, from its first byte, and how long a new
/// connection may be silent. An idle connection that ignores the graceful close is dropped this much later.
const HEAD_TIME: Duration = Duration::from_secs(30);
/// The head of a request (request line and headers), in bytes.
const MAX_HEAD_BYTES: usize = 32 * 1024;
/// HTTP/2 streams at once on one connection.
const MAX_STREAMS: u32 = 100;
/// HTTP/2 flow-control windows, in bytes: what a client may send of one body, and of all bodies of its
/// connection, before they are read.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 512 * 1024;
/// HTTP/2 streams on one connection that the client reset before they were accepted; above it the connection
/// ends ("rapid reset", CVE-2023-44487).
const MAX_PENDING_RESETS: usize = 20;
/// HTTP/2 streams of one connection that were reset here for a protocol error, over its whole life; above it
/// the connection ends (RUSTSEC-2024-0003).
const MAX_ERROR_RESETS: usize = 1024;
/// An HTTP/2 connection on which nothing arrives gets a ping this often, and ends if no answer comes within
/// [`HTTP2_PING_TIMEOUT`].
const HTTP2_PING_EVERY: Duration = Duration::from_secs(30);
const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(10);
/// How often connections are looked for whose clients take nothing of their answers.
const STALL_CHECK: Duration = Duration::from_secs(1);
/// The pause after a failed accept, usually for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The limits that tests lower.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// [`MAX_CONNECTIONS`].
    connections: usize,
    /// How many of them one address may have.
    for_each_address: usize,
    /// [`HEAD_TIME`].
    head_time: Duration,
    /// `--idle-timeout`.
    idle_time: Duration,
    /// [`HELD_LIMIT_BYTES`].
    held_bytes: usize,
}

impl Limits {
    /// The limits that this process's open files allow, with `for_each_address` connections of one address
    /// (0: all; `None`: a share of them), which may be without a request for `idle_time`.
    pub(crate) fn of_this_process(for_each_address: Option<usize>, idle_time: Duration) -> Self {
        Self::new(connection_limit(MAX_CONNECTIONS), for_each_address, idle_time)
    }

    fn new(connections: usize, for_each_address: Option<usize>, idle_time: Duration) -> Self {
        let for_each_address = match for_each_address {
            Some(0) => usize::MAX,
            Some(limit) => limit,
            None => (connections / SHARE_OF_AN_ADDRESS).max(1),
        };
        Self { connections, for_each_address, head_time: HEAD_TIME, idle_time, held_bytes: HELD_LIMIT_BYTES }
    }
}

/// Serves `router` on `listener` until `shutdown` drains; then closes idle connections and waits for the
/// others, at most for the drain limit. Dropping the future drops all connections.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    shutdown: Shutdown,
    metrics: ConnectionMetrics,
) {
    let Limits { connections: max_connections, for_each_address, head_time, idle_time, held_bytes } = limits;
    let addresses = Places::new(usize::MAX, for_each_address);
    let ledger = Ledger::new(held_bytes, metrics.held.clone());
    let builder = Arc::new(connection_builder());
    let mut connections = JoinSet::new();
    let mut stall_check = interval(STALL_CHECK);
    stall_check.set_missed_tick_behavior(MissedTickBehavior::Delay);
    metrics.limit.set(gauge_value(max_connections));
    loop {
        tokio::select! {
            (stream, peer) = accept(&listener, &metrics), if connections.len() < max_connections => {
                let Some(place) = addresses.take(ClientAddress::new(peer.0)) else {
                    metrics.refused.inc();
                    once_a_second!(warn, "a client address has as many connections as it may; closing a further one");
                    continue;
                };
                metrics.accepted.inc();
                let idleness = Arc::new(Idleness::new(head_time, idle_time));
                let connection = ClientConnection { stream, peer, _place: place, router: router.clone(), idleness };
                let (builder, ledger, shutdown) = (Arc::clone(&builder), ledger.clone(), shutdown.clone());
                connections.spawn(async move { connection.serve(&builder, &ledger, &shutdown).await });
                if connections.len() == max_connections {
                    metrics.full.inc();
                }
            }
            Some(_ended) = connections.join_next() => {}
            _ = stall_check.tick() => ledger.close_stalled(),
            () = shutdown.draining() => break,
        }
        metrics.open.set(gauge_value(connections.len()));
    }
    drop(listener);
    let ending = async {
        loop {
            tokio::select! {
                ended = connections.join_next() => if ended.is_none() { break },
                _ = stall_check.tick() => ledger.close_stalled(),
            }
            metrics.open.set(gauge_value(connections.len()));
        }
    };
    if let (End::Cut, _) = shutdown.limit(ending).await {
        tracing::warn!("the drain limit passed; requests in flight were cut off");
    }
}

fn gauge_value(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// hyper's limits. Its default of 100 header fields stands: `max_headers` would allocate for each request.
/// Its one time limit for head and idleness is off.
fn connection_builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(MAX_HEAD_BYTES)
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_ERROR_RESETS)
        .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX))
        .keep_alive_interval(HTTP2_PING_EVERY)
        .keep_alive_timeout(HTTP2_PING_TIMEOUT);
    builder
}

async fn accept(listener: &TcpListener, metrics: &ConnectionMetrics) -> (TcpStream, PeerAddress) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    once_a_second!(debug, %error, "a connection goes on with Nagle's algorithm");
                }
                return (stream, PeerAddress(peer.ip().to_canonical()));
            }
            Err(error) => {
                metrics.failures.inc();
                once_a_second!(warn, %error, "can't accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// An accepted connection.
struct ClientConnection {
    stream: TcpStream,
    peer: PeerAddress,
    _place: Place<ClientAddress>,
    router: Router,
    idleness: Arc<Idleness>,
}

impl ClientConnection {
    /// Serves the connection until it ends, is idle for too long, holds too much, or has finished its
    /// requests while `shutdown` drains.
    async fn serve(self, builder: &auto::Builder<TokioExecutor>, ledger: &Ledger, shutdown: &Shutdown) {
        let Self { stream, peer, _place, router, idleness } = self;
        let socket = Socket::new(stream, ledger);
        let service = {
            let (idleness, account) = (Arc::clone(&idleness), Arc::clone(socket.account()));
            service_fn(move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(peer);
                let in_flight = idleness.begin(request.version());
                let answering = router.clone().oneshot(request);
                Arc::clone(&account).serve(async move {
                    let _in_flight = in_flight;
                    answering.await
                })
            })
        };
        let mut connection = pin!(builder.serve_connection(
            TokioIo::new(WatchedSocket { socket, idleness: Arc::clone(&idleness) }),
            service
        ));
        let ended = tokio::select! {
            biased;
            ended = connection.as_mut() => ended,
            () = shutdown.draining() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            patience = idleness.expired() => {
                connection.as_mut().graceful_shutdown();
                let ended = timeout(patience, connection).await;
                ended.unwrap_or_else(|_| Err("it did not end when it was idle".into()))
            }
        };
        if let Err(error) = ended {
            once_a_second!(debug, causes = chain(&*error), "a connection ended early");
        }
    }
}

#[cfg(test)]
mod tests;
