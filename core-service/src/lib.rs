//! The core-service: what a secret, a webhook and a delivery are, behind gRPC.
//!
//! Owns validation, limits, sealing and persistence. Knows no XRPC, no lexicon and no service-auth token: who
//! the caller is comes in a field of each request, filled in by the gateway.
//!
//! `main` parses the settings, binds the listeners, and calls [`serve`].
//!
//! **Start.** The store brings the database's schema up to date, in one transaction under a lock, and waits
//! up to 10 s for a database that is away or busy. A schema that is newer than this release is left as it is.
//! Then the index key is opened, which fails unless the seal keys are those that the database was made with.
//! Only then are calls taken.
//!
//! **Stop.** [`Shutdown`] first *leaves*: health goes off, calls are served as before for `--shutdown-delay`.
//! Then it *drains*: no new connections, calls in flight finish, and after `--drain-limit` the rest are cut
//! off. At last the store writes what is queued and closes, within 5 s.

#![warn(clippy::print_stdout, clippy::print_stderr, reason = "they panic: see process::output")]

pub mod cli;
pub mod config;
mod delivery;
mod domain;
mod engine;
mod error;
mod identity;
pub mod inspection;
mod intake;
mod probe;
mod randomness;
mod reconcile;
mod request_id;
mod rpc;
mod seal;
mod server;
mod sliding_window;
mod store;
mod xrpc_host;

use std::sync::Arc;

use arc_swap::ArcSwap;
use egress::client::Egress;
use egress::client::deliveries::{ConnectionLimits, Deliverer};
use egress::error::BuildError;
use egress::policy::Policy;
use egress::resolver::Resolver;
use process::certificates::CertificateMetrics;
use process::exit::chain;
use process::settings::Problems;
use process::shutdown::{End, Shutdown};
use process::telemetry::Telemetry;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use crate::config::Config;
use crate::config::delivery::{DeliveryConfig, DeliveryMode};
use crate::config::intake::IntakeMode;
use crate::config::protection::{Unprotected, protected};
use crate::delivery::lanes::Lanes;
use crate::delivery::metrics::DeliveryMetrics;
use crate::delivery::record_rates::RecordRates;
use crate::delivery::signature::user_agent;
use crate::delivery::wake::Wake;
use crate::engine::Engine;
use crate::engine::depth;
use crate::engine::send::Sender;
use crate::error::Error;
use crate::identity::Identity;
use crate::intake::metrics::IntakeMetrics;
use crate::intake::repo::Relay;
use crate::intake::{Connector, Intake, Lists};
use crate::probe::Prober;
use crate::probe::metrics::ProbeMetrics;
use crate::randomness::{NoRandomness, Randomness};
use crate::rpc::send_test::TestLimit;
use crate::rpc::{Context, Rpcs};
use crate::server::metrics::ServerMetrics;
use crate::server::{ServerError, ServerParts};
use crate::store::commit::event_batch::{DeliveryParts, RecordSettings};
use crate::store::serving_lock::{LockError, ServingLock};
use crate::store::{OpenError, Store};

/// The prefix of the names of this service's metrics.
const METRICS: &str = "athook_core";

/// The core-service could not start, or failed while it ran.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ServeError(#[from] Cause);

