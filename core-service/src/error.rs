//! The errors of calls, and their gRPC status.
//!
//! Owns every code, reason and text that this service answers with. A variant is something that a caller can
//! act on. A fault of the service itself has a fixed text; its causes are logged once, by [`log_fault`], with
//! the id of the request, where the fault becomes an [`Error`].

use std::error::Error as StdError;
use std::time::Duration;

use proto::error::Violation;
use tonic::{Code, Status};

use crate::domain::rule::BrokenField;
use crate::domain::webhook_url::UrlRule;
use crate::request_id::RequestId;

/// How long a caller should wait after [`Error::Overloaded`].
const OVERLOADED_RETRY: Duration = Duration::from_secs(1);

/// A call that failed. `Display` is the message for the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error("{0}")]
    BrokenField(BrokenField),
    #[error("url: {0}")]
    BrokenUrl(UrlRule),
    /// Closed ports, filtered packets and addresses that the egress rules refuse look the same
    /// (docs/methods.md, "Unreachable").
    #[error("url: the address can't be reached")]
    Unreachable,
    #[error("a secret with this name exists already")]
    SecretExists,
    #[error("there is no secret with this name")]
    SecretNotFound,
    #[error("{}", in_use(*webhooks))]
    SecretInUse { webhooks: u64 },
    #[error("a webhook with this URL exists already")]
    WebhookExists,
    /// No webhook has the id, or it is another owner's: the two look the same (docs/methods.md,
    /// "Conventions").
    #[error("there is no such webhook")]
    WebhookNotFound,
    /// No delivery has the id, or its webhook is deleted or another owner's: all look the same.
    #[error("there is no such delivery")]
    DeliveryNotFound,
    #[error("the body of this delivery is no longer kept")]
    PayloadExpired,
    #[error("cursor: must be one that this service gave out")]
    InvalidCursor,
    #[error("the limit of {limit} secrets is reached")]
    TooManySecrets { limit: u32 },
    #[error("the limit of {limit} webhooks is reached")]
    TooManyWebhooks { limit: u32 },
    #[error("too many webhook URLs were tried; try again later")]
    TooManyProbes { retry_after: Duration },
    #[error("too many tests were sent; try again later")]
    TooManyTests { retry_after: Duration },
    #[error("the service is overloaded; try again")]
    Overloaded,
    /// The database can't be reached or can't write. A write may have happened all the same.
    #[error("the service is unavailable; try again")]
    Unavailable,
    #[error("internal error")]
    Internal,
}

impl Error {
    fn code(&self) -> Code {
        match self {
            Self::BrokenField(_) | Self::BrokenUrl(_) | Self::Unreachable | Self::InvalidCursor => {
                Code::InvalidArgument
            }
            Self::SecretExists | Self::WebhookExists => Code::AlreadyExists,
            Self::SecretNotFound | Self::WebhookNotFound | Self::DeliveryNotFound => Code::NotFound,
            Self::SecretInUse { .. } | Self::PayloadExpired => Code::FailedPrecondition,
            Self::TooManySecrets { .. }
            | Self::TooManyWebhooks { .. }
            | Self::TooManyProbes { .. }
            | Self::TooManyTests { .. }
            | Self::Overloaded => Code::ResourceExhausted,
            Self::Unavailable => Code::Unavailable,
            Self::Internal => Code::Internal,
        }
    }

    /// The reason that the `.proto` files document.
    fn reason(&self) -> &'static str {
        match self {
            Self::BrokenUrl(_) | Self::Unreachable => "INVALID_URL",
            Self::InvalidCursor => "INVALID_CURSOR",
            Self::TooManySecrets { .. } => "TOO_MANY_SECRETS",
            Self::TooManyWebhooks { .. } => "TOO_MANY_WEBHOOKS",
            Self::TooManyProbes { .. } | Self::TooManyTests { .. } => "RATE_LIMITED",
            Self::Overloaded => "OVERLOADED",
            Self::BrokenField(_) => "INVALID_FIELD",
            Self::SecretExists => "SECRET_EXISTS",
            Self::SecretNotFound => "SECRET_NOT_FOUND",
            Self::SecretInUse { .. } => "SECRET_IN_USE",
            Self::WebhookExists => "WEBHOOK_EXISTS",
            Self::WebhookNotFound => "WEBHOOK_NOT_FOUND",
            Self::DeliveryNotFound => "DELIVERY_NOT_FOUND",
            Self::PayloadExpired => "PAYLOAD_EXPIRED",
            Self::Unavailable => "UNAVAILABLE",
            Self::Internal => "INTERNAL",
        }
    }

    /// The field that is to blame, if it is one.
    fn violation(&self) -> Option<Violation> {
        let (field, rule) = match self {
            Self::BrokenField(BrokenField { path, rule }) => (path.as_str(), rule.to_string()),
            Self::BrokenUrl(rule) => ("url", rule.to_string()),
            Self::Unreachable => ("url", "the address can't be reached".to_owned()),
            Self::InvalidCursor => ("cursor", "must be one that this service gave out".to_owned()),
            _ => return None,
        };
        Some(Violation { field: field.to_owned(), rule })
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooManyProbes { retry_after } | Self::TooManyTests { retry_after } => Some(*retry_after),
            Self::Overloaded => Some(OVERLOADED_RETRY),
            _ => None,
        }
    }
}

