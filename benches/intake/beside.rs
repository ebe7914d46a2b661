//! Ordinary calls beside the stream: how long they take while nothing comes, and while events come at a
//! pace.
//!
//! Calls begin at fixed times, whether or not those before have ended, so that a stall counts for all of
//! them.

use std::net::SocketAddr;
use std::time::Duration;

use fakes::jetstream::Item;
use process::exit::Failure;
use proto::athook::secret_service_client::SecretServiceClient;
use proto::athook::{CreateSecretRequest, ListSecretsRequest};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tonic::transport::Endpoint;

use crate::frames::streamer;
use crate::world::World;

/// How long calls are made.
const PERIOD: Duration = Duration::from_secs(10);
/// Between two calls.
const CALL_INTERVAL: Duration = Duration::from_millis(5);
/// Between two parts of the stream.
const PUSH_INTERVAL: Duration = Duration::from_millis(20);

/// How long calls take, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Latency {
    pub(crate) median_ms: f64,
    pub(crate) p99_ms: f64,
}

/// Events of one measurement at `pace` events a second.
pub(crate) fn events(pace: usize) -> usize {
    pace * usize::try_from(PERIOD.as_secs()).unwrap_or(0)
}

/// Latencies without the stream, and with `items` spread over the same time. `round` makes names unique.
pub(crate) async fn measure(world: &World, items: Vec<Item>, round: usize) -> Result<[Latency; 2], Failure> {
    let address = world.address();
    let quiet = on_a_thread(address, round * 2).await?;
    let parts = usize::try_from(PERIOD.as_millis() / PUSH_INTERVAL.as_millis())?;
    let size = items.len().div_ceil(parts).max(1);
    let pushing = async {
        let mut ticks = interval(PUSH_INTERVAL);
        let mut items = items.into_iter();
        while items.len() > 0 {
            ticks.tick().await;
            world.push(items.by_ref().take(size));
        }
    };
    let ((), beside) = tokio::join!(pushing, on_a_thread(address, round * 2 + 1));
    Ok([quiet, beside?])
}

/// On a thread of its own: the stand-in of the Jetstream has the others.
async fn on_a_thread(address: SocketAddr, run: usize) -> Result<Latency, Failure> {
    tokio::task::spawn_blocking(move || {
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(calls(address, run))
    })
    .await?
}

async fn calls(address: SocketAddr, run: usize) -> Result<Latency, Failure> {
    let channel = Endpoint::from_shared(format!("http://{address}"))?.connect().await?;
    let mut ticks = interval(CALL_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut calls = JoinSet::new();
    for number in 0..usize::try_from(PERIOD.as_millis() / CALL_INTERVAL.as_millis())? {
        let due = ticks.tick().await;
        let mut client = SecretServiceClient::new(channel.clone());
        calls.spawn(async move {
            let caller_did = streamer(number);
            if number.is_multiple_of(2) {
                let name = format!("run{run}-{number}");
                client.create_secret(CreateSecretRequest { caller_did, name, ..Default::default() }).await?;
            } else {
                client.list_secrets(ListSecretsRequest { caller_did }).await?;
            }
            Ok::<Duration, tonic::Status>(Instant::now() - due)
        });
    }
    let mut took = Vec::new();
    while let Some(ended) = calls.join_next().await {
        took.push(ended??);
    }
    took.sort_unstable();
    let at = |part: usize| took[took.len() * part / 100].as_secs_f64() * 1e3;
    Ok(Latency { median_ms: at(50), p99_ms: at(99) })
}
