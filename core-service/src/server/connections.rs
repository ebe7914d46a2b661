//! Accepting connections: how many there may be, and how long one may be open before it speaks HTTP/2.
//!
//! The limits of HTTP/2 itself are set in [`super`].

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use futures_util::stream::unfold;
use process::held::Ledger;
use process::held::socket::Socket;
use prometheus_client::metrics::gauge::Gauge;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};
use tonic::transport::server::Connected;

use super::calls::CallsOfConnection;

/// Connections at once, if the limit of open files allows it. One more waits in the listener's backlog until
/// another closes. A gateway has one connection to each core-service.
pub(super) const MAX_CONNECTIONS: usize = 512;
/// The length of the HTTP/2 connection preface (RFC 9113, section 3.4). A TLS handshake, which has a limit of
/// its own, is longer.
const PREFACE_BYTES: usize = 24;
/// How long a client may take to send the preface. The keepalive begins only after it.
const PREFACE_LIMIT: Duration = Duration::from_secs(10);
/// The pause after `accept` failed, for example for want of a file descriptor.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// The connections of `listener`, at most `limit` at once, counted in `open` and with an account in
/// `ledger`. It goes on after a failed
/// `accept`: tonic's own stream would end the server when there are too many open files.
pub(super) fn accept(
    listener: TcpListener,
    limit: usize,
    open: Gauge,
    ledger: Ledger,
) -> impl Stream<Item = Result<Connection>> {
    let permits = Arc::new(Semaphore::new(limit));
    unfold((listener, permits, open, ledger), async |(listener, permits, open, ledger)| {
        // The semaphore is never closed.
        let permit = Arc::clone(&permits).acquire_owned().await.ok()?;
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    if let Err(error) = stream.set_nodelay(true) {
                        process::once_a_second!(debug, %error, "a connection was gone before it was served");
                        continue;
                    }
                    let connection = Connection::new(Socket::new(stream, &ledger), permit, open.clone());
                    return Some((Ok(connection), (listener, permits, open, ledger)));
                }
                Err(error) => {
                    process::once_a_second!(warn, %error, "a connection could not be accepted");
                    sleep(ACCEPT_RETRY).await;
                }
            }
        }
    })
}

/// An accepted connection. Dropping it lets another be accepted.
pub(super) struct Connection {
    socket: Socket,
    calls: CallsOfConnection,
    /// Bytes read while `preface_limit` is set.
    bytes_read: usize,
    /// Set until the preface has arrived.
    preface_limit: Option<Pin<Box<Sleep>>>,
    open: Gauge,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    fn new(socket: Socket, permit: OwnedSemaphorePermit, open: Gauge) -> Self {
        open.inc();
        let preface_limit = Some(Box::pin(sleep(PREFACE_LIMIT)));
        let calls = CallsOfConnection::new(socket.account());
        Self { socket, calls, bytes_read: 0, preface_limit, open, _permit: permit }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.open.dec();
    }
}

impl Connected for Connection {
    type ConnectInfo = CallsOfConnection;

    fn connect_info(&self) -> CallsOfConnection {
        self.calls.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(context, buffer);
        if let Some(limit) = &mut self.preface_limit {
            if read.is_pending() && limit.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(Error::new(ErrorKind::TimedOut, "the client does not speak")));
            }
            self.bytes_read += buffer.filled().len() - before;
            if self.bytes_read >= PREFACE_BYTES {
                self.preface_limit = None;
            }
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::{FutureExt as _, StreamExt as _};
    use process::held::metrics::HeldMetrics;
    use prometheus_client::registry::Registry;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    fn ledger() -> Ledger {
        Ledger::new(usize::MAX, HeldMetrics::new(&mut Registry::default()))
    }

    async fn listening() -> (TcpListener, std::net::SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    #[tokio::test]
    async fn one_more_waits_until_another_closes() {
        let (listener, address) = listening().await;
        let open = Gauge::default();
        let mut accepted = pin!(accept(listener, 2, open.clone(), ledger()));
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
        let mut accepted = pin!(accept(listener, 2, Gauge::default(), ledger()));
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
        let mut accepted = pin!(accept(listener, 2, Gauge::default(), ledger()));
        let mut client = TcpStream::connect(address).await.unwrap();
        let mut connection = accepted.next().await.unwrap().unwrap();
        client.write_all(&[b'P'; PREFACE_BYTES]).await.unwrap();
        connection.read_exact(&mut [0; PREFACE_BYTES]).await.unwrap();
        assert!(connection.preface_limit.is_none());
    }
}
