//! Connects to an address: TCP, TLS, HTTP/2, and a health check that proves that the peer is alive.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::Uri;
use hyper::client::conn::http2;
use hyper::rt::{Read, Write};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use process::certificates::ALPN_HTTP2;
use process::exit::chain;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use url::{Position, Url};

use super::UnfitSettings;
use super::connection::Connection;
use super::socket::Socket;
use super::tls::{Credentials, UpstreamTls};

/// The longest time for TCP, TLS and the HTTP/2 preface together.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);

/// The longest time for the response to a health check that proves that a peer is alive.
pub(super) const PROOF_LIMIT: Duration = Duration::from_secs(2);

/// A ping is sent when nothing was received for this long, also on an idle connection.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(4);

/// A connection is closed when a ping is not answered for this long.
const KEEPALIVE_LIMIT: Duration = Duration::from_secs(3);

/// How often a connection is polled even if nothing wakes it. hyper notices a GOAWAY only when it is polled,
/// and while calls are in flight only the next call wakes it. That call would have to wait for a new
/// connection.
const GOAWAY_INTERVAL: Duration = Duration::from_millis(200);

/// HTTP/2 flow-control window of a stream, in bytes. All but the largest responses fit.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;

/// HTTP/2 flow-control window of a connection, in bytes.
const CONNECTION_WINDOW_BYTES: u32 = 4 * STREAM_WINDOW_BYTES;

/// Connects to the core-service at any of its addresses. TLS and requests use the host of the URL.
pub(super) struct Dialer {
    origin: Uri,
    /// The name in the certificate of the core-service.
    name: ServerName<'static>,
    credentials: Arc<ArcSwap<Credentials>>,
}

/// Everything that is wrong with the URL, given whether certificate authorities are configured.
pub(super) fn unfit(url: &Url, has_authorities: bool) -> Vec<UnfitSettings> {
    let mut problems = Vec::new();
    if origin(url).is_none() || server_name(url).is_none() {
        problems.push(UnfitSettings::Url);
    }
    match url.scheme() {
        "https" if !has_authorities => problems.push(UnfitSettings::NoAuthority),
        "http" if has_authorities => problems.push(UnfitSettings::TlsWithoutHttps),
        _ => {}
    }
    problems
}

/// The URL as a request needs it. `None` if it is not http or https, or has more than scheme, host and port.
fn origin(url: &Url) -> Option<Uri> {
    let only_origin = matches!(url.scheme(), "http" | "https")
        && matches!(&url[Position::BeforePath..], "" | "/")
        && url.username().is_empty()
        && url.password().is_none();
    if !only_origin {
        return None;
    }
    let authority = &url[Position::BeforeUsername..Position::AfterPort];
    Uri::builder().scheme(url.scheme()).authority(authority).path_and_query("/").build().ok()
}

/// The name that the certificate must be issued for. `None` if the URL has no host that can be one.
fn server_name(url: &Url) -> Option<ServerName<'static>> {
    let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(host.to_owned()).ok()
}

/// Why an address can't be connected to.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error("connecting takes too long")]
    Late,
    #[error("no TCP connection")]
    Tcp(#[source] std::io::Error),
    #[error("no TLS")]
    Tls(#[source] std::io::Error),
    #[error("the peer does not speak HTTP/2 in TLS (ALPN h2)")]
    NoHttp2,
    #[error("no HTTP/2")]
    Http2(#[source] hyper::Error),
    #[error("connected, but there is no answer")]
    Silent,
}

impl Dialer {
    /// # Errors
    ///
    /// The first problem that [`unfit`] finds.
    pub(super) fn new(url: &Url, credentials: Arc<ArcSwap<Credentials>>) -> Result<Self, UnfitSettings> {
        if let Some(unfit) = unfit(url, credentials.load().tls.is_some()).into_iter().next() {
            return Err(unfit);
        }
        let origin = origin(url).ok_or(UnfitSettings::Url)?;
        let name = server_name(url).ok_or(UnfitSettings::Url)?;
        Ok(Self { origin, name, credentials })
    }

    /// Opens a connection to `address` and waits until it has answered a health check.
    pub(super) async fn dial(&self, address: SocketAddr) -> Result<Connection, DialError> {
        let connecting = timeout(CONNECT_LIMIT, self.connect(address));
        let connection = connecting.await.map_err(|_| DialError::Late)??;
        // The kernel accepts connections for a process that hangs, and in HTTP/2 the client speaks first.
        if !connection.is_alive(Instant::now() + PROOF_LIMIT).await {
            return Err(DialError::Silent);
        }
        Ok(connection)
    }

    async fn connect(&self, address: SocketAddr) -> Result<Connection, DialError> {
        let tcp = TcpStream::connect(address).await.map_err(DialError::Tcp)?;
        tcp.set_nodelay(true).map_err(DialError::Tcp)?;
        let socket = Socket::new(tcp);
        let connector = self.credentials.load().tls.as_ref().map(UpstreamTls::connector);
        let Some(connector) = connector else {
            return self.speak_http2(address, TokioIo::new(socket)).await;
        };
        let tls = connector.connect(self.name.clone(), socket).await.map_err(DialError::Tls)?;
        if tls.get_ref().1.alpn_protocol() != Some(ALPN_HTTP2) {
            return Err(DialError::NoHttp2);
        }
        self.speak_http2(address, TokioIo::new(tls)).await
    }

    async fn speak_http2<T>(&self, address: SocketAddr, io: T) -> Result<Connection, DialError>
    where
        T: Read + Write + Unpin + Send + 'static,
    {
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_LIMIT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .handshake(io)
            .await
            .map_err(DialError::Http2)?;
        let ended = CancellationToken::new();
        // Cancels the token also when the task panics.
        let guard = ended.clone().drop_guard();
        tokio::spawn(async move {
            let _guard = guard;
            let mut connection = pin!(connection);
            let result = loop {
                if let Ok(result) = timeout(GOAWAY_INTERVAL, &mut connection).await {
                    break result;
                }
            };
            match result {
                Err(error) if error.is_timeout() => {
                    tracing::info!(%address, "the connection to the core-service does not answer pings");
                }
                Err(error) => {
                    tracing::info!(%address, causes = chain(&error), "the connection to the core-service broke");
                }
                Ok(()) => {}
            }
        });
        Ok(Connection::new(address, sender, ended, self.origin.clone(), Arc::clone(&self.credentials)))
    }
}
