//! XRPC calls: from the HTTP request to the call of the core-service and back.
//!
//! Owns the order of checks (`docs/methods.md`): method, verb, authentication, rate limit, content type, body
//! size, JSON, limit of calls at once. Everything about the values of fields is checked by the core-service.
//! No method is known by name: the bound [`Methods`] say what exists.
//!
//! Only a call with a verified caller and a whole body takes one of the [`MAX_CALLS`] places. Waiting for a
//! key ([`auth`](crate::auth)) and for a body ([`body::arriving`]) have places of their own, so nobody who
//! keeps the gateway waiting takes one from those who don't.

pub(crate) mod body;
pub(crate) mod error;
pub(crate) mod metrics;

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method as Verb, Response, StatusCode};
use process::exit::chain;
use process::once_a_second;
use prometheus_client::metrics::counter::Counter;
use shrike::syntax::Nsid;
use tokio::time::{Instant, timeout_at};
use tonic::{Code, Status};

use crate::auth::error::AuthError;
use crate::auth::{Authenticator, Caller};
use crate::binding::{self, Method, Methods};
use crate::client_address::ClientAddresses;
use crate::error_name::ErrorName;
use crate::limits::{RateLimit, RateLimitState};
use crate::places::Places;
use crate::telemetry::RequestContext;
use crate::transcode::{decode, encode};
use crate::upstream::{Call, Upstream};
use crate::xrpc::body::arriving::ArrivingBodies;
use crate::xrpc::body::{ReadError, RequestBody};
use crate::xrpc::error::XrpcError;
use crate::xrpc::metrics::CallMetrics;

/// The path prefix of all methods.
pub(crate) const PREFIX: &str = "/xrpc/";
/// Calls with the core-service at once; further ones are refused. At 10 ms a call this allows 100,000 calls a
/// second, so the limit is only reached when something does not answer.
const MAX_CALLS: usize = 1024;
/// … of one DID.
const MAX_CALLS_OF_DID: usize = 512;
/// `Retry-After` of a call over that limit or over one of waiting.
const RETRY_WHEN_BUSY: Duration = Duration::from_secs(1);

/// What serving a call needs.
pub(crate) struct Xrpc {
    pub(crate) methods: Methods,
    pub(crate) authenticator: Authenticator,
    pub(crate) rate_limit: RateLimit,
    pub(crate) upstream: Upstream,
    /// From arrival to the response.
    pub(crate) deadline: Duration,
    pub(crate) client_addresses: ClientAddresses,
    pub(crate) limits: CallLimits,
    pub(crate) metrics: CallMetrics,
}

/// What is in progress.
pub(crate) struct CallLimits {
    /// By DID.
    calls: Arc<Places<String>>,
    arriving: Arc<ArrivingBodies>,
}

impl Default for CallLimits {
    fn default() -> Self {
        Self { calls: Places::new(MAX_CALLS, MAX_CALLS_OF_DID), arriving: Arc::default() }
    }
}

/// Handles any path below [`PREFIX`] that is not internal.
pub(crate) async fn serve(
    State(xrpc): State<Arc<Xrpc>>,
    Extension(context): Extension<Arc<RequestContext>>,
    request: Request,
) -> Response<Body> {
    xrpc.respond(request, &context).await
}

/// Handles all other paths.
pub(crate) async fn not_found(
    State(xrpc): State<Arc<Xrpc>>,
    Extension(context): Extension<Arc<RequestContext>>,
    request: Request,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    RequestBody::new(body, &head.headers).discard(context.arrived + xrpc.deadline).await;
    XrpcError::new(ErrorName::NotFound, "nothing is here; methods are below /xrpc/").into_response()
}

impl Xrpc {
    async fn respond(&self, request: Request, context: &RequestContext) -> Response<Body> {
        let deadline = context.arrived + self.deadline;
        let (head, body) = request.into_parts();
        let mut body = RequestBody::new(body, &head.headers);
        let mut rate = None;
        let result = self.call(&head, &mut body, deadline, context, &mut rate).await;
        let mut response = match result {
            Ok(json) => success(json),
            Err(error) => {
                // The places are released by now: a client that sends slowly holds up nobody.
                body.discard(deadline).await;
                error.into_response()
            }
        };
        if let Some(rate) = rate {
            rate.write(response.headers_mut());
        }
        response
    }

