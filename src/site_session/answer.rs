//! What the two paths have in common: who is answered, how the body is read, how a refusal looks.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use gateway::client_address::PeerAddress;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, ORIGIN, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use process::exit::Failure;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::timeout;
use url::{Host, Url};

/// The largest body, in bytes.
const MAX_BODY_BYTES: usize = 4 * 1024;
/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(5);

/// Why there is no success; a body of `{"error", "message"}`.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    name: &'static str,
    message: String,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Refusal {
    fn new(status: StatusCode, name: &'static str, message: impl Into<String>) -> Self {
        Self { status, name, message: message.into(), header: None }
    }

    pub(super) fn invalid_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "InvalidRequest", message)
    }

    /// The code is not the one in the link, or no longer.
    pub(super) fn invalid_code() -> Self {
        let message = "the link works once, within 10 minutes; start `athook dev` again for a new one";
        Self::new(StatusCode::FORBIDDEN, "InvalidCode", message)
    }

    /// The session is another process's, or nobody's.
    pub(super) fn no_session() -> Self {
        let message = "sign in with the link that `athook dev` prints at start";
        let header = Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
        Self { header, ..Self::new(StatusCode::UNAUTHORIZED, "AuthenticationRequired", message) }
    }

    /// Logs the cause.
    #[expect(clippy::needless_pass_by_value, reason = "for map_err")]
    pub(super) fn failed(error: Failure) -> Self {
        process::once_a_second!(error, causes = process::exit::chain(&*error), "no token for a page");
        let message = "something went wrong here; it has been logged";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", message)
    }

    fn forbidden(message: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message)
    }
}

/// Reads the body as `I` and answers with what `act` makes of it. The body is read first, so that the client
/// gets the answer rather than a broken connection.
pub(super) async fn answer<I: DeserializeOwned>(
    request: Request,
    act: impl FnOnce(&HeaderMap, I) -> Result<Value, Refusal>,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = read(body).await;
    let outcome = check(&head).and_then(|()| {
        let input = serde_json::from_slice(&body?)
            .map_err(|error| Refusal::invalid_request(format!("the body: {error}")))?;
        act(&head.headers, input)
    });
    match outcome {
        Ok(output) => respond(StatusCode::OK, &output, None),
        Err(Refusal { status, name, message, header }) => {
            respond(status, &json!({ "error": name, "message": message }), header)
        }
    }
}

async fn read(body: Body) -> Result<Bytes, Refusal> {
    let reading = timeout(BODY_TIME, Limited::new(body, MAX_BODY_BYTES).collect());
    let incomplete = || Refusal::invalid_request("the body did not arrive");
    match reading.await.map_err(|_| incomplete())? {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Refusal::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "PayloadTooLarge",
            format!("the body has more than {MAX_BODY_BYTES} bytes"),
        )),
        Err(_) => Err(incomplete()),
    }
}

/// Whether a page of this gateway on this machine sends JSON.
fn check(head: &Parts) -> Result<(), Refusal> {
    if head.method != Method::POST {
        let header = Some((ALLOW, HeaderValue::from_static("POST")));
        return Err(Refusal { header, ..Refusal::invalid_request("call it with POST") });
    }
    let peer = head.extensions.get::<PeerAddress>();
    if !peer.is_some_and(|PeerAddress(address)| address.to_canonical().is_loopback()) {
        return Err(Refusal::forbidden("this is for the machine that `athook dev` runs on"));
    }
    let Some(own) = own_origin(head) else {
        return Err(Refusal::forbidden("Host: open the page on 127.0.0.1 or localhost"));
    };
    if head.headers.get_all(ORIGIN).iter().any(|origin| origin.as_bytes() != own.as_bytes()) {
        return Err(Refusal::forbidden("Origin: this is for pages of this gateway"));
    }
    let mut types = head.headers.get_all(CONTENT_TYPE).into_iter().map(HeaderValue::to_str);
    let (Some(Ok(media_type)), None) = (types.next(), types.next()) else {
        return Err(Refusal::invalid_request("Content-Type: must be application/json"));
    };
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Refusal::invalid_request("Content-Type: must be application/json"))
}

/// The origin under which the request was sent, if its host is a name or an address of loopback.
fn own_origin(head: &Parts) -> Option<String> {
    let in_uri = head.uri.authority().map(|authority| Some(authority.as_str()));
    let in_headers = head.headers.get_all(HOST).iter().map(|host| host.to_str().ok());
    let mut hosts = in_uri.into_iter().chain(in_headers);
    let host = hosts.next()??;
    if hosts.any(|other| other != Some(host)) || host.contains(['@', '/', '?', '#', '\\']) {
        return None;
    }
    let url: Url = format!("http://{host}").parse().ok()?;
    let is_loopback = match url.host()? {
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
        Host::Domain(name) => name == "localhost",
    };
    is_loopback.then(|| url.origin().ascii_serialization())
}

fn respond(status: StatusCode, body: &Value, header: Option<(HeaderName, HeaderValue)>) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.extend(header);
    response
}
