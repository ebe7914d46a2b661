//! Who a DID is: its handle, its avatar and its PDS, for what deliveries say of an event of the public
//! network.
//!
//! Owns the cache of names, that there is one look-up of a DID at a time, and how long a delivery waits for
//! it. A handle counts only if the document of the DID claims it and the handle names the DID (atproto's
//! handle specification); where there is none, the DID is shown. A look-up goes on when nobody waits any
//! more, so that the next delivery finds its result. What is found is cached for a day, what failed or is
//! not to be believed for a minute.
//!
//! Nothing here is waited for by intake itself.

mod document;
mod network;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use egress::client::Egress;
use process::clock::Clock;
use process::exit::chain;
use quick_cache::sync::Cache;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Instant, timeout, timeout_at};
use url::Url;

pub(crate) use self::network::DocumentError;
use self::network::{Failed, Network, blob_url, is_cid};
use crate::domain::did::Did;
use crate::xrpc_host::XrpcHost;

/// How long a delivery waits for names, from the beginning of the look-up.
const WAIT_LIMIT: Duration = Duration::from_secs(2);
/// Look-ups at once.
const MAX_AT_ONCE: usize = 64;
/// Look-ups at once and those that wait for their turn.
const MAX_LOOKUPS: usize = 1_024;
/// The most DIDs whose names are cached.
const MAX_CACHED: usize = 20_000;
/// The most DIDs that wait until other replicas hear that they may have other names.
const MAX_CHANGED: usize = 10_000;
/// How long names are cached, in milliseconds.
const FRESH_MS: i64 = 24 * 3_600_000;
/// How long names are cached of which a part is missing, in milliseconds.
const FAILED_MS: i64 = 60_000;

/// Looks names up. Clones share the cache.
#[derive(Clone)]
pub(crate) struct Identity(Arc<Shared>);

struct Shared {
    network: Network,
    clock: Clock,
    cache: Cache<Did, Entry>,
    places: Semaphore,
    lookups: Mutex<Lookups>,
    /// What other replicas are to forget.
    changed: Mutex<BTreeSet<Did>>,
    news: Notify,
}

#[derive(Clone)]
struct Entry {
    names: Arc<Names>,
    /// In milliseconds since 1970-01-01T00:00:00Z.
    until_ms: i64,
    since_ms: i64,
}

#[derive(Default)]
struct Lookups {
    by_did: HashMap<Did, Lookup>,
    next_number: u64,
}

/// A look-up in progress.
struct Lookup {
    number: u64,
    progress: watch::Receiver<Progress>,
    /// When nobody waits for it any more.
    deadline: Instant,
}

#[derive(Clone, Default)]
struct Progress {
    names: Arc<Names>,
    ended: bool,
}

/// What is known of a DID.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Names {
    /// Verified both ways.
    pub(crate) handle: Option<String>,
    pub(crate) avatar_url: Option<String>,
    pds: Option<XrpcHost>,
}

impl Names {
    /// Where the PDS of `did`, whose names these are, has a blob; `None` if the PDS is not known.
    pub(crate) fn blob_url(&self, did: &Did, cid: &str) -> Option<String> {
        let pds = self.pds.as_ref().filter(|_| is_cid(cid))?;
        Some(blob_url(pds, did, cid).into())
    }
}

/// What came of a look-up.
struct Found {
    names: Arc<Names>,
    /// Nothing has failed.
    complete: bool,
}

impl Identity {
    /// Asks the PLC directory at `plc_url`, and other hosts under the rules of `egress`.
    pub(crate) fn new(plc_url: Url, egress: Egress, clock: Clock) -> Self {
        Self::asking(Network::new(plc_url, egress), clock)
    }

    fn asking(network: Network, clock: Clock) -> Self {
        Self(Arc::new(Shared {
            network,
            clock,
            cache: Cache::new(MAX_CACHED),
            places: Semaphore::new(MAX_AT_ONCE),
            lookups: Mutex::default(),
            changed: Mutex::default(),
            news: Notify::new(),
        }))
    }

    /// The names of a DID, as far as they are found within [`WAIT_LIMIT`].
    pub(crate) async fn names(&self, did: &Did) -> Arc<Names> {
        let now_ms = self.0.clock.unix_ms();
        if let Some(Entry { names, .. }) = self.0.cache.get(did).filter(|entry| entry.is_fresh(now_ms)) {
            return names;
        }
        let Some((mut progress, deadline)) = self.join(did) else {
            process::once_a_second!(warn, "names are not looked up: too many look-ups are under way");
            return Arc::default();
        };
        _ = timeout_at(deadline, progress.wait_for(|progress| progress.ended)).await;
        Arc::clone(&progress.borrow().names)
    }

