//! Requests that are refused for how they are framed: too many header fields, not one well-formed `Host`, or
//! an unusual `Transfer-Encoding`.
//!
//! Over HTTP/1.1 hyper itself refuses more than [`MAX_HEADER_FIELDS`], a `Transfer-Encoding` that does not
//! end with `chunked`, and any in HTTP/1.0. It ignores a `Content-Length` beside one, as RFC 9112 (section
//! 6.3) has it.

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use http::header::{CONNECTION, HOST, TRANSFER_ENCODING};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Response, StatusCode, Version};

use crate::error_name::ErrorName;
use crate::xrpc::body::MAX_HEADER_FIELDS;
use crate::xrpc::error::XrpcError;

/// Refuses a request that is framed in a way that nothing in front of the gateway should let pass.
pub(super) async fn check(request: Request, next: Next) -> Response<Body> {
    let headers = request.headers();
    if headers.len() > MAX_HEADER_FIELDS {
        let mut refused = XrpcError::new(ErrorName::InvalidRequest, "over 100 header fields").into_response();
        *refused.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return refused;
    }
    if let Err(message) = check_host(request.version(), headers) {
        return XrpcError::new(ErrorName::InvalidRequest, message).into_response();
    }
    if !is_plainly_chunked(headers) {
        let message = "Transfer-Encoding: only chunked is taken here, once";
        let mut refused = XrpcError::new(ErrorName::InvalidRequest, message).into_response();
        // Where the next request begins is in doubt.
        refused.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        return refused;
    }
    next.run(request).await
}

/// RFC 9112, section 3.2: HTTP/1.1 has one `Host`, of a host and perhaps a port. It may be empty. Other
/// versions need none.
fn check_host(version: Version, headers: &HeaderMap) -> Result<(), &'static str> {
    let mut hosts = headers.get_all(HOST).into_iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if version == Version::HTTP_11 => Err("no Host header"),
        (None, _) => Ok(()),
        (Some(host), None) if is_host_and_port(host.as_bytes()) => Ok(()),
        (Some(_), None) => Err("Host: must be a host, perhaps with a port"),
        (Some(_), Some(_)) => Err("more than one Host header"),
    }
}

fn is_host_and_port(value: &[u8]) -> bool {
    if value.is_empty() {
        return true;
    }
    let Ok(authority) = Authority::try_from(value) else { return false };
    let host = authority.host();
    let port = authority.as_str().strip_prefix(host);
    !host.is_empty() && port.is_some_and(|port| matches!(port, "" | ":") || authority.port_u16().is_some())
}

/// Whether there is no `Transfer-Encoding`, or a single one that is `chunked`.
fn is_plainly_chunked(headers: &HeaderMap) -> bool {
    let mut encodings = headers.get_all(TRANSFER_ENCODING).into_iter();
    match (encodings.next(), encodings.next()) {
        (None, _) => true,
        (Some(only), None) => only.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_host_and_port;

    #[test]
    fn hosts() {
        for host in [
            "",
            "x",
            "localhost:8080",
            "Hooks.Example.",
            "my_host",
            "hooks.example:",
            "127.0.0.1:80",
            "[::1]",
            "[::1]:8080",
            "xn--bcher-kva.example:65535",
        ] {
            assert!(is_host_and_port(host.as_bytes()), "{host}");
        }
        for host in [
            "a b", "a/b", "a/", "http://a", "user@a", "@a", "a:b", "a:1:2", "a:65536", "a:-1", ":80", "::1",
            "[::1", "[::1]x", "[::1]]", "a?b", "a#b", "a\\b", "<a>", "\u{e9}",
        ] {
            assert!(!is_host_and_port(host.as_bytes()), "{host}");
        }
    }
}
