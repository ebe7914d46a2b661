//! Notices when a host asks for a client certificate. There is none to give.
//!
//! In TLS 1.3 the handshake ends for the client before the host has refused it, so the refusal looks like a
//! connection that breaks during the request.

use std::cell::Cell;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;
use tokio::task_local;

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
