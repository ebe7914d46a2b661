//! Request log: an id, one log line, a span and metrics ([`requests`]) for every request.
//!
//! The log line (target `gateway::access`) has these fields:
//!
//! - `request_id`, and `trace_id` if the request is traced;
//! - `route`, only for internal paths, the site and preflights: `_health`, `livez`, `readyz`, `did.json`,
//!   `site`, `preflight`;
//! - `nsid` of the bound method, `did` of the authenticated caller, and `error`, the error name; `-` if there
//!   is none;
//! - `status`, and `ms`, the time from arrival to the response head.
//!
//! The line never has a token, a URL path or a body: a path that is no bound method is text of the client's
//! choice.
//!
//! A request that is dropped before its response, because the client closed the connection, reset the stream,
//! or the drain limit passed, is logged with status 499 and error `ClientGone`. No client ever sees these.
//!
//! The level is `info`, and `debug` for a successful probe. Requests without an authenticated caller, and
//! failed ones of such callers, have at most so many [`lines`] in each second.

pub(crate) mod lines;
pub(crate) mod requests;
pub(crate) mod route;

use std::sync::{Arc, OnceLock};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode};
use process::traces::{Span, TraceContext, Tracer};
use tokio::time::Instant;
use uuid::Uuid;

use self::lines::{LineLimit, LineLimits};
use self::requests::RequestMetrics;
use self::route::Route;
use crate::xrpc::error::ResponseErrorName;

/// The response header with the request's id.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A field that has no value.
const NONE: &str = "-";
const TARGET: &str = "gateway::access";
/// The status and error name of a request that was dropped before its response.
const UNANSWERED_STATUS: u16 = 499;
const UNANSWERED: &str = "ClientGone";
/// The name in metrics and spans of a request for neither a bound method nor an internal path.
const OTHER: &str = "other";
/// Probes come every few seconds and would fill the traces.
const UNTRACED: [&str; 3] = [route::HEALTH, route::LIVEZ, route::READYZ];

/// A new request id. A client's own `x-request-id` is never used: it could name another request or flood the
/// log.
#[expect(clippy::disallowed_methods, reason = "only the log shows the id, and nothing depends on it")]
fn new_request_id() -> String {
    Uuid::new_v4().to_string()
}

/// What is known about a request while it is served; an extension of the request.
#[derive(Debug)]
pub(crate) struct RequestContext {
    pub(crate) request_id: String,
    pub(crate) arrived: Instant,
    /// The context for child spans.
    pub(crate) trace: TraceContext,
    route: OnceLock<Route>,
    nsid: OnceLock<String>,
    did: OnceLock<String>,
}

impl RequestContext {
    fn new(request_id: String, trace: TraceContext) -> Self {
        Self {
            request_id,
            arrived: Instant::now(),
            trace,
            route: OnceLock::new(),
            nsid: OnceLock::new(),
            did: OnceLock::new(),
        }
    }

    /// Notes that the request is for an internal path. Only the first call of this and the other setters
    /// counts.
    pub(crate) fn set_route(&self, route: Route) {
        self.route.get_or_init(|| route);
    }

    /// Notes which method is called.
    pub(crate) fn set_nsid(&self, nsid: &str) {
        self.nsid.get_or_init(|| nsid.to_owned());
    }

    /// Notes the authenticated caller.
    pub(crate) fn set_did(&self, did: &str) {
        self.did.get_or_init(|| did.to_owned());
    }

    /// Updates the metrics, completes the `span` and writes the log line.
    fn log(&self, log: &RequestLog, span: &mut Span, status: u16, error: Option<&str>) {
        let Self { request_id, arrived, trace, route, nsid, did } = self;
        let took = arrived.elapsed();
        let route = route.get().copied();
        log.requests.ended(route, nsid.get().map(String::as_str), status, error, took);
        let name = route.map(Route::name);
        span.rename(name.or(nsid.get().map(String::as_str)).unwrap_or(OTHER));
        span.note("http.response.status_code", i64::from(status));
        span.note_text("athook.request_id", request_id);
        if let Some(error) = error {
            span.note_text("error.type", error);
        }
        if status >= StatusCode::INTERNAL_SERVER_ERROR.as_u16() {
            span.fail();
        }
        let error = error.unwrap_or(NONE);
        let trace_id = trace.trace_id();
        let nsid = nsid.get().map_or(NONE, String::as_str);
        let did = did.get().map_or(NONE, String::as_str);
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let is_routine = route.is_some_and(Route::is_probe) && status == StatusCode::OK.as_u16();
        let limit = match did {
            NONE => Some(&log.lines.anonymous),
            _ if status >= StatusCode::BAD_REQUEST.as_u16() => Some(&log.lines.failed),
            _ => None,
        };
        let written = !is_routine || tracing::enabled!(target: TARGET, tracing::Level::DEBUG);
        if !written || !limit.is_none_or(LineLimit::pass) {
            return;
        }
        if is_routine {
            tracing::debug!(target: TARGET, request_id, trace_id, route = name, nsid, did, status, error, ms, "request");
        } else {
            tracing::info!(target: TARGET, request_id, trace_id, route = name, nsid, did, status, error, ms, "request");
        }
    }
}

/// Where requests are recorded, besides the log.
pub(crate) struct RequestLog {
    pub(crate) requests: RequestMetrics,
    pub(crate) lines: LineLimits,
    pub(crate) tracer: Tracer,
}

/// The outermost layer: gives each request its [`RequestContext`] and each response its `x-request-id`, and
/// logs the request once, also when it is dropped without a response.
pub(crate) async fn log_requests(
    State(log): State<Arc<RequestLog>>,
    mut request: Request,
    next: Next,
) -> Response<Body> {
    // The name of the span is known later: the path is text of the client's choice.
    let span = if UNTRACED.contains(&request.uri().path()) {
        Span::none()
    } else {
        log.tracer.serve(OTHER, request.headers())
    };
    let context = Arc::new(RequestContext::new(new_request_id(), span.context()));
    log.requests.arrived();
    if request.method() == Method::OPTIONS {
        context.set_route(Route::Preflight);
    }
    let guard = RequestGuard { context: Arc::clone(&context), log, span, logged: false };
    request.extensions_mut().insert(context);
    let mut response = next.run(request).await;
    guard.answered(&mut response);
    response
}

/// Logs a request when its response is ready, or on drop when it has none.
struct RequestGuard {
    context: Arc<RequestContext>,
    log: Arc<RequestLog>,
    span: Span,
    logged: bool,
}

impl RequestGuard {
    /// Sets `x-request-id` and logs the request.
    fn answered(mut self, response: &mut Response<Body>) {
        if let Ok(id) = HeaderValue::try_from(&self.context.request_id) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        let error = response.extensions().get().map(|ResponseErrorName(name)| &**name);
        self.context.log(&self.log, &mut self.span, response.status().as_u16(), error);
        self.logged = true;
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        if !self.logged {
            self.context.log(&self.log, &mut self.span, UNANSWERED_STATUS, Some(UNANSWERED));
        }
    }
}
