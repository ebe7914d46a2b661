//! How a connection is opened. TCP and TLS are the caller's: it knows which addresses may be reached.

use std::io;

use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use url::Url;

/// An open connection: TCP, with TLS on it where the URL says so.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Opens connections.
pub trait Connect: Send + Sync {
    /// Opens a connection to the host of `url`, with TLS for `wss`. A limit on the time is the client's own.
    fn connect<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, io::Result<Box<dyn Stream>>>;
}

/// Plain TCP, for `ws` alone: a host on this machine, tests.
#[derive(Debug, Clone, Copy)]
pub struct Tcp;

impl Connect for Tcp {
    fn connect<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            if url.scheme() != "ws" {
                return Err(io::Error::new(io::ErrorKind::Unsupported, "no TLS here"));
            }
            let addresses = url.socket_addrs(|| None)?;
            let stream = TcpStream::connect(&*addresses).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }
}
