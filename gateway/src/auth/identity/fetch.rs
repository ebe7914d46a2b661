//! One look-up of a DID over the network: in the PLC directory, or on the host of a did:web.
//!
//! Owns the URL, the limits and what each response means. Caching is the parent's.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use egress::client::{Answer, Egress};
use egress::error::GetError;
use egress::policy::Policy;
use governor::{DefaultDirectRateLimiter, Quota};
use http::StatusCode;
use process::exit::chain;
use quick_cache::sync::Cache;
use tokio::sync::{SemaphorePermit, oneshot};
use tokio::time::timeout;
use url::Url;

use super::shares::{Admission, Allowance, SharedLimiter, SharedRate, share_of};

use crate::auth::did::{Did, Method};
use crate::auth::document::{Document, MAX_DOCUMENT_BYTES};
use crate::auth::error::{AuthError, DirectoryFailure};
use crate::auth::key::SigningKey;
use crate::auth::refusal::Refusal;
use crate::client_address::ClientAddress;

const ACCEPT: &str = "application/did+ld+json, application/json";

/// The most did:web hosts with a rate limiter, and the most client addresses with a share of a host's.
const MAX_HOSTS: usize = 4_096;

/// How long a look-up waits until it may begin.
const TURN_LIMIT: Duration = Duration::from_secs(1);

/// Limits on look-ups. They hold for each process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// How long one look-up may take from its beginning.
    pub(crate) time: Duration,
    /// Look-ups in the PLC directory.
    pub(crate) directory: Allowance,
    /// Look-ups on all did:web hosts together.
    pub(crate) web: Allowance,
    /// Look-ups on one did:web host, with any port, in a minute.
    pub(crate) host_per_minute: NonZeroU32,
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
    /// Its turn did not come in time.
    Busy,
}

impl LookupError {
    /// The error for the caller.
    pub(super) fn error(&self) -> AuthError {
        match self {
            Self::Refused(refusal) | Self::HostUnavailable(refusal) => AuthError::Refused(refusal.clone()),
            Self::DirectoryUnavailable(failure) => AuthError::DirectoryUnavailable(Arc::clone(failure)),
            Self::Busy => AuthError::Busy,
        }
    }
}

impl From<DirectoryFailure> for LookupError {
    fn from(failure: DirectoryFailure) -> Self {
        Self::DirectoryUnavailable(Arc::new(failure))
    }
}

/// What ends the wait of a look-up.
enum Turn<'a> {
    Begins(SemaphorePermit<'a>),
    Sooner(Admission),
}

/// Fetches DID documents.
pub(crate) struct Network {
    limits: Limits,
    plc_url: Url,
    /// May reach any host, as the operator names it.
    to_directory: Egress,
    /// Has egress rules, as strangers name the hosts.
    to_hosts: Egress,
    directory: SharedLimiter,
    web: SharedLimiter,
    hosts: Cache<String, Arc<SharedRate>>,
    /// What one client address may use of a host's rate.
    host_shares: Cache<(String, ClientAddress), Arc<DefaultDirectRateLimiter>>,
}

impl Network {
    pub(crate) fn new(plc_url: Url, egress: Egress, limits: Limits) -> Self {
        Self {
            limits,
            plc_url,
            to_directory: egress.with_policy(Policy::unrestricted()),
            to_hosts: egress,
            directory: SharedLimiter::new(limits.directory),
            web: SharedLimiter::new(limits.web),
            hosts: Cache::new(MAX_HOSTS),
            host_shares: Cache::new(MAX_HOSTS),
        }
    }

    /// Counts a look-up of this DID against the rate limits. Above them, a did:web is refused; the caller
    /// with a did:plc should retry, since the DID may well be good.
    pub(super) fn admit(&self, did: &Did, client: ClientAddress) -> Result<Admission, AuthError> {
        match did.method() {
            Method::Plc => self.directory.admit(client).ok_or(AuthError::Busy),
            Method::Web { host, port } => {
                let url = self.document_url(host, port);
                let host = url.as_ref().and_then(Url::host_str).ok_or(Refusal::HostUnreachable)?;
                // The host's limit first, so that one host cannot use up the limit of all.
                let admission = self.host_rate(host).take_for(&self.host_share(host, client));
                let admission = admission.then(|| self.web.admit(client)).flatten();
                admission.ok_or(AuthError::Refused(Refusal::TooManyLookups))
            }
        }
    }

    /// Counts a look-up of this DID that waits for its turn once more, for a caller within its share. Returns
    /// `None` if that is above the limits.
    pub(super) fn admit_sooner(&self, did: &Did, client: ClientAddress) -> Option<Admission> {
        self.limiter(did).admit_reserved(client)
    }

