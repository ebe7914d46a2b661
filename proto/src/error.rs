//! The error contract: how errors are written to a gRPC status, and how they are read from it.
//!
//! An error is a status code, a message for the caller, and perhaps a `google.rpc.ErrorInfo` with a reason
//! (an UPPER_SNAKE_CASE word for programs) in athook's domain, and a `google.rpc.RetryInfo` with the time to
//! wait.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// The `ErrorInfo.domain` of athook's own services. Their option `(xrpc.v1.error_domain)` tells it to the
/// gateway.
pub const DOMAIN: &str = "athook.v1";

/// The names of all status codes, as gRPC spells them. A code's number is its index.
pub const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// The index of `code` in [`CODES`].
#[must_use]
pub fn code_index(code: Code) -> usize {
    usize::try_from(i32::from(code)).unwrap_or(0)
}

/// What [`reason`] reads from a status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// Whose reason it is: [`DOMAIN`] for athook's services.
    pub domain: String,
    /// The reason, for example `INVALID_URL`.
    pub reason: String,
}

/// Makes a status with `code` and `message`. A `reason` that is not empty becomes `google.rpc.ErrorInfo` in
/// [`DOMAIN`], `retry_after` becomes `google.rpc.RetryInfo`.
#[must_use]
pub fn status(code: Code, reason: &str, message: impl Into<String>, retry_after: Option<Duration>) -> Status {
    let mut details = ErrorDetails::new();
    if !reason.is_empty() {
        details.set_error_info(reason, DOMAIN, []);
    }
    if retry_after.is_some() {
        details.set_retry_info(retry_after);
    }
    Status::with_error_details(code, message, details)
}

/// Reads the `google.rpc.ErrorInfo` of a status. `None`: it has none, or its details don't decode.
#[must_use]
pub fn reason(status: &Status) -> Option<Reason> {
    let info = status.get_details_error_info()?;
    Some(Reason { domain: info.domain, reason: info.reason })
}

/// Reads the time to wait from the `google.rpc.RetryInfo` of a status.
#[must_use]
pub fn retry_after(status: &Status) -> Option<Duration> {
    status.get_details_retry_info()?.retry_delay
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_at_the_index_of_their_codes() {
        for (number, name) in (0..).zip(CODES) {
            let code = Code::from_i32(number);
            assert_eq!(code_index(code), usize::try_from(number).unwrap());
            // tonic spells the names in CamelCase.
            assert_eq!(format!("{code:?}").to_uppercase(), name.replace('_', ""));
        }
    }

    #[test]
    fn round_trip_of_every_code() {
        for number in 0..=16 {
            let code = Code::from_i32(number);
            let sent = status(code, "SOME_REASON", "text", Some(Duration::from_millis(1500)));
            let received = over_the_wire(&sent);
            assert_eq!(received.code(), code);
            assert_eq!(received.message(), "text");
            assert_eq!(
                reason(&received),
                Some(Reason { domain: DOMAIN.into(), reason: "SOME_REASON".into() })
            );
            assert_eq!(retry_after(&received), Some(Duration::from_millis(1500)));
        }
    }

    #[test]
    fn bare_status_has_no_reason() {
        let received = over_the_wire(&status(Code::NotFound, "", "text", None));
        assert_eq!((reason(&received), retry_after(&received)), (None, None));
    }

    #[test]
    fn invalid_details_are_no_reason() {
        let broken = Status::with_details(Code::NotFound, "text", (&b"\xff\xff\xff"[..]).into());
        assert_eq!((reason(&broken), retry_after(&broken)), (None, None));
    }

    fn over_the_wire(sent: &Status) -> Status {
        let response = sent.clone().into_http::<()>();
        Status::from_header_map(response.headers()).expect("a status travels in headers")
    }
}
