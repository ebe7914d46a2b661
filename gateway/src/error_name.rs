//! The error names that all methods share, with their HTTP statuses and fixed messages (`docs/methods.md`).
//!
//! The names that only one method has are in its [error table](crate::binding).

use http::StatusCode;

/// An error name that all methods share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorName {
    InvalidRequest,
    AuthenticationRequired,
    Forbidden,
    NotFound,
    PayloadTooLarge,
    RateLimitExceeded,
    InternalServerError,
    MethodNotImplemented,
    UpstreamFailure,
    NotEnoughResources,
    UpstreamTimeout,
}

impl ErrorName {
    pub(crate) const ALL: [Self; 11] = [
        Self::InvalidRequest,
        Self::AuthenticationRequired,
        Self::Forbidden,
        Self::NotFound,
        Self::PayloadTooLarge,
        Self::RateLimitExceeded,
        Self::InternalServerError,
        Self::MethodNotImplemented,
        Self::UpstreamFailure,
        Self::NotEnoughResources,
        Self::UpstreamTimeout,
    ];

    /// The name as clients see it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::InvalidRequest => "InvalidRequest",
            Self::AuthenticationRequired => "AuthenticationRequired",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "NotFound",
            Self::PayloadTooLarge => "PayloadTooLarge",
            Self::RateLimitExceeded => "RateLimitExceeded",
            Self::InternalServerError => "InternalServerError",
            Self::MethodNotImplemented => "MethodNotImplemented",
            Self::UpstreamFailure => "UpstreamFailure",
            Self::NotEnoughResources => "NotEnoughResources",
            Self::UpstreamTimeout => "UpstreamTimeout",
        }
    }

    /// The HTTP status that goes with the name.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::InvalidRequest => StatusCode::BAD_REQUEST,
            Self::AuthenticationRequired => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::RateLimitExceeded => StatusCode::TOO_MANY_REQUESTS,
            Self::InternalServerError => StatusCode::INTERNAL_SERVER_ERROR,
            Self::MethodNotImplemented => StatusCode::NOT_IMPLEMENTED,
            Self::UpstreamFailure => StatusCode::BAD_GATEWAY,
            Self::NotEnoughResources => StatusCode::SERVICE_UNAVAILABLE,
            Self::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The HTTP status of `name` in a method whose lexicon declares it.
    pub(crate) fn declared_status(name: &str) -> StatusCode {
        let authentication = Self::AuthenticationRequired;
        if name == authentication.name() { authentication.status() } else { StatusCode::BAD_REQUEST }
    }

    /// The fixed message of a name whose details are for the log only.
    pub(crate) fn fixed_message(self) -> Option<&'static str> {
        match self {
            Self::InternalServerError => Some("something went wrong here; it has been logged"),
            Self::UpstreamFailure => Some("a service that this one depends on does not answer"),
            Self::UpstreamTimeout => {
                Some("the request took too long; it may or may not have been carried out")
            }
            Self::NotEnoughResources => Some("too busy or not ready; try again later"),
            Self::MethodNotImplemented => Some("no such method here"),
            Self::InvalidRequest
            | Self::AuthenticationRequired
            | Self::Forbidden
            | Self::NotFound
            | Self::PayloadTooLarge
            | Self::RateLimitExceeded => None,
        }
    }

    /// Whether any method may answer with `name` although its lexicon does not declare it. `NotFound` is only
    /// for paths outside `/xrpc/`.
    pub(crate) fn is_allowed_in_any_method(name: &str) -> bool {
        Self::ALL.into_iter().any(|known| known != Self::NotFound && known.name() == name)
    }
}
