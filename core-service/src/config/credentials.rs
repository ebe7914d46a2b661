//! What is read from files at start, and again when they change: who may call, and what TLS shows and trusts.

use std::path::PathBuf;
use std::sync::Arc;

use process::certificates::{ALPN_HTTP2, CertificateMetrics, PemError, authorities, chain, private_key};
use process::settings::files::{CoreToken, SharedFiles, SharedTrust};
use process::settings::{Problems, given, optional_file, optional_secret_file};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};

use super::delivery::{PublisherToken, publishers};

/// The paths of the files.
#[derive(Debug, Clone)]
pub(crate) struct CredentialFiles {
    cert: Option<String>,
    key: Option<String>,
    client_ca: Option<String>,
    publisher_tokens: Option<String>,
    shared: SharedFiles,
}

/// What is in the files.
pub(crate) struct Credentials {
    pub(crate) tls: Option<Tls>,
    pub(crate) publishers: Vec<PublisherToken>,
    pub(crate) shared: SharedTrust,
}

/// TLS of the server.
#[derive(Clone)]
pub(crate) struct Tls {
    pub(crate) server: Arc<ServerConfig>,
    /// Whether clients need a certificate.
    pub(crate) mutual: bool,
    cert_pem: String,
    client_ca_pem: Option<String>,
}

/// Why the files of TLS do not fit.
#[derive(Debug, thiserror::Error)]
enum UnfitTls {
    #[error(transparent)]
    Pem(#[from] PemError),
    #[error("the certificate authorities for clients can't be used")]
    Clients(#[from] VerifierBuilderError),
    #[error("certificate and key can't be used")]
    Pair(#[from] rustls::Error),
}

impl CredentialFiles {
    /// `None`: some are given without others that they need; `problems` then says which.
    pub(super) fn check(
        [cert, key, client_ca]: [Option<String>; 3],
        publisher_tokens: Option<String>,
        shared: SharedFiles,
        problems: &mut Problems,
    ) -> Option<Self> {
        let files = Self {
            cert: given(cert),
            key: given(key),
            client_ca: given(client_ca),
            publisher_tokens: given(publisher_tokens),
            shared,
        };
        let pair = files.cert.is_some() && files.key.is_some();
        let any = files.cert.is_some() || files.key.is_some() || files.client_ca.is_some();
        if any && !pair {
            problems.note("--tls-cert", "give --tls-cert and --tls-key together; --tls-client-ca needs both");
            return None;
        }
        Some(files)
    }

    /// Those that are set.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        let Self { cert, key, client_ca, publisher_tokens, shared } = self;
        let own = [cert, key, client_ca, publisher_tokens].into_iter().flatten().map(PathBuf::from);
        own.chain(shared.paths()).collect()
    }

    /// Reads all files again. What can't be used stays as it was `before`, and the problem is recorded.
    pub(crate) fn read_again(&self, before: &Credentials, problems: &mut Problems) -> Credentials {
        let publishers = publishers(self.publisher_tokens.clone(), problems);
        Credentials {
            tls: self.tls(problems).unwrap_or_else(|| before.tls.clone()),
            publishers: publishers.unwrap_or_else(|| before.publishers.clone()),
            shared: self.shared.read_again(&before.shared, problems),
        }
    }

    /// Reads the files but the shared ones, which have been read. `None`: one can't be used; `problems` then
    /// says why.
    pub(super) fn read(&self, shared: SharedTrust, problems: &mut Problems) -> Option<Credentials> {
        let tls = self.tls(problems);
        let publishers = publishers(self.publisher_tokens.clone(), problems);
        Some(Credentials { tls: tls?, publishers: publishers?, shared })
    }

    #[expect(clippy::option_option, reason = "outer: are the files usable; inner: is TLS on")]
    fn tls(&self, problems: &mut Problems) -> Option<Option<Tls>> {
        let cert = optional_file(problems, "--tls-cert", self.cert.clone());
        let key = optional_secret_file(problems, "--tls-key", self.key.clone());
        let client_ca = optional_file(problems, "--tls-client-ca", self.client_ca.clone())?;
        let Some((cert, key)) = cert?.zip(key?) else { return Some(None) };
        match server(&cert, &key, client_ca.as_deref()) {
            Ok(server) => Some(Some(Tls {
                server: Arc::new(server),
                mutual: client_ca.is_some(),
                cert_pem: cert,
                client_ca_pem: client_ca,
            })),
            Err(error) => {
                problems.note("--tls-cert", process::exit::chain(&error));
                None
            }
        }
    }
}

impl Credentials {
    /// The shared tokens.
    pub(crate) fn tokens(&self) -> &[CoreToken] {
        &self.shared.core_tokens
    }

    /// Shows when the certificates expire.
    pub(crate) fn show_certificates(&self, metrics: &CertificateMetrics) {
        metrics.show("extra-ca", self.shared.extra_ca.as_deref());
        if let Some(tls) = &self.tls {
            metrics.show("tls-cert", Some(&tls.cert_pem));
            metrics.show("tls-client-ca", tls.client_ca_pem.as_deref());
        }
    }
}

fn server(cert: &str, key: &str, client_ca: Option<&str>) -> Result<ServerConfig, UnfitTls> {
    let provider = Arc::new(ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let roots = Arc::new(authorities(pem)?);
            builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(roots, provider).build()?,
            )
        }
    };
    let mut server = builder.with_single_cert(chain("certificate", cert)?, private_key(key)?)?;
    server.alpn_protocols = vec![ALPN_HTTP2.to_vec()];
    Ok(server)
}
