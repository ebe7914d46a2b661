//! Whether a webhook's URL can be reached, tried before the webhook is made.
//!
//! Owns how much is tried (`--probe`), how often, and the one answer for all that fails. The rules for
//! addresses are `egress`'s. A probe is a lever against third parties, so it is limited twice ([`tries`]).

pub(crate) mod metrics;
pub(crate) mod tries;

use std::error::Error as StdError;
use std::str::FromStr;
use std::time::Duration;

use egress::client::Egress;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use url::Url;

use self::metrics::ProbeMetrics;
use self::tries::Tries;
use crate::domain::did::Did;
use crate::domain::webhook_url::WebhookUrl;
use crate::error::Error;
use process::exit::chain;
use process::traces::TraceContext;

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
    metrics: ProbeMetrics,
}

impl Prober {
    pub(crate) fn new(mode: ProbeMode, egress: Egress, metrics: ProbeMetrics) -> Self {
        Self { mode, egress, tries: Tries::new(), places: Semaphore::new(MAX_PROBES), metrics }
    }

    /// Tries whether `url` can be reached, on behalf of `owner`.
    ///
    /// # Errors
    ///
    /// [`Error::Unreachable`], whatever the cause; [`Error::TooManyProbes`] when too much was tried;
    /// [`Error::Overloaded`] when too much is being tried.
    pub(crate) async fn try_url(&self, owner: &Did, url: &WebhookUrl) -> Result<(), Error> {
        let url = url.expose();
        if let Err(refused) = self.egress.check_url(url) {
            self.metrics.refused.inc();
            return Err(unreachable(&refused));
        }
        if self.mode == ProbeMode::Off {
            return Ok(());
        }
        let Ok(_place) = self.places.try_acquire() else {
            self.metrics.overloaded.inc();
            return Err(Error::Overloaded);
        };
        let host = url.host_str().unwrap_or_default();
        if let Err(retry_after) = self.tries.count(owner, host) {
            self.metrics.limited.inc();
            return Err(Error::TooManyProbes { retry_after });
        }
        let begun = Instant::now();
        let span = TraceContext::current().step("probe");
        // Apart, so that a call that tries nothing is not as large as one that does.
        let tried = Box::pin(self.probe(url)).await;
        drop(span);
        self.metrics.seconds.observe(begun.elapsed().as_secs_f64());
        let outcome = if tried.is_ok() { &self.metrics.reached } else { &self.metrics.unreachable };
        outcome.inc();
        tried
    }

    async fn probe(&self, url: &Url) -> Result<(), Error> {
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
    use prometheus_client::registry::Registry;

    use super::*;
    use crate::domain::webhook_url::Schemes;

    fn prober(mode: ProbeMode) -> Prober {
        let resolver = Resolver::new(&[]).unwrap();
        let egress = Egress::new(Policy::new(Vec::new()), resolver, None).unwrap();
        Prober::new(mode, egress, ProbeMetrics::new(&mut Registry::default()))
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
