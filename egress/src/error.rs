//! The errors of outgoing connections. Users see one fixed text for all of them; the causes are in the
//! sources, for the log.

use std::error::Error;
use std::io;
use std::time::Duration;

use hickory_resolver::net::NetError;
use hickory_resolver::proto::ProtoError;
use rustls::pki_types::pem;

/// The one text for every address without a connection, whatever the reason (`docs/methods.md`,
/// "createWebhook").
const UNREACHABLE: &str = "the address can't be reached";

/// The egress rules forbid this URL or address. The text is the same for every rule, and the same as that of
/// [`Unreachable`], so that users can't tell a closed port from a filtered one or a private address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{UNREACHABLE}")]
pub struct NotAllowed;

/// There is no connection: it is forbidden, or it failed.
///
/// Both variants have the same text, for the reason given at [`NotAllowed`]. Only the sources differ.
#[derive(Debug, thiserror::Error)]
pub enum Unreachable {
    /// The egress rules forbid the URL, or an address of its host.
    #[error("{UNREACHABLE}")]
    NotAllowed,
    /// The rules allow it, but the connection failed.
    #[error("{UNREACHABLE}")]
    Failed(#[source] Failure),
}

impl From<NotAllowed> for Unreachable {
    fn from(NotAllowed: NotAllowed) -> Self {
        Self::NotAllowed
    }
}

/// Why an allowed connection failed. For the log only: users must not learn it.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The URL has no host or no port.
    #[error("the URL has no host or no port")]
    NoHost,
    /// The URL is neither http nor https.
    #[error("the URL's scheme is neither http nor https")]
    Scheme,
    /// DNS gave no address.
    #[error("the look-up failed")]
    Lookup(#[source] LookupError),
    /// No address accepted the connection; the source is the last failure.
    #[error("the TCP connection failed")]
    Connect(#[source] io::Error),
    /// The TLS handshake failed, or the certificate is not trusted.
    #[error("the TLS handshake failed")]
    Tls(#[source] io::Error),
    /// The look-up, the connection and the handshake together took longer than this.
    #[error("no connection within {0:?}")]
    TimedOut(Duration),
}

/// Why a look-up gave no address.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// The text is not a valid DNS name.
    #[error("the host is not a DNS name")]
    Name(#[source] ProtoError),
    /// The servers did not answer, or answered that the name has no addresses.
    #[error("the DNS servers gave no address")]
    Dns(#[source] NetError),
    /// The answer had records, but none with an address.
    #[error("the DNS answer holds no address")]
    NoAddress,
    /// The servers took longer than [`LOOKUP_LIMIT`](crate::resolver::LOOKUP_LIMIT).
    #[error("the DNS servers took too long")]
    TimedOut,
}

/// A GET that got no complete response.
#[derive(Debug, thiserror::Error)]
pub enum GetError {
    /// There is no connection.
    #[error("no connection was made")]
    Unreachable(#[source] Unreachable),
    /// The body has more than this many bytes, the caller's limit.
    #[error("the answer's body is over {0} bytes")]
    TooLarge(usize),
    /// The response was not complete within this time, the caller's limit.
    #[error("there was no whole answer within {0:?}")]
    TimedOut(Duration),
    /// The URL or the `Accept` header is not valid in an HTTP request.
    #[error("the request can't be written")]
    Request(#[source] http::Error),
    /// The connection broke, or the response is not HTTP/1.1 or has too large a head.
    #[error("the HTTP exchange failed")]
    Http(#[source] hyper::Error),
}

/// Any error, for the log.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Why a delivery's attempt got no answer. The sources are for the log.
#[derive(Debug, thiserror::Error)]
pub enum AttemptFailure {
    /// The answer, its body included, was not complete before the deadline, or there was no connection in
    /// time.
    #[error("no answer in time")]
    Timeout(#[source] Option<BoxError>),
    /// No address accepted the connection, or it broke, or what came was no valid HTTP.
    #[error("the connection failed")]
    Connect(#[source] BoxError),
    /// The TLS handshake failed, the certificate is not trusted, or the host wants a client certificate.
    #[error("TLS failed")]
    Tls(#[source] BoxError),
    /// The name has no address, or DNS did not answer.
    #[error("the name was not found")]
    Dns(#[source] BoxError),
    /// The egress rules forbid the URL or an address of its host, or it can't be written in a request.
    #[error("refused by the egress rules")]
    Refused(#[source] BoxError),
}

/// Why the client could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The resolver could not be set up.
    #[error("the DNS resolver could not be set up")]
    Resolver(#[source] NetError),
    /// The text of `--extra-ca` is not PEM.
    #[error("--extra-ca is not valid PEM")]
    Pem(#[source] pem::Error),
    /// The text of `--extra-ca` holds no certificate.
    #[error("--extra-ca holds no certificate (PEM)")]
    NoCertificate,
    /// A certificate of `--extra-ca` is unusable.
    #[error("an extra certificate authority is unusable")]
    Certificate(#[source] rustls::Error),
    /// TLS could not be set up.
    #[error("TLS could not be set up")]
    Tls(#[source] rustls::Error),
}
