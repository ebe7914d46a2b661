//! Notices when a host asks for a client certificate. There is none to give.
//!
//! In TLS 1.3 the handshake ends for the client before the host has refused it, so the refusal looks like a
//! connection that breaks during the request.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::task_local;
use tokio::time::timeout;

/// How long a probe waits for the refusal of a host that asked for a client certificate. It comes one round
/// trip after the handshake, if the host demands one.
const REFUSAL_WAIT: Duration = Duration::from_secs(1);

task_local! {
    static REQUESTED: Cell<bool>;
}

/// Gives no certificate, and tells [`noticing`] that one was asked for.
#[derive(Debug)]
pub(super) struct NoCertificate;

impl ResolvesClientCert for NoCertificate {
    fn resolve(&self, _issuers: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        _ = REQUESTED.try_with(|requested| requested.set(true));
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

/// Runs a handshake. Returns its result, and whether the host asked for a client certificate.
pub(super) async fn noticing<F: Future>(handshake: F) -> (F::Output, bool) {
    let noticed = async {
        let result = handshake.await;
        (result, REQUESTED.with(Cell::get))
    };
    REQUESTED.scope(Cell::new(false), noticed).await
}

/// Waits for a host that asked for a client certificate to refuse a connection without one.
///
/// # Errors
///
/// It did. A host that is silent for [`REFUSAL_WAIT`], or speaks, goes on without a certificate.
pub(super) async fn refused(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    match timeout(REFUSAL_WAIT, stream.read_u8()).await {
        Ok(Err(error)) => Err(error),
        Ok(Ok(_)) | Err(_) => Ok(()),
    }
}
