//! The one way to connect: look up, check, connect, and then perhaps send a request.
//!
//! Owns the order of these steps and their time limits. A GET has its own connection, to addresses checked
//! for it; only [`deliveries`] keep connections. None is shared between policies. Uses no proxy and no
//! cookies, follows no redirects and decompresses nothing.

mod certificate;
mod connect;
pub mod deliveries;
mod exchange;
mod roots;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use url::{Host, Url};

use crate::client::certificate::noticing;
use crate::client::connect::Stream;
use crate::client::roots::Connectors;
use crate::error::{BuildError, Failure, GetError, LookupError, NotAllowed, Unreachable};
use crate::policy::{Policy, is_localhost};
use crate::resolver::Resolver;

/// A guarded client. Clones share the resolver's cache and the TLS roots.
#[derive(Clone)]
pub struct Egress {
    policy: Arc<Policy>,
    resolver: Resolver,
    /// Replaced by [`trust`](Self::trust).
    tls: Arc<ArcSwap<Connectors>>,
}

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Egress").field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// A complete HTTP response of any status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status. Redirects are not followed.
    pub status: StatusCode,
    /// The body, as received.
    pub body: Bytes,
    /// The host's clock, if it says.
    pub date: Option<HeaderValue>,
}

impl Egress {
    /// A client that connects to what `policy` allows, and trusts the bundled root certificates and those in
    /// `extra_ca_pem` (the text of `--extra-ca`).
    ///
    /// # Errors
    ///
    /// The PEM text holds no certificate, or an unusable one.
    pub fn new(policy: Policy, resolver: Resolver, extra_ca_pem: Option<&str>) -> Result<Self, BuildError> {
        let tls = Arc::new(ArcSwap::from_pointee(roots::connectors(extra_ca_pem)?));
        Ok(Self { policy: Arc::new(policy), resolver, tls })
    }

    /// Trusts the certificates in `extra_ca_pem` instead of those given before, beside the bundled ones, from
    /// the next connection on. So do all clones and their [`Deliverer`](deliveries::Deliverer)s.
    ///
    /// # Errors
    ///
    /// The PEM text holds no certificate, or an unusable one; nothing has changed.
    pub fn trust(&self, extra_ca_pem: Option<&str>) -> Result<(), BuildError> {
        self.tls.store(Arc::new(roots::connectors(extra_ca_pem)?));
        Ok(())
    }

    /// The same client with another policy.
    #[must_use]
    pub fn with_policy(&self, policy: Policy) -> Self {
        Self { policy: Arc::new(policy), ..self.clone() }
    }

    /// The policy of this client.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// [`Policy::check_url`] of this client's policy.
    ///
    /// # Errors
    ///
    /// The URL's name, IP literal or port is not allowed.
    pub fn check_url(&self, url: &Url) -> Result<(), NotAllowed> {
        self.policy.check_url(url)
    }

    /// Looks the URL's host up, within [`LOOKUP_LIMIT`](crate::resolver::LOOKUP_LIMIT), and checks every
    /// address. IP literals need no look-up, nor does `localhost` where it is allowed.
    ///
    /// # Errors
    ///
    /// The URL or any one of the addresses is not allowed, there is no address, or the scheme is neither http
    /// nor https.
    pub async fn resolve(&self, url: &Url) -> Result<Vec<SocketAddr>, Unreachable> {
        self.check_url(url)?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(Unreachable::Failed(Failure::Scheme));
        }
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

    /// [`Resolver::texts`] of this client's resolver.
    ///
    /// # Errors
    ///
    /// There is no such name, or no answer in time.
    pub async fn texts(&self, name: &str) -> Result<Vec<String>, LookupError> {
        self.resolver.texts(name).await
    }

    /// The addresses of `localhost`: 127.0.0.1 and ::1, as far as they are allowed.
    fn loopback(&self) -> Vec<IpAddr> {
        [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]
            .into_iter()
            .filter(|address| self.policy.check_address(*address).is_ok())
            .collect()
    }

    /// Checks that the URL's host accepts a connection and, for https, has a valid certificate for its name,
    /// within `limit` in all, and does not demand one of the client. Sends no HTTP request. `may_connect` is
    /// asked about each address right before a connection to it is begun; an address that it refuses is
    /// skipped.
    ///
    /// # Errors
    ///
    /// The URL or one of its addresses is not allowed, or the connection or handshake fails or takes too
    /// long, or `may_connect` left no address.
    pub async fn probe(
        &self,
        url: &Url,
        limit: Duration,
        may_connect: impl FnMut(IpAddr) -> bool,
    ) -> Result<(), Unreachable> {
        let probing = async {
            let (connected, certificate_requested) = noticing(self.connect(url, may_connect)).await;
            let mut stream = connected?;
            if certificate_requested {
                certificate::refused(&mut stream)
                    .await
                    .map_err(|error| Unreachable::Failed(Failure::Tls(error)))?;
            }
            Ok(())
        };
        match timeout(limit, probing).await {
            Ok(probed) => probed,
            Err(_) => Err(Unreachable::Failed(Failure::TimedOut(limit))),
        }
    }

    /// Sends one GET with `accept` as its `Accept` header, and returns the response, whatever its status.
    /// `limit` covers the whole exchange, from the look-up to the end of the body. The body has at most
    /// `max_body` bytes.
    ///
    /// # Errors
    ///
    /// There is no connection, the response is not complete in time, or its body is too large.
    pub async fn get(
        &self,
        url: &Url,
        accept: &str,
        limit: Duration,
        max_body: usize,
    ) -> Result<Answer, GetError> {
        let fetch = async {
            let request = exchange::get(url, accept).map_err(GetError::Request)?;
            let stream = self.connect(url, |_| true).await.map_err(GetError::Unreachable)?;
            exchange::run(stream, request, max_body).await
        };
        match timeout(limit, fetch).await {
            Ok(result) => result,
            Err(_) => Err(GetError::TimedOut(limit)),
        }
    }

    /// Opens a connection to the URL's host, with TLS for https, within no limit of its own but those of the
    /// look-up.
    ///
    /// # Errors
    ///
    /// The URL or one of its addresses is not allowed, or the connection or handshake fails.
    pub async fn open(
        &self,
        url: &Url,
    ) -> Result<impl AsyncRead + AsyncWrite + Send + Unpin + use<>, Unreachable> {
        self.connect(url, |_| true).await
    }

    /// Opens a connection to addresses that it has checked.
    async fn connect(
        &self,
        url: &Url,
        may_connect: impl FnMut(IpAddr) -> bool,
    ) -> Result<Stream, Unreachable> {
        let addresses = self.resolve(url).await?;
        let tls = self.tls.load_full();
        connect::open(&addresses, url, &tls.http1, may_connect).await.map_err(Unreachable::Failed)
    }
}
