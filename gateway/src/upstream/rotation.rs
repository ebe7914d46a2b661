//! The rotation: the connections that calls are made on, one to each address, as long as they are alive.
//!
//! Owns the regular look-ups, and connecting, ejecting and reconnecting. Makes no calls but health checks.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use process::exit::chain;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::addresses::AddressSource;
use super::connection::Connection;
use super::dial::{Dialer, PROOF_LIMIT};
use super::metrics::UpstreamMetrics;

/// Pause between two DNS look-ups of the core-service.
const LOOKUP_INTERVAL: Duration = Duration::from_secs(3);

/// Pause after a look-up that failed.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// The shortest pause after a look-up that succeeded, when a call finds no open connection.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(200);

/// Pause before reconnecting; doubles with each failure.
const FIRST_BACKOFF: Duration = Duration::from_millis(50);

/// The longest pause before reconnecting.
const MAX_BACKOFF: Duration = Duration::from_secs(2);

/// The connections in the rotation.
pub(super) type Rotation = watch::Sender<Vec<Arc<Connection>>>;

/// Keeps the rotation up to date. Dropping the future closes every connection.
///
/// A look-up that fails changes nothing. `lookup_wanted` brings the next one forward: the connections may
/// have ended because the core-services behind them were replaced.
pub(super) async fn maintain(
    addresses: AddressSource,
    dialer: Dialer,
    rotation: Rotation,
    lookup_wanted: Arc<Notify>,
    metrics: Arc<UpstreamMetrics>,
) {
    let dialer = Arc::new(dialer);
    let rotation = Arc::new(rotation);
    let mut tasks: HashMap<SocketAddr, AbortOnDropHandle<()>> = HashMap::new();
    loop {
        let Some(current) = addresses.look_up().await else {
            metrics.lookups_failed.inc();
            sleep(RETRY_INTERVAL).await;
            continue;
        };
        tasks.retain(|address, _| current.contains(address));
        for address in current {
            tasks.entry(address).or_insert_with(|| {
                let task =
                    stay_connected(address, Arc::clone(&dialer), Arc::clone(&rotation), Arc::clone(&metrics));
                AbortOnDropHandle::new(tokio::spawn(task))
            });
        }
        sleep(SHORTEST_INTERVAL).await;
        let _elapsed = timeout(LOOKUP_INTERVAL - SHORTEST_INTERVAL, lookup_wanted.notified()).await;
    }
}

/// Keeps a connection to `address` in the rotation. Dropping the future takes it out; calls in flight finish.
async fn stay_connected(
    address: SocketAddr,
    dialer: Arc<Dialer>,
    rotation: Arc<Rotation>,
    metrics: Arc<UpstreamMetrics>,
) {
    let mut backoff = FIRST_BACKOFF;
    let mut failure_logged = false;
    loop {
        match dialer.dial(address).await {
            Ok(connection) => {
                (backoff, failure_logged) = (FIRST_BACKOFF, false);
                tracing::info!(%address, "connected to the core-service");
                let member = Member::join(connection, &rotation, &metrics.connections);
                let (lost, count) = match until_lost(&member.connection).await {
                    Lost::Ended => ("the connection ended", &metrics.ejected.ended),
                    Lost::Silent => ("it does not answer", &metrics.ejected.silent),
                };
                count.inc();
                tracing::info!(%address, lost, "the core-service is out of the rotation");
            }
            Err(error) => {
                metrics.dials_failed.inc();
                if !failure_logged {
                    process::once_a_second!(warn, %address, causes = chain(&error), "the core-service can't be connected to; trying on");
                    failure_logged = true;
                }
            }
        }
        sleep(backoff).await;
        backoff = MAX_BACKOFF.min(backoff * 2);
    }
}

/// Why a connection left the rotation.
enum Lost {
    Ended,
    Silent,
}

/// Waits until the connection ends, or until a call misses its deadline and a health check then fails too.
async fn until_lost(connection: &Connection) -> Lost {
    loop {
        tokio::select! {
            () = connection.ended() => return Lost::Ended,
            () = connection.deadline_missed() => {
                if !connection.is_alive(Instant::now() + PROOF_LIMIT).await {
                    return Lost::Silent;
                }
            }
        }
    }
}

/// A connection in the rotation. Dropping it takes the connection out and closes it.
struct Member<'a> {
    connection: Arc<Connection>,
    rotation: &'a Rotation,
    count: &'a Gauge,
}

impl<'a> Member<'a> {
    fn join(connection: Connection, rotation: &'a Rotation, count: &'a Gauge) -> Self {
        count.inc();
        let connection = Arc::new(connection);
        rotation.send_modify(|connections| connections.push(Arc::clone(&connection)));
        Self { connection, rotation, count }
    }
}

impl Drop for Member<'_> {
    fn drop(&mut self) {
        self.count.dec();
        self.rotation
            .send_modify(|connections| connections.retain(|one| !Arc::ptr_eq(one, &self.connection)));
        self.connection.close();
    }
}
