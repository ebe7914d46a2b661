//! What the gateway tells of each request: a request id, one line in the log, a span, and what is counted ([`requests`]).
//!
//! The line (target `gateway::access`) has `request_id`; `trace_id`, of a request that is traced; `route`, for the gateway's own paths alone (`_health`, `livez`,
//! `readyz`, `did.json`, `preflight`); `nsid` of a served method; the caller's `did`; `status`; `error`, the error's name;
//! `ms`. What there is none of is `-`. Never a token, a URL path or a body: a path that is no served method is the
//! client's text.
//!
//! A request that nobody waits for any more, because its client closed the connection or took it back (or because the
//! drain limit passed, which the log tells by itself), has status 499 and error `ClientGone`. No client ever sees these.
//!
//! The line is at `info`, that of a probe which succeeded at `debug`.

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

use self::requests::RequestMetrics;
use self::route::Route;
use crate::xrpc::error::AnsweredName;

/// The answer header with the request's id.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const TARGET: &str = "gateway::access";
/// The status and the error's name of a request that was never answered.
const UNANSWERED_STATUS: u16 = 499;
const UNANSWERED: &str = "ClientGone";
/// What counts and spans call requests that name no method that is served.
const OTHER: &str = "other";
/// Probes come every few seconds and say nothing of their own.
const UNTRACED: [&str; 3] = [route::HEALTH, route::LIVEZ, route::READYZ];

/// A new request id. A client's own `x-request-id` is never used: it could name another request or fill the log.
#[expect(clippy::disallowed_methods, reason = "only the log shows the id, and nothing depends on it")]
fn new_request_id() -> String {
    Uuid::new_v4().to_string()
}

/// What is known of a request while it is served; an extension of the request.
#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) request_id: String,
    pub(crate) arrived: Instant,
    /// The request's place in its trace.
    pub(crate) trace: TraceContext,
    route: OnceLock<Route>,
    nsid: OnceLock<String>,
    did: OnceLock<String>,
}

impl Access {
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

    /// Which of the gateway's own routes is asked for. What is said first stays; so it is for the others.
    pub(crate) fn is_for(&self, route: Route) {
        self.route.get_or_init(|| route);
    }

    /// Which method is called.
    pub(crate) fn calls(&self, nsid: &str) {
        self.nsid.get_or_init(|| nsid.to_owned());
    }

    /// Who calls.
    pub(crate) fn is_by(&self, did: &str) {
        self.did.get_or_init(|| did.to_owned());
    }

    /// Counts the request, which has ended, notes it in its `span`, and writes the line.
    fn ended(&self, requests: &RequestMetrics, span: &mut Span, status: u16, error: Option<&str>) {
        let Self { request_id, arrived, trace, route, nsid, did } = self;
        let took = arrived.elapsed();
        let route = route.get().copied();
        requests.ended(route, nsid.get().map(String::as_str), status, error, took);
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
        let error = error.unwrap_or("-");
        let trace_id = trace.trace_id();
        let nsid = nsid.get().map_or("-", String::as_str);
        let did = did.get().map_or("-", String::as_str);
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        if route.is_some_and(Route::is_probe) && status == StatusCode::OK.as_u16() {
            tracing::debug!(target: TARGET, request_id, trace_id, route = name, nsid, did, status, error, ms, "request");
        } else {
            tracing::info!(target: TARGET, request_id, trace_id, route = name, nsid, did, status, error, ms, "request");
        }
    }
}

/// What requests are told of with.
pub(crate) struct Teller {
    pub(crate) requests: RequestMetrics,
    pub(crate) tracer: Tracer,
}

/// Goes around everything that answers: gives each request its id and its answer the `x-request-id`, counts it, and writes
/// the line.
pub(crate) async fn tell(
    State(teller): State<Arc<Teller>>,
    mut request: Request,
    next: Next,
) -> Response<Body> {
    // What it is called will be known later, and is no text of the client's.
    let span = if UNTRACED.contains(&request.uri().path()) {
        Span::none()
    } else {
        teller.tracer.serve(OTHER, request.headers())
    };
    let access = Arc::new(Access::new(new_request_id(), span.context()));
    teller.requests.arrived();
    if request.method() == Method::OPTIONS {
        access.is_for(Route::Preflight);
    }
    let line = Line { access: Arc::clone(&access), teller, span, told: false };
    request.extensions_mut().insert(access);
    let mut response = next.run(request).await;
    line.answered(&mut response);
    response
}

/// Tells of a request when its answer is there, or when it is dropped without one.
struct Line {
    access: Arc<Access>,
    teller: Arc<Teller>,
    span: Span,
    told: bool,
}

impl Line {
    /// Gives the answer its `x-request-id`, counts it, and writes the line.
    fn answered(mut self, response: &mut Response<Body>) {
        if let Ok(id) = HeaderValue::try_from(&self.access.request_id) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        let error = response.extensions().get().map(|AnsweredName(name)| &**name);
        self.access.ended(&self.teller.requests, &mut self.span, response.status().as_u16(), error);
        self.told = true;
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if !self.told {
            self.access.ended(&self.teller.requests, &mut self.span, UNANSWERED_STATUS, Some(UNANSWERED));
        }
    }
}
