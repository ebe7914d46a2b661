//! XRPC errors: status, name, message and headers, and how a gRPC status becomes one.
//!
//! The shared names are in [`error_name`](crate::error_name), those of one method in its bound error table.
//! Which of them a gRPC status gets is decided here; see "The path of an error" in ARCHITECTURE.md.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::Body;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use proto::error::{SHARED_TOKEN_REQUIRED, Violation};
use tonic::{Code, Status};

use crate::binding::Method;
use crate::error_name::ErrorName;
use crate::transcode::lexicon_path;

/// Longer messages are cut, in bytes. With this limit no error body is over 1 KiB, even if JSON escapes every
/// byte of the message with a backslash.
const MAX_MESSAGE_BYTES: usize = 460;

/// The `google.rpc.ErrorInfo` reasons that all methods share.
const SHARED_REASONS: [(&str, ErrorName); 3] = [
    ("RATE_LIMITED", ErrorName::RateLimitExceeded),
    ("OVERLOADED", ErrorName::NotEnoughResources),
    // The gateway's own token is refused.
    (SHARED_TOKEN_REQUIRED, ErrorName::UpstreamFailure),
];

/// The error name of a response, for the request log; an extension of the response.
#[derive(Debug, Clone)]
pub(crate) struct ResponseErrorName(pub(crate) Cow<'static, str>);

/// Status and name of every error that a response can have: the shared ones and those of `method`.
pub(crate) fn possible_errors(method: Option<&Method>) -> Vec<(StatusCode, String)> {
    let mut errors: Vec<_> =
        ErrorName::ALL.into_iter().map(|shared| (shared.status(), shared.name().to_owned())).collect();
    if let Some(method) = method {
        for name in method.errors().names() {
            let XrpcError { status, name, message: _, headers: _ } = XrpcError::named(method, name, "");
            if !errors.contains(&(status, name.to_string())) {
                errors.push((status, name.into_owned()));
            }
        }
    }
    errors
}

/// An XRPC error response.
#[derive(Debug)]
pub(crate) struct XrpcError {
    status: StatusCode,
    name: Cow<'static, str>,
    message: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl XrpcError {
    /// An error with a shared name. The `message` is ignored if the name has a fixed one.
    pub(crate) fn new(shared: ErrorName, message: impl Into<String>) -> Self {
        let message = shared.fixed_message().map_or_else(|| cut(message.into()), str::to_owned);
        Self { status: shared.status(), name: Cow::Borrowed(shared.name()), message, headers: Vec::new() }
    }

    /// An error whose message is fixed.
    pub(crate) fn fixed(shared: ErrorName) -> Self {
        Self::new(shared, "")
    }

    /// The answer of the site where a handle names no DID.
    pub(crate) fn handle_not_found(message: &str) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            name: Cow::Borrowed("HandleNotFound"),
            message: message.to_owned(),
            headers: Vec::new(),
        }
    }

    /// Adds `Allow`.
    pub(crate) fn allow(mut self, verbs: &'static str) -> Self {
        self.headers.push((ALLOW, HeaderValue::from_static(verbs)));
        self
    }

    /// Adds `WWW-Authenticate` (RFC 6750, section 3).
    pub(crate) fn challenge(mut self, challenge: HeaderValue) -> Self {
        self.headers.push((WWW_AUTHENTICATE, challenge));
        self
    }

    /// Adds `Retry-After`: whole seconds, rounded up, at least one.
    pub(crate) fn retry_after(mut self, wait: Duration) -> Self {
        let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1);
        self.headers.push((RETRY_AFTER, HeaderValue::from(seconds)));
        self
    }

    /// Whether the status is 5xx.
    pub(crate) fn is_server_error(&self) -> bool {
        self.status.is_server_error()
    }

    /// The error for a gRPC status of the method's rpc.
    ///
    /// The name comes from the first that applies: the row of the method's error table with this code and
    /// reason; the shared reasons; the row with this code and no reason; the code. A reason counts only if
    /// its domain is the one that the proto service names.
    ///
    /// The message is the status's, or the fields of its `google.rpc.BadRequest` by their lexicon paths.
    pub(crate) fn from_grpc(method: &Method, status: &Status) -> Self {
        let code = status.code();
        let message = message(method, status);
        let reason = proto::error::reason(status)
            .filter(|reason| Some(reason.domain.as_str()) == method.error_domain())
            .map(|reason| reason.reason);
        let by_reason = reason.as_deref().and_then(|reason| method.errors().with_reason(code, reason));
        let by_shared_reason = || {
            let reason = reason.as_deref()?;
            SHARED_REASONS.iter().find(|(shared, _)| *shared == reason).map(|(_, name)| *name)
        };
        let error = if let Some(name) = by_reason {
            Self::named(method, name, &message)
        } else if let Some(shared) = by_shared_reason() {
            Self::new(shared, message)
        } else if let Some(name) =
            method.errors().with_code(code).filter(|_| !gateway_refused(code, reason.is_some()))
        {
            Self::named(method, name, &message)
        } else {
            Self::new(name_of_code(code, reason.is_some()), message)
        };
        match proto::error::retry_after(status) {
            Some(wait) => error.retry_after(wait),
            None => error,
        }
    }

    /// An error with a name of the method's error table. Names that the lexicon declares are 400, apart from
    /// `AuthenticationRequired`; a shared name that the lexicon does not declare keeps its own status.
    fn named(method: &Method, name: &str, message: &str) -> Self {
        let shared = ErrorName::ALL.into_iter().find(|shared| shared.name() == name);
        match shared {
            Some(shared)
                if shared == ErrorName::AuthenticationRequired || !method.errors().declares(name) =>
            {
                Self::new(shared, message)
            }
            _ => Self {
                status: StatusCode::BAD_REQUEST,
                name: Cow::Owned(name.to_owned()),
                message: cut(message.to_owned()),
                headers: Vec::new(),
            },
        }
    }

    /// The response with the body `{"error", "message"}`.
    pub(crate) fn into_response(self) -> Response<Body> {
        let Self { status, name, message, headers } = self;
        let body = serde_json::json!({ "error": name, "message": message }).to_string();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response.headers_mut().extend(headers);
        response.extensions_mut().insert(ResponseErrorName(name));
        if status == StatusCode::UNAUTHORIZED && !response.headers().contains_key(WWW_AUTHENTICATE) {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// The message of `status`. Fields of the request that break rules have proto paths there: if the client can
/// set all of them, it gets the rules with the paths that it knows.
fn message(method: &Method, status: &Status) -> String {
    let violations = proto::error::violations(status);
    let told = violations.into_iter().map(|Violation { field, rule }| {
        lexicon_path::of(method, &field).map(|path| format!("{path}: {rule}"))
    });
    match told.collect::<Option<Vec<_>>>() {
        Some(told) if !told.is_empty() => told.join("; "),
        _ => status.message().to_owned(),
    }
}

/// Whether the core-service refused the gateway and not its caller: with these codes, it gives a reason only
/// when it means the caller.
fn gateway_refused(code: Code, has_reason: bool) -> bool {
    matches!(code, Code::Unauthenticated | Code::PermissionDenied) && !has_reason
}

/// The name for a code without a row in the method's error table and without a shared reason.
fn name_of_code(code: Code, has_reason: bool) -> ErrorName {
    match code {
        Code::InvalidArgument
        | Code::OutOfRange
        | Code::FailedPrecondition
        | Code::NotFound
        | Code::AlreadyExists => ErrorName::InvalidRequest,
        Code::ResourceExhausted => ErrorName::RateLimitExceeded,
        Code::Unimplemented => ErrorName::MethodNotImplemented,
        Code::Unavailable => ErrorName::UpstreamFailure,
        // tonic's server reports an expired deadline as Cancelled.
        Code::DeadlineExceeded | Code::Cancelled => ErrorName::UpstreamTimeout,
        Code::Unauthenticated | Code::PermissionDenied if gateway_refused(code, has_reason) => {
            ErrorName::UpstreamFailure
        }
        Code::Unauthenticated => ErrorName::AuthenticationRequired,
        Code::PermissionDenied => ErrorName::Forbidden,
        Code::Ok | Code::Unknown | Code::Aborted | Code::Internal | Code::DataLoss => {
            ErrorName::InternalServerError
        }
    }
}

/// Replaces control characters by spaces and cuts the message at [`MAX_MESSAGE_BYTES`].
fn cut(mut message: String) -> String {
    if message.contains(char::is_control) {
        message = message.replace(char::is_control, " ");
    }
    if message.len() > MAX_MESSAGE_BYTES {
        message.truncate(message.floor_char_boundary(MAX_MESSAGE_BYTES));
        message.push('…');
    }
    message
}
