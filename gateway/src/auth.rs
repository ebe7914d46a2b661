//! Service auth: from the `Authorization` header of a request to the DID of its caller.
//!
//! Owns the rules for tokens ([`token`]), where signing keys come from and how long they are cached
//! ([`identity`]), and what a refused client is told ([`refusal`]). The NSID of the called method is a
//! parameter; `xrpc` makes the HTTP response of an [`AuthError`].
//!
//! Claims are checked on every call, before any look-up. Only the result of checking a signature is cached.

pub(crate) mod did;
mod document;
pub(crate) mod error;
mod identity;
mod key;
pub(crate) mod metrics;
pub(crate) mod refusal;
mod signature_cache;
mod token;

use std::path::PathBuf;
use std::sync::Arc;

use egress::client::Egress;
use http::HeaderMap;
use process::clock::Clock;
use url::Url;

use self::did::Did;
use self::error::AuthError;
use self::identity::fetch::{Limits, Network};
use self::identity::{Identities, ResolvedKey};
use self::metrics::AuthMetrics;
use self::signature_cache::SignatureCache;
use self::token::{Audiences, Token};
use crate::client_address::ClientAddress;

/// The settings of service auth.
#[derive(Debug)]
pub(crate) struct AuthSettings {
    /// The `aud` values that mean this service.
    pub(crate) audiences: Vec<String>,
    /// The PLC directory; documents are at `<plc_url>/<did>`. Private hosts are allowed.
    pub(crate) plc_url: Url,
    /// Folders of DID documents, which come before the network; the first folder with a DID wins.
    pub(crate) did_documents: Vec<PathBuf>,
}

/// The issuer of a verified token. Only [`Authenticator::authenticate`] creates one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller(Did);

impl Caller {
    /// The caller's DID.
    pub(crate) fn did(&self) -> &Did {
        &self.0
    }
}

/// Verifies tokens. Clones share their caches.
#[derive(Clone)]
pub(crate) struct Authenticator {
    audiences: Audiences,
    identities: Arc<Identities>,
    signatures: Arc<SignatureCache>,
    clock: Clock,
}

impl Authenticator {
    /// Reads the folders of DID documents. The rules of `egress` hold for did:web hosts, not for the PLC
    /// directory.
    pub(crate) fn new(settings: AuthSettings, egress: Egress, clock: Clock, metrics: AuthMetrics) -> Self {
        Self::with_limits(settings, egress, clock, metrics, Limits::DEFAULT)
    }

    fn with_limits(
        settings: AuthSettings,
        egress: Egress,
        clock: Clock,
        metrics: AuthMetrics,
        limits: Limits,
    ) -> Self {
        let AuthSettings { audiences, plc_url, did_documents } = settings;
        let metrics = Arc::new(metrics);
        let network = Network::new(plc_url, egress, limits);
        let identities = Identities::new(did_documents, network, Arc::clone(&metrics), clock.clone());
        Self {
            audiences: Audiences::new(audiences),
            identities: Arc::new(identities),
            signatures: Arc::new(SignatureCache::new(metrics)),
            clock,
        }
    }

    /// The caller of the method `nsid`; a look-up counts for the address `client`. There is no timeout here;
    /// a look-up goes on when this future is dropped, and ends after a few seconds.
    pub(crate) async fn authenticate(
        &self,
        headers: &HeaderMap,
        nsid: &str,
        client: ClientAddress,
    ) -> Result<Caller, AuthError> {
        let token = Token::parse(token::bearer(headers)?)?;
        let now = self.clock.unix_seconds();
        token.check(&self.audiences, nsid, now)?;

        let ResolvedKey { key, cached } = self.identities.key(&token.issuer, client).await?;
        if let Err(refusal) = self.signatures.verify(&token, &key, now) {
            // The key may have been rotated, also to another curve.
            let newer =
                if cached { self.identities.refreshed_key(&token.issuer, client).await? } else { None };
            match newer {
                Some(newer) if newer != key => self.signatures.verify(&token, &newer, now)?,
                Some(_) | None => return Err(refusal.into()),
            }
        }
        Ok(Caller(token.issuer))
    }
}

#[cfg(test)]
pub(crate) mod tests;
