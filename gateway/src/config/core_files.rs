//! The files of the connection to the core-service, read at start and again when they change.

use std::path::PathBuf;

use process::certificates::CertificateMetrics;
use process::exit::chain;
use process::settings::files::{SharedFiles, SharedTrust};
use process::settings::{Problems, given, optional_file, optional_secret_file};

use crate::upstream::tls::UpstreamTls;

/// The paths of the files.
#[derive(Debug, Clone)]
pub(crate) struct CoreFiles {
    ca: Option<String>,
    cert: Option<String>,
    key: Option<String>,
    shared: SharedFiles,
}

/// What is in `--core-ca`, `--core-cert` and `--core-key`.
#[derive(Debug, Clone)]
pub(crate) struct CoreTls {
    /// `None`: without TLS.
    pub(crate) tls: Option<UpstreamTls>,
    ca_pem: Option<String>,
    cert_pem: Option<String>,
}

impl CoreFiles {
    /// `None`: some are given without others that they need; `problems` then says which.
    pub(super) fn check(
        [ca, cert, key]: [Option<String>; 3],
        shared: SharedFiles,
        problems: &mut Problems,
    ) -> Option<Self> {
        let files = Self { ca: given(ca), cert: given(cert), key: given(key), shared };
        let paired = files.cert.is_some() == files.key.is_some();
        let needed = files.cert.is_none() || files.ca.is_some();
        if !paired {
            problems.note("--core-cert, --core-key", "both or none");
        }
        if !needed {
            problems.note("--core-cert", "for TLS to the core-service, which needs --core-ca");
        }
        (paired && needed).then_some(files)
    }

    /// Those that are set.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        let Self { ca, cert, key, shared } = self;
        [ca, cert, key].into_iter().flatten().map(PathBuf::from).chain(shared.paths()).collect()
    }

    /// Reads all files again. What can't be used stays as it was `before`, and the problem is recorded.
    pub(crate) fn read_again(
        &self,
        before: &(CoreTls, SharedTrust),
        problems: &mut Problems,
    ) -> (CoreTls, SharedTrust) {
        let tls = self.read(problems).unwrap_or_else(|| before.0.clone());
        (tls, self.shared.read_again(&before.1, problems))
    }

    /// Reads the files but the shared ones. `None`: one can't be used; `problems` then says why.
    pub(super) fn read(&self, problems: &mut Problems) -> Option<CoreTls> {
        let ca = optional_file(problems, "--core-ca", self.ca.clone());
        let cert = optional_file(problems, "--core-cert", self.cert.clone());
        let key = optional_secret_file(problems, "--core-key", self.key.clone());
        let (ca_pem, cert_pem, key) = (ca?, cert?, key?);
        let identity = cert_pem.as_deref().zip(key.as_deref());
        let tls = match ca_pem.as_deref().map(|ca| UpstreamTls::from_pem(ca, identity)).transpose() {
            Ok(tls) => tls,
            Err(error) => {
                problems.note("--core-ca, --core-cert, --core-key", chain(&error));
                return None;
            }
        };
        Some(CoreTls { tls, ca_pem, cert_pem })
    }
}

impl CoreTls {
    /// Shows when the certificates expire.
    pub(crate) fn show_certificates(&self, shared: &SharedTrust, metrics: &CertificateMetrics) {
        metrics.show("core-ca", self.ca_pem.as_deref());
        metrics.show("core-cert", self.cert_pem.as_deref());
        metrics.show("extra-ca", shared.extra_ca.as_deref());
    }
}
