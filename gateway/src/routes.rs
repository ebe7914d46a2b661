//! The router: which handler serves which path, and the layers around all of them.

mod caching;
mod framing;
mod internal;

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::any;
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Method, Response};
use process::shutdown::Shutdown;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{self, AllowHeaders, CorsLayer};

use self::internal::InternalPaths;
use crate::config::Config;
use crate::error_name::ErrorName;
use crate::limits;
use crate::site::Site;
use crate::telemetry::{REQUEST_ID, RequestLog, log_requests};
use crate::xrpc::error::XrpcError;
use crate::xrpc::{self, Xrpc};

/// How long a browser may cache the response to a preflight.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(86_400);

/// Serves methods, internal paths and the site, if there is one; everything else is 404.
pub(crate) fn router(
    xrpc: Xrpc,
    site: Option<Site>,
    config: &Config,
    shutdown: Shutdown,
    log: RequestLog,
) -> Router {
    let log = Arc::new(log);
    let internal = InternalPaths::new(xrpc.upstream.clone(), shutdown, config);
    let methods = Router::new()
        // The handler checks the verb: a wrong one is 400 here, where axum would answer 405.
        .route("/xrpc/{*nsid}", any(xrpc::serve))
        .route("/xrpc/", any(xrpc::serve))
        .fallback(xrpc::not_found)
        .with_state(Arc::new(xrpc));
    let for_any_origin = layered(internal.router().merge(methods), Some(cors()), &log);
    match site {
        Some(site) => for_any_origin.merge(site.router(|router| layered(router, None, &log))),
        None => for_any_origin,
    }
}

/// Adds the request log, `Cache-Control`, CORS, the response to a panic and the check of the framing, the
/// outermost first.
/// They share one `ServiceBuilder`, as the router boxes the future of each separate layer.
fn layered(router: Router, cors: Option<CorsLayer>, log: &Arc<RequestLog>) -> Router {
    router.layer(
        ServiceBuilder::new()
            .layer(from_fn_with_state(Arc::clone(log), log_requests))
            .layer(from_fn(caching::no_store))
            .option_layer(cors)
            .layer(CatchPanicLayer::custom(panicked))
            .layer(from_fn(framing::check)),
    )
}

/// Any origin, no credentials. Preflights are answered before authentication.
fn cors() -> CorsLayer {
    let mut exposed = vec![RETRY_AFTER, WWW_AUTHENTICATE, REQUEST_ID];
    exposed.extend(limits::HEADERS);
    CorsLayer::new()
        .allow_origin(cors::Any)
        .allow_methods([Method::GET, Method::HEAD, Method::POST])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(exposed)
        .max_age(PREFLIGHT_MAX_AGE)
}

fn panicked(_: Box<dyn Any + Send>) -> Response<Body> {
    process::once_a_second!(error, "a request panicked; its place is on standard error");
    XrpcError::fixed(ErrorName::InternalServerError).into_response()
}

#[cfg(test)]
mod tests;
