//! When a connection is closed for want of a request: the head of a request has a limit from its first byte,
//! and so has the time before the first request and between requests.
//!
//! hyper has one limit for both, and none for HTTP/2.

use std::future::poll_fn;
use std::io::{IoSlice, Result};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Version;
use process::held::socket::Socket;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep};

/// What one connection waits for. Its socket and its requests tell it.
#[derive(Debug)]
pub(super) struct Idleness {
    /// From the first byte of a request until its head is there, and from the beginning of the connection
    /// until the first byte.
    head_time: Duration,
    /// From the end of a request until the first byte of the next.
    idle_time: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Requests that are served.
    in_flight: usize,
    /// What an HTTP/2 connection without a request sends, such as the answer to a ping, begins none.
    is_http2: bool,
    /// Something of a head has come.
    in_head: bool,
    /// When the connection is to be closed, unless a request is in flight.
    deadline: Instant,
}

impl Idleness {
    /// That of a new connection.
    pub(super) fn new(head_time: Duration, idle_time: Duration) -> Self {
        let deadline = Instant::now() + head_time;
        let state = State { in_flight: 0, is_http2: false, in_head: false, deadline };
        Self { head_time, idle_time, state: Mutex::new(state) }
    }

    /// Notes that a request begins, which is in flight until the result is dropped.
    pub(super) fn begin(self: &Arc<Self>, version: Version) -> InFlight {
        let mut state = self.state();
        state.in_flight += 1;
        state.in_head = false;
        state.is_http2 = version == Version::HTTP_2;
        InFlight(Arc::clone(self))
    }

    /// Waits until the connection has to be closed. To be polled whenever the connection was. Returns how
    /// long it may take to end.
    pub(super) async fn expired(&self) -> Duration {
        let mut timer = pin!(sleep(self.head_time.min(self.idle_time)));
        poll_fn(|context| {
            loop {
                let now = Instant::now();
                let until = {
                    let state = self.state();
                    if state.in_flight > 0 {
                        now + self.head_time.min(self.idle_time)
                    } else if state.deadline <= now {
                        // Who has not sent a head yet has nothing to finish.
                        return Poll::Ready(if state.in_head { Duration::ZERO } else { self.head_time });
                    } else {
                        state.deadline
                    }
                };
                // A later deadline is looked at when the timer fires, which spares busy connections timers.
                if until < timer.deadline() || timer.is_elapsed() {
                    timer.as_mut().reset(until);
                }
                if timer.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    fn read(&self) {
        let mut state = self.state();
        if state.in_flight == 0 && !state.in_head && !state.is_http2 {
            state.in_head = true;
            state.deadline = Instant::now() + self.head_time;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request in flight.
pub(super) struct InFlight(Arc<Idleness>);

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.in_flight -= 1;
        if state.in_flight == 0 {
            state.deadline = Instant::now() + self.0.idle_time;
        }
    }
}

/// A socket that tells the connection's [`Idleness`] what arrives.
pub(super) struct WatchedSocket {
    pub(super) socket: Socket,
    pub(super) idleness: Arc<Idleness>,
}

impl AsyncRead for WatchedSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.idleness.read();
        }
        read
    }
}

impl AsyncWrite for WatchedSocket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}
