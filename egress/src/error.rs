//! What can go wrong when reaching out. Owns the one text for it; what went wrong in detail is in the
//! sources, for the log.

use std::io;
use std::time::Duration;

use hickory_resolver::net::NetError;
use hickory_resolver::proto::ProtoError;
use rustls::pki_types::pem;

use crate::policy::Refused;

/// The one text for whatever can't be reached, refused or not (`METHODS.md`, "Unreachable").
pub(crate) const UNREACHABLE: &str = "the address can't be reached";

/// No connection can be had, or none may be.
///
/// Both variants have the same text, so that whoever is shown it can't tell closed from filtered from
/// private. The sources differ: they are for the log alone.
#[derive(Debug, thiserror::Error)]
pub enum Unreachable {
    /// The egress rules refuse the URL, or an address of its host.
    #[error("{UNREACHABLE}")]
    Refused,
    /// The rules allow it, but it did not work.
    #[error("{UNREACHABLE}")]
    Failed(#[source] Failure),
}

impl From<Refused> for Unreachable {
    fn from(Refused: Refused) -> Self {
        Self::Refused
    }
}

/// Why an allowed connection was not made. For the log: it tells what a caller must not learn.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The URL names no host or no port.
    #[error("the URL has no host or no port")]
    NoHost,
    /// The URL is neither http nor https.
    #[error("the URL's scheme is neither http nor https")]
    Scheme,
    /// The name has no address that could be found.
    #[error("the look-up failed")]
    Lookup(#[source] LookupError),
    /// None of the addresses took the connection; the source is what the last one to fail said.
    #[error("the TCP connection failed")]
    Connect(#[source] io::Error),
    /// The TLS handshake failed, or the certificate is not to be trusted.
    #[error("the TLS handshake failed")]
    Tls(#[source] io::Error),
    /// The whole attempt took too long.
    #[error("nothing came of it within {0:?}")]
    TimedOut(Duration),
}

/// A name without an address.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// DNS can't carry the name.
    #[error("the host is not a DNS name")]
    Name(#[source] ProtoError),
    /// The servers did not answer, or answered that there is nothing.
    #[error("the DNS servers gave no address")]
    Dns(#[source] NetError),
    /// The answer had records, but no address among them.
    #[error("the DNS answer holds no address")]
    NoAddress,
    /// The servers took longer than [`LOOKUP_LIMIT`](crate::resolver::LOOKUP_LIMIT).
    #[error("the DNS servers took too long")]
    TimedOut,
}

/// A GET without an answer.
#[derive(Debug, thiserror::Error)]
pub enum GetError {
    /// There was no connection.
    #[error("no connection was made")]
    Unreachable(#[source] Unreachable),
    /// The body is larger than the caller wants, in bytes.
    #[error("the answer's body is over {0} bytes")]
    TooLarge(usize),
    /// The whole answer was not there in time.
    #[error("there was no whole answer within {0:?}")]
    TimedOut(Duration),
    /// The URL or the `Accept` header does not fit into an HTTP request.
    #[error("the request can't be written")]
    Request(#[source] http::Error),
    /// The connection broke, or what came is not HTTP/1.1 or has too large a head.
    #[error("the HTTP exchange failed")]
    Http(#[source] hyper::Error),
}

/// The settings do not make a client.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The resolver could not be set up.
    #[error("the DNS resolver could not be set up")]
    Resolver(#[source] NetError),
    /// The extra certificate authorities are not PEM.
    #[error("the extra certificate authorities are not valid PEM")]
    Pem(#[source] pem::Error),
    /// The PEM text of the extra certificate authorities holds no certificate.
    #[error("the extra certificate authorities hold no certificate")]
    NoCertificate,
    /// One of the extra certificate authorities is unusable.
    #[error("an extra certificate authority is unusable")]
    Certificate(#[source] rustls::Error),
    /// TLS could not be set up.
    #[error("TLS could not be set up")]
    Tls(#[source] rustls::Error),
}
