//! Service auth: from a request's `Authorization` header to the DID that calls.
//!
//! Owns the rules on tokens (`token`), where signing keys come from and how long they are believed (`identity`), and
//! what a client is told when it is not let in (`refusal`). It knows no method: which NSID is called is handed in. How
//! an [`AuthError`] becomes an HTTP answer is `xrpc`'s.
//!
//! Claims are checked on every call, before any look-up; only the verdict on a signature is remembered.

pub(crate) mod did;
mod document;
pub(crate) mod error;
mod identity;
mod key;
pub(crate) mod metrics;
pub(crate) mod refusal;
mod token;
mod verdict;

use std::path::PathBuf;
use std::sync::Arc;

use egress::client::Egress;
use http::HeaderMap;
use process::clock::Clock;
use url::Url;

use self::did::Did;
use self::error::AuthError;
use self::identity::fetch::{Limits, Network};
use self::identity::{Found, Identities};
use self::metrics::AuthMetrics;
use self::token::Token;
use self::verdict::Verdicts;

/// What the operator sets.
#[derive(Debug)]
pub(crate) struct AuthSettings {
    /// The `aud` values that mean this service.
    pub(crate) audiences: Vec<String>,
    /// The PLC directory; documents are at `<plc_url>/<did>`. Any host, private ones too.
    pub(crate) plc_url: Url,
    /// Folders of DID documents, looked at before the network; earlier ones win.
    pub(crate) did_documents: Vec<PathBuf>,
}

/// Who calls: the issuer of a token that was verified. Made here alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller(Did);

impl Caller {
    /// The caller's DID.
    pub(crate) fn did(&self) -> &Did {
        &self.0
    }
}

/// Tells who calls. Clones share their caches.
#[derive(Clone)]
pub(crate) struct Authenticator {
    audiences: Arc<[String]>,
    identities: Arc<Identities>,
    verdicts: Arc<Verdicts>,
    clock: Clock,
}

impl Authenticator {
    /// Reads the folders of DID documents, and asks nobody yet. `egress` carries the rules for did:web hosts; they do
    /// not hold for the PLC directory.
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
            audiences: audiences.into(),
            identities: Arc::new(identities),
            verdicts: Arc::new(Verdicts::new(metrics)),
            clock,
        }
    }

    /// Who calls the method `nsid`. The caller of this function sets the deadline; a look-up that it leaves behind
    /// ends by itself, after 3 s at most.
    pub(crate) async fn authenticate(&self, headers: &HeaderMap, nsid: &str) -> Result<Caller, AuthError> {
        let token = Token::parse(token::bearer(headers)?)?;
        let now = self.clock.unix_seconds();
        token.check(&self.audiences, nsid, now)?;

        let Found { key, may_be_old } = self.identities.key(&token.issuer).await?;
        if let Err(refusal) = self.verdicts.verify(&token, &key, now) {
            // A rotated key looks like this, and so does a key of another curve in place of the old one.
            let newer = if may_be_old { self.identities.key_again(&token.issuer).await? } else { None };
            match newer {
                Some(newer) if newer != key => self.verdicts.verify(&token, &newer, now)?,
                Some(_) | None => return Err(refusal.into()),
            }
        }
        Ok(Caller(token.issuer))
    }
}

#[cfg(test)]
pub(crate) mod tests;
