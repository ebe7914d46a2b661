//! What the paths that are no methods have in common: they are got, and named in the log.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use http::{Method, Response};
use tokio::time::Instant;

use crate::error_name::ErrorName;
use crate::telemetry::RequestContext;
use crate::telemetry::route::Route;
use crate::xrpc::body::RequestBody;
use crate::xrpc::error::XrpcError;

/// How long the body of a refused request is read and dropped.
const DISCARD_TIME: Duration = Duration::from_secs(2);

/// Notes the `route` and responds to GET and HEAD with `response`, to other verbs with 400.
pub(crate) async fn get_only(
    route: Route,
    request: Request,
    response: impl Future<Output = Response<Body>>,
) -> Response<Body> {
    note(route, &request);
    if request.method() == Method::GET || request.method() == Method::HEAD {
        return response.await;
    }
    discard(request).await;
    XrpcError::new(ErrorName::InvalidRequest, "call it with GET").allow("GET, HEAD").into_response()
}

/// Notes the `route` and responds with 404, whatever the verb.
pub(crate) async fn nothing(route: Route, request: Request, message: &'static str) -> Response<Body> {
    note(route, &request);
    discard(request).await;
    XrpcError::new(ErrorName::NotFound, message).into_response()
}

fn note(route: Route, request: &Request) {
    if let Some(context) = request.extensions().get::<Arc<RequestContext>>() {
        context.set_route(route);
    }
}

async fn discard(request: Request) {
    let (head, body) = request.into_parts();
    RequestBody::new(body, &head.headers).discard(Instant::now() + DISCARD_TIME).await;
}
