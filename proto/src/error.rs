//! The error contract: how errors are written to a gRPC status, and how they are read from it.
//!
//! An error is a status code, a message for the caller, a `google.rpc.ErrorInfo` with a reason (an
//! UPPER_SNAKE_CASE word for programs) in athook's domain, and perhaps a `google.rpc.RetryInfo` with the time
//! to wait or a `google.rpc.BadRequest` with the path of the field that breaks a rule.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

/// The `ErrorInfo.domain` of athook's own services. Their option `(xrpc.v1.error_domain)` tells it to the
/// gateway.
pub const DOMAIN: &str = "athook.v1";

/// The reason of a call that is refused for its token. It means the process that calls, such as a gateway,
/// and not the account on whose behalf it calls.
pub const SHARED_TOKEN_REQUIRED: &str = "SHARED_TOKEN_REQUIRED";

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

/// A field of a request that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The path of the field in the request message: `rewrite[2].from`.
    pub field: String,
    /// The rule: `must be 1 to 100 bytes`.
    pub rule: String,
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

/// Makes an INVALID_ARGUMENT for a field that breaks a rule. Its message is `{field}: {rule}`.
#[must_use]
pub fn invalid(reason: &str, violation: Violation) -> Status {
    let Violation { field, rule } = violation;
    let message = format!("{field}: {rule}");
    let mut details = ErrorDetails::new();
    details.set_error_info(reason, DOMAIN, []).add_bad_request_violation(field, rule);
    Status::with_error_details(Code::InvalidArgument, message, details)
}

/// Reads the `google.rpc.ErrorInfo` of a status. `None`: it has none, or its details don't decode.
#[must_use]
pub fn reason(status: &Status) -> Option<Reason> {
    let info = status.get_details_error_info()?;
    Some(Reason { domain: info.domain, reason: info.reason })
}

/// Reads the `google.rpc.BadRequest` of a status. Empty: it has none, or its details don't decode.
#[must_use]
pub fn violations(status: &Status) -> Vec<Violation> {
    let violations = status.get_details_bad_request().map(|bad| bad.field_violations).unwrap_or_default();
    let violation = |one: FieldViolation| Violation { field: one.field, rule: one.description };
    violations.into_iter().map(violation).collect()
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
    fn round_trip_of_a_field() {
        let violation = Violation { field: "events[3].chat.text".into(), rule: "is required".into() };
        let received = over_the_wire(&invalid("INVALID_FIELD", violation.clone()));
        assert_eq!(received.code(), Code::InvalidArgument);
        assert_eq!(received.message(), "events[3].chat.text: is required");
        assert_eq!(reason(&received).unwrap().reason, "INVALID_FIELD");
        assert_eq!(violations(&received), [violation]);
    }

    #[test]
    fn bare_status_has_no_reason() {
        let received = over_the_wire(&status(Code::NotFound, "", "text", None));
        assert_eq!((reason(&received), retry_after(&received)), (None, None));
        assert_eq!(violations(&received), []);
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
