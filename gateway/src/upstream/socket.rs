//! A TCP stream that is read to its end even after a write has failed.
//!
//! A core-service that shuts down sends a GOAWAY that names the last call that it processes, and closes the
//! connection. If the gateway writes at that moment, the kernel of the peer answers with a TCP reset. An
//! HTTP/2 client that gives up when the write fails never reads the GOAWAY, and can't tell whether a call was
//! processed.

use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// After the first failed write, all writes are discarded and succeed. Reading reports the end of the
/// connection, or pings that are not answered do.
pub(super) struct Socket {
    tcp: TcpStream,
    write_failed: bool,
}

impl Socket {
    pub(super) fn new(tcp: TcpStream) -> Self {
        Self { tcp, write_failed: false }
    }

    /// Turns a failed write into the discarded write of `length` bytes.
    fn discard_if_failed(&mut self, written: Result<usize>, length: usize) -> Result<usize> {
        match written {
            Ok(written) => Ok(written),
            Err(error) => {
                process::once_a_second!(debug, %error, "the core-service takes no more");
                self.write_failed = true;
                Ok(length)
            }
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        if self.write_failed {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = ready!(Pin::new(&mut self.tcp).poll_write(cx, bytes));
        Poll::Ready(self.discard_if_failed(written, bytes.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let length = slices.iter().map(|slice| slice.len()).sum();
        if self.write_failed {
            return Poll::Ready(Ok(length));
        }
        let written = ready!(Pin::new(&mut self.tcp).poll_write_vectored(cx, slices));
        Poll::Ready(self.discard_if_failed(written, length))
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if self.write_failed {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn last_words_are_read_after_a_failed_write() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut socket = Socket::new(tcp);
        let (mut peer, _) = listener.accept().await.unwrap();
        socket.write_all(b"never read").await.unwrap();
        peer.readable().await.unwrap();
        peer.write_all(b"last words").await.unwrap();
        // Closed with bytes unread: the kernel resets the connection.
        drop(peer);
        while !socket.write_failed {
            socket.write_all(b"more").await.expect("a failed write is not reported");
        }
        socket.write_all(b"still more").await.expect("nor is any write after it");
        socket.shutdown().await.expect("nor is the shutdown");
        let mut read = [0; 10];
        socket.read_exact(&mut read).await.expect("it can be read");
        assert_eq!(&read, b"last words");
        assert_eq!(socket.read(&mut read).await.unwrap_or(0), 0, "then it ends");
    }
}
