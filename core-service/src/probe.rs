//! Probes of webhook URLs: whether a URL can be reached, tried before the webhook is written.
//!
//! Owns what a probe does (`--probe`), how many may run, and the one error for every failure: a caller must
//! not learn whether a port is closed, filtered or in a private network. A probe makes this service connect
//! to third parties, so its rate is limited for each DID and for each host ([`limits`]). Which addresses may
//! be reached is decided by `egress`.

mod limits;
pub(crate) mod metrics;

use std::error::Error as StdError;
use std::str::FromStr;
use std::time::Duration;

use egress::client::Egress;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use url::Url;

use self::limits::ProbeLimits;
use self::metrics::ProbeMetrics;
use crate::domain::did::Did;
use crate::domain::webhook_url::WebhookUrl;
use crate::error::Error;
use process::exit::chain;
use process::traces::TraceContext;

/// How long DNS look-up, connection and TLS handshake may take together (docs/methods.md, "Unreachable").
const PROBE_LIMIT: Duration = Duration::from_secs(3);
/// Probes in flight at once, for all DIDs. A slow target keeps a socket open for up to [`PROBE_LIMIT`].
const MAX_PROBES: usize = 256;

/// `--probe`: what a probe does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProbeMode {
    /// Look up the name, check every address, connect, and make the TLS handshake.
    Connect,
    /// Look up the name and check every address.
    Resolve,
    /// No network: check only URL, name, IP literal and port.
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

/// Probes URLs. Shared by all calls.
pub(crate) struct Prober {
    mode: ProbeMode,
    egress: Egress,
    limits: ProbeLimits,
    /// One permit for each probe in flight.
    permits: Semaphore,
    metrics: ProbeMetrics,
}

impl Prober {
    pub(crate) fn new(mode: ProbeMode, egress: Egress, metrics: ProbeMetrics) -> Self {
        Self { mode, egress, limits: ProbeLimits::new(), permits: Semaphore::new(MAX_PROBES), metrics }
    }

    /// Checks whether `url` can be reached, on behalf of `owner`.
    ///
    /// # Errors
    ///
    /// [`Error::Unreachable`], whatever the cause; [`Error::TooManyProbes`] above the rate of `owner` or of
    /// the host; [`Error::Overloaded`] while [`MAX_PROBES`] are in flight.
    pub(crate) async fn probe(&self, owner: &Did, url: &WebhookUrl) -> Result<(), Error> {
        let url = url.expose();
        if let Err(refused) = self.egress.check_url(url) {
            self.metrics.refused.inc();
            return Err(unreachable(&refused));
        }
        if self.mode == ProbeMode::Off {
            return Ok(());
        }
        let Ok(_permit) = self.permits.try_acquire() else {
            self.metrics.overloaded.inc();
            return Err(Error::Overloaded);
        };
        let host = url.host_str().unwrap_or_default();
        if let Err(retry_after) = self.limits.take(owner, host) {
            self.metrics.limited.inc();
            return Err(Error::TooManyProbes { retry_after });
        }
        let start = Instant::now();
        let span = TraceContext::current().step("probe");
        let result = self.reach(url).await;
        drop(span);
        self.metrics.seconds.observe(start.elapsed().as_secs_f64());
        let outcome = if result.is_ok() { &self.metrics.reached } else { &self.metrics.unreachable };
        outcome.inc();
        result
    }

    async fn reach(&self, url: &Url) -> Result<(), Error> {
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

/// The one error for every failure. The cause is logged for operators, without the URL.
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
    async fn probes_in_flight_are_limited() {
        let owner = "did:plc:a".parse().unwrap();
        let url = WebhookUrl::parse("https://a.invalid/", Schemes::Https).unwrap();
        let prober = prober(ProbeMode::Resolve);
        let in_flight = prober.permits.acquire_many(u32::try_from(MAX_PROBES).unwrap()).await.unwrap();
        for _ in 0..100 {
            // This costs the owner none of its 30 probes a minute.
            assert_eq!(prober.probe(&owner, &url).await, Err(Error::Overloaded));
        }
        drop(in_flight);
        assert_ne!(prober.probe(&owner, &url).await, Err(Error::Overloaded));
    }
}
