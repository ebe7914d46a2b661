//! HTTP/2 to one address: the connection's task, its keepalive, and the body of an answer.
//!
//! On h2 itself. hyper's client gives every call a task and passes it over three channels, which a call that is one
//! frame in each direction pays for and has no use of.

use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{self, SendRequest};
use h2::{Ping, PingPong, RecvStream};
use http::HeaderMap;
use http_body::{Body, Frame};
use process::exit::chain;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// How often a connection is sent a ping, whether it is idle or not.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(4);

/// A connection on which a ping is not answered for this long is closed.
const KEEPALIVE_LIMIT: Duration = Duration::from_secs(3);

/// HTTP/2 flow-control window of an answer, in bytes: all but the very largest come without waiting for it.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;

/// HTTP/2 flow-control window of a connection, in bytes.
const CONNECTION_WINDOW_BYTES: u32 = 4 * STREAM_WINDOW_BYTES;

/// Begins HTTP/2 on `io`, which is at `address`, and drives it in a task until it ends. Once it takes no more calls,
/// `over` is cancelled; cancelled by another, it takes no more, and ends after those in flight when the last sender is
/// dropped.
///
/// # Errors
///
/// The preface can't be sent.
pub(super) async fn begin<T>(
    address: SocketAddr,
    io: T,
    over: CancellationToken,
) -> Result<SendRequest<Bytes>, h2::Error>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = client::Builder::new()
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .handshake(io);
    let (sender, connection) = handshake.await?;
    let watched = sender.clone();
    tokio::spawn(async move {
        // By its drop, so that a panic is an end too.
        let _ended = over.clone().drop_guard();
        drive(address, connection, watched, &over).await;
    });
    Ok(sender)
}

async fn drive<T>(
    address: SocketAddr,
    mut connection: client::Connection<T, Bytes>,
    watched: SendRequest<Bytes>,
    over: &CancellationToken,
) where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let pings = connection.ping_pong().expect("nobody else has asked for it");
    let mut watched = Some(watched);
    let mut cancelled = pin!(over.cancelled());
    let driving = std::future::poll_fn(|cx| {
        if watched.is_some() && cancelled.as_mut().poll(cx).is_ready() {
            watched = None;
        }
        let driven = Pin::new(&mut connection).poll(cx);
        // After a GOAWAY the calls in flight go on, and there can be no other.
        if let Some(sender) = &mut watched
            && let Poll::Ready(Err(_)) = sender.poll_ready(cx)
        {
            watched = None;
            over.cancel();
        }
        driven
    });
    tokio::select! {
        ended = driving => {
            if let Err(error) = ended {
                tracing::info!(%address, causes = chain(&error), "the connection to the core-service broke");
            }
        }
        () = unanswered(pings) => {
            tracing::info!(%address, "the connection to the core-service does not answer pings");
        }
    }
}

/// Sends pings, and returns when one is not answered.
async fn unanswered(mut pings: PingPong) {
    loop {
        sleep(KEEPALIVE_INTERVAL).await;
        match timeout(KEEPALIVE_LIMIT, pings.ping(Ping::opaque())).await {
            Ok(Ok(_pong)) => {}
            // The connection tells of its end itself.
            Ok(Err(_)) => std::future::pending().await,
            Err(_elapsed) => return,
        }
    }
}

/// Whether an answer came with a status of the peer's own. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct HasStatus(Arc<AtomicBool>);

impl HasStatus {
    /// Looks for the status in headers or trailers.
    pub(super) fn look_in(&self, headers: &HeaderMap) {
        if headers.contains_key(Status::GRPC_STATUS) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn is_there(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The body of an answer.
pub(super) struct Answer {
    stream: RecvStream,
    has_status: HasStatus,
}

impl Answer {
    /// What comes on `stream`; a status among the trailers is noted.
    pub(super) fn new(stream: RecvStream, has_status: HasStatus) -> Self {
        Self { stream, has_status }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if let Some(data) = ready!(self.stream.poll_data(cx)) {
            return Poll::Ready(Some(data.and_then(|data| {
                self.stream.flow_control().release_capacity(data.len())?;
                Ok(Frame::data(data))
            })));
        }
        let trailers = ready!(self.stream.poll_trailers(cx)).transpose();
        if let Some(Ok(trailers)) = &trailers {
            self.has_status.look_in(trailers);
        }
        Poll::Ready(trailers.map(|trailers| trailers.map(Frame::trailers)))
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }
}
