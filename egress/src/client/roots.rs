//! The root certificates that TLS trusts: the bundled ones and the operator's.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use crate::client::certificate::NoCertificate;
use crate::error::BuildError;

pub(super) fn connector(extra_ca_pem: Option<&str>) -> Result<TlsConnector, BuildError> {
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
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.client_auth_cert_resolver = Arc::new(NoCertificate);
    Ok(TlsConnector::from(Arc::new(config)))
}

fn add(roots: &mut RootCertStore, pem: &str) -> Result<(), BuildError> {
    let mut found = false;
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate.map_err(BuildError::Pem)?).map_err(BuildError::Certificate)?;
        found = true;
    }
    if found { Ok(()) } else { Err(BuildError::NoCertificate) }
}
