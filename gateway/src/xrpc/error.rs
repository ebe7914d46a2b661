//! Failures as an XRPC client sees them, and the way there from a gRPC status.
//!
//! Owns the XRPC-wide error names and their HTTP statuses (METHODS.md "Conventions"), and the order in which a
//! status finds its name (DESIGN.md "Errors"). Each method's own names come from its bound table.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::Body;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use tonic::{Code, Status};

use crate::binding::Method;
use crate::error_name::ErrorName;

/// The longest message in an answer, in bytes; what is longer is cut. With it no error body is over 1 KiB, even if
/// every byte is one that JSON escapes with a backslash.
const MAX_MESSAGE_BYTES: usize = 460;

/// Reasons that every method shares.
const SHARED_REASONS: [(&str, ErrorName); 2] =
    [("RATE_LIMITED", ErrorName::RateLimitExceeded), ("OVERLOADED", ErrorName::NotEnoughResources)];

/// The error name of an answer, as an extension of the response.
#[derive(Debug, Clone)]
pub(crate) struct AnsweredName(pub(crate) Cow<'static, str>);

/// Every failure that can be answered, as HTTP status and name: the XRPC-wide ones, and those that `method` names.
pub(crate) fn failures(method: Option<&Method>) -> Vec<(StatusCode, String)> {
    let mut failures: Vec<_> =
        ErrorName::ALL.into_iter().map(|wide| (wide.status(), wide.name().to_owned())).collect();
    if let Some(method) = method {
        for name in method.errors().names() {
            let XrpcError { status, name, message: _, headers: _ } = XrpcError::named(method, name, "");
            if !failures.contains(&(status, name.to_string())) {
                failures.push((status, name.into_owned()));
            }
        }
    }
    failures
}

/// One failure, ready to be answered.
#[derive(Debug)]
pub(crate) struct XrpcError {
    status: StatusCode,
    name: Cow<'static, str>,
    message: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl XrpcError {
    /// An XRPC-wide failure. The message is left out for names with a fixed text.
    pub(crate) fn new(wide: ErrorName, message: impl Into<String>) -> Self {
        let message = wide.fixed_message().map_or_else(|| cut(message.into()), str::to_owned);
        Self { status: wide.status(), name: Cow::Borrowed(wide.name()), message, headers: Vec::new() }
    }

    /// A failure whose text is fixed.
    pub(crate) fn fixed(wide: ErrorName) -> Self {
        Self::new(wide, "")
    }

    /// With the verbs that the path takes.
    pub(crate) fn allow(mut self, verbs: &'static str) -> Self {
        self.headers.push((ALLOW, HeaderValue::from_static(verbs)));
        self
    }

    /// With the challenge of a 401 (RFC 6750, section 3).
    pub(crate) fn challenge(mut self, challenge: HeaderValue) -> Self {
        self.headers.push((WWW_AUTHENTICATE, challenge));
        self
    }

    /// With a Retry-After of whole seconds, rounded up, at least one.
    pub(crate) fn retry_after(mut self, wait: Duration) -> Self {
        let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1);
        self.headers.push((RETRY_AFTER, HeaderValue::from(seconds)));
        self
    }

    /// Whether the failure is on this side of the wire, a 5xx.
    pub(crate) fn is_ours(&self) -> bool {
        self.status.is_server_error()
    }

    /// What a status of the method's rpc is to the client.
    ///
    /// In this order: the method's row with the status's reason; a reason that all methods share; the method's row
    /// with the code alone; the code's own name. A reason counts only if it comes from the service's own domain.
    pub(crate) fn from_grpc(method: &Method, status: &Status) -> Self {
        let code = status.code();
        let reason = proto::error::reason(status)
            .filter(|reason| Some(reason.domain.as_str()) == method.error_domain())
            .map(|reason| reason.reason);
        let own_name = reason.as_deref().and_then(|reason| method.errors().with_reason(code, reason));
        let shared = || {
            let reason = reason.as_deref()?;
            SHARED_REASONS.iter().find(|(shared, _)| *shared == reason).map(|(_, wide)| *wide)
        };
        let error = if let Some(name) = own_name {
            Self::named(method, name, status.message())
        } else if let Some(wide) = shared() {
            Self::new(wide, status.message())
        } else if let Some(name) =
            method.errors().with_code(code).filter(|_| !gateway_refused(code, reason.is_some()))
        {
            Self::named(method, name, status.message())
        } else {
            Self::new(name_of_code(code, reason.is_some()), status.message())
        };
        match proto::error::retry_after(status) {
            Some(wait) => error.retry_after(wait),
            None => error,
        }
    }

    /// A failure under a name of the method's table: 400 if the lexicon declares it, save the one that every client
    /// knows as 401; an XRPC-wide name that it does not declare keeps its own status.
    fn named(method: &Method, name: &str, message: &str) -> Self {
        let wide = ErrorName::ALL.into_iter().find(|wide| wide.name() == name);
        match wide {
            Some(wide) if wide == ErrorName::AuthenticationRequired || !method.errors().declares(name) => {
                Self::new(wide, message)
            }
            _ => Self {
                status: StatusCode::BAD_REQUEST,
                name: Cow::Owned(name.to_owned()),
                message: cut(message.to_owned()),
                headers: Vec::new(),
            },
        }
    }

    /// The answer: `{"error", "message"}`, with the name for the log line.
    pub(crate) fn into_response(self) -> Response<Body> {
        let Self { status, name, message, headers } = self;
        let body = serde_json::json!({ "error": name, "message": message }).to_string();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response.headers_mut().extend(headers);
        response.extensions_mut().insert(AnsweredName(name));
        if status == StatusCode::UNAUTHORIZED && !response.headers().contains_key(WWW_AUTHENTICATE) {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Whether the status speaks of the gateway and not of its caller: only a service that knows of callers gives a
/// reason (in its own domain) with these codes.
fn gateway_refused(code: Code, has_reason: bool) -> bool {
    matches!(code, Code::Unauthenticated | Code::PermissionDenied) && !has_reason
}

/// The name of a status that no table names.
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
        // Cancelled is how tonic answers when the deadline that it was given has passed.
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
