//! From a DID to its signing key: folders of documents first, then a cache of look-ups.
//!
//! Owns how long a key is cached, when it is looked up again, and that there is one look-up of a DID at a
//! time. The look-up itself and its limits are in [`fetch`].
//!
//! A key is fresh for an hour. An older key is still used while a look-up refreshes it in the background; if
//! that fails because nobody answers, the key is used until it is a day old. A failure of the PLC directory
//! is not cached: the next caller tries again, within the limits on look-ups.
//!
//! A forged token locks no owner out. A refusal, or a failure of a did:web host without a cached key, is
//! asked for again at the next token, as the DID may be new; only if that gets a refusal too is it cached for
//! some seconds, so that a slow host is not asked again and again. Bad signatures force a look-up once a
//! minute for each client address, so a forger does not use up the one of an owner who has a new key.

mod entry;
pub(crate) mod fetch;
mod folder;
mod shares;
mod waiting;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use process::clock::Clock;
use process::exit::chain;
use quick_cache::sync::Cache;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use self::entry::{CacheEntry, KeyState, MINUTE_MS, SECOND_MS, is_usable, is_within};
use self::fetch::{LookupError, Network};
use self::folder::Folders;
use self::shares::Admission;
use self::waiting::{WaitingCall, WaitingCalls};
use super::did::{Did, Method};
use super::error::{AuthError, DirectoryFailure};
use super::key::SigningKey;
use super::metrics::{AuthMetrics, Keys};
use super::refusal::Refusal;
use crate::client_address::ClientAddress;

/// The least time between two look-ups that bad signatures force, for each DID and client address.
const FORCED_MS: i64 = MINUTE_MS;

/// The same for each DID, whatever the address.
const FORCED_PAUSE_MS: i64 = 5 * SECOND_MS;

/// The most cached DIDs.
const MAX_CACHED: usize = 50_000;

/// The most DIDs, and the most pairs of DID and address, whose last forced look-up is remembered.
const MAX_FORCED: usize = 10_000;

/// Resolves DIDs to signing keys.
pub(crate) struct Identities {
    folders: Folders,
    network: Network,
    metrics: Arc<AuthMetrics>,
    clock: Clock,
    cache: Cache<Did, CacheEntry>,
    /// When a bad signature last forced a look-up, in milliseconds since 1970.
    forced: Cache<Did, i64>,
    forced_by: Cache<(Did, ClientAddress), i64>,
    /// Calls that wait for look-ups.
    waiting: WaitingCalls,
    /// The look-ups in progress, of which `fetch::Limits` bounds the number. Hold this lock to change `cache`
    /// or `forced`.
    pending: Mutex<HashMap<Did, PendingLookup>>,
}

/// The result of a look-up, for any number of waiting callers; `None` until it has ended.
type Outcome = watch::Receiver<Option<Result<SigningKey, AuthError>>>;

/// A look-up in progress.
struct PendingLookup {
    outcome: Outcome,
    /// Where a better admission goes, if it has one of the common half.
    sooner: Option<oneshot::Sender<Admission>>,
}

/// The key of a DID.
#[derive(Debug)]
pub(crate) struct ResolvedKey {
    pub(crate) key: SigningKey,
    /// From the cache, so a newer key may exist.
    pub(crate) cached: bool,
}

impl Identities {
    pub(crate) fn new(
        folders: Vec<PathBuf>,
        network: Network,
        metrics: Arc<AuthMetrics>,
        clock: Clock,
    ) -> Self {
        Self {
            folders: Folders::open(folders, clock.unix_ms()),
            network,
            metrics,
            clock,
            cache: Cache::new(MAX_CACHED),
            forced: Cache::new(MAX_FORCED),
            forced_by: Cache::new(MAX_FORCED),
            waiting: WaitingCalls::new(),
            pending: Mutex::default(),
        }
    }

