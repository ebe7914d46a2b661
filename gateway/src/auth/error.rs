//! Why a caller was not authenticated: it was refused, or its key can't be looked up just now.

use std::sync::Arc;

use egress::error::GetError;
use http::StatusCode;

use super::refusal::Refusal;

/// Why a caller was not authenticated.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum AuthError {
    /// The caller's fault: 401 `AuthenticationRequired` with this message and [`Refusal::www_authenticate`].
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The PLC directory did not answer and no key is cached: 502 `UpstreamFailure`.
    #[error("the DID directory gave no answer")]
    DirectoryUnavailable(#[source] Arc<DirectoryFailure>),
    /// Too much is looked up just now: 503 `NotEnoughResources`, to be tried again soon.
    #[error("too many look-ups just now")]
    Busy,
}

/// Why the PLC directory is unavailable. For the log only.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DirectoryFailure {
    #[error("the request to the PLC directory failed")]
    Request(#[source] GetError),
    #[error("the PLC directory took too long")]
    TimedOut,
    #[error("the PLC directory answered {0}")]
    Status(StatusCode),
    #[error("the PLC directory answered with something else than the DID's document")]
    NotTheDocument,
    #[error("the look-up broke off")]
    BrokeOff,
}
