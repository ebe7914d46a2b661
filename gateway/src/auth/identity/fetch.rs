//! One look-up of a DID over the network: in the PLC directory, or on the host of a did:web.
//!
//! Owns the URL, the limits and what each response means. Caching is the parent's.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use egress::client::{Answer, Egress};
use egress::error::GetError;
use egress::policy::Policy;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use http::StatusCode;
use process::exit::chain;
use quick_cache::sync::Cache;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use url::Url;

use crate::auth::did::{Did, Method};
use crate::auth::document::{Document, MAX_DOCUMENT_BYTES};
use crate::auth::error::{AuthError, DirectoryFailure};
use crate::auth::key::SigningKey;
use crate::auth::refusal::Refusal;

const ACCEPT: &str = "application/did+ld+json, application/json";

/// The most did:web hosts with a rate limiter.
const MAX_HOSTS: usize = 4_096;

/// Limits on look-ups. They hold for each process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// How long one look-up may take, including the wait for a permit.
    pub(crate) time: Duration,
    /// Look-ups in the PLC directory.
    pub(crate) directory: Allowance,
    /// Look-ups on all did:web hosts together.
    pub(crate) web: Allowance,
    /// Look-ups on one did:web host, with any port, in a minute.
    pub(crate) host_per_minute: NonZeroU32,
}

/// A rate limit and a limit of look-ups at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowance {
    pub(crate) per_second: NonZeroU32,
    pub(crate) burst: NonZeroU32,
    pub(crate) at_once: usize,
}

impl Limits {
    /// did:web has an allowance of its own, so that invented did:webs, which may be slow on purpose, cannot
    /// use up the PLC directory's.
    pub(crate) const DEFAULT: Self = Self {
        time: Duration::from_secs(3),
        directory: Allowance {
            per_second: NonZeroU32::new(50).expect("not zero"),
            burst: NonZeroU32::new(1_000).expect("not zero"),
            at_once: 64,
        },
        web: Allowance {
            per_second: NonZeroU32::new(10).expect("not zero"),
            burst: NonZeroU32::new(100).expect("not zero"),
            at_once: 32,
        },
        host_per_minute: NonZeroU32::new(30).expect("not zero"),
    };
}

/// Why a look-up found no key.
#[derive(Debug)]
pub(crate) enum LookupError {
    /// A definite answer: the DID does not exist, or it has no usable document or key.
    Refused(Refusal),
    /// The host of a did:web did not answer, or with 5xx or 429.
    HostUnavailable(Refusal),
    /// The PLC directory did not answer, or not as a directory should.
    DirectoryUnavailable(Arc<DirectoryFailure>),
}

impl LookupError {
    /// The error for the caller.
    pub(super) fn error(&self) -> AuthError {
        match self {
            Self::Refused(refusal) | Self::HostUnavailable(refusal) => AuthError::Refused(*refusal),
            Self::DirectoryUnavailable(failure) => AuthError::DirectoryUnavailable(Arc::clone(failure)),
        }
    }
}

impl From<DirectoryFailure> for LookupError {
    fn from(failure: DirectoryFailure) -> Self {
        Self::DirectoryUnavailable(Arc::new(failure))
    }
}

/// Fetches DID documents.
pub(crate) struct Network {
    limits: Limits,
    plc_url: Url,
    /// May reach any host, as the operator names it.
    to_directory: Egress,
    /// Has egress rules, as strangers name the hosts.
    to_hosts: Egress,
    directory: LookupLimiter,
    web: LookupLimiter,
    hosts: Cache<String, Arc<DefaultDirectRateLimiter>>,
}

struct LookupLimiter {
    rate: DefaultDirectRateLimiter,
    /// The rate is checked first, which bounds how many wait for a permit.
    permits: Semaphore,
}

impl LookupLimiter {
    fn new(allowance: Allowance) -> Self {
        let Allowance { per_second, burst, at_once } = allowance;
        Self {
            rate: RateLimiter::direct(Quota::per_second(per_second).allow_burst(burst)),
            permits: Semaphore::new(at_once),
        }
    }
}

