//! What keeps strangers from calling the core-service: a loopback address, a shared token or mutual TLS.

use std::net::SocketAddr;

use super::credentials::Credentials;

/// The settings that protect the core-service alone in its process.
pub(crate) const PROTECTION: &str = "--core-token-file, or --tls-cert, --tls-key and --tls-client-ca";

/// Other machines can reach the address, and the settings require neither a token nor a client certificate.
#[derive(Debug, thiserror::Error)]
#[error("{0} can be reached from outside, and nothing keeps strangers away")]
pub(crate) struct Unprotected(SocketAddr);

/// Checks that only the gateway and other trusted services can call a server on `address`: it is a loopback
/// address, or callers need a token or a client certificate.
///
/// # Errors
///
/// Anybody who reaches the address can call.
pub(crate) fn protected(address: SocketAddr, credentials: &Credentials) -> Result<(), Unprotected> {
    let mutual = credentials.tls.as_ref().is_some_and(|tls| tls.mutual);
    if address.ip().to_canonical().is_loopback() || !credentials.tokens().is_empty() || mutual {
        return Ok(());
    }
    Err(Unprotected(address))
}