    /// The key of a DID, cached or looked up for the address `client`. The look-up goes on if this future is
    /// dropped. Only a call that waits for one takes a place.
    pub(crate) async fn key(
        self: &Arc<Self>,
        did: &Did,
        client: ClientAddress,
    ) -> Result<ResolvedKey, AuthError> {
        let Keys { folder, fresh, stale, refused, missed } = &self.metrics.keys;
        if let Some(key) = self.folders.key(did, self.clock.unix_ms()).await {
            folder.inc();
            let key = key?;
            return Ok(ResolvedKey { key, cached: false });
        }
        let state = self.state(did);
        let source = match &state {
            KeyState::Fresh(_) => fresh,
            KeyState::Due(_) | KeyState::Stale(_) => stale,
            KeyState::Refused(_) => refused,
            KeyState::Unknown => missed,
        };
        source.inc();
        let key = match state {
            KeyState::Fresh(key) | KeyState::Stale(key) => key,
            KeyState::Due(key) => {
                // If the limits forbid it, a later call refreshes the key.
                let _refresh = self.lookup(did, client);
                key
            }
            KeyState::Refused(refusal) => return Err(refusal.into()),
            KeyState::Unknown => {
                let _place = self.waiting_call(did, client)?;
                let key = outcome_of(self.lookup(did, client)?, did).await?;
                return Ok(ResolvedKey { key, cached: false });
            }
        };
        Ok(ResolvedKey { key, cached: true })
    }

    /// The key of a DID after a signature was bad with the cached key: looked up again, or, if that was done
    /// just before, the key that is cached by now. Returns `None` if there is none.
    pub(crate) async fn refreshed_key(
        self: &Arc<Self>,
        did: &Did,
        client: ClientAddress,
    ) -> Result<Option<SigningKey>, AuthError> {
        let _place = self.waiting_call(did, client)?;
        match self.forced_lookup(did, client) {
            Some(outcome) => outcome_of(outcome, did).await.map(Some),
            None => match self.state(did) {
                KeyState::Fresh(key) | KeyState::Due(key) | KeyState::Stale(key) => Ok(Some(key)),
                KeyState::Refused(refusal) => Err(refusal.into()),
                KeyState::Unknown => Ok(None),
            },
        }
    }

    fn waiting_call(&self, did: &Did, client: ClientAddress) -> Result<WaitingCall, AuthError> {
        self.waiting.take(did, client).ok_or(AuthError::Busy)
    }

    fn state(&self, did: &Did) -> KeyState {
        self.cache.get(did).map_or(KeyState::Unknown, |entry| entry.state(self.clock.unix_ms()))
    }

    /// Joins the look-up of a DID, or starts one if the cache has no answer.
    fn lookup(self: &Arc<Self>, did: &Did, client: ClientAddress) -> Result<Outcome, AuthError> {
        let mut pending = self.pending();
        if let Some(outcome) = self.join(&mut pending, did, client) {
            return Ok(outcome);
        }
        // Another caller's look-up may have ended meanwhile.
        match self.state(did) {
            KeyState::Fresh(key) | KeyState::Stale(key) => Ok(watch::channel(Some(Ok(key))).1),
            KeyState::Refused(refusal) => Err(refusal.into()),
            KeyState::Due(_) | KeyState::Unknown => {
                let admission = self.admit(did, client)?;
                Ok(self.start(&mut pending, did, client, admission))
            }
        }
    }

    /// Joins the look-up of a DID, or starts one regardless of the cache, if neither this client's last one
    /// nor anybody's was too short a time ago.
    fn forced_lookup(self: &Arc<Self>, did: &Did, client: ClientAddress) -> Option<Outcome> {
        let mut pending = self.pending();
        if let Some(outcome) = self.join(&mut pending, did, client) {
            return Some(outcome);
        }
        let now_ms = self.clock.unix_ms();
        let by_client = (did.clone(), client);
        let is_recent =
            |last_ms: Option<i64>, span_ms| last_ms.is_some_and(|at| is_within(span_ms, at, now_ms));
        if is_recent(self.forced_by.get(&by_client), FORCED_MS)
            || is_recent(self.forced.get(did), FORCED_PAUSE_MS)
        {
            return None;
        }
        let admission = self.admit(did, client).ok()?;
        self.forced.insert(did.clone(), now_ms);
        self.forced_by.insert(by_client, now_ms);
        Some(self.start(&mut pending, did, client, admission))
    }

    fn admit(&self, did: &Did, client: ClientAddress) -> Result<Admission, AuthError> {
        self.network.admit(did, client).inspect_err(|_| self.metrics.limited(did))
    }

