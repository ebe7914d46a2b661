//! No answer of a method may be kept by a cache: nearly all belong to one caller.

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use http::header::CACHE_CONTROL;
use http::{HeaderValue, Response};

use crate::xrpc::PREFIX;

/// Adds `Cache-Control: no-store` to every answer below [`PREFIX`].
pub(super) async fn no_store(request: Request, next: Next) -> Response<Body> {
    let below_xrpc = request.uri().path().starts_with(PREFIX);
    let mut response = next.run(request).await;
    if below_xrpc {
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}
