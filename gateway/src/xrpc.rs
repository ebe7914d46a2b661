//! The XRPC envelope: routes, the order of checks, and from bytes to bytes one call.
//!
//! Knows no method by name: what a path serves is looked up among the bound methods. The order is that of METHODS.md:
//! route, method, (a place,) authentication, (rate limit,) content type and size, JSON; validation is the core-service's.

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
use shrike::syntax::Nsid;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tonic::{Code, Status};

use crate::auth::Authenticator;
use crate::auth::error::AuthError;
use crate::binding::{self, Method, Methods};
use crate::error_name::ErrorName;
use crate::limits::{RateLimit, Verdict};
use crate::telemetry::Access;
use crate::transcode::{decode, encode};
use crate::upstream::{Call, Upstream};
use crate::xrpc::body::Arriving;
use crate::xrpc::error::XrpcError;
use crate::xrpc::metrics::CallMetrics;

/// The path that every method is below.
const PREFIX: &str = "/xrpc/";
/// Calls of methods at once, from before authentication to the answer; one more is refused. At 10 ms a call these places
/// see 100,000 calls a second, so that they are all taken only when something does not answer.
pub(crate) const MAX_CALLS: usize = 1024;
/// When a client that was refused for want of a place may come again.
const COME_AGAIN: Duration = Duration::from_secs(1);

/// Everything that a request needs.
pub(crate) struct Xrpc {
    pub(crate) methods: Methods,
    pub(crate) authenticator: Authenticator,
    pub(crate) rate_limit: RateLimit,
    pub(crate) upstream: Upstream,
    pub(crate) deadline: Duration,
    /// One for each call in progress, [`MAX_CALLS`].
    pub(crate) places: Semaphore,
    pub(crate) metrics: CallMetrics,
}

/// Answers a request on a path below [`PREFIX`] that is not the gateway's own.
pub(crate) async fn serve(
    State(xrpc): State<Arc<Xrpc>>,
    Extension(access): Extension<Arc<Access>>,
    request: Request,
) -> Response<Body> {
    xrpc.answer(request, &access).await
}

/// Answers a request on any path that there is nothing at.
pub(crate) async fn nothing_here(
    State(xrpc): State<Arc<Xrpc>>,
    Extension(access): Extension<Arc<Access>>,
    request: Request,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    Arriving::new(body, &head.headers).drop_rest(access.arrived + xrpc.deadline).await;
    XrpcError::new(ErrorName::NotFound, "nothing is here; methods are below /xrpc/").into_response()
}

impl Xrpc {
    async fn answer(&self, request: Request, access: &Access) -> Response<Body> {
        let deadline = access.arrived + self.deadline;
        let (head, body) = request.into_parts();
        let mut body = Arriving::new(body, &head.headers);
        let mut verdict = None;
        let outcome = self.call(&head, &mut body, deadline, access, &mut verdict).await;
        let mut response = match outcome {
            Ok(message) => success(message),
            Err(error) => {
                // The call's place is free by now: a client that sends slowly holds up nobody.
                body.drop_rest(deadline).await;
                error.into_response()
            }
        };
        if let Some(verdict) = verdict {
            verdict.write(response.headers_mut());
        }
        response
    }

