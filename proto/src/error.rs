//! The error contract: how a failure crosses gRPC, and how it is read on the other side.
//!
//! A failure is a status code, a message for the caller, and `google.rpc.ErrorInfo` with a reason (an
//! UPPER_SNAKE_CASE word that programs act on) in athook's domain. `google.rpc.RetryInfo` says when to come back.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// `ErrorInfo.domain` of every reason that athook's own services give; the option
/// `(xrpc.v1.error_domain)` of the services says the same to the gateway.
pub const DOMAIN: &str = "athook.v1";

/// The names of all codes, as gRPC spells them; a code's number is its place.
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

/// The place of `code` in [`CODES`].
#[must_use]
pub fn place(code: Code) -> usize {
    usize::try_from(i32::from(code)).unwrap_or(0)
}

/// What [`reason`] reads from a status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// Whose reason it is: [`DOMAIN`] for athook's own.
    pub domain: String,
    /// The reason: `INVALID_URL`.
    pub reason: String,
}

/// A status with `code`, `message` and, unless it is empty, `reason` in [`DOMAIN`].
///
/// `retry_after` becomes `google.rpc.RetryInfo`.
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

/// The `google.rpc.ErrorInfo` of a status. `None` without one, and for details that do not decode.
#[must_use]
pub fn reason(status: &Status) -> Option<Reason> {
    let info = status.get_details_error_info()?;
    Some(Reason { domain: info.domain, reason: info.reason })
}

/// When to come back: the `google.rpc.RetryInfo` of a status.
#[must_use]
pub fn retry_after(status: &Status) -> Option<Duration> {
    status.get_details_retry_info()?.retry_delay
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_at_the_numbers_of_their_codes() {
        for (number, name) in (0..).zip(CODES) {
            let code = Code::from_i32(number);
            assert_eq!(place(code), usize::try_from(number).unwrap());
            // tonic's own names, in its spelling.
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
    fn details_that_do_not_decode_are_no_reason() {
        let broken = Status::with_details(Code::NotFound, "text", (&b"\xff\xff\xff"[..]).into());
        assert_eq!((reason(&broken), retry_after(&broken)), (None, None));
    }

    fn over_the_wire(sent: &Status) -> Status {
        let response = sent.clone().into_http::<()>();
        Status::from_header_map(response.headers()).expect("a status travels in headers")
    }
}