    /// The PDS of a DID, asked for now.
    ///
    /// # Errors
    ///
    /// There is no document, or it names no PDS that may be reached (`Ok(None)`).
    pub(crate) async fn pds(&self, did: &Did) -> Result<Option<XrpcHost>, DocumentError> {
        Ok(self.0.network.document(did).await?.pds)
    }

    /// Forgets the names of a DID, which may have changed, here and in other replicas.
    pub(crate) fn forget_everywhere(&self, did: &Did) {
        self.forget(did);
        let mut changed = self.0.changed.lock().unwrap_or_else(PoisonError::into_inner);
        if changed.len() < MAX_CHANGED {
            changed.insert(did.clone());
        }
        self.0.news.notify_one();
    }

    /// Waits until other replicas are to forget names, and returns whose.
    pub(crate) async fn changed(&self) -> BTreeSet<Did> {
        self.0.news.notified().await;
        std::mem::take(&mut *self.0.changed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Forgets the names of a DID, which may have changed.
    pub(crate) fn forget(&self, did: &Did) {
        // A look-up in progress may have read what was there before: its result is not cached.
        let mut lookups = self.0.lookups();
        lookups.by_did.remove(did);
        self.0.cache.remove(did);
    }

    /// Joins the look-up of a DID, or starts one. `None`: there are too many.
    fn join(&self, did: &Did) -> Option<(watch::Receiver<Progress>, Instant)> {
        let mut lookups = self.0.lookups();
        // One whose task ended by a panic does not count.
        if let Some(lookup) = lookups.by_did.get(did).filter(|lookup| lookup.progress.has_changed().is_ok()) {
            return Some((lookup.progress.clone(), lookup.deadline));
        }
        if lookups.by_did.len() >= MAX_LOOKUPS {
            return None;
        }
        let (sender, progress) = watch::channel(Progress::default());
        let (number, deadline) = (lookups.next_number, Instant::now() + WAIT_LIMIT);
        lookups.next_number += 1;
        let lookup = Lookup { number, progress: progress.clone(), deadline };
        lookups.by_did.insert(did.clone(), lookup);
        let (shared, did) = (Arc::clone(&self.0), did.clone());
        tokio::spawn(async move {
            let found = shared.look_up(&did, &sender).await;
            shared.finish(did, number, found, &sender);
        });
        Some((progress, deadline))
    }
}

impl Shared {
    /// `None`: its turn did not come.
    async fn look_up(&self, did: &Did, progress: &watch::Sender<Progress>) -> Option<Found> {
        let _place = timeout(WAIT_LIMIT, self.places.acquire()).await.ok()?.ok()?;
        let document = match self.network.document(did).await {
            Ok(document) => document,
            Err(error) => {
                process::once_a_second!(debug, %did, causes = chain(&error), "a DID was not looked up");
                return Some(Found { names: Arc::default(), complete: false });
            }
        };
        let show = |change: &dyn Fn(&mut Names)| {
            progress.send_modify(|progress| change(Arc::make_mut(&mut progress.names)));
        };
        show(&|names| names.pds.clone_from(&document.pds));
        let handle = async {
            let Some(handle) = &document.claimed else { return Ok(()) };
            match self.network.is_handle_of(handle, did).await? {
                true => show(&|names| names.handle = Some(handle.to_string())),
                // Somebody who claims the handle of another, or has just changed it.
                false => return Err(Failed),
            }
            Ok(())
        };
        let avatar = async {
            let Some(pds) = &document.pds else { return Ok(()) };
            let url = self.network.avatar(did, pds).await?;
            show(&|names| names.avatar_url = url.as_ref().map(Url::to_string));
            Ok(())
        };
        let (handle, avatar) = tokio::join!(handle, avatar);
        let names = Arc::clone(&progress.borrow().names);
        Some(Found { names, complete: handle.and(avatar).is_ok() })
    }

    /// Caches what was found, unless the DID was forgotten meanwhile.
    fn finish(&self, did: Did, number: u64, found: Option<Found>, progress: &watch::Sender<Progress>) {
        let mut lookups = self.lookups();
        if lookups.by_did.get(&did).is_some_and(|lookup| lookup.number == number) {
            lookups.by_did.remove(&did);
            if let Some(Found { names, complete }) = found {
                let since_ms = self.clock.unix_ms();
                let until_ms = since_ms + if complete { FRESH_MS } else { FAILED_MS };
                self.cache.insert(did, Entry { names, until_ms, since_ms });
            }
        }
        drop(lookups);
        progress.send_modify(|progress| progress.ended = true);
    }

    fn lookups(&self) -> MutexGuard<'_, Lookups> {
        self.lookups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// If the clock went backwards, it is expired.
    fn is_fresh(&self, now_ms: i64) -> bool {
        (self.since_ms..self.until_ms).contains(&now_ms)
    }
}

#[cfg(test)]
mod tests;
