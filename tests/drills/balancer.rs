//! A load balancer between clients and gateways: it sends to the gateways that are ready, like a Kubernetes
//! Service.
//!
//! Kubernetes asks each pod for its readiness and takes one that is not ready off the Service's endpoints; an
//! ingress in front follows that list, lets its idle connections to that pod go, and gives a request whose
//! connection is refused to the next pod. So does this. While none is ready, any is called: an answer that
//! says so is what the drills want to see then. A probe that is late proves nothing, on a machine that is
//! busy.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::interval;

/// How often each gateway is asked whether it is ready.
const PROBE_INTERVAL: Duration = Duration::from_millis(100);
/// How long it may take to say so.
const PROBE_LIMIT: Duration = Duration::from_secs(1);
/// How long anything here may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Stops probing when dropped.
pub(crate) struct Balancer {
    backends: Vec<Arc<Backend>>,
    turn: AtomicUsize,
    _probes: JoinSet<()>,
}

/// A gateway.
pub(crate) struct Backend {
    origin: String,
    /// `None` while it is not ready. Each time it becomes ready it gets a new client, without old
    /// connections.
    client: watch::Sender<Option<reqwest::Client>>,
}

impl Balancer {
    pub(crate) fn before(origins: &[String]) -> Self {
        let backends: Vec<_> = (origins.iter())
            .map(|origin| Arc::new(Backend { origin: origin.clone(), client: watch::Sender::new(None) }))
            .collect();
        let probes = backends.iter().map(|backend| Arc::clone(backend).probe()).collect();
        Self { backends, turn: AtomicUsize::new(0), _probes: probes }
    }

    /// Sends what `request` makes for a gateway's origin, and reads the answer: status and body.
    ///
    /// # Errors
    ///
    /// There was no whole answer. A refused connection is none only if every gateway refuses.
    pub(crate) async fn send(
        &self,
        request: impl Fn(&reqwest::Client, &str) -> reqwest::RequestBuilder,
    ) -> Result<(u16, String), reqwest::Error> {
        let mut candidates = self.candidates().into_iter();
        loop {
            let (backend, client) = candidates.next().expect("there is a gateway");
            let sent = request(&client, &backend.origin).send().await;
            match sent {
                Err(error) if error.is_connect() && candidates.len() > 0 => {}
                sent => {
                    let response = sent?;
                    return Ok((response.status().as_u16(), response.text().await?));
                }
            }
        }
    }

    /// The gateways in the order in which they are to be tried: the ready ones by turns, then the others.
    fn candidates(&self) -> Vec<(&Backend, reqwest::Client)> {
        let mut order: Vec<&Backend> = self.backends.iter().map(|backend| &**backend).collect();
        let length = order.len();
        order.rotate_left(self.turn.fetch_add(1, Ordering::Relaxed) % length);
        order.sort_by_key(|backend| backend.client.borrow().is_none());
        order.into_iter().map(|one| (one, one.client.borrow().clone().unwrap_or_else(client))).collect()
    }

    /// Waits until gateway `number` is on the list of those that are ready, or off it.
    pub(crate) async fn until_ready(&self, number: usize, ready: bool) {
        let mut list = self.backends[number].client.subscribe();
        let waiting = list.wait_for(|client| client.is_some() == ready);
        tokio::time::timeout(LIMIT, waiting).await.expect("readiness changes in time").unwrap();
    }

    pub(crate) async fn all_ready(&self) {
        for number in 0..self.backends.len() {
            self.until_ready(number, true).await;
        }
    }
}

impl Backend {
    /// Asks for readiness, each time over a new connection.
    async fn probe(self: Arc<Self>) {
        let prober =
            reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(PROBE_LIMIT).build();
        let (prober, url) = (prober.unwrap(), format!("{}/readyz", self.origin));
        let mut ticks = interval(PROBE_INTERVAL);
        loop {
            ticks.tick().await;
            let ready = match prober.get(&url).send().await {
                Ok(answer) => answer.status() == 200,
                Err(error) if error.is_timeout() => continue,
                Err(_) => false,
            };
            self.client.send_if_modified(|kept| {
                let changed = kept.is_some() != ready;
                if changed {
                    *kept = ready.then(client);
                }
                changed
            });
        }
    }
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().timeout(LIMIT).build().unwrap()
}