#[derive(Debug, thiserror::Error)]
enum Cause {
    #[error("the address can't be listened on")]
    Unprotected(#[source] Unprotected),
    #[error("the signal SIGHUP can't be heard")]
    Signal(#[source] std::io::Error),
    #[error("the listener has no address")]
    Listener(#[source] std::io::Error),
    #[error("the store can't be opened")]
    Store(#[source] OpenError),
    #[error("the database can't be served from")]
    Served(#[source] LockError),
    #[error("the leases of the last run can't be ended")]
    Leases(#[source] Error),
    #[error("there are no random bytes")]
    Randomness(#[source] NoRandomness),
    #[error("the egress client can't be made")]
    Egress(#[source] BuildError),
    #[error("serving failed")]
    Server(#[source] ServerError),
}

/// Opens the store and serves gRPC on `listener` until `shutdown` has drained it; on `health_listener`, gRPC
/// health alone, in plaintext.
///
/// # Errors
///
/// The database can't be used; others can reach the address of `listener` and there is neither a token nor
/// mutual TLS; the server failed.
pub async fn serve(
    config: Config,
    listener: TcpListener,
    health_listener: Option<TcpListener>,
    shutdown: Shutdown,
    telemetry: Telemetry,
) -> Result<(), ServeError> {
    let Telemetry { metrics, tracer } = telemetry;
    let Config {
        listen: _,
        health_listen: _,
        database,
        seal_keys,
        credentials,
        credential_files,
        watched,
        limits,
        probe,
        schemes,
        rotation_overlap,
        delivery,
        intake,
        public_url,
        plc_url,
        allow_private_ranges,
        refuse_ranges,
        nat64,
        dns_servers,
        exposed_files,
        clock,
    } = config;
    for file in exposed_files {
        file.warn();
    }
    let address = listener.local_addr().map_err(Cause::Listener)?;
    protected(address, &credentials).map_err(Cause::Unprotected)?;
    let resolver = Resolver::new(&dns_servers).map_err(Cause::Egress)?;
    let policy = Policy::new(allow_private_ranges).refuse(refuse_ranges).nat64(nat64);
    let egress =
        Egress::new(policy, resolver, credentials.shared.extra_ca.as_deref()).map_err(Cause::Egress)?;
    let certificates = metrics.register(METRICS, CertificateMetrics::new);
    credentials.show_certificates(&certificates);
    let credentials = Arc::new(ArcSwap::from_pointee(credentials));
    let reading_again = {
        let (credentials, egress) = (Arc::clone(&credentials), egress.clone());
        watched.read_again(move || {
            let mut problems = Problems::new();
            let new = credential_files.read_again(&credentials.load(), &mut problems);
            if let Err(error) = egress.trust(new.shared.extra_ca.as_deref()) {
                problems.note("--extra-ca", chain(&error));
            }
            new.show_certificates(&certificates);
            credentials.store(Arc::new(new));
            problems.finish(Some(()))
        })
    };
    let reading_again = AbortOnDropHandle::new(tokio::spawn(reading_again.map_err(Cause::Signal)?));
    let randomness = Randomness::of_the_system();
    let DeliveryConfig { mode, concurrency, timeout, settings, retention } = delivery;
    let only_reads = intake.mode == IntakeMode::Only && mode != DeliveryMode::Only;
    let mode = if only_reads { DeliveryMode::Off } else { mode };
    let lanes = Lanes::new(concurrency);
    let (leases, leased) = mpsc::unbounded_channel();
    let wake = Wake::default();
    let delivery_metrics =
        Arc::new(metrics.register(METRICS, |registry| DeliveryMetrics::new(registry, &lanes)));
    let deliveries = DeliveryParts {
        settings,
        clock: clock.clone(),
        lanes: lanes.clone(),
        leased: (mode != DeliveryMode::Off).then_some(leases),
        wake: wake.clone(),
        records: RecordSettings {
            owners: intake.record_owners,
            limits: intake.limits,
            network: intake.network,
        },
        record_rates: RecordRates::new(intake.record_rate.get() as usize),
        metrics: Arc::clone(&delivery_metrics),
        traced: tracer.is_on(),
    };
    let opening = Store::open(&database, limits, seal_keys, randomness, deliveries, &metrics);
    let store = tokio::select! {
        store = opening => store.map_err(Cause::Store)?,
        // Nobody waits for a database that is not needed any more.
        () = shutdown.draining() => {
            tracing::info!("core-service stopped");
            return Ok(());
        }
    };
    let store = Arc::new(store);
    let (probes, intake_metrics, metrics) = metrics.register(METRICS, |registry| {
        (ProbeMetrics::new(registry), IntakeMetrics::new(registry), ServerMetrics::new(registry))
    });
    let sender = Sender {
        deliverer: Deliverer::new(&egress, ConnectionLimits { handshakes: concurrency, kept: concurrency }),
        timeout,
        clock: clock.clone(),
        user_agent: user_agent(env!("CARGO_PKG_VERSION"), public_url.as_ref()),
        metrics: Arc::clone(&delivery_metrics),
        tracer: tracer.clone(),
    };
    let _serving = match database.sqlite_file() {
        Some(file) => Some(ServingLock::take_soon(&file).await.map_err(Cause::Served)?),
        None => None,
    };
    if database.sqlite_file().is_some() && mode != DeliveryMode::Off {
        // No other process delivers from the file.
        store.end_leases().await.map_err(Cause::Leases)?;
    }
    let identity = Identity::new(plc_url, egress.clone(), clock.clone());
    let reading = if intake.mode == IntakeMode::Off {
        None
    } else {
        intake_metrics.on.set(1);
        let lists = Lists {
            relay: intake.relay.map(|url| Relay::new(url, &egress)),
            egress: egress.clone(),
            identity: identity.clone(),
            owners: intake.record_owners,
            schemes,
            metrics: Arc::new(intake_metrics),
            clock: clock.clone(),
        };
        Some(Intake {
            store: Arc::clone(&store),
            hosts: intake.hosts,
            network: intake.network,
            connect: Arc::new(Connector(egress.with_policy(Policy::unrestricted()))),
            user_agent: user_agent(env!("CARGO_PKG_VERSION"), public_url.as_ref()),
            shutdown: shutdown.clone(),
            lists: Arc::new(lists),
            id: Uuid::from_bytes(randomness.bytes().map_err(Cause::Randomness)?),
            randomness,
            lease_lost: Arc::default(),
        })
    };
    let rpcs = Rpcs::new(Context {
        store: Arc::clone(&store),
        prober: Prober::new(probe, egress, probes),
        schemes,
        rotation_overlap,
        clock: clock.clone(),
        randomness,
        max_webhooks: limits.webhooks,
        tests: TestLimit::new(),
        payloads: rpc::payload_permits(),
    });
    let parts = ServerParts {
        listener,
        health_listener,
        credentials,
        only_delivers: mode == DeliveryMode::Only || intake.mode == IntakeMode::Only,
        rpcs,
        store: Arc::clone(&store),
        metrics,
        tracer,
    };
    tracing::info!(%address, %database, "core-service serves");
    let engine = Engine {
        store: Arc::clone(&store),
        sender: Arc::new(sender),
        identity: identity.clone(),
        lanes,
        leased,
        wake: wake.clone(),
        retention,
    };
    let served = CancellationToken::new();
    let delivering = async {
        if mode != DeliveryMode::Off {
            engine.run(shutdown.clone(), served.clone()).await;
        }
    };
    let reading = async {
        if let Some(intake) = reading {
            intake.run().await;
        }
    };
    let sharing_news = async {
        tokio::select! {
            () = served.cancelled() => {}
            () = store.share_news(&wake, &identity, mode != DeliveryMode::Off) => {}
        }
    };
    let measuring = async {
        tokio::select! {
            () = served.cancelled() => {}
            _never = depth::show_for_ever(&store, &delivery_metrics, &clock) => {}
        }
    };
    let serving = async {
        let calls = async {
            let result = server::serve(parts, &shutdown).await;
            served.cancel();
            result
        };
        tokio::join!(calls, delivering, reading, sharing_news, measuring).0
    };
    let (end, result) = shutdown.limit(serving).await;
    drop(reading_again);
    if end == End::Cut {
        tracing::warn!("the drain limit passed; calls in flight were cut off");
    }
    store.close().await;
    tracing::info!("core-service stopped");
    match result {
        Some(result) => result.map_err(|error| Cause::Server(error).into()),
        None => Ok(()),
    }
}
