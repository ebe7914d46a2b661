//! Reading wh records at their owners' PDSes once, beside services that run (`core-service reconcile`).
//!
//! What the stream has said since wins, as in the readings of the intake itself.

use std::collections::BTreeSet;
use std::sync::Arc;

use egress::client::Egress;
use egress::error::BuildError;
use egress::policy::Policy;
use egress::resolver::Resolver;
use process::metrics::Metrics;
use tokio::sync::mpsc;

use crate::config::Config;
use crate::delivery::lanes::Lanes;
use crate::delivery::metrics::DeliveryMetrics;
use crate::delivery::record_rates::RecordRates;
use crate::delivery::wake::Wake;
use crate::domain::did::Did;
use crate::error::Error;
use crate::identity::Identity;
use crate::intake::Lists;
use crate::intake::batch::{Batch, Change, Written};
use crate::intake::listing::{ReadOnce, WithRelay, list_once};
use crate::intake::metrics::IntakeMetrics;
use crate::intake::owners::RecordOwners;
use crate::intake::repo::Relay;
use crate::randomness::Randomness;
use crate::store::commit::event_batch::{DeliveryParts, RecordSettings};
use crate::store::operator::existing::{self, ExistingError};
use crate::store::{OpenError, Store};

/// The prefix of the names of metrics, which nobody reads here.
const METRICS: &str = "athook_core";
/// Parts of what was listed that wait to be written.
const PARTS: usize = 4;

/// The records can't be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReconcileError {
    #[error(transparent)]
    Existing(#[from] ExistingError),
    #[error("the store can't be opened")]
    Open(#[source] OpenError),
    #[error("the egress client can't be made")]
    Egress(#[source] BuildError),
    #[error("the records can't be written")]
    Store(#[source] Error),
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Reconciled {
    /// How many accounts were asked for.
    pub(crate) owners: usize,
    /// Those whose records could not be read, or not all.
    pub(crate) unread: Vec<Did>,
    /// Accounts whose records are other ones now.
    pub(crate) changed: usize,
}

/// Reads the wh records of `owner`, or of all that are known and that the relay lists.
///
/// # Errors
///
/// The database doesn't exist or can't be used.
pub(crate) async fn reconcile(config: Config, owner: Option<Did>) -> Result<Reconciled, ReconcileError> {
    existing::check(&config.database).await?;
    let metrics = Metrics::new(&config.clock);
    let lists = Arc::new(lists(&config, &metrics)?);
    let store = open(config, &metrics).await?;
    let result = read(&store, lists, owner).await;
    store.close().await;
    result.map_err(ReconcileError::Store)
}

async fn read(store: &Store, lists: Arc<Lists>, owner: Option<Did>) -> Result<Reconciled, Error> {
    let (parts, mut listed) = mpsc::channel(PARTS);
    let known = store.record_owners().await?;
    let listing = match owner {
        Some(owner) if lists.owners == RecordOwners::Known && !known.contains(&owner) => {
            let reason = "the wh records of unknown accounts do not count (--record-owners known)";
            tracing::warn!(%owner, reason, "the wh records of an account are not read");
            return Ok(Reconciled { owners: 1, unread: vec![owner], changed: 0 });
        }
        Some(owner) => tokio::spawn(list_once(lists, vec![owner], WithRelay::No, parts)),
        None => tokio::spawn(list_once(lists, known, WithRelay::Yes, parts)),
    };
    let mut changed = BTreeSet::new();
    while let Some(change) = listed.recv().await {
        changed.extend(write(store, change).await?);
    }
    if !changed.is_empty() {
        write(store, Change::Reread).await?;
    }
    let ReadOnce { owners, unread } = listing.await.expect("the task does not panic");
    Ok(Reconciled { owners, unread, changed: changed.len() })
}

/// Writes `change`, and returns whose records it changed.
async fn write(store: &Store, change: Change) -> Result<BTreeSet<Did>, Error> {
    match store.write_intake(Arc::new(Batch { changes: vec![change], ..Batch::new(None) })).await? {
        Written::Stored(stored) => Ok(stored.changed_owners),
        Written::LeaseLost => unreachable!("who has no lease loses none"),
    }
}

fn lists(config: &Config, metrics: &Metrics) -> Result<Lists, ReconcileError> {
    let resolver = Resolver::new(&config.dns_servers).map_err(ReconcileError::Egress)?;
    let policy = Policy::new(config.allow_private_ranges.clone());
    let policy = policy.refuse(config.refuse_ranges.clone()).nat64(config.nat64);
    let extra_ca = config.credentials.shared.extra_ca.as_deref();
    let egress = Egress::new(policy, resolver, extra_ca).map_err(ReconcileError::Egress)?;
    Ok(Lists {
        relay: config.intake.relay.clone().map(|url| Relay::new(url, &egress)),
        identity: Identity::new(config.plc_url.clone(), egress.clone(), config.clock.clone()),
        egress,
        owners: config.intake.record_owners,
        schemes: config.schemes,
        metrics: Arc::new(metrics.register(METRICS, IntakeMetrics::new)),
        clock: config.clock.clone(),
    })
}

/// The store as a service has it, which delivers nothing.
async fn open(config: Config, metrics: &Metrics) -> Result<Store, ReconcileError> {
    let lanes = Lanes::new(config.delivery.concurrency);
    let delivery_metrics = metrics.register(METRICS, |registry| DeliveryMetrics::new(registry, &lanes));
    let deliveries = DeliveryParts {
        settings: config.delivery.settings,
        clock: config.clock,
        lanes,
        leased: None,
        wake: Wake::default(),
        records: RecordSettings {
            owners: config.intake.record_owners,
            limits: config.intake.limits,
            network: config.intake.network,
        },
        record_rates: RecordRates::new(config.intake.record_rate.get() as usize),
        metrics: Arc::new(delivery_metrics),
        traced: false,
    };
    let randomness = Randomness::of_the_system();
    Store::open(&config.database, config.limits, config.seal_keys, randomness, deliveries, metrics)
        .await
        .map_err(ReconcileError::Open)
}
