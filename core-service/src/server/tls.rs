//! TLS handshakes of accepted connections: each shows the certificate that the settings' files have then.

use std::io::{Error, ErrorKind, Result};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::{Stream, StreamExt as _};
use process::exit::chain;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::task::AbortOnDropHandle;

use super::connections::{Connection, MAX_CONNECTIONS};
use crate::config::credentials::Credentials;

/// How long a client may take for its TLS handshake.
const TLS_HANDSHAKE_LIMIT: Duration = Duration::from_secs(5);

/// The connections of `incoming` whose handshake succeeds. Handshakes run at the same time, so that a slow
/// one holds up no other.
pub(super) fn handshaken(
    incoming: impl Stream<Item = Result<Connection>>,
    credentials: Arc<ArcSwap<Credentials>>,
) -> impl Stream<Item = Result<TlsStream<Connection>>> {
    let handshakes = incoming.map(move |connection| {
        let handshake = handshake(connection, Arc::clone(&credentials));
        AbortOnDropHandle::new(tokio::spawn(handshake))
    });
    handshakes.buffer_unordered(MAX_CONNECTIONS).filter_map(async |ended| match ended {
        Ok(Ok(stream)) => Some(Ok(stream)),
        Ok(Err(error)) => {
            process::once_a_second!(debug, causes = chain(&error), "a client's TLS handshake failed");
            None
        }
        // It panicked, and the panic hook has logged where.
        Err(_panic) => None,
    })
}

async fn handshake(
    connection: Result<Connection>,
    credentials: Arc<ArcSwap<Credentials>>,
) -> Result<TlsStream<Connection>> {
    let server = credentials.load().tls.as_ref().map(|tls| Arc::clone(&tls.server));
    let acceptor = TlsAcceptor::from(server.ok_or_else(|| Error::other("there is no certificate"))?);
    match timeout(TLS_HANDSHAKE_LIMIT, acceptor.accept(connection?)).await {
        Ok(accepted) => accepted,
        Err(_) => Err(Error::new(ErrorKind::TimedOut, "the client takes too long")),
    }
}