    fn limiter(&self, did: &Did) -> &SharedLimiter {
        match did.method() {
            Method::Plc => &self.directory,
            Method::Web { .. } => &self.web,
        }
    }

    /// The rate limiter of a host, whose name has the form that URLs have: lower case, IP addresses
    /// normalized.
    fn host_rate(&self, host: &str) -> Arc<SharedRate> {
        if let Some(rate) = self.hosts.get(host) {
            return rate;
        }
        let limit = self.limits.host_per_minute;
        let rate = Arc::new(SharedRate::new(Quota::per_minute, limit, limit));
        self.hosts.insert(host.to_owned(), Arc::clone(&rate));
        rate
    }

    fn host_share(&self, host: &str, client: ClientAddress) -> Arc<DefaultDirectRateLimiter> {
        let id = (host.to_owned(), client);
        if let Some(share) = self.host_shares.get(&id) {
            return share;
        }
        let limit = self.limits.host_per_minute;
        let share = Arc::new(share_of(Quota::per_minute, limit, limit));
        self.host_shares.insert(id, Arc::clone(&share));
        share
    }

    /// Looks up a DID once its turn comes, within the time limit. A better admission that arrives meanwhile
    /// replaces the first.
    pub(super) async fn fetch(
        &self,
        did: &Did,
        admission: Admission,
        sooner: oneshot::Receiver<Admission>,
    ) -> Result<SigningKey, LookupError> {
        let mut sooner = Some(sooner);
        let mut admission = admission;
        let _permit = loop {
            match self.turn(did, &admission, &mut sooner).await? {
                Turn::Begins(permit) => break permit,
                Turn::Sooner(better) => admission = better,
            }
        };
        // Callers that come now join it, and it is not admitted again.
        drop(sooner);
        match did.method() {
            Method::Plc => timeout(self.limits.time, self.ask_directory(did))
                .await
                .unwrap_or_else(|_| Err(DirectoryFailure::TimedOut.into())),
            Method::Web { host, port } => timeout(self.limits.time, self.ask_host(did, host, port))
                .await
                .unwrap_or(Err(LookupError::HostUnavailable(Refusal::HostUnreachable))),
        }
    }

    /// Waits for the turn of a look-up, or for a better admission.
    async fn turn(
        &self,
        did: &Did,
        admission: &Admission,
        sooner: &mut Option<oneshot::Receiver<Admission>>,
    ) -> Result<Turn<'_>, LookupError> {
        let better = async {
            match sooner {
                Some(receiver) => receiver.await,
                None => std::future::pending().await,
            }
        };
        let turn = async {
            tokio::select! {
                biased;
                permit = self.limiter(did).turn(admission) => Turn::Begins(permit),
                Ok(better) = better => Turn::Sooner(better),
            }
        };
        let turn = timeout(TURN_LIMIT, turn).await.map_err(|_| LookupError::Busy)?;
        if let Turn::Sooner(_) = turn {
            *sooner = None;
        }
        Ok(turn)
    }

    async fn ask_directory(&self, did: &Did) -> Result<SigningKey, LookupError> {
        let mut url = self.plc_url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push(did.as_str());
        }
        let answer = self
            .to_directory
            .get(&url, ACCEPT, self.limits.time, MAX_DOCUMENT_BYTES)
            .await
            .map_err(DirectoryFailure::Request)?;
        let Answer { status, body, date: _ } = answer;
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
        let url = self.document_url(host, port).ok_or(LookupError::Refused(Refusal::HostUnreachable))?;
        let answer = self.to_hosts.get(&url, ACCEPT, self.limits.time, MAX_DOCUMENT_BYTES).await;
        let Answer { status, body, date: _ } = answer.map_err(|error| {
            if let GetError::TooLarge(_) = error {
                return LookupError::Refused(Refusal::NotADocument);
            }
            process::once_a_second!(debug, %did, causes = chain(&error), "did:web look-up failed");
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
    use crate::auth::tests::{client, egress, loopback};

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
        let admitted =
            |did: &str, address: u32| network.admit(&did.parse().unwrap(), client(address)).map(drop);
        let limit = Limits::DEFAULT.host_per_minute.get();
        for spellings in [
            ["did:web:hooks.example", "did:web:HOOKS.example", "did:web:Hooks.Example%3A8443"],
            ["did:web:8.8.8.8", "did:web:8.8.2056", "did:web:0x08080808"],
        ] {
            for (address, did) in (0..limit).zip(spellings.iter().cycle()) {
                admitted(did, address).unwrap();
            }
            for did in spellings {
                let refused = admitted(did, 0).unwrap_err();
                assert!(matches!(refused, AuthError::Refused(Refusal::TooManyLookups)), "{did}");
            }
        }
        admitted("did:web:other.example", 0).unwrap();
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
