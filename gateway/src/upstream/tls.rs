//! Credentials: the shared token; the trusted certificate authorities and the gateway's own certificate.

use std::fmt;
use std::sync::Arc;

use process::certificates::{ALPN_HTTP2, authorities, chain, private_key};
use process::settings::files::CoreToken;
use rustls::ClientConfig;
use tokio_rustls::TlsConnector;
use tonic::metadata::{Ascii, MetadataValue};

use super::UnfitSettings;

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
    pub(crate) fn from_pem(
        authorities_pem: &str,
        identity: Option<(&str, &str)>,
    ) -> Result<Self, UnfitSettings> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(authorities(authorities_pem)?);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                builder.with_client_auth_cert(chain("certificate", certificate)?, private_key(key)?)?
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

/// What the gateway shows the core-service, and whom it trusts.
pub(super) struct Credentials {
    /// The `authorization` of each call.
    pub(super) authorization: Option<MetadataValue<Ascii>>,
    pub(super) tls: Option<UpstreamTls>,
}

impl Credentials {
    pub(super) fn new(token: Option<&CoreToken>, tls: Option<UpstreamTls>) -> Self {
        let authorization = token.map(|token| {
            let text = format!("Bearer {}", token.expose());
            let mut value: MetadataValue<Ascii> = text.parse().expect("a CoreToken is printable ASCII");
            value.set_sensitive(true);
            value
        });
        Self { authorization, tls }
    }
}
