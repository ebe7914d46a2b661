//! How fast events are published, and what is measured until their deliveries are done.
//!
//! *Steadily*: as fast as they are delivered. In a *burst*: as fast as they are accepted, so that most
//! deliveries wait and are claimed. *Paced*: so many a second.

use std::cell::Cell;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use process::exit::Failure;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::receiver::Receiver;
use crate::sample::{Sample, Sent, latencies, micros_each, percentile_ms, rate};
use crate::server::Server;
use crate::usage;

/// Calls in flight, of one event each.
const CALLS: usize = 64;
/// Deliveries that may be under way before the steady publisher waits.
const UNDER_WAY: usize = 1_000;
/// How often the publisher looks whether deliveries have arrived.
const ASK_EVERY: Duration = Duration::from_millis(1);
/// How often it looks then whether their outcomes are stored, which costs the database something.
const ASK_DATABASE_EVERY: Duration = Duration::from_millis(10);
/// How long deliveries may take to arrive.
const ARRIVAL_LIMIT: Duration = Duration::from_secs(60);

/// How fast events are published.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// As fast as they are delivered, for so long.
    Steady(Duration),
    /// So many as fast as they are accepted.
    Burst(u32),
    /// One after each pause, for so long.
    Paced(Duration, Duration),
}

/// Somebody who takes events and delivers them.
pub(crate) trait Deliverer {
    /// Publishes the event of this number, which has `fan_out` deliveries.
    fn publish(&self, number: u32, fan_out: usize) -> BoxFuture<'static, Result<(), Failure>>;

    /// Whether any delivery is not stored as done.
    fn is_pending(&self) -> BoxFuture<'_, Result<bool, Failure>>;

    /// The processes that deliver.
    fn pids(&self) -> Vec<u32>;
}

/// What all measurements of a run share.
pub(crate) struct Measured {
    /// No number is used twice.
    next_number: Cell<u32>,
    /// `None`: the database is part of the deliverer.
    server: Option<Server>,
}

impl Measured {
    pub(crate) fn new(server: Option<Server>) -> Self {
        Self { next_number: Cell::new(0), server }
    }

    /// Publishes events, and waits until their deliveries are done.
    pub(crate) async fn run(
        &self,
        deliverer: &dyn Deliverer,
        receiver: &Receiver,
        fan_out: usize,
        pace: Pace,
    ) -> Result<Sample, Failure> {
        let first = self.next_number.get();
        let before = self.cpu(deliverer)?;
        let started = Instant::now();
        let times = self.publish(deliverer, receiver, fan_out, pace).await?;
        let published_in = started.elapsed();
        let deliveries = times.len() * fan_out;
        wait_for(deliverer, receiver, deliveries).await?;
        let delivered_in = started.elapsed();
        let after = self.cpu(deliverer)?;
        let events = times.len();
        let latencies = latencies(&Sent { first, times }, &receiver.take(), fan_out)?;
        let own = after.own - before.own;
        Ok(Sample {
            events_per_s: rate(events, published_in),
            deliveries_per_s: rate(deliveries, delivered_in),
            p50_ms: percentile_ms(&latencies, 50),
            p99_ms: percentile_ms(&latencies, 99),
            cpu_us: micros_each(own, deliveries),
            cpu_with_database_us: micros_each(own + after.server - before.server, deliveries),
        })
    }

    /// Publishes, and returns when each event was.
    async fn publish(
        &self,
        deliverer: &dyn Deliverer,
        receiver: &Receiver,
        fan_out: usize,
        pace: Pace,
    ) -> Result<Vec<Instant>, Failure> {
        let started = Instant::now();
        let mut times: Vec<Instant> = Vec::new();
        let mut calls = JoinSet::new();
        loop {
            let may_go_on = match pace {
                Pace::Steady(length) | Pace::Paced(length, _) => started.elapsed() < length,
                Pace::Burst(events) => times.len() < events as usize,
            };
            if !may_go_on {
                break;
            }
            while let Some(answered) = calls.try_join_next() {
                answered??;
            }
            let wait = match pace {
                Pace::Steady(_) => times.len() * fan_out >= receiver.count() + UNDER_WAY,
                Pace::Burst(_) => false,
                Pace::Paced(_, pause) => started.elapsed() < pause * u32::try_from(times.len())?,
            };
            if wait {
                sleep(ASK_EVERY).await;
                continue;
            }
            if calls.len() >= CALLS {
                calls.join_next().await.ok_or("no call is in flight")???;
                continue;
            }
            let number = self.next_number.get();
            self.next_number.set(number + 1);
            times.push(Instant::now());
            calls.spawn(deliverer.publish(number, fan_out));
        }
        while let Some(answered) = calls.join_next().await {
            answered??;
        }
        Ok(times)
    }

    fn cpu(&self, deliverer: &dyn Deliverer) -> Result<Cpu, Failure> {
        let mut own = Duration::ZERO;
        for pid in deliverer.pids() {
            own += usage::cpu(pid)?;
        }
        Ok(Cpu { own, server: self.server.map_or(Ok(Duration::ZERO), Server::cpu)? })
    }
}

/// Processor time used so far.
struct Cpu {
    own: Duration,
    server: Duration,
}

/// Waits until so many deliveries have arrived, and all outcomes are stored.
async fn wait_for(deliverer: &dyn Deliverer, receiver: &Receiver, deliveries: usize) -> Result<(), Failure> {
    let asked = Instant::now();
    while receiver.count() < deliveries {
        if asked.elapsed() > ARRIVAL_LIMIT {
            return Err(format!("{} of {deliveries} arrived", receiver.count()).into());
        }
        sleep(ASK_EVERY).await;
    }
    while deliverer.is_pending().await? {
        if asked.elapsed() > ARRIVAL_LIMIT {
            return Err("outcomes of deliveries that arrived are not stored".into());
        }
        sleep(ASK_DATABASE_EVERY).await;
    }
    Ok(())
}
