//! The standard gRPC health service.
//!
//! Every name but `liveness` has the status of the database: a process that can't store can't serve. It is
//! asked for a row each second. That it takes writes is proved by a small one: every few seconds, and each
//! second while that fails or after a call's write has failed.
//! `liveness` is serving as long as the process takes calls. Kubernetes restarts what fails its liveness
//! probe, and a restart does not bring a database back.

use std::sync::Arc;
use std::time::Duration;

use process::shutdown::Shutdown;
use prometheus_client::metrics::gauge::Gauge;
use proto::athook::{
    account_service_server, delivery_service_server, event_service_server, operator_service_server,
    record_service_server, secret_service_server, webhook_service_server,
};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::server::{HealthReporter, health_reporter};

use crate::store::Store;
use process::exit::chain;

/// How often the database is checked.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long a check may take to read, and as long again to write.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);
/// How often the database is written to while nothing fails.
const WRITE_INTERVAL: Duration = Duration::from_secs(5);
/// The names that have the database's status: the whole server, and each service.
const NAMES: [&str; 8] = [
    "",
    secret_service_server::SERVICE_NAME,
    webhook_service_server::SERVICE_NAME,
    event_service_server::SERVICE_NAME,
    delivery_service_server::SERVICE_NAME,
    record_service_server::SERVICE_NAME,
    account_service_server::SERVICE_NAME,
    operator_service_server::SERVICE_NAME,
];
/// The name for liveness probes: serving until `shutdown` drains.
const LIVENESS: &str = "liveness";

/// The health service, and the task that updates its statuses and the gauge `up` until `shutdown` drains.
pub(super) fn start(
    store: Arc<Store>,
    shutdown: Shutdown,
    up: Gauge,
) -> (HealthServer<impl Health>, JoinHandle<()>) {
    let (reporter, server) = health_reporter();
    (server, tokio::spawn(watch(reporter, store, shutdown, up)))
}

async fn watch(mut reporter: HealthReporter, store: Arc<Store>, shutdown: Shutdown, up: Gauge) {
    // The store has just been opened, and written to.
    let mut serving = true;
    let mut writes = Writes { proved: Instant::now(), failed: store.failed_writes() };
    up.set(1);
    reporter.set_service_status(LIVENESS, ServingStatus::Serving).await;
    report(&reporter, serving).await;
    let mut tick = interval(INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.leaving() => break,
            _ = tick.tick() => {}
        }
        let answers = database_serves(&store, &mut writes, serving).await;
        if answers != serving {
            serving = answers;
            up.set(i64::from(serving));
            report(&reporter, serving).await;
        }
    }
    report(&reporter, false).await;
    shutdown.draining().await;
    // Without a status the streams of `Watch` end. Open ones would hold up the drain.
    for name in NAMES.into_iter().chain([LIVENESS]) {
        reporter.clear_service_status(name).await;
    }
}

/// What is known about writes.
struct Writes {
    /// When one last succeeded.
    proved: Instant,
    /// How many had failed by then.
    failed: u64,
}

/// Whether the database answers and takes writes. Logs each change.
async fn database_serves(store: &Store, writes: &mut Writes, before: bool) -> bool {
    match check(store, writes, before).await {
        Ok(()) => {
            if !before {
                tracing::info!("the database answers again");
            }
            true
        }
        Err(causes) => {
            if before {
                tracing::error!(causes, "the database does not answer, or takes no writes");
            }
            false
        }
    }
}

async fn check(store: &Store, writes: &mut Writes, before: bool) -> Result<(), String> {
    match timeout(ANSWER_LIMIT, store.ping()).await {
        Ok(answer) => answer.map_err(|error| error.to_string())?,
        Err(elapsed) => return Err(chain(&elapsed)),
    }
    let failed = store.failed_writes();
    if !before || failed != writes.failed || writes.proved.elapsed() >= WRITE_INTERVAL {
        store.prove_writes(ANSWER_LIMIT).await.map_err(|error| error.to_string())?;
        *writes = Writes { proved: Instant::now(), failed };
    }
    Ok(())
}

async fn report(reporter: &HealthReporter, serving: bool) {
    let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
    for name in NAMES {
        reporter.set_service_status(name, status).await;
    }
}