    /// The outcome of the look-up of a DID that is in progress. One that ended by a panic does not count. If
    /// it waits for its turn, behind others of whoever began it, it may have its turn for this client.
    fn join(
        &self,
        pending: &mut HashMap<Did, PendingLookup>,
        did: &Did,
        client: ClientAddress,
    ) -> Option<Outcome> {
        let lookup = pending.get_mut(did).filter(|lookup| lookup.outcome.has_changed().is_ok())?;
        // It is closed once the look-up has begun.
        if let Some(sooner) = lookup.sooner.take_if(|sooner| !sooner.is_closed()) {
            match self.network.admit_sooner(did, client) {
                Some(admission) => drop(sooner.send(admission)),
                None => lookup.sooner = Some(sooner),
            }
        }
        Some(lookup.outcome.clone())
    }

    fn start(
        self: &Arc<Self>,
        pending: &mut HashMap<Did, PendingLookup>,
        did: &Did,
        client: ClientAddress,
        admission: Admission,
    ) -> Outcome {
        let (result, outcome) = watch::channel(None);
        let (sooner, better) = oneshot::channel();
        let sooner = (!admission.is_reserved()).then_some(sooner);
        pending.insert(did.clone(), PendingLookup { outcome: outcome.clone(), sooner });
        let identities = Arc::clone(self);
        let did = did.clone();
        tokio::spawn(async move {
            let begun = Instant::now();
            let fetched = identities.network.fetch(&did, admission, better).await;
            identities.metrics.looked_up(&did, &fetched, begun.elapsed());
            let key = identities.finish(&did, client, fetched);
            result.send_replace(Some(key));
        });
        outcome
    }

    /// Caches the result of a look-up and returns what its callers get.
    fn finish(
        &self,
        did: &Did,
        client: ClientAddress,
        fetched: Result<SigningKey, LookupError>,
    ) -> Result<SigningKey, AuthError> {
        let now_ms = self.clock.unix_ms();
        let mut pending = self.pending();
        pending.remove(did);
        let lookup_error = match fetched {
            Ok(key) => {
                let entry = CacheEntry::Key { key: key.clone(), fetched_ms: now_ms, failed_ms: None };
                self.cache.insert(did.clone(), entry);
                return Ok(key);
            }
            Err(error) => error,
        };
        let error = lookup_error.error();
        let refusal = match lookup_error {
            LookupError::Refused(refusal) => Some(refusal),
            LookupError::Busy => {
                // Nobody was asked: the next caller may try at once.
                self.forced.remove(did);
                self.forced_by.remove(&(did.clone(), client));
                None
            }
            LookupError::HostUnavailable(_) | LookupError::DirectoryUnavailable(_) => {
                if let Some(key) = self.keep_stale(did, now_ms) {
                    process::once_a_second!(warn, %did, causes = chain(&error), "a key could not be refreshed; the old one serves on");
                    return Ok(key);
                }
                match lookup_error {
                    LookupError::HostUnavailable(refusal) => Some(refusal),
                    _ => None,
                }
            }
        };
        if let Some(refusal) = refusal {
            let again = matches!(self.cache.get(did), Some(CacheEntry::Refused { .. }));
            self.cache.insert(did.clone(), CacheEntry::Refused { refusal, at_ms: now_ms, again });
        }
        Err(error)
    }

    /// Keeps the cached key of a DID, if it is not too old, and delays its next refresh.
    fn keep_stale(&self, did: &Did, now_ms: i64) -> Option<SigningKey> {
        let Some(CacheEntry::Key { key, fetched_ms, failed_ms: _ }) = self.cache.get(did) else {
            return None;
        };
        if !is_usable(fetched_ms, now_ms) {
            return None;
        }
        let entry = CacheEntry::Key { key: key.clone(), fetched_ms, failed_ms: Some(now_ms) };
        self.cache.insert(did.clone(), entry);
        Some(key)
    }

    fn pending(&self) -> MutexGuard<'_, HashMap<Did, PendingLookup>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn outcome_of(mut outcome: Outcome, did: &Did) -> Result<SigningKey, AuthError> {
    match outcome.wait_for(Option::is_some).await.as_deref() {
        Ok(Some(key)) => key.clone(),
        Ok(None) | Err(_) => Err(match did.method() {
            Method::Plc => AuthError::DirectoryUnavailable(Arc::new(DirectoryFailure::BrokeOff)),
            Method::Web { .. } => AuthError::Refused(Refusal::HostUnreachable),
        }),
    }
}

#[cfg(test)]
mod tests;
