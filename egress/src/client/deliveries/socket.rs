//! A connection of the pool, and what is remembered of it: its age, and how its requests went.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use http::{Extensions, Request, Response};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::{CaptureConnection, Connected, Connection, capture_connection};
use hyper_util::client::legacy::{self, ResponseFuture};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::client::connect::Stream;
use crate::client::deliveries::failure;

/// How long a connection is kept without a request.
pub(super) const IDLE_LIMIT: Duration = Duration::from_secs(60);

/// The oldest connection that takes a request.
const AGE_LIMIT: Duration = Duration::from_secs(5 * 60);

/// From this age on a connection is not kept after the request that it has. The pool knows no age, but it
/// keeps a connection for at most [`IDLE_LIMIT`] between two requests, so none starts after [`AGE_LIMIT`].
const RETIREMENT_AGE: Duration = AGE_LIMIT.saturating_sub(IDLE_LIMIT);

/// A connection that was opened for the pool.
pub(super) struct Socket {
    stream: Stream,
    history: History,
    /// Its place among the kept connections.
    _place: Option<OwnedSemaphorePermit>,
}

/// What is known of a connection. Clones are of the same connection.
#[derive(Clone)]
struct History(Arc<Facts>);

struct Facts {
    opened: Instant,
    http2: bool,
    /// The host asked for a client certificate and got none.
    certificate_requested: bool,
    /// There was no place to keep it, so it is for one request.
    unkept: bool,
    /// Requests that were put on the connection.
    requests: AtomicUsize,
    /// Requests that are on the connection now.
    in_flight: AtomicUsize,
    /// Whether anything was received since the last byte was sent.
    answered: AtomicBool,
    /// Takes no further requests, and closes after those that it has.
    retired: AtomicBool,
    /// The task that reads from the connection.
    reader: AtomicWaker,
}

impl Facts {
    /// Whether the connection is to be closed.
    fn is_done(&self) -> bool {
        self.retired.load(Ordering::SeqCst) && self.in_flight.load(Ordering::SeqCst) == 0
    }
}

impl Socket {
    pub(super) fn new(
        stream: Stream,
        certificate_requested: bool,
        place: Option<OwnedSemaphorePermit>,
    ) -> Self {
        let history = History(Arc::new(Facts {
            opened: Instant::now(),
            http2: stream.negotiated_http2(),
            certificate_requested,
            unkept: place.is_none(),
            requests: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
            answered: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            reader: AtomicWaker::new(),
        }));
        Self { stream, history, _place: place }
    }
}

impl Connection for Socket {
    fn connected(&self) -> Connected {
        let connected = Connected::new().extra(self.history.clone());
        if self.history.0.unkept {
            connected.poison();
        }
        if self.history.0.http2 { connected.negotiated_h2() } else { connected }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let facts = &self.history.0;
        facts.reader.register(cx.waker());
        if facts.is_done() {
            // The end of the stream, upon which hyper closes the connection.
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.history.0.answered.store(true, Ordering::Relaxed);
        }
        polled
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.history.0.answered.store(false, Ordering::Relaxed);
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.history.0.answered.store(false, Ordering::Relaxed);
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }
}

impl Drop for Used {
    fn drop(&mut self) {
        let (Some(_), Some(History(facts))) = (self.reused, self.facts()) else { return };
        facts.in_flight.fetch_sub(1, Ordering::SeqCst);
        if facts.is_done() {
            facts.reader.wake();
        }
    }
}

/// The connection that a request is on, once it is on one.
pub(super) struct Used {
    captured: CaptureConnection,
    /// Whether it had a request before. `None`: there is no connection yet.
    reused: Option<bool>,
}

impl Used {
    /// The connection that `request` will be on.
    pub(super) fn by<B>(request: &mut Request<B>) -> Self {
        Self { captured: capture_connection(request), reused: None }
    }

    /// Waits for the head of the response, and notes meanwhile which connection the request is on.
    pub(super) async fn follow(
        &mut self,
        response: ResponseFuture,
    ) -> Result<Response<Incoming>, legacy::Error> {
        tokio::pin!(response);
        let head = tokio::select! {
            biased;
            head = &mut response => Some(head),
            _ = self.captured.wait_for_connection_metadata() => None,
        };
        self.note();
        match head {
            Some(head) => head,
            None => response.await,
        }
    }

    fn note(&mut self) {
        let Some(History(facts)) = self.facts() else { return };
        self.reused = Some(facts.requests.fetch_add(1, Ordering::Relaxed) > 0);
        facts.in_flight.fetch_add(1, Ordering::SeqCst);
        if facts.unkept {
            self.retire();
        }
        self.retire_if_old();
    }

    /// Keeps the connection from taking further requests. It closes after those that it has.
    pub(super) fn retire(&self) {
        let Some(History(facts)) = self.facts() else { return };
        facts.retired.store(true, Ordering::SeqCst);
        if let Some(connected) = self.captured.connection_metadata().as_ref() {
            connected.poison();
        }
    }

    /// The same if it is old.
    pub(super) fn retire_if_old(&self) {
        if self.facts().is_some_and(|History(facts)| facts.opened.elapsed() >= RETIREMENT_AGE) {
            self.retire();
        }
    }

    /// Whether `error`, on which the request ended without a head, came before any byte of an answer, and on
    /// a connection that had a request before.
    pub(super) fn was_stale(&self, error: &(dyn Error + 'static)) -> bool {
        let (Some(true), Some(History(facts))) = (self.reused, self.facts()) else { return false };
        if failure::is_unsent(error) {
            return true;
        }
        // Other streams of an HTTP/2 connection may have had an answer; this one had none.
        if facts.http2 {
            !failure::is_protocol_violation(error)
        } else {
            !facts.answered.load(Ordering::Relaxed)
        }
    }

    /// Whether the host asked for a client certificate, and this is the first request since.
    pub(super) fn should_have_proven_itself(&self) -> bool {
        self.reused == Some(false) && self.facts().is_some_and(|History(facts)| facts.certificate_requested)
    }

    fn facts(&self) -> Option<History> {
        let mut extensions = Extensions::new();
        self.captured.connection_metadata().as_ref()?.get_extras(&mut extensions);
        extensions.remove()
    }
}
