//! The root certificates that TLS trusts: the bundled ones and the operator's.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use crate::client::certificate::NoCertificate;
use crate::error::BuildError;

/// TLS that trusts the bundled roots and some more.
pub(super) struct Connectors {
    pub(super) http1: TlsConnector,
    /// Offers HTTP/2 besides.
    pub(super) http2: TlsConnector,
}

pub(super) fn connectors(extra_ca_pem: Option<&str>) -> Result<Connectors, BuildError> {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    if let Some(pem) = extra_ca_pem {
        add(&mut roots, pem)?;
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(BuildError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.client_auth_cert_resolver = Arc::new(NoCertificate);
    let offering = |protocols: &[&[u8]]| {
        let mut config = config.clone();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    };
    Ok(Connectors { http1: offering(&[b"http/1.1"]), http2: offering(&[b"h2", b"http/1.1"]) })
}

fn add(roots: &mut RootCertStore, pem: &str) -> Result<(), BuildError> {
    let mut found = false;
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate.map_err(BuildError::Pem)?).map_err(BuildError::Certificate)?;
        found = true;
    }
    if found { Ok(()) } else { Err(BuildError::NoCertificate) }
}
