//! Whether a webhook's URL can be reached, tried before the webhook is made.
//!
//! Owns how much is tried (`--probe`), how often, and the one answer for all that fails. The rules for
//! addresses are `egress`'s. A probe is a lever against third parties, so it is limited twice ([`tries`]).

pub(crate) mod tries;

use std::error::Error as StdError;
use std::str::FromStr;
use std::time::Duration;

use egress::client::Egress;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use self::tries::Tries;
use crate::domain::did::Did;
use crate::domain::webhook_url::WebhookUrl;
use crate::error::Error;
use process::exit::chain;

/// How long look-up, connection and TLS handshake may take in all (METHODS.md, "Unreachable").
const PROBE_LIMIT: Duration = Duration::from_secs(3);
/// Probes under way at once, for all DIDs: each holds a socket for as long as its target pleases.
const MAX_PROBES: usize = 256;

/// `--probe`: how much is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProbeMode {
    /// Look up, check every address, connect, and shake hands.
    Connect,
    /// Look up and check every address.
    Resolve,
    /// Nothing: only the rules for URL, name, IP literal and port.
    Off,
}

impl FromStr for ProbeMode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "connect" => Ok(Self::Connect),
            "resolve" => Ok(Self::Resolve),
            "off" => Ok(Self::Off),
            _ => Err("connect, resolve or off"),
        }
    }
}

/// The prober. Shared by all calls.
pub(crate) struct Prober {
    mode: ProbeMode,
    egress: Egress,
    tries: Tries,
    /// For the probes under way.
    places: Semaphore,
}

impl Prober {
    pub(crate) fn new(mode: ProbeMode, egress: Egress) -> Self {
        Self { mode, egress, tries: Tries::new(), places: Semaphore::new(MAX_PROBES) }
    }

    /// Tries whether `url` can be reached, on behalf of `owner`.
    ///
    /// # Errors
    ///
    /// [`Error::Unreachable`], whatever the cause; [`Error::TooManyProbes`] when too much was tried;
    /// [`Error::Overloaded`] when too much is being tried.
    pub(crate) async fn try_url(&self, owner: &Did, url: &WebhookUrl) -> Result<(), Error> {
        let url = url.expose();
        self.egress.check_url(url).map_err(|refused| unreachable(&refused))?;
        if self.mode == ProbeMode::Off {
            return Ok(());
        }
        let _place = self.places.try_acquire().map_err(|_| Error::Overloaded)?;
        let host = url.host_str().unwrap_or_default();
        self.tries.count(owner, host).map_err(|retry_after| Error::TooManyProbes { retry_after })?;
        match self.mode {
            ProbeMode::Off => Ok(()),
            ProbeMode::Connect => {
                let probed = self.egress.probe(url, PROBE_LIMIT).await;
                probed.map_err(|error| unreachable(&error))
            }
            ProbeMode::Resolve => match timeout(PROBE_LIMIT, self.egress.resolve(url)).await {
                Ok(resolved) => resolved.map(drop).map_err(|error| unreachable(&error)),
                Err(elapsed) => Err(unreachable(&elapsed)),
            },
        }
    }
}

/// The one answer. The cause is for the operator who looks for it; the URL is not in it.
fn unreachable(cause: &(dyn StdError + 'static)) -> Error {
    tracing::debug!(causes = chain(cause), "a webhook URL can't be reached");
    Error::Unreachable
}

#[cfg(test)]
mod tests {
    use egress::policy::Policy;
    use egress::resolver::Resolver;

    use super::*;
    use crate::domain::webhook_url::Schemes;

    fn prober(mode: ProbeMode) -> Prober {
        let resolver = Resolver::new(&[]).unwrap();
        Prober::new(mode, Egress::new(Policy::new(Vec::new()), resolver, None).unwrap())
    }

    #[tokio::test]
    async fn probes_under_way_are_limited() {
        let owner = "did:plc:a".parse().unwrap();
        let url = WebhookUrl::parse("https://a.invalid/", Schemes::Https).unwrap();
        let prober = prober(ProbeMode::Resolve);
        let under_way = prober.places.acquire_many(u32::try_from(MAX_PROBES).unwrap()).await.unwrap();
        for _ in 0..100 {
            // No try is counted: more of those would be too many.
            assert_eq!(prober.try_url(&owner, &url).await, Err(Error::Overloaded));
        }
        drop(under_way);
        assert_ne!(prober.try_url(&owner, &url).await, Err(Error::Overloaded));
    }
}
