//! What is around every request: the log line, CORS, and a panic's answer; and the paths that are no methods: health, the
//! DID document, Kubernetes' probes. None of these paths is held up by calls, however many there are.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::routing::any;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::{CONTENT_LENGTH, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, Method as Verb, Response, StatusCode};
use http_body::Body as _;
use process::shutdown::Shutdown;
use tokio::time::Instant;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_http::cors::{self, AllowHeaders, CorsLayer};

use crate::config::Config;
use crate::limits;
use crate::telemetry::{Access, REQUEST_ID, Route, Teller};
use crate::upstream::Upstream;
use crate::xrpc::body::Arriving;
use crate::xrpc::error::{Wide, XrpcError};
use crate::xrpc::{Xrpc, plain_json};

/// Whether the core-service and its database answer, for clients.
pub(crate) const HEALTH: &str = "/xrpc/_health";
/// Whether this process answers.
pub(crate) const LIVEZ: &str = "/livez";
/// Whether this process should be sent requests.
pub(crate) const READYZ: &str = "/readyz";
/// The DID document of this service.
const DID_DOCUMENT: &str = "/.well-known/did.json";
/// All of these.
const OWN: [&str; 4] = [HEALTH, LIVEZ, READYZ, DID_DOCUMENT];
/// How long a browser may keep a preflight's answer.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(86_400);
/// How long health and readiness wait for the core-service.
const HEALTH_WAIT: Duration = Duration::from_secs(2);

struct Own {
    upstream: Upstream,
    shutdown: Shutdown,
    did_document: Option<Bytes>,
}

/// All that answers requests.
pub(crate) struct Gateway {
    xrpc: Xrpc,
    /// Answers [`OWN`].
    pub(super) own: Router,
    cors: CorsLayer,
    /// What `cors` adds to every answer that is no preflight's.
    cors_headers: HeaderMap,
    teller: Teller,
}

impl Gateway {
    /// The methods of `xrpc`, and the gateway's own paths.
    pub(crate) fn new(xrpc: Xrpc, config: &Config, shutdown: Shutdown, teller: Teller) -> Self {
        let own =
            Arc::new(Own { upstream: xrpc.upstream.clone(), shutdown, did_document: did_document(config) });
        let own = Router::new()
            .route(HEALTH, any(health))
            .route(DID_DOCUMENT, any(did_json))
            .route(LIVEZ, any(livez))
            .route(READYZ, any(readyz))
            .with_state(own);
        let cors = cors();
        Self { xrpc, own, cors_headers: added_by(&cors), cors, teller }
    }

    /// Answers `request`, whatever it is.
    pub(crate) async fn answer(&self, request: Request) -> Response<Body> {
        let line = self.teller.arrived(&request);
        let mut response = if request.method() == Verb::OPTIONS {
            answer_of(&self.cors, request).await
        } else {
            let answering = AssertUnwindSafe(self.answer_within(request, line.access())).catch_unwind();
            let mut response = answering.await.unwrap_or_else(|_| panicked());
            let headers = response.headers_mut();
            headers.reserve(self.cors_headers.len());
            for (name, value) in &self.cors_headers {
                headers.append(name, value.clone());
            }
            response
        };
        line.answered(&mut response);
        response
    }

    async fn answer_within(&self, mut request: Request, access: &Arc<Access>) -> Response<Body> {
        if OWN.contains(&request.uri().path()) {
            request.extensions_mut().insert(Arc::clone(access));
            let Ok(response) = self.own.clone().oneshot(request).await;
            return response;
        }
        // Not by the router, which puts a request and what answers it into one box after the other.
        let is_head = request.method() == Verb::HEAD;
        let response = self.xrpc.answer(request, access).await;
        if is_head { without_body(response) } else { response }
    }
}

/// The answer to HEAD (RFC 9110, section 9.3.2): `response` with the length of its body and without it.
fn without_body(mut response: Response<Body>) -> Response<Body> {
    if let Some(bytes) = response.body().size_hint().exact() {
        response.headers_mut().insert(CONTENT_LENGTH, bytes.into());
    }
    response.map(|_| Body::empty())
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

/// An empty answer with the headers of `cors`; all there is to say to a preflight.
async fn answer_of(cors: &CorsLayer, request: Request) -> Response<Body> {
    let empty = service_fn(|_| async { Ok(Response::new(Body::empty())) });
    let Ok(response): Result<_, Infallible> = cors.layer(empty).oneshot(request).await;
    response
}

/// The headers that `cors` adds to an answer, which are the same each time.
fn added_by(cors: &CorsLayer) -> HeaderMap {
    let response = answer_of(cors, Request::default()).now_or_never().expect("there is nothing to wait for");
    response.into_parts().0.headers
}

fn panicked() -> Response<Body> {
    tracing::error!("a request panicked; its place is on standard error");
    XrpcError::fixed(Wide::InternalServerError).into_response()
}

async fn health(State(own): State<Arc<Own>>, request: Request) -> Response<Body> {
    get_only(Route::Health, request, async {
        if own.upstream.healthy(Instant::now() + HEALTH_WAIT).await {
            let body = serde_json::json!({ "version": env!("CARGO_PKG_VERSION") }).to_string();
            plain_json(StatusCode::OK, body.into())
        } else {
            XrpcError::fixed(Wide::NotEnoughResources).into_response()
        }
    })
    .await
}

async fn did_json(State(own): State<Arc<Own>>, request: Request) -> Response<Body> {
    get_only(Route::DidDocument, request, async {
        match &own.did_document {
            Some(document) => plain_json(StatusCode::OK, document.clone()),
            None => XrpcError::new(Wide::NotFound, "this service's DID is not a did:web").into_response(),
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
            XrpcError::fixed(Wide::NotEnoughResources).into_response()
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
    XrpcError::new(Wide::InvalidRequest, "call it with GET").allow("GET, HEAD").into_response()
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
