//! Which connections calls may be made on: one to each address, as long as it is alive.
//!
//! Owns the look-up rounds, connecting, ejecting and reconnecting. Knows no call.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use process::exit::chain;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::connection::Connection;
use super::dial::{Dialer, PROOF_LIMIT};
use super::metrics::UpstreamMetrics;
use super::names::Names;

/// Pause between two look-ups of the core-service's name.
const LOOKUP_INTERVAL: Duration = Duration::from_secs(3);

/// The same after one that failed.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// The shortest pause after one that did not, when a call waits for a connection.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(200);

/// Pause before connecting again; doubles with each failure.
const FIRST_BACKOFF: Duration = Duration::from_millis(50);

/// The longest pause before connecting again.
const MAX_BACKOFF: Duration = Duration::from_secs(2);

/// The connections in the rotation.
pub(super) type Rotation = watch::Sender<Vec<Arc<Connection>>>;

/// Keeps the rotation up to date until it is dropped, and every connection with it.
///
/// A look-up that fails leaves the addresses as they are. The next one comes sooner when a connection is `wanted`: the
/// last ones may have ended because their core-services were replaced by others since.
pub(super) async fn keep(
    names: Names,
    dialer: Dialer,
    rotation: Rotation,
    wanted: Arc<Notify>,
    metrics: Arc<UpstreamMetrics>,
) {
    let dialer = Arc::new(dialer);
    let rotation = Arc::new(rotation);
    let mut kept: HashMap<SocketAddr, AbortOnDropHandle<()>> = HashMap::new();
    loop {
        let Some(addresses) = names.look_up().await else {
            metrics.lookups_failed.inc();
            sleep(RETRY_INTERVAL).await;
            continue;
        };
        kept.retain(|address, _| addresses.contains(address));
        for address in addresses {
            kept.entry(address).or_insert_with(|| {
                let keeping =
                    keep_one(address, Arc::clone(&dialer), Arc::clone(&rotation), Arc::clone(&metrics));
                AbortOnDropHandle::new(tokio::spawn(keeping))
            });
        }
        sleep(SHORTEST_INTERVAL).await;
        let _elapsed = timeout(LOOKUP_INTERVAL - SHORTEST_INTERVAL, wanted.notified()).await;
    }
}

/// Keeps `address` connected and in the rotation. Dropped: out of the rotation; calls in flight go on.
async fn keep_one(
    address: SocketAddr,
    dialer: Arc<Dialer>,
    rotation: Arc<Rotation>,
    metrics: Arc<UpstreamMetrics>,
) {
    let mut backoff = FIRST_BACKOFF;
    let mut told = false;
    loop {
        match dialer.dial(address).await {
            Ok(connection) => {
                (backoff, told) = (FIRST_BACKOFF, false);
                tracing::info!(%address, "connected to the core-service");
                let place = Place::take(connection, &rotation, &metrics.connections);
                let (lost, count) = match until_lost(&place.connection).await {
                    Lost::Ended => ("the connection ended", &metrics.ejected.ended),
                    Lost::Silent => ("it does not answer", &metrics.ejected.silent),
                };
                count.inc();
                tracing::info!(%address, lost, "the core-service is out of the rotation");
            }
            Err(error) => {
                metrics.dials_failed.inc();
                if !told {
                    tracing::warn!(%address, causes = chain(&error), "the core-service can't be connected to; trying on");
                    told = true;
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

/// Waits until the connection ends, or a call found no answer and a health check doesn't either.
async fn until_lost(connection: &Connection) -> Lost {
    loop {
        tokio::select! {
            () = connection.ended() => return Lost::Ended,
            () = connection.suspected() => {
                if !connection.answers(Instant::now() + PROOF_LIMIT).await {
                    return Lost::Silent;
                }
            }
        }
    }
}

/// A connection's place in the rotation, given up when dropped.
struct Place<'a> {
    connection: Arc<Connection>,
    rotation: &'a Rotation,
    count: &'a Gauge,
}

impl<'a> Place<'a> {
    fn take(connection: Connection, rotation: &'a Rotation, count: &'a Gauge) -> Self {
        count.inc();
        let connection = Arc::new(connection);
        rotation.send_modify(|connections| connections.push(Arc::clone(&connection)));
        Self { connection, rotation, count }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.count.dec();
        self.rotation
            .send_modify(|connections| connections.retain(|one| !Arc::ptr_eq(one, &self.connection)));
        self.connection.give_up();
    }
}
