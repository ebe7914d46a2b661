//! TLS to the core-service: the trusted certificate authorities and the gateway's own certificate.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use super::UnfitSettings;

/// The ALPN name of HTTP/2.
pub(super) const ALPN_HTTP2: &[u8] = b"h2";

/// The TLS configuration for connections to the core-service. Clones share it.
#[derive(Clone)]
pub struct UpstreamTls(Arc<ClientConfig>);

impl UpstreamTls {
    /// Reads PEM: the only certificate authorities that are trusted, and for mutual TLS the gateway's own
    /// certificate chain and private key.
    ///
    /// # Errors
    ///
    /// A text is no PEM or has no section of the right kind, or the key does not belong to the certificate.
    pub(crate) fn from_pem(authorities: &str, identity: Option<(&str, &str)>) -> Result<Self, UnfitSettings> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates("certificate authority", authorities)? {
            roots.add(certificate)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
                    .map_err(|source| UnfitSettings::Pem { what: "key", source })?;
                builder.with_client_auth_cert(certificates("certificate", chain)?, key)?
            }
        };
        config.alpn_protocols = vec![ALPN_HTTP2.to_vec()];
        Ok(Self(Arc::new(config)))
    }

    pub(super) fn connector(&self) -> TlsConnector {
        TlsConnector::from(Arc::clone(&self.0))
    }
}

impl fmt::Debug for UpstreamTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UpstreamTls { [redacted] }")
    }
}

fn certificates(what: &'static str, pem: &str) -> Result<Vec<CertificateDer<'static>>, UnfitSettings> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|source| UnfitSettings::Pem { what, source })?;
    if certificates.is_empty() {
        return Err(UnfitSettings::EmptyPem { what });
    }
    Ok(certificates)
}
