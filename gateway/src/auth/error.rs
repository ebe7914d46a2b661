//! Why a caller was not authenticated: refused, or the PLC directory is unavailable.

use std::sync::Arc;

use egress::error::GetError;
use http::StatusCode;

use super::refusal::Refusal;

/// Why nobody was authenticated.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum AuthError {
    /// The caller's fault: 401 `AuthenticationRequired`, with this message and
    /// [`Refusal::www_authenticate`].
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The PLC directory gave no answer, and no key is cached: 502 `UpstreamFailure`.
    #[error("the DID directory gave no answer")]
    DirectoryUnavailable(#[source] Arc<DirectoryFailure>),
}

/// Why the PLC directory gave no answer. For the log: the client is told nothing of it.
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
    #[error("too many look-ups in the PLC directory")]
    Busy,
    #[error("the look-up broke off")]
    BrokeOff,
}
