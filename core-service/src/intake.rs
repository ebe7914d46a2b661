//! Intake: reads the network's public records and makes events of them.
//!
//! One replica of an installation reads at a time: it holds a lease. [`session`] reads as long as it does,
//! [`processing`] says what follows from an event, and the store writes that together with the place in the
//! stream. What decides is pure: [`record`] (a `place.wisp.v2.wh` record), [`scope`] and [`references`]
//! (which records it is told of), [`payload`] (what it is told), [`mod@derive`] (Streamplace's events),
//! [`mirror`] (what they are judged by) and [`interests`] (what is read at all). [`listing`] reads at PDSes
//! what the stream did not bring.

pub(crate) mod batch;
pub(crate) mod derive;
pub(crate) mod event_id;
pub(crate) mod interests;
pub(crate) mod listing;
pub(crate) mod metrics;
pub(crate) mod mirror;
pub(crate) mod owners;
pub(crate) mod payload;
mod pins;
mod processing;
pub(crate) mod record;
pub(crate) mod references;
pub(crate) mod repo;
pub(crate) mod scope;
mod session;
pub(crate) mod shown;
pub(crate) mod syncs;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use egress::client::Egress;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::HeaderValue;
use jetstream::connect::{Connect, Stream};
use jetstream::host::{Filter, Host};
use jetstream::options::Options;
use process::clock::Clock;
use process::exit::chain;
use process::shutdown::Shutdown;
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;
use url::Url;
use uuid::Uuid;

use self::batch::{Holder, LeaseReport, StoredStart};
use self::metrics::IntakeMetrics;
use self::repo::Relay;
use self::session::Ended;
use crate::domain::webhook_url::Schemes;
use crate::identity::Identity;
use crate::intake::owners::RecordOwners;
use crate::randomness::Randomness;
use crate::store::Store;

/// How often the lease is renewed, and a process that has none looks for it.
const RENEWAL: Duration = Duration::from_secs(10);
const LOOK_FOR_LEASE: Duration = Duration::from_secs(2);
/// The pause after a failure of the database.
const RETRY: Duration = Duration::from_secs(1);
/// How often what is too old is removed.
const UPKEEP: Duration = Duration::from_secs(600);

/// What the intake reads with.
pub(crate) struct Intake {
    pub(crate) store: Arc<Store>,
    pub(crate) hosts: Vec<Host>,
    /// `--intake-network`.
    pub(crate) network: bool,
    pub(crate) connect: Arc<dyn Connect>,
    pub(crate) user_agent: HeaderValue,
    pub(crate) shutdown: Shutdown,
    pub(crate) lists: Arc<Lists>,
    /// Who this process is when it holds the lease.
    pub(crate) id: Uuid,
    pub(crate) randomness: Randomness,
    pub(crate) lease_lost: Arc<Notify>,
}

/// What records are listed with.
pub(crate) struct Lists {
    pub(crate) egress: Egress,
    pub(crate) identity: Identity,
    pub(crate) relay: Option<Relay>,
    /// `--record-owners`.
    pub(crate) owners: RecordOwners,
    pub(crate) schemes: Schemes,
    pub(crate) metrics: Arc<IntakeMetrics>,
    pub(crate) clock: Clock,
}

impl Lists {
    /// The wall clock, in microseconds since 1970.
    fn now_us(&self) -> i64 {
        self.clock.unix_ms().saturating_mul(1000)
    }
}

impl Intake {
    /// Reads whenever no other process does, until `shutdown` drains.
    pub(crate) async fn run(self) {
        let mut starts = true;
        loop {
            let taken = tokio::select! {
                () = self.shutdown.draining() => return,
                taken = self.store.take_intake(self.id, starts) => taken,
            };
            let pause = match taken {
                Ok(LeaseReport::Held { epoch, start }) => {
                    starts = false;
                    let holder = Holder { id: self.id, epoch };
                    self.lists.metrics.holder.set(1);
                    let ended = self.hold(holder, start).await;
                    self.lists.metrics.holder.set(0);
                    self.lists.metrics.lag.set(0.0);
                    match ended {
                        Some(Ended::Shutdown) => {
                            // If that fails, the lease ends by itself.
                            let _ = self.store.give_back_intake(holder).await;
                            return;
                        }
                        Some(Ended::LeaseLost) => {
                            tracing::info!("another process reads the network");
                            LOOK_FOR_LEASE
                        }
                        None => RETRY,
                    }
                }
                Ok(LeaseReport::Elsewhere) => LOOK_FOR_LEASE,
                Err(_logged) => RETRY,
            };
            tokio::select! {
                () = self.shutdown.draining() => {
                    return;
                }
                () = sleep(pause) => {}
            }
        }
    }

    /// Reads while the lease is renewed. `None`: the database failed.
    async fn hold(&self, holder: Holder, start: StoredStart) -> Option<Ended> {
        // One that is left from a lease before would end this one.
        let _ = self.lease_lost.notified().now_or_never();
        let (store, lost) = (Arc::clone(&self.store), Arc::clone(&self.lease_lost));
        let _renewing = AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                sleep(RENEWAL).await;
                if store.take_intake(holder.id, false).await == Ok(LeaseReport::Elsewhere) {
                    lost.notify_one();
                }
            }
        }));
        let store = Arc::clone(&self.store);
        let _upkeep = AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                // A failure is logged, and the next round removes more.
                let _ = store.expire_intake().await;
                sleep(UPKEEP).await;
            }
        }));
        session::read(self, holder, start).await.ok()
    }

    fn options(&self, filter: Filter) -> Options {
        let clock = self.lists.clock.clone();
        let randomness = self.randomness;
        Options::new(self.hosts.clone(), filter, Arc::clone(&self.connect))
            .expect("the settings demand a host")
            .clock(move || clock.unix_ms().saturating_mul(1000))
            .jitter(move || randomness.bytes().map_or(1.0, |[byte]: [u8; 1]| f64::from(byte) / 255.0))
            .user_agent(self.user_agent.clone())
    }
}

/// Connects to Jetstreams, which the operator names: they may be anywhere.
pub(crate) struct Connector(pub(crate) Egress);

impl Connect for Connector {
    fn connect<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let scheme = if url.scheme() == "wss" { "https" } else { "http" };
            let text = url.as_str().split_once(':').map_or("", |(_, rest)| rest);
            let url: Url = format!("{scheme}:{text}").parse().map_err(io::Error::other)?;
            let stream = self.0.open(&url).await.map_err(|error| io::Error::other(chain(&error)))?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }
}
