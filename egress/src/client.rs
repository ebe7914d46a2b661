//! The one way out: look up, check, connect, and then perhaps ask.
//!
//! Owns the order of these and their time limits. Each request has a connection of its own, to addresses
//! checked for it; none is kept, so none outlives the check that allowed it or crosses from one policy
//! to another. No proxy, no cookies, no redirects followed, nothing decompressed.

mod connect;
mod exchange;
mod roots;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use crate::client::connect::Stream;
use crate::error::{BuildError, Failure, GetError, Unreachable};
use crate::policy::{Policy, Refused, is_localhost};
use crate::resolver::Resolver;

/// A guarded client. Clones share the resolver's cache and the TLS roots.
#[derive(Clone)]
pub struct Egress {
    policy: Arc<Policy>,
    resolver: Resolver,
    tls: TlsConnector,
}

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Egress").field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// A whole HTTP answer, of any status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status: a redirect is a status like any other.
    pub status: StatusCode,
    /// The body as it came.
    pub body: Bytes,
}

impl Egress {
    /// A client that reaches what `policy` allows, and trusts the bundled roots and those of
    /// `extra_ca_pem` (`--extra-ca`, the PEM text).
    ///
    /// # Errors
    ///
    /// The PEM text holds no certificate or an unusable one.
    pub fn new(policy: Policy, resolver: Resolver, extra_ca_pem: Option<&str>) -> Result<Self, BuildError> {
        Ok(Self { policy: Arc::new(policy), resolver, tls: roots::connector(extra_ca_pem)? })
    }

    /// The same client under another policy.
    #[must_use]
    pub fn with_policy(&self, policy: Policy) -> Self {
        Self { policy: Arc::new(policy), ..self.clone() }
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// [`Policy::check_url`] of the policy in force.
    ///
    /// # Errors
    ///
    /// The URL's name, IP literal or port is refused.
    pub fn check_url(&self, url: &Url) -> Result<(), Refused> {
        self.policy.check_url(url)
    }

    /// Looks the URL's host up, for at most [`LOOKUP_LIMIT`](crate::resolver::LOOKUP_LIMIT), and checks
    /// every address. An IP literal needs no look-up, nor does `localhost` where it is allowed.
    ///
    /// # Errors
    ///
    /// The URL is refused or any one of its addresses is; or there is no address.
    pub async fn resolve(&self, url: &Url) -> Result<Vec<SocketAddr>, Unreachable> {
        self.check_url(url)?;
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
            return Err(Unreachable::Failed(Failure::NoHost));
        };
        let addresses = match host {
            Host::Ipv4(address) => vec![IpAddr::V4(address)],
            Host::Ipv6(address) => vec![IpAddr::V6(address)],
            Host::Domain(name) if is_localhost(name) => self.loopback(),
            Host::Domain(name) => self
                .resolver
                .lookup(name)
                .await
                .map_err(|error| Unreachable::Failed(Failure::Lookup(error)))?,
        };
        for address in &addresses {
            self.policy.check_address(*address)?;
        }
        Ok(addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect())
    }

    /// What `localhost` means: this machine, by those of its two addresses that are allowed.
    fn loopback(&self) -> Vec<IpAddr> {
        [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]
            .into_iter()
            .filter(|address| self.policy.check_address(*address).is_ok())
            .collect()
    }

    /// Tries whether the URL's host takes a connection, and for https whether it can prove its name, within
    /// `limit` in all. No HTTP request is sent.
    ///
    /// # Errors
    ///
    /// It is refused, or does not, or not in time.
    pub async fn probe(&self, url: &Url, limit: Duration) -> Result<(), Unreachable> {
        match timeout(limit, self.connect(url)).await {
            Ok(connected) => connected.map(drop),
            Err(_) => Err(Unreachable::Failed(Failure::TimedOut(limit))),
        }
    }

    /// Fetches the URL: one GET with `accept` as its `Accept` header, the whole exchange within `limit`,
    /// and a body of at most `max_body` bytes. Any status is an answer.
    ///
    /// # Errors
    ///
    /// There is no connection, no whole answer in time, or a larger one.
    pub async fn get(
        &self,
        url: &Url,
        accept: &str,
        limit: Duration,
        max_body: usize,
    ) -> Result<Answer, GetError> {
        let fetch = async {
            let request = exchange::get(url, accept).map_err(GetError::Request)?;
            match self.connect(url).await.map_err(GetError::Unreachable)? {
                Stream::Plain(stream) => exchange::run(stream, request, max_body).await,
                Stream::Tls(stream) => exchange::run(*stream, request, max_body).await,
            }
        };
        match timeout(limit, fetch).await {
            Ok(result) => result,
            Err(_) => Err(GetError::TimedOut(limit)),
        }
    }

    /// The one guarded path: every connection is made here, to addresses checked here.
    async fn connect(&self, url: &Url) -> Result<Stream, Unreachable> {
        let tls = match url.scheme() {
            "https" => Some(&self.tls),
            "http" => None,
            _ => return Err(Unreachable::Failed(Failure::Scheme)),
        };
        let addresses = self.resolve(url).await?;
        connect::open(&addresses, url, tls).await.map_err(Unreachable::Failed)
    }
}
