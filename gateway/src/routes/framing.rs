//! Requests that are refused for how they are framed: too many header fields, more than one `Host`, or an
//! unusual `Transfer-Encoding`.
//!
//! Over HTTP/1.1 hyper itself refuses more than [`MAX_HEADER_FIELDS`], a `Transfer-Encoding` that does not
//! end with `chunked`, and any in HTTP/1.0. It ignores a `Content-Length` beside one, as RFC 9112 (section
//! 6.3) has it.

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use http::header::{CONNECTION, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

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
    if headers.get_all(HOST).into_iter().nth(1).is_some() {
        // RFC 9112, section 3.2.
        return XrpcError::new(ErrorName::InvalidRequest, "more than one Host header").into_response();
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

/// Whether there is no `Transfer-Encoding`, or a single one that is `chunked`.
fn is_plainly_chunked(headers: &HeaderMap) -> bool {
    let mut encodings = headers.get_all(TRANSFER_ENCODING).into_iter();
    match (encodings.next(), encodings.next()) {
        (None, _) => true,
        (Some(only), None) => only.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    }
}
