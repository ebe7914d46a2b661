//! Probes of webhook URLs: whether a URL can be reached, tried before the webhook is written.
//!
//! Owns what a probe does (`--probe`), how many may run, and the one error for every failure: a caller must
//! not learn whether a port is closed, filtered or in a private network. A probe makes this service connect
//! to third parties, so its rate is limited for each DID, host and address ([`limits`]), and slow hosts can't
//! keep others out ([`places`]). Which addresses may be reached is decided by `egress`.

mod limits;
pub(crate) mod metrics;
mod places;

use std::error::Error as StdError;
use std::str::FromStr;
use std::time::Duration;

use egress::client::Egress;
use tokio::time::{Instant, timeout};
use url::Url;

use self::limits::ProbeLimits;
use self::metrics::ProbeMetrics;
use self::places::Places;
use crate::domain::did::Did;
use crate::domain::webhook_url::WebhookUrl;
use crate::error::Error;
use crate::request_id::RequestId;
use process::exit::chain;
use process::traces::TraceContext;

/// How long DNS look-up, connection and TLS handshake may take together (docs/methods.md, "Unreachable").
const PROBE_LIMIT: Duration = Duration::from_secs(3);
/// Probes in flight at once, for all DIDs: each may have several sockets open.
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
    places: Places,
    metrics: ProbeMetrics,
}

impl Prober {
    pub(crate) fn new(mode: ProbeMode, egress: Egress, metrics: ProbeMetrics) -> Self {
        Self { mode, egress, limits: ProbeLimits::new(), places: Places::new(MAX_PROBES), metrics }
    }

    /// Checks whether `url` can be reached, on behalf of `owner`.
    ///
    /// # Errors
    ///
    /// [`Error::Unreachable`], whatever the cause; [`Error::TooManyProbes`] above the limits of `owner`, of
    /// the host, or of all its addresses; [`Error::Overloaded`] when [`MAX_PROBES`] are in flight and this
    /// one gives way to another.
    pub(crate) async fn probe(&self, owner: &Did, url: &WebhookUrl) -> Result<(), Error> {
        let url = url.expose();
        if let Err(refused) = self.egress.check_url(url) {
            self.metrics.refused.inc();
            return Err(unreachable(&refused));
        }
        if self.mode == ProbeMode::Off {
            return Ok(());
        }
        let host = url.host_str().unwrap_or_default();
        let begun = self.limits.begin(owner, host).map_err(|retry_after| self.limited(retry_after))?;
        let mut place = self.places.take(begun);
        let start = Instant::now();
        let span = TraceContext::current().step("probe");
        let result = tokio::select! {
            biased;
            result = self.reach(url) => result,
            () = place.lost() => {
                self.metrics.overloaded.inc();
                return Err(Error::Overloaded);
            }
        };
        drop(span);
        self.limits.end(owner, begun.number, result.is_ok());
        self.metrics.seconds.observe(start.elapsed().as_secs_f64());
        match result {
            Ok(()) => self.metrics.reached.inc(),
            Err(Error::TooManyProbes { .. }) => self.metrics.limited.inc(),
            Err(_) => self.metrics.unreachable.inc(),
        };
        result
    }

    async fn reach(&self, url: &Url) -> Result<(), Error> {
        match self.mode {
            ProbeMode::Off => Ok(()),
            ProbeMode::Connect => {
                let mut busy = None;
                let may_connect = |address| match self.limits.connect(address) {
                    Ok(()) => true,
                    Err(retry_after) => {
                        busy = Some(retry_after);
                        false
                    }
                };
                let probed = self.egress.probe(url, PROBE_LIMIT, may_connect).await;
                match (probed, busy) {
                    (Ok(()), _) => Ok(()),
                    // The host might have been reached at the address that was left out.
                    (Err(_), Some(retry_after)) => Err(Error::TooManyProbes { retry_after }),
                    (Err(error), None) => Err(unreachable(&error)),
                }
            }
            ProbeMode::Resolve => match timeout(PROBE_LIMIT, self.egress.resolve(url)).await {
                Ok(resolved) => resolved.map(drop).map_err(|error| unreachable(&error)),
                Err(elapsed) => Err(unreachable(&elapsed)),
            },
        }
    }

    fn limited(&self, retry_after: Duration) -> Error {
        self.metrics.limited.inc();
        Error::TooManyProbes { retry_after }
    }
}

/// The one error for every failure. Operators find the cause in the log, without the URL, by the id of the
/// request.
fn unreachable(cause: &(dyn StdError + 'static)) -> Error {
    let request = RequestId::current();
    process::once_a_second!(info, ?request, causes = chain(cause), "a webhook URL can't be reached");
    Error::Unreachable
}

#[cfg(test)]
mod tests {
    use egress::policy::Policy;
    use egress::resolver::Resolver;
    use prometheus_client::registry::Registry;
    use tokio::net::UdpSocket;

    use super::*;
    use crate::domain::webhook_url::Schemes;

    #[tokio::test]
    async fn slow_probe_gives_way() {
        // A DNS server that never answers.
        let dns = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let resolver = Resolver::new(&[dns.local_addr().unwrap()]).unwrap();
        let egress = Egress::new(Policy::new(Vec::new()), resolver, None).unwrap();
        let mut prober = Prober::new(ProbeMode::Resolve, egress, ProbeMetrics::new(&mut Registry::default()));
        prober.places = Places::new(1);
        let url = |host: &str| WebhookUrl::parse(&format!("https://{host}/"), Schemes::Https).unwrap();
        let (slow, address) = (url("slow.example"), url("8.8.8.8"));
        let (one, other) = ("did:plc:a".parse().unwrap(), "did:plc:b".parse().unwrap());
        let (given_way, _) = tokio::join!(prober.probe(&one, &slow), prober.probe(&other, &address));
        assert_eq!(given_way, Err(Error::Overloaded));
        assert_eq!(prober.metrics.overloaded.get(), 1);
    }
}
