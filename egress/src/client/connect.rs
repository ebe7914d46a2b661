//! Connects to addresses that are already checked. Looks nothing up.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::{Host, Url};

use crate::error::Failure;

/// How many addresses of one host are tried.
const MAX_ATTEMPTS: usize = 4;

/// How long to wait for one address before the next is tried in parallel (Happy Eyeballs, RFC 8305).
const HEAD_START: Duration = Duration::from_millis(250);

/// A connection to the host of a URL.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Whether the host chose HTTP/2 in the TLS handshake.
    pub(super) fn negotiated_http2(&self) -> bool {
        matches!(self, Self::Tls(stream) if stream.get_ref().1.alpn_protocol() == Some(b"h2"))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }
}

/// Connects to one of `addresses`, which are checked, if `may_connect` says so right before the attempt. For
/// https the certificate must be valid for the host in `url`. Has no time limit of its own. Every connection
/// of this crate is opened here.
pub(super) async fn open(
    addresses: &[SocketAddr],
    url: &Url,
    tls: &TlsConnector,
    may_connect: impl FnMut(IpAddr) -> bool,
) -> Result<Stream, Failure> {
    let stream = first_to_connect(addresses, may_connect).await.map_err(Failure::Connect)?;
    // A request is written whole; nothing is gained by waiting for more.
    stream.set_nodelay(true).map_err(Failure::Connect)?;
    if url.scheme() != "https" {
        return Ok(Stream::Plain(stream));
    }
    let name = server_name(url)?;
    let stream = tls.connect(name, stream).await.map_err(Failure::Tls)?;
    Ok(Stream::Tls(Box::new(stream)))
}

/// Tries the addresses in turn, each with a head start over the next. The first connection wins.
async fn first_to_connect(
    addresses: &[SocketAddr],
    mut may_connect: impl FnMut(IpAddr) -> bool,
) -> io::Result<TcpStream> {
    let mut waiting = alternate_families(addresses).into_iter().take(MAX_ATTEMPTS);
    let mut attempts = FuturesUnordered::new();
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    loop {
        let next = waiting.find(|address| may_connect(address.ip()));
        let last = next.is_none();
        attempts.extend(next.map(TcpStream::connect));
        if attempts.is_empty() {
            return Err(failure);
        }
        tokio::select! {
            Some(attempt) = attempts.next() => match attempt {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = error,
            },
            () = sleep(HEAD_START), if !last => {}
        }
    }
}

/// IPv4 and IPv6 addresses in turn, so that a machine with only one of them soon tries that one.
fn alternate_families(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let (ipv4, ipv6): (Vec<_>, Vec<_>) = addresses.iter().partition(|address| address.is_ipv4());
    let mut alternating = Vec::with_capacity(addresses.len());
    for turn in 0..ipv4.len().max(ipv6.len()) {
        alternating.extend(ipv4.get(turn));
        alternating.extend(ipv6.get(turn));
    }
    alternating
}

fn server_name(url: &Url) -> Result<ServerName<'static>, Failure> {
    match url.host().ok_or(Failure::NoHost)? {
        Host::Domain(name) => ServerName::try_from(name.to_owned())
            .map_err(|error| Failure::Tls(io::Error::new(io::ErrorKind::InvalidInput, error))),
        Host::Ipv4(address) => Ok(ServerName::from(IpAddr::V4(address))),
        Host::Ipv6(address) => Ok(ServerName::from(IpAddr::V6(address))),
    }
}
