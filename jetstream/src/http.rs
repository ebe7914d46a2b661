//! HTTP/1.1 over an open connection: the upgrade to a WebSocket, and one GET.

use bytes::Bytes;
use http::header::{CONNECTION, HOST, HeaderName, HeaderValue, UPGRADE, USER_AGENT};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::task::AbortHandle;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use url::{Position, Url};

use crate::connect::Stream;

/// The largest body of a refusal that is read, in bytes.
const MAX_REFUSAL_BYTES: usize = 16 << 10;

const KEY: HeaderName = HeaderName::from_static("sec-websocket-key");
const ACCEPT: HeaderName = HeaderName::from_static("sec-websocket-accept");
const VERSION: HeaderName = HeaderName::from_static("sec-websocket-version");
const PROTOCOL: HeaderName = HeaderName::from_static("sec-websocket-protocol");
const EXTENSIONS: HeaderName = HeaderName::from_static("sec-websocket-extensions");

/// A connection that has become a WebSocket.
pub(crate) type Upgraded = TokioIo<hyper::upgrade::Upgraded>;

/// Why there is no answer of use.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The host refused, with this status and this body.
    Status(StatusCode, Bytes),
    /// There is no connection.
    Unreachable(std::io::Error),
    /// The connection or the answer is broken.
    Broken(&'static str),
}

/// Makes a WebSocket of `stream`. `protocol` is offered; a host that doesn't know it leaves it out.
pub(crate) async fn upgrade(
    stream: Box<dyn Stream>,
    url: &Url,
    protocol: Option<&'static str>,
    user_agent: &HeaderValue,
) -> Result<Upgraded, Failure> {
    let key = generate_key();
    let key_value = HeaderValue::from_str(&key).map_err(|_| Failure::Broken("no key"))?;
    let mut headers = HeaderMap::new();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(VERSION, HeaderValue::from_static("13"));
    headers.insert(KEY, key_value);
    if let Some(protocol) = protocol {
        headers.insert(PROTOCOL, HeaderValue::from_static(protocol));
    }
    let (response, _connection) = send(stream, url, headers, user_agent).await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let status = response.status();
        return Err(Failure::Status(status, body(response, MAX_REFUSAL_BYTES).await.unwrap_or_default()));
    }
    let header = |name: HeaderName| response.headers().get(name).map(HeaderValue::as_bytes);
    if header(ACCEPT) != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
        return Err(Failure::Broken("the answer to the upgrade is for another key"));
    }
    if header(EXTENSIONS).is_some()
        || header(PROTOCOL).is_some_and(|echo| Some(echo) != protocol.map(str::as_bytes))
    {
        return Err(Failure::Broken("the host chose what was not offered"));
    }
    let upgraded =
        hyper::upgrade::on(response).await.map_err(|_| Failure::Broken("the upgrade broke off"))?;
    Ok(TokioIo::new(upgraded))
}

/// The body at `url`, at most `max` bytes of it.
pub(crate) async fn get(
    stream: Box<dyn Stream>,
    url: &Url,
    user_agent: &HeaderValue,
    max: usize,
) -> Result<Bytes, Failure> {
    let (response, _connection) = send(stream, url, HeaderMap::new(), user_agent).await?;
    let status = response.status();
    let body = body(response, max).await.ok_or(Failure::Broken("a body that is too long or broke off"))?;
    if status == StatusCode::OK { Ok(body) } else { Err(Failure::Status(status, body)) }
}

/// Ends its task when it is dropped.
struct Connection(AbortHandle);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn send(
    stream: Box<dyn Stream>,
    url: &Url,
    mut headers: HeaderMap,
    user_agent: &HeaderValue,
) -> Result<(Response<Incoming>, Connection), Failure> {
    let broken = |_| Failure::Broken("the host broke off");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let connection = tokio::spawn(connection.with_upgrades());
    let connection = Connection(connection.abort_handle());
    let host = HeaderValue::from_str(&url[Position::BeforeHost..Position::AfterPort]);
    headers.insert(HOST, host.map_err(|_| Failure::Broken("no host"))?);
    headers.insert(USER_AGENT, user_agent.clone());
    let mut request = Request::new(Empty::<Bytes>::new());
    let target = url[Position::BeforePath..Position::AfterQuery].parse();
    *request.uri_mut() = target.map_err(|_| Failure::Broken("no target"))?;
    *request.headers_mut() = headers;
    let response = sender.send_request(request).await.map_err(broken)?;
    Ok((response, connection))
}

async fn body(response: Response<Incoming>, max: usize) -> Option<Bytes> {
    Some(Limited::new(response.into_body(), max).collect().await.ok()?.to_bytes())
}