    /// Checks and calls. Returns the output as JSON, or nothing if the method has no output; `rate` is set as
    /// soon as the rate limit has counted the call.
    async fn call(
        &self,
        head: &http::request::Parts,
        body: &mut RequestBody,
        deadline: Instant,
        context: &RequestContext,
        rate: &mut Option<RateLimitState>,
    ) -> Result<Vec<u8>, XrpcError> {
        let method = self.find_method(head.uri.path())?;
        context.set_nsid(method.nsid());
        check_verb(method, &head.method)?;
        let caller = self.authenticate(head, method, deadline, context).await?;
        let did = caller.did().as_str();
        context.set_did(did);
        *rate = self.rate_limit.take(did);
        if let Some(wait) = rate.as_ref().and_then(|rate| rate.wait) {
            self.metrics.rate_limited.inc();
            let message = "too many calls by this DID; Retry-After says when to come back";
            return Err(XrpcError::new(ErrorName::RateLimitExceeded, message).retry_after(wait));
        }

        let message = match method.verb() {
            binding::Verb::Query => decode::query(method, head.uri.query(), did),
            binding::Verb::Procedure => {
                let json = if method.requires_input() {
                    body::check_type(&head.headers)?;
                    body.read(deadline, did, &self.limits.arriving).await.map_err(|error| match error {
                        ReadError::Refused(error) => error,
                        ReadError::GivenUp => busy(&self.metrics.shed_bodies),
                    })?
                } else {
                    Bytes::new()
                };
                decode::json(method, &json, did)
            }
        };
        let message =
            message.map_err(|error| XrpcError::new(ErrorName::InvalidRequest, error.to_string()))?;

        let place = self.limits.calls.take(did.to_owned());
        let _place = place.ok_or_else(|| busy(&self.metrics.shed_calls))?;
        let call = Call {
            deadline,
            idempotent: method.verb() == binding::Verb::Query,
            request_id: context.request_id.clone(),
            trace: context.trace.clone(),
        };
        let answer = self.upstream.call(method.path(), message, call).await.map_err(|status| {
            let error = XrpcError::from_grpc(method, &status);
            if error.is_server_error() {
                log_upstream_failure(&status, &context.request_id);
            }
            error
        })?;
        encode::json(method, &answer).map_err(|error| {
            let causes = chain(&error);
            once_a_second!(
                error,
                request_id = context.request_id,
                causes,
                "the core-service's answer is no output"
            );
            XrpcError::fixed(ErrorName::InternalServerError)
        })
    }

    /// The bound method with exactly this path. The raw path is used: axum would percent-decode a captured
    /// parameter.
    fn find_method(&self, path: &str) -> Result<&Method, XrpcError> {
        let nsid = path.strip_prefix(PREFIX).unwrap_or_default();
        if let Some(method) = self.methods.get(nsid) {
            return Ok(method);
        }
        Err(if nsid.parse::<Nsid>().is_ok() {
            XrpcError::fixed(ErrorName::MethodNotImplemented)
        } else {
            XrpcError::new(ErrorName::InvalidRequest, "the path after /xrpc/ is not an NSID")
        })
    }

    async fn authenticate(
        &self,
        head: &http::request::Parts,
        method: &Method,
        deadline: Instant,
        context: &RequestContext,
    ) -> Result<Caller, XrpcError> {
        let request_id = &context.request_id;
        let _span = context.trace.step("authenticate");
        let client = self.client_addresses.of_request(head);
        let authenticating = self.authenticator.authenticate(&head.headers, method.nsid(), client);
        match timeout_at(deadline, authenticating).await {
            Ok(Ok(caller)) => Ok(caller),
            Ok(Err(AuthError::Refused(refusal))) => {
                let error = XrpcError::new(ErrorName::AuthenticationRequired, refusal.to_string());
                Err(error.challenge(refusal.www_authenticate()))
            }
            Ok(Err(AuthError::DirectoryUnavailable(failure))) => {
                once_a_second!(
                    warn,
                    request_id,
                    causes = chain(&*failure),
                    "the PLC directory gave no answer"
                );
                Err(XrpcError::fixed(ErrorName::UpstreamFailure))
            }
            Ok(Err(AuthError::Busy)) => Err(busy(&self.metrics.shed_lookups)),
            Err(_) => {
                once_a_second!(warn, request_id, "authentication took until the deadline");
                Err(XrpcError::fixed(ErrorName::UpstreamTimeout))
            }
        }
    }
}

/// Counts and refuses a call for which there is no place.
fn busy(shed: &Counter) -> XrpcError {
    shed.inc();
    XrpcError::fixed(ErrorName::NotEnoughResources).retry_after(RETRY_WHEN_BUSY)
}

fn check_verb(method: &Method, verb: &Verb) -> Result<(), XrpcError> {
    match method.verb() {
        binding::Verb::Query if verb == Verb::GET || verb == Verb::HEAD => Ok(()),
        binding::Verb::Procedure if verb == Verb::POST => Ok(()),
        binding::Verb::Query => {
            Err(XrpcError::new(ErrorName::InvalidRequest, "a query: call it with GET").allow("GET, HEAD"))
        }
        binding::Verb::Procedure => {
            Err(XrpcError::new(ErrorName::InvalidRequest, "a procedure: call it with POST").allow("POST"))
        }
    }
}

/// Logs the cause of a 5xx; the client sees a fixed message.
fn log_upstream_failure(status: &Status, request_id: &str) {
    let (code, grpc_message, causes) = (status.code(), status.message(), status.source().map(chain));
    match code {
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::ResourceExhausted => {
            once_a_second!(
                warn,
                request_id,
                ?code,
                grpc_message,
                causes,
                "the core-service did not carry out a call"
            );
        }
        Code::Unauthenticated | Code::PermissionDenied => {
            once_a_second!(
                error,
                request_id,
                ?code,
                grpc_message,
                "the core-service refused the gateway; check the token and certificates"
            );
        }
        _ => once_a_second!(error, request_id, ?code, grpc_message, causes, "the core-service failed"),
    }
}

fn success(output: Vec<u8>) -> Response<Body> {
    if output.is_empty() { Response::new(Body::empty()) } else { json(StatusCode::OK, output.into()) }
}

/// A response with a JSON body.
pub(crate) fn json(status: StatusCode, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
