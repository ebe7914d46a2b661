//! The internal paths: health, Kubernetes' probes and the DID document. The limit of calls at once does not
//! hold for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::routing::any;
use bytes::Bytes;
use http::{Response, StatusCode};
use process::shutdown::Shutdown;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;

use crate::config::Config;
use crate::error_name::ErrorName;
use crate::get_only::get_only;
use crate::telemetry::route::{DID_DOCUMENT, HEALTH, LIVEZ, READYZ, Route};
use crate::upstream::Upstream;
use crate::xrpc::error::XrpcError;
use crate::xrpc::json;

/// How long health and readiness wait for the core-service.
const HEALTH_WAIT: Duration = Duration::from_secs(2);

/// How long the result of a health check serves further requests, so that a flood of them is no flood of
/// calls.
const HEALTH_FRESH: Duration = Duration::from_millis(100);
/// Requests that wait for a health check at once. Further ones get the last result.
const MAX_HEALTH_WAITS: usize = 256;

/// What the internal paths report on.
pub(super) struct InternalPaths {
    upstream: Upstream,
    shutdown: Shutdown,
    did_document: Option<Bytes>,
    /// When the last health check ended; locked during a check.
    checked: Mutex<Option<Instant>>,
    /// Its result.
    healthy: AtomicBool,
    /// One permit for each request that waits for a check, [`MAX_HEALTH_WAITS`].
    waits: Semaphore,
}

impl InternalPaths {
    pub(super) fn new(upstream: Upstream, shutdown: Shutdown, config: &Config) -> Self {
        Self {
            upstream,
            shutdown,
            did_document: did_document(config),
            checked: Mutex::default(),
            healthy: AtomicBool::new(false),
            waits: Semaphore::new(MAX_HEALTH_WAITS),
        }
    }

    /// Serves the internal paths.
    pub(super) fn router(self) -> Router {
        Router::new()
            .route(HEALTH, any(health))
            .route(DID_DOCUMENT, any(did_json))
            .route(LIVEZ, any(livez))
            .route(READYZ, any(readyz))
            .with_state(Arc::new(self))
    }

    async fn core_is_healthy(&self) -> bool {
        let Ok(_permit) = self.waits.try_acquire() else {
            return self.healthy.load(Ordering::Relaxed);
        };
        let mut checked = self.checked.lock().await;
        if checked.is_none_or(|checked| checked.elapsed() >= HEALTH_FRESH) {
            let healthy = self.upstream.healthy(Instant::now() + HEALTH_WAIT).await;
            self.healthy.store(healthy, Ordering::Relaxed);
            *checked = Some(Instant::now());
        }
        self.healthy.load(Ordering::Relaxed)
    }
}

async fn health(State(paths): State<Arc<InternalPaths>>, request: Request) -> Response<Body> {
    get_only(Route::Health, request, async {
        if paths.core_is_healthy().await {
            let body = serde_json::json!({ "version": env!("CARGO_PKG_VERSION") }).to_string();
            json(StatusCode::OK, body.into())
        } else {
            XrpcError::fixed(ErrorName::NotEnoughResources).into_response()
        }
    })
    .await
}

async fn did_json(State(paths): State<Arc<InternalPaths>>, request: Request) -> Response<Body> {
    get_only(Route::DidDocument, request, async {
        match &paths.did_document {
            Some(document) => json(StatusCode::OK, document.clone()),
            None => {
                XrpcError::new(ErrorName::NotFound, "this service's DID is not a did:web").into_response()
            }
        }
    })
    .await
}

async fn livez(request: Request) -> Response<Body> {
    get_only(Route::Livez, request, async {
        json(StatusCode::OK, Bytes::from_static(b"{\"status\":\"alive\"}"))
    })
    .await
}

async fn readyz(State(paths): State<Arc<InternalPaths>>, request: Request) -> Response<Body> {
    get_only(Route::Readyz, request, async {
        if !paths.shutdown.is_leaving() && paths.core_is_healthy().await {
            json(StatusCode::OK, Bytes::from_static(b"{\"status\":\"ready\"}"))
        } else {
            XrpcError::fixed(ErrorName::NotEnoughResources).into_response()
        }
    })
    .await
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
