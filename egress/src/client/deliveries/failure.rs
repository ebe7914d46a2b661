//! Which outcome an error is, by what is in its chain.

use std::error::Error;
use std::io;

use hyper_util::client::legacy;

use crate::error::{AttemptFailure, BoxError, Failure, Unreachable};

/// The outcome of `error`. `unproven`: the host may have closed the connection because it wants a client
/// certificate.
pub(super) fn of(error: BoxError, unproven: bool) -> AttemptFailure {
    match find::<Unreachable>(&*error) {
        Some(Unreachable::NotAllowed | Unreachable::Failed(Failure::NoHost | Failure::Scheme)) => {
            AttemptFailure::Refused(error)
        }
        Some(Unreachable::Failed(Failure::Lookup(_))) => AttemptFailure::Dns(error),
        Some(Unreachable::Failed(Failure::Connect(_))) => AttemptFailure::Connect(error),
        Some(Unreachable::Failed(Failure::Tls(_))) => AttemptFailure::Tls(error),
        Some(Unreachable::Failed(Failure::TimedOut(_))) => AttemptFailure::Timeout(Some(error)),
        None if unproven || find::<rustls::Error>(&*error).is_some() => AttemptFailure::Tls(error),
        None => AttemptFailure::Connect(error),
    }
}

/// Whether the pool had no connection to give, although none failed: it was waiting for one that another
/// request was opening.
pub(super) fn is_of_the_pool(error: &(dyn Error + 'static)) -> bool {
    find::<legacy::Error>(error).is_some_and(legacy::Error::is_connect)
        && find::<Unreachable>(error).is_none()
}

/// Whether the request was not sent, as its connection was closed.
pub(super) fn is_unsent(error: &(dyn Error + 'static)) -> bool {
    find::<hyper::Error>(error).is_some_and(hyper::Error::is_canceled)
}

/// Whether this client ended the HTTP/2 stream or connection, because of what it had received.
pub(super) fn is_protocol_violation(error: &(dyn Error + 'static)) -> bool {
    find::<h2::Error>(error).is_some_and(h2::Error::is_library)
}

/// The first error of this type in the chain. Unlike `source`, looks into I/O errors.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}
