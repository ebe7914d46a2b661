//! Connections: accepting, how many there may be, and how long one may be open without speaking.
//!
//! What is said on a connection, and the limits of that, is HTTP/2's and set in [`super`].

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use futures_util::stream::unfold;
use prometheus_client::metrics::gauge::Gauge;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};
use tonic::transport::server::{Connected, TcpConnectInfo};

/// Connections at once, if there are files for them; one more waits in the operating system's queue until another closes. A gateway has one.
pub(super) const MAX_CONNECTIONS: usize = 512;
/// What every HTTP/2 connection begins with (RFC 9113, section 3.4), in bytes. A TLS handshake, which has its
/// own limit, is longer.
const PREFACE_BYTES: usize = 24;
/// How long a client may take for these. Only then does the keepalive begin.
const PREFACE_LIMIT: Duration = Duration::from_secs(10);
/// How long to wait when the operating system has no socket to give.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// The connections of `listener`, at most `most` at once, counted in `open`. It goes on when one can't be accepted: tonic's own
/// stream would end the server when there are too many open files.
pub(super) fn accepted(
    listener: TcpListener,
    most: usize,
    open: Gauge,
) -> impl Stream<Item = Result<Connection>> {
    let places = Arc::new(Semaphore::new(most));
    unfold((listener, places, open), async |(listener, places, open)| {
        // The semaphore is never closed.
        let place = Arc::clone(&places).acquire_owned().await.ok()?;
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "a connection was gone before it was served");
                        continue;
                    }
                    let connection = Connection::new(stream, place, open.clone());
                    return Some((Ok(connection), (listener, places, open)));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(ACCEPT_RETRY).await;
                }
            }
        }
    })
}

/// An accepted connection. Its place is free again when it is dropped.
pub(super) struct Connection {
    stream: TcpStream,
    /// Bytes that have come, as long as `preface_limit` is there.
    heard: usize,
    preface_limit: Option<Pin<Box<Sleep>>>,
    open: Gauge,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    fn new(stream: TcpStream, place: OwnedSemaphorePermit, open: Gauge) -> Self {
        open.inc();
        let preface_limit = Some(Box::pin(sleep(PREFACE_LIMIT)));
        Self { stream, heard: 0, preface_limit, open, _place: place }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.open.dec();
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if let Some(limit) = &mut self.preface_limit {
            if read.is_pending() && limit.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(Error::new(ErrorKind::TimedOut, "the client does not speak")));
            }
            self.heard += buffer.filled().len() - before;
            if self.heard >= PREFACE_BYTES {
                self.preface_limit = None;
            }
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::{FutureExt as _, StreamExt as _};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn listening() -> (TcpListener, std::net::SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    #[tokio::test]
    async fn one_more_waits_for_a_place() {
        let (listener, address) = listening().await;
        let open = Gauge::default();
        let mut accepted = pin!(accepted(listener, 2, open.clone()));
        let _clients = [
            TcpStream::connect(address).await.unwrap(),
            TcpStream::connect(address).await.unwrap(),
            TcpStream::connect(address).await.unwrap(),
        ];
        let first = accepted.next().await.unwrap().unwrap();
        let _second = accepted.next().await.unwrap().unwrap();
        assert!(accepted.next().now_or_never().is_none());
        assert_eq!(open.get(), 2);
        drop(first);
        assert_eq!(open.get(), 1);
        accepted.next().await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn client_that_does_not_speak_is_cut_off() {
        let (listener, address) = listening().await;
        let mut accepted = pin!(accepted(listener, 2, Gauge::default()));
        let mut client = TcpStream::connect(address).await.unwrap();
        let mut connection = accepted.next().await.unwrap().unwrap();
        client.write_all(&[b'P'; PREFACE_BYTES - 1]).await.unwrap();
        connection.read_exact(&mut [0; PREFACE_BYTES - 1]).await.unwrap();
        tokio::time::pause();
        let cut = connection.read_u8().await.unwrap_err();
        assert_eq!(cut.kind(), ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn client_that_has_spoken_may_be_silent() {
        let (listener, address) = listening().await;
        let mut accepted = pin!(accepted(listener, 2, Gauge::default()));
        let mut client = TcpStream::connect(address).await.unwrap();
        let mut connection = accepted.next().await.unwrap().unwrap();
        client.write_all(&[b'P'; PREFACE_BYTES]).await.unwrap();
        connection.read_exact(&mut [0; PREFACE_BYTES]).await.unwrap();
        assert!(connection.preface_limit.is_none());
    }
}
