//! A client's socket, as its connection's [`Account`] sees it.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::yield_now;

use super::{Account, Ledger, OpenAccount};

/// Bytes that a connection reads before it is the turn of the others: as much as HTTP/2 reads at once. Tokio
/// itself would let it read a megabyte, in frames that a stranger makes as small and costly as they can be.
const TURN_BYTES: usize = 8 * 1024;

/// A socket that tells the account what is read and written, fails once the connection has to be closed,
/// takes turns with others at reading, and reads nothing while many requests wait to be looked at.
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
    open: OpenAccount,
    /// Bytes read in this turn.
    turn: usize,
}

impl Socket {
    /// A socket whose connection has a new account in `ledger`.
    #[must_use]
    pub fn new(stream: TcpStream, ledger: &Ledger) -> Self {
        Self { stream, open: ledger.open(), turn: 0 }
    }

    /// The connection's account.
    #[must_use]
    pub fn account(&self) -> &Arc<Account> {
        &self.open.account
    }

    fn wrote(&self, written: &Poll<Result<usize>>) {
        if matches!(written, Poll::Ready(Ok(1..))) {
            self.account().written();
        }
    }

    fn fail_if_closing(&self, context: &mut Context<'_>) -> Result<()> {
        match self.account().poll_closing(context) {
            Poll::Ready(()) => Err(Error::new(ErrorKind::ConnectionAborted, "the client takes no answers")),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        self.fail_if_closing(context)?;
        if self.turn >= TURN_BYTES || self.account().ledger.is_busy() {
            self.turn = 0;
            // Unlike a mere waking, this also lets sockets be noticed that have become ready.
            let _yields = pin!(yield_now()).poll(context);
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let bytes = buffer.filled().len() - before;
        if bytes > 0 {
            self.account().read(bytes);
        }
        self.turn = if read.is_pending() { 0 } else { self.turn + bytes };
        read
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        self.fail_if_closing(context)?;
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        self.fail_if_closing(context)?;
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.wrote(&written);
        written
    }

    /// HTTP flushes when it has written all that the client lets it write.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.account().flushed();
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