impl Network {
    pub(crate) fn new(plc_url: Url, egress: Egress, limits: Limits) -> Self {
        Self {
            limits,
            plc_url,
            to_directory: egress.with_policy(Policy::unrestricted()),
            to_hosts: egress,
            directory: LookupLimiter::new(limits.directory),
            web: LookupLimiter::new(limits.web),
            hosts: Cache::new(MAX_HOSTS),
        }
    }

    /// Counts a look-up of this DID against the rate limits. Over the limit, a did:web is refused; for a
    /// did:plc the directory counts as unavailable, since the DID may well be good and the caller should
    /// retry.
    pub(super) fn admit(&self, did: &Did) -> Result<(), AuthError> {
        match did.method() {
            Method::Plc => self
                .directory
                .rate
                .check()
                .map_err(|_| AuthError::DirectoryUnavailable(Arc::new(DirectoryFailure::Busy))),
            Method::Web { host, port } => {
                let url = self.document_url(host, port);
                let host = url.as_ref().and_then(Url::host_str).ok_or(Refusal::HostUnreachable)?;
                // The host's limit first, so that one host cannot use up the limit of all.
                self.host_rate(host)
                    .check()
                    .and_then(|()| self.web.rate.check())
                    .map_err(|_| AuthError::Refused(Refusal::TooManyLookups))
            }
        }
    }

    /// The rate limiter of a host, whose name has the form that URLs have: lower case, IP addresses
    /// normalized.
    fn host_rate(&self, host: &str) -> Arc<DefaultDirectRateLimiter> {
        if let Some(rate) = self.hosts.get(host) {
            return rate;
        }
        let rate = Arc::new(RateLimiter::direct(Quota::per_minute(self.limits.host_per_minute)));
        self.hosts.insert(host.to_owned(), Arc::clone(&rate));
        rate
    }

    /// Looks up a DID within the time limit.
    pub(super) async fn fetch(&self, did: &Did) -> Result<SigningKey, LookupError> {
        match did.method() {
            Method::Plc => timeout(self.limits.time, self.ask_directory(did))
                .await
                .unwrap_or_else(|_| Err(DirectoryFailure::TimedOut.into())),
            Method::Web { host, port } => timeout(self.limits.time, self.ask_host(did, host, port))
                .await
                .unwrap_or(Err(LookupError::HostUnavailable(Refusal::HostUnreachable))),
        }
    }

