//! The headers of every answer of the site: what a page may load, and whom it may talk to.
//!
//! A page loads from its own origin alone. It connects to its own origin, and by https to whichever PDS,
//! authorization server and DID host the person who signs in has; on a developer's machine these are on
//! loopback.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderName, HeaderValue, Response};

const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// Where a page may connect to beside the rest, on a developer's machine.
const LOOPBACK: &str = " http://127.0.0.1:* http://localhost:*";

/// The headers of a site whose public URL is on loopback, or not.
pub(super) fn headers(is_loopback: bool) -> Arc<HeaderMap> {
    let loopback = if is_loopback { LOOPBACK } else { "" };
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
         connect-src 'self' https:{loopback}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'"
    );
    let policy = HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
    Arc::new(HeaderMap::from_iter([
        (CONTENT_SECURITY_POLICY, policy),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (OPENER_POLICY, HeaderValue::from_static("same-origin")),
    ]))
}

/// Adds the headers.
pub(super) async fn add(
    State(headers): State<Arc<HeaderMap>>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let mut response = next.run(request).await;
    response.headers_mut().extend(headers.iter().map(|(name, value)| (name.clone(), value.clone())));
    response
}