fn in_use(webhooks: u64) -> String {
    let use_it = if webhooks == 1 { "webhook uses" } else { "webhooks use" };
    format!("{webhooks} {use_it} this secret; it can't be deleted")
}

impl From<BrokenField> for Error {
    fn from(broken: BrokenField) -> Self {
        Self::BrokenField(broken)
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match error.violation() {
            Some(violation) => proto::error::invalid(error.reason(), violation),
            None => {
                proto::error::status(error.code(), error.reason(), error.to_string(), error.retry_after())
            }
        }
    }
}

/// Logs `fault` with its sources, and returns `answer`, which the caller of the current request gets instead.
pub(crate) fn log_fault(answer: Error, fault: &(dyn StdError + 'static)) -> Error {
    log_fault_of(&[RequestId::current()], answer, fault)
}

/// The same for a fault that several requests share.
pub(crate) fn log_fault_of(requests: &[RequestId], answer: Error, fault: &(dyn StdError + 'static)) -> Error {
    let causes = process::exit::chain(fault);
    // A database that is away must not hide a fault of another kind.
    if answer == Error::Unavailable {
        process::once_a_second!(error, ?requests, causes, "{answer}");
    } else {
        process::once_a_second!(error, ?requests, causes, "{answer}");
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::rule::Rule;

    #[test]
    fn webhooks_are_counted() {
        for (webhooks, text) in [
            (1, "1 webhook uses this secret; it can't be deleted"),
            (2, "2 webhooks use this secret; it can't be deleted"),
        ] {
            assert_eq!(Error::SecretInUse { webhooks }.to_string(), text);
        }
    }

    #[test]
    fn status_of_each_error() {
        let after = Duration::from_secs(7);
        for (error, code, reason, retry) in [
            (Error::BrokenField(Rule::Nul.at("name")), Code::InvalidArgument, "INVALID_FIELD", None),
            (Error::BrokenUrl(UrlRule::Syntax), Code::InvalidArgument, "INVALID_URL", None),
            (Error::Unreachable, Code::InvalidArgument, "INVALID_URL", None),
            (Error::SecretExists, Code::AlreadyExists, "SECRET_EXISTS", None),
            (Error::SecretNotFound, Code::NotFound, "SECRET_NOT_FOUND", None),
            (Error::SecretInUse { webhooks: 1 }, Code::FailedPrecondition, "SECRET_IN_USE", None),
            (Error::WebhookExists, Code::AlreadyExists, "WEBHOOK_EXISTS", None),
            (Error::WebhookNotFound, Code::NotFound, "WEBHOOK_NOT_FOUND", None),
            (Error::DeliveryNotFound, Code::NotFound, "DELIVERY_NOT_FOUND", None),
            (Error::PayloadExpired, Code::FailedPrecondition, "PAYLOAD_EXPIRED", None),
            (Error::InvalidCursor, Code::InvalidArgument, "INVALID_CURSOR", None),
            (Error::TooManySecrets { limit: 1 }, Code::ResourceExhausted, "TOO_MANY_SECRETS", None),
            (Error::TooManyWebhooks { limit: 1 }, Code::ResourceExhausted, "TOO_MANY_WEBHOOKS", None),
            (
                Error::TooManyProbes { retry_after: after },
                Code::ResourceExhausted,
                "RATE_LIMITED",
                Some(after),
            ),
            (
                Error::TooManyTests { retry_after: after },
                Code::ResourceExhausted,
                "RATE_LIMITED",
                Some(after),
            ),
            (Error::Overloaded, Code::ResourceExhausted, "OVERLOADED", Some(OVERLOADED_RETRY)),
            (Error::Unavailable, Code::Unavailable, "UNAVAILABLE", None),
            (Error::Internal, Code::Internal, "INTERNAL", None),
        ] {
            let text = error.to_string();
            let status = Status::from(error);
            assert_eq!((status.code(), status.message()), (code, text.as_str()));
            let sent = proto::error::reason(&status).map(|sent| (sent.domain, sent.reason));
            assert_eq!(sent, Some((proto::error::DOMAIN.to_owned(), reason.to_owned())));
            let fields = proto::error::violations(&status);
            let fields: Vec<_> = fields.iter().map(|one| format!("{}: {}", one.field, one.rule)).collect();
            // Broken fields and nothing else are INVALID_ARGUMENT.
            let expected = (code == Code::InvalidArgument).then(|| text.clone());
            assert_eq!(fields, Vec::from_iter(expected));
            assert_eq!(proto::error::retry_after(&status), retry);
        }
    }
}