    async fn ask_directory(&self, did: &Did) -> Result<SigningKey, LookupError> {
        let _permit = self.directory.permits.acquire().await;
        let mut url = self.plc_url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push(did.as_str());
        }
        let answer = self
            .to_directory
            .get(&url, ACCEPT, self.limits.time, MAX_DOCUMENT_BYTES)
            .await
            .map_err(DirectoryFailure::Request)?;
        let Answer { status, body } = answer;
        match status {
            StatusCode::OK => {}
            // Malformed, unknown, and deleted (a tombstone).
            StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::GONE => {
                return Err(LookupError::Refused(Refusal::UnknownIssuer));
            }
            status => return Err(DirectoryFailure::Status(status).into()),
        }
        let document = Document::parse(&body)
            .filter(|document| document.id == did.as_str())
            .ok_or(DirectoryFailure::NotTheDocument)?;
        document.signing_key().map_err(LookupError::Refused)
    }

    async fn ask_host(&self, did: &Did, host: &str, port: Option<u16>) -> Result<SigningKey, LookupError> {
        let _permit = self.web.permits.acquire().await;
        let url = self.document_url(host, port).ok_or(LookupError::Refused(Refusal::HostUnreachable))?;
        let answer = self.to_hosts.get(&url, ACCEPT, self.limits.time, MAX_DOCUMENT_BYTES).await;
        let Answer { status, body } = answer.map_err(|error| {
            if let GetError::TooLarge(_) = error {
                return LookupError::Refused(Refusal::NotADocument);
            }
            tracing::debug!(%did, causes = chain(&error), "did:web look-up failed");
            LookupError::HostUnavailable(Refusal::HostUnreachable)
        })?;
        match status {
            StatusCode::OK => {}
            StatusCode::TOO_MANY_REQUESTS => return Err(LookupError::HostUnavailable(Refusal::HostRefuses)),
            status if status.is_server_error() => {
                return Err(LookupError::HostUnavailable(Refusal::HostRefuses));
            }
            status if status.is_redirection() => return Err(LookupError::Refused(Refusal::HostRedirects)),
            _ => return Err(LookupError::Refused(Refusal::HostRefuses)),
        }
        let document = Document::parse(&body).ok_or(LookupError::Refused(Refusal::NotADocument))?;
        if document.id != did.as_str() {
            return Err(LookupError::Refused(Refusal::OtherDocument));
        }
        document.signing_key().map_err(LookupError::Refused)
    }

    /// The URL of the document. Returns `None` for an invalid host, and for `localhost` if loopback is not
    /// allowed.
    fn document_url(&self, host: &str, port: Option<u16>) -> Option<Url> {
        let is_local = host.eq_ignore_ascii_case("localhost");
        if is_local && !self.to_hosts.policy().allows_loopback() {
            return None;
        }
        let scheme = if is_local { "http" } else { "https" };
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        Url::parse(&format!("{scheme}://{host}{port}/.well-known/did.json")).ok()
    }
}

#[cfg(test)]
mod tests {
    use egress::policy::Policy;

    use super::{Limits, Network};
    use crate::auth::error::AuthError;
    use crate::auth::refusal::Refusal;
    use crate::auth::tests::{egress, loopback};

    fn urls(policy: Policy) -> Vec<Option<String>> {
        let network = Network::new("http://127.0.0.1:9".parse().unwrap(), egress(policy), Limits::DEFAULT);
        [
            ("example.com", None),
            ("example.com", Some(8443)),
            ("localhost", Some(8080)),
            ("LocalHost", None),
            ("localhost.example.com", None),
            ("1.2.3.256", None),
        ]
        .into_iter()
        .map(|(host, port)| network.document_url(host, port).map(Into::into))
        .collect()
    }

    fn expected(origins: [Option<&str>; 6]) -> Vec<Option<String>> {
        origins
            .into_iter()
            .map(|origin| origin.map(|origin| format!("{origin}/.well-known/did.json")))
            .collect()
    }

    #[test]
    fn spellings_of_a_host_share_its_rate() {
        let network =
            Network::new("http://127.0.0.1:9".parse().unwrap(), egress(loopback()), Limits::DEFAULT);
        let admitted = |did: &str| network.admit(&did.parse().unwrap());
        let limit = Limits::DEFAULT.host_per_minute.get();
        for spellings in [
            ["did:web:hooks.example", "did:web:HOOKS.example", "did:web:Hooks.Example%3A8443"],
            ["did:web:8.8.8.8", "did:web:8.8.2056", "did:web:0x08080808"],
        ] {
            for (_, did) in (0..limit).zip(spellings.iter().cycle()) {
                admitted(did).unwrap();
            }
            for did in spellings {
                let refused = admitted(did).unwrap_err();
                assert!(matches!(refused, AuthError::Refused(Refusal::TooManyLookups)), "{did}");
            }
        }
        admitted("did:web:other.example").unwrap();
    }

    #[test]
    fn plain_http_for_localhost_where_loopback_is_allowed() {
        let [plain, port] = [Some("https://example.com"), Some("https://example.com:8443")];
        let other = Some("https://localhost.example.com");
        let local = [Some("http://localhost:8080"), Some("http://localhost")];
        assert_eq!(urls(loopback()), expected([plain, port, local[0], local[1], other, None]));
        assert_eq!(urls(Policy::new(Vec::new())), expected([plain, port, None, None, other, None]));
    }
}
