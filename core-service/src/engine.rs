//! The engine: takes leases of what is due, attempts it, and writes what came of it.
//!
//! Owns the loops and their end. What is due is decided by the database ([`Store::claim`]), how many
//! attempts run at once by [`lanes`](crate::delivery::lanes); one attempt is [`send`]'s. A lease arrives
//! through a channel, whether it was claimed or taken by the transaction that stored the event ("born
//! leased").

pub(crate) mod depth;
mod named;
pub(crate) mod send;

use std::sync::Arc;
use std::time::Duration;

use process::shutdown::Shutdown;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use self::named::named;
use self::send::{Made, Sender};
use crate::delivery::finished::{Ending, Finished};
use crate::delivery::lanes::Lanes;
use crate::delivery::lease::{ClaimReport, Leased};
use crate::delivery::wake::Wake;
use crate::identity::Identity;
use crate::request_id::RequestId;
use crate::store::Store;
use crate::store::commit::expire::{Progress, Retention};

/// The longest pause between two claims. Another replica may have stored something that is due.
const CLAIM_INTERVAL: Duration = Duration::from_secs(1);
/// The pause after a claim or the writing of an outcome that failed.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Tries of writing an outcome.
const WRITE_TRIES: u32 = 8;
/// The least time between two claims that a free place causes.
const FREED_INTERVAL: Duration = Duration::from_millis(10);
/// The pause between two looks for what can wait.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(1);

/// What the engine works with.
pub(crate) struct Engine {
    pub(crate) store: Arc<Store>,
    pub(crate) sender: Arc<Sender>,
    pub(crate) identity: Identity,
    pub(crate) lanes: Lanes,
    /// Leases that this process has taken.
    pub(crate) leased: mpsc::UnboundedReceiver<Leased>,
    /// Woken when something may be due: an event was stored, a secret was made.
    pub(crate) wake: Wake,
    pub(crate) retention: Retention,
}

impl Engine {
    /// Delivers until `shutdown` drains. Then it takes no more leases, gives those back that are not begun,
    /// and returns when the attempts in flight have ended.
    ///
    /// `served` is cancelled when no call is in flight any more: until then a publication may still take
    /// leases.
    pub(crate) async fn run(self, shutdown: Shutdown, served: CancellationToken) {
        let Self { store, sender, identity, lanes, mut leased, wake, retention } = self;
        let claims = claim_until_drained(&store, &wake, lanes.freed(), &shutdown);
        let upkeep = keep_up_until_drained(&store, retention, &shutdown);
        let attempts = async {
            let mut attempts = JoinSet::new();
            loop {
                tokio::select! {
                    biased;
                    () = shutdown.draining() => break,
                    Some(leased) = leased.recv() => {
                        let (store, sender) = (Arc::clone(&store), Arc::clone(&sender));
                        attempts.spawn(attempt(store, sender, identity.clone(), leased));
                    }
                    Some(_ended) = attempts.join_next() => {}
                }
            }
            attempts
        };
        let (mut attempts, (), ()) = tokio::join!(attempts, claims, upkeep);
        // Who publishes from now on takes no leases.
        lanes.close();
        loop {
            tokio::select! {
                biased;
                Some(leased) = leased.recv() => {
                    let store = Arc::clone(&store);
                    attempts.spawn(async move { give_back(&store, leased).await });
                }
                Some(_ended) = attempts.join_next() => {}
                () = served.cancelled(), if attempts.is_empty() => return,
            }
        }
    }
}

/// Claims whenever something is due and there is a place for it.
async fn claim_until_drained(store: &Store, wake: &Wake, freed: &Notify, shutdown: &Shutdown) {
    let mut backlog = false;
    let mut next = Instant::now();
    loop {
        tokio::select! {
            () = shutdown.draining() => return,
            () = wake.woken() => {}
            () = freed.notified(), if backlog => sleep(FREED_INTERVAL).await,
            () = sleep_until(next) => {}
        }
        let pause = match store.claim().await {
            Ok(report) => {
                backlog = report.backlog;
                pause_after(report)
            }
            Err(_logged) => RETRY_INTERVAL,
        };
        next = Instant::now() + pause;
    }
}

/// Does what can wait: writes `cancelled` to deliveries of webhooks that are off, and removes what is no
/// longer kept.
async fn keep_up_until_drained(store: &Store, retention: Retention, shutdown: &Shutdown) {
    let mut progress = Progress::default();
    let keep_up = async {
        loop {
            sleep(UPKEEP_INTERVAL).await;
            while store.write_cancelled().await == Ok(true) {}
            while let Ok(expired) = store.expire(retention, progress).await {
                progress = expired.progress;
                if !expired.more {
                    break;
                }
            }
        }
    };
    tokio::select! {
        () = shutdown.draining() => {}
        () = keep_up => {}
    }
}

/// How long to wait for the next claim, if nothing happens before.
fn pause_after(report: ClaimReport) -> Duration {
    let ClaimReport { leased, lost, backlog, next_due_in } = report;
    if backlog && leased + lost > 0 {
        return Duration::ZERO;
    }
    next_due_in.map_or(CLAIM_INTERVAL, |due_in| due_in.min(CLAIM_INTERVAL))
}

/// Makes one attempt and writes what came of it.
async fn attempt(store: Arc<Store>, sender: Arc<Sender>, identity: Identity, leased: Leased) {
    let leased = match named(&store, &identity, leased).await {
        Ok(leased) => leased,
        Err(leased) => return give_back(&store, leased).await,
    };
    // The place of the process is kept until the outcome is written.
    let Made { finished, place: _place, trace } = sender.attempt(leased).await;
    trace.scope(write(&store, finished)).await;
}

async fn give_back<B>(store: &Store, leased: Leased<B>) {
    let Leased { delivery, webhook, lease, .. } = leased;
    write(store, Finished { delivery, webhook, lease, ending: Ending::GivenBack }).await;
}

/// Writes the end of an attempt, also when the database is away for some seconds. If that fails, the lease
/// ends by itself, and the attempt counts as lost. Written twice it counts once, as its lease is over then.
async fn write(store: &Store, finished: Finished) {
    let delivery = finished.delivery;
    let tries = async {
        for _ in 0..WRITE_TRIES {
            match store.finish(finished.clone()).await {
                Ok(()) => return,
                Err(_logged) => sleep(RETRY_INTERVAL).await,
            }
        }
        process::once_a_second!(warn, %delivery, "the outcome is not written: the attempt counts as lost");
    };
    RequestId::of_delivery(delivery).scope(tries).await;
}