    /// The checks in their order, then the call. `Ok` has the JSON of the answer; empty: the method has no output.
    async fn call(
        &self,
        head: &http::request::Parts,
        body: &mut Arriving,
        deadline: Instant,
        access: &Access,
        verdict: &mut Option<Verdict>,
    ) -> Result<Vec<u8>, XrpcError> {
        let method = self.route(head)?;
        access.calls(method.nsid());
        check_verb(method, &head.method)?;
        let Ok(_place) = self.places.try_acquire() else {
            self.metrics.shed.inc();
            return Err(XrpcError::fixed(ErrorName::NotEnoughResources).retry_after(COME_AGAIN));
        };

        let authenticating = access.trace.step("authenticate");
        let authenticated = self.authenticator.authenticate(&head.headers, method.nsid());
        let caller = match tokio::time::timeout_at(deadline, authenticated).await {
            Ok(caller) => caller.map_err(|error| refusal(error, &access.request_id))?,
            Err(_) => {
                tracing::warn!(request_id = access.request_id, "authentication took until the deadline");
                return Err(XrpcError::fixed(ErrorName::UpstreamTimeout));
            }
        };
        drop(authenticating);
        access.is_by(caller.did().as_str());
        *verdict = self.rate_limit.take(caller.did().as_str());
        if let Some(wait) = verdict.as_ref().and_then(|verdict| verdict.wait) {
            self.metrics.rate_limited.inc();
            let message = "too many calls by this DID; Retry-After says when to come back";
            return Err(XrpcError::new(ErrorName::RateLimitExceeded, message).retry_after(wait));
        }

        let message = match method.verb() {
            binding::Verb::Query => decode::query(method, head.uri.query(), caller.did().as_str()),
            binding::Verb::Procedure => {
                let json = if method.requires_input() {
                    body::check_type(&head.headers)?;
                    body.read(deadline).await?
                } else {
                    Bytes::new()
                };
                decode::json(method, &json, caller.did().as_str())
            }
        };
        let message =
            message.map_err(|error| XrpcError::new(ErrorName::InvalidRequest, error.to_string()))?;

        let call = Call {
            deadline,
            idempotent: method.verb() == binding::Verb::Query,
            request_id: access.request_id.clone(),
            trace: access.trace.clone(),
        };
        let answer = self.upstream.call(method.path(), message, call).await.map_err(|status| {
            let error = XrpcError::from_grpc(method, &status);
            if error.is_ours() {
                tell_failure(&status, &access.request_id);
            }
            error
        })?;
        encode::json(method, &answer).map_err(|error| {
            let causes = chain(&error);
            tracing::error!(request_id = access.request_id, causes, "the core-service's answer is no output");
            XrpcError::fixed(ErrorName::InternalServerError)
        })
    }

    /// The method that the path names, exactly: the path as it came, for axum decodes what it hands out of one.
    fn route(&self, head: &http::request::Parts) -> Result<&Method, XrpcError> {
        let nsid = head.uri.path().strip_prefix(PREFIX).unwrap_or_default();
        if let Some(method) = self.methods.get(nsid) {
            return Ok(method);
        }
        Err(if nsid.parse::<Nsid>().is_ok() {
            XrpcError::fixed(ErrorName::MethodNotImplemented)
        } else {
            XrpcError::new(ErrorName::InvalidRequest, "the path after /xrpc/ is not an NSID")
        })
    }
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

fn refusal(error: AuthError, request_id: &str) -> XrpcError {
    match error {
        AuthError::Refused(refusal) => XrpcError::new(ErrorName::AuthenticationRequired, refusal.to_string())
            .challenge(refusal.www_authenticate()),
        AuthError::DirectoryUnavailable(failure) => {
            tracing::warn!(request_id, causes = chain(&*failure), "the PLC directory gave no answer");
            XrpcError::fixed(ErrorName::UpstreamFailure)
        }
    }
}

/// Tells the operator, once, what a client gets no word of.
fn tell_failure(status: &Status, request_id: &str) {
    let (code, grpc_message, causes) = (status.code(), status.message(), status.source().map(chain));
    match code {
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::ResourceExhausted => {
            tracing::warn!(
                request_id,
                ?code,
                grpc_message,
                causes,
                "the core-service did not carry out a call"
            );
        }
        Code::Unauthenticated | Code::PermissionDenied => {
            tracing::error!(
                request_id,
                ?code,
                grpc_message,
                "the core-service refused the gateway; check the token and certificates"
            );
        }
        _ => tracing::error!(request_id, ?code, grpc_message, causes, "the core-service failed"),
    }
}

fn success(json: Vec<u8>) -> Response<Body> {
    if json.is_empty() {
        return Response::new(Body::empty());
    }
    let mut response = Response::new(Body::from(json));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An answer of the gateway's own, outside the methods.
pub(crate) fn plain_json(status: StatusCode, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
