//! PEM files: certificates, private keys, and when certificates expire.

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use rustls::pki_types::pem::{Error as SectionError, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{Error as TlsError, RootCertStore};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

use crate::metrics::{Labels, labels};

/// The name of HTTP/2 in ALPN.
pub const ALPN_HTTP2: &[u8] = b"h2";

/// Why a PEM text can't be used.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    /// A section is broken.
    #[error("the {what} is no PEM of that kind")]
    Section {
        /// What the text should have.
        what: &'static str,
        /// What is wrong.
        source: SectionError,
    },
    /// There is no section of the right kind.
    #[error("the {what} has no PEM section of that kind")]
    Empty {
        /// What the text should have.
        what: &'static str,
    },
    /// An authority that rustls does not take.
    #[error("the {what} can't be used")]
    Unusable {
        /// What the text should have.
        what: &'static str,
        /// What is wrong.
        source: TlsError,
    },
}

/// The certificates of a PEM text, at least one. `what` names them in the error.
///
/// # Errors
///
/// The text has none, or a broken one.
pub fn chain(what: &'static str, pem: &str) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|source| PemError::Section { what, source })?;
    if certificates.is_empty() {
        return Err(PemError::Empty { what });
    }
    Ok(certificates)
}

/// The first private key of a PEM text.
///
/// # Errors
///
/// The text has none, or a broken one.
pub fn private_key(pem: &str) -> Result<PrivateKeyDer<'static>, PemError> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|source| PemError::Section { what: "key", source })
}

/// The certificate authorities of a PEM text.
///
/// # Errors
///
/// The text has none, or one that is broken.
pub fn authorities(pem: &str) -> Result<RootCertStore, PemError> {
    let what = "certificate authority";
    let mut roots = RootCertStore::empty();
    for certificate in chain(what, pem)? {
        roots.add(certificate).map_err(|source| PemError::Unusable { what, source })?;
    }
    Ok(roots)
}

/// When the first certificate of a PEM text to expire does so, in seconds since 1970. `None`: the text has no
/// certificate that can be read.
#[must_use]
pub fn not_after(pem: &str) -> Option<u64> {
    let seconds = |certificate: &CertificateDer<'_>| {
        let certificate = Certificate::from_der(certificate).ok()?;
        Some(certificate.tbs_certificate.validity.not_after.to_unix_duration().as_secs())
    };
    chain("certificate", pem).ok()?.iter().filter_map(seconds).min()
}

/// The metric `…_certificate_not_after_seconds`, with a series for each setting that names a file of
/// certificates.
#[derive(Debug)]
pub struct CertificateMetrics(Family<Labels, Gauge>);

impl CertificateMetrics {
    /// Registers it.
    pub fn new(registry: &mut Registry) -> Self {
        let family = Family::default();
        let help = "When the first certificate in the file of the setting expires, in seconds since 1970";
        registry.register_with_unit("certificate_not_after", help, Unit::Seconds, family.clone());
        Self(family)
    }

    /// Shows the certificates in the file that `setting` names, if there are any.
    pub fn show(&self, setting: &str, pem: Option<&str>) {
        if let Some(seconds) = pem.and_then(not_after) {
            let gauge = self.0.get_or_create_owned(&labels(&[("setting", setting)]));
            gauge.set(i64::try_from(seconds).unwrap_or(i64::MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn expiring(year: i32) -> String {
        let mut params = CertificateParams::new(["athook.test".to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, 1, 1);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
    }

    #[test]
    fn first_to_expire() {
        // date --date 2030-01-01T00:00:00Z +%s
        let of_2030 = 1_893_456_000;
        assert_eq!(not_after(&expiring(2030)), Some(of_2030));
        assert_eq!(not_after(&(expiring(2031) + &expiring(2030) + &expiring(2060))), Some(of_2030));
        assert_eq!(not_after("no certificate"), None);
        assert_eq!(not_after(&KeyPair::generate().unwrap().serialize_pem()), None);
    }
}
