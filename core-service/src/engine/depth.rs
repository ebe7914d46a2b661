//! Reads how much waits to be delivered, so that the metrics show it. Also where nothing is delivered from
//! this process.

use std::convert::Infallible;
use std::time::Duration;

use process::clock::Clock;
use tokio::time::{MissedTickBehavior, interval};

use crate::delivery::metrics::DeliveryMetrics;
use crate::store::Store;

/// The time between two looks.
const INTERVAL: Duration = Duration::from_secs(10);

/// Shows in `metrics` how much waits, for ever. While the database fails the last numbers stand.
pub(crate) async fn show_for_ever(store: &Store, metrics: &DeliveryMetrics, clock: &Clock) -> Infallible {
    let mut tick = interval(INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        match store.queue_depth(clock).await {
            Ok(depth) => metrics.show(depth),
            Err(error) => tracing::debug!(causes = %error, "the queue's depth can't be read"),
        }
    }
}
