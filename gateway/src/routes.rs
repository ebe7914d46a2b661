//! What is around every request: the log line, CORS, and a panic's answer; and the paths that are no methods: health, the
//! DID document, Kubernetes' probes. None of these paths is held up by calls, however many there are.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::from_fn_with_state;
use axum::routing::any;
use bytes::Bytes;
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Method as Verb, Response, StatusCode};
use process::shutdown::Shutdown;
use tokio::time::Instant;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{self, AllowHeaders, CorsLayer};

use crate::config::Config;
use crate::error_name::ErrorName;
use crate::limits;
use crate::telemetry::route::{DID_DOCUMENT, HEALTH, LIVEZ, READYZ, Route};
use crate::telemetry::{self, Access, REQUEST_ID, Teller};
use crate::upstream::Upstream;
use crate::xrpc::body::Arriving;
use crate::xrpc::error::XrpcError;
use crate::xrpc::{self, Xrpc, plain_json};

/// How long a browser may keep a preflight's answer.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(86_400);
/// How long health and readiness wait for the core-service.
const HEALTH_WAIT: Duration = Duration::from_secs(2);

struct Own {
    upstream: Upstream,
    shutdown: Shutdown,
    did_document: Option<Bytes>,
}

/// Everything that answers requests: the methods of `xrpc`, the gateway's own paths, and what is around both.
pub(crate) fn router(xrpc: Xrpc, config: &Config, shutdown: Shutdown, teller: Teller) -> Router {
    let own = Arc::new(Own { upstream: xrpc.upstream.clone(), shutdown, did_document: did_document(config) });
    let own = Router::new()
        .route(HEALTH, any(health))
        .route(DID_DOCUMENT, any(did_json))
        .route(LIVEZ, any(livez))
        .route(READYZ, any(readyz))
        .with_state(own);
    let methods = Router::new()
        // `any`, and the verb is checked by the handler: a wrong one is 400 here, and axum would answer 405.
        .route("/xrpc/{*nsid}", any(xrpc::serve))
        .route("/xrpc/", any(xrpc::serve))
        .fallback(xrpc::nothing_here)
        .with_state(Arc::new(xrpc));
    layered(own.merge(methods), teller)
}

/// `routes` with the log line, CORS and an answer for a panic, the outermost first.
pub(super) fn layered(routes: Router, teller: Teller) -> Router {
    routes.layer(
        ServiceBuilder::new()
            .layer(from_fn_with_state(Arc::new(teller), telemetry::tell))
            .layer(cors())
            .layer(CatchPanicLayer::custom(panicked)),
    )
}

fn cors() -> CorsLayer {
    let mut exposed = vec![RETRY_AFTER, WWW_AUTHENTICATE, REQUEST_ID];
    exposed.extend(limits::HEADERS);
    CorsLayer::new()
        .allow_origin(cors::Any)
        .allow_methods([Verb::GET, Verb::HEAD, Verb::POST])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(exposed)
        .max_age(PREFLIGHT_MAX_AGE)
}

fn panicked(_: Box<dyn Any + Send>) -> Response<Body> {
    tracing::error!("a request panicked; its place is on standard error");
    XrpcError::fixed(ErrorName::InternalServerError).into_response()
}

async fn health(State(own): State<Arc<Own>>, request: Request) -> Response<Body> {
    get_only(Route::Health, request, async {
        if own.upstream.healthy(Instant::now() + HEALTH_WAIT).await {
            let body = serde_json::json!({ "version": env!("CARGO_PKG_VERSION") }).to_string();
            plain_json(StatusCode::OK, body.into())
        } else {
            XrpcError::fixed(ErrorName::NotEnoughResources).into_response()
        }
    })
    .await
}

async fn did_json(State(own): State<Arc<Own>>, request: Request) -> Response<Body> {
    get_only(Route::DidDocument, request, async {
        match &own.did_document {
            Some(document) => plain_json(StatusCode::OK, document.clone()),
            None => {
                XrpcError::new(ErrorName::NotFound, "this service's DID is not a did:web").into_response()
            }
        }
    })
    .await
}

async fn livez(request: Request) -> Response<Body> {
    get_only(Route::Livez, request, async {
        plain_json(StatusCode::OK, Bytes::from_static(b"{\"status\":\"alive\"}"))
    })
    .await
}

async fn readyz(State(own): State<Arc<Own>>, request: Request) -> Response<Body> {
    get_only(Route::Readyz, request, async {
        if !own.shutdown.is_leaving() && own.upstream.healthy(Instant::now() + HEALTH_WAIT).await {
            plain_json(StatusCode::OK, Bytes::from_static(b"{\"status\":\"ready\"}"))
        } else {
            XrpcError::fixed(ErrorName::NotEnoughResources).into_response()
        }
    })
    .await
}

async fn get_only(
    route: Route,
    request: Request,
    answer: impl Future<Output = Response<Body>>,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    if let Some(access) = head.extensions.get::<Arc<Access>>() {
        access.is_for(route);
    }
    if head.method == Verb::GET || head.method == Verb::HEAD {
        return answer.await;
    }
    Arriving::new(body, &head.headers).drop_rest(Instant::now() + HEALTH_WAIT).await;
    XrpcError::new(ErrorName::InvalidRequest, "call it with GET").allow("GET, HEAD").into_response()
}

/// The DID document of a did:web service (did:web, section 2.3; atproto's `service` entries).
fn did_document(config: &Config) -> Option<Bytes> {
    let did = config.service_did.as_str();
    if !did.starts_with("did:web:") {
        return None;
    }
    let endpoint = config.public_url.origin().ascii_serialization();
    let services: Vec<_> = config
        .service_ids
        .iter()
        .map(|id| {
            serde_json::json!({ "id": format!("#{id}"), "type": service_type(id), "serviceEndpoint": endpoint })
        })
        .collect();
    let document = serde_json::json!({
        "@context": ["https://www.w3.org/ns/did/v1"],
        "id": did,
        "service": services,
    });
    Some(document.to_string().into())
}

/// The `type` of a service entry: its id in CamelCase, as `#bsky_appview` has `BskyAppview`.
fn service_type(id: &str) -> String {
    id.split(['_', '-', '.'])
        .map(|word| {
            let mut letters = word.chars();
            letters
                .next()
                .map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
        })
        .collect()
}

#[cfg(test)]
mod tests;
