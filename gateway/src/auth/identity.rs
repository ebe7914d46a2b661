//! From a DID to its signing key: folders of documents first, then a cache of look-ups.
//!
//! Owns how long a key is cached, when it is looked up again, and that there is one look-up of a DID at a
//! time. The look-up itself and its limits are in [`fetch`].
//!
//! A key is fresh for an hour. An older key is still used while a look-up refreshes it in the background; if
//! that fails because nobody answers, the key is used until it is a day old. A refusal is cached for a
//! minute, and so is any failure of a did:web host without a cached key, so that a slow host is not asked
//! again and again. A failure of the PLC directory is not cached: the next caller tries again, within the
//! limits on look-ups.

pub(crate) mod fetch;
mod folder;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use process::clock::Clock;
use process::exit::chain;
use quick_cache::sync::Cache;
use tokio::sync::watch;
use tokio::time::Instant;

use self::fetch::{LookupError, Network};
use self::folder::Folders;
use super::did::{Did, Method};
use super::error::{AuthError, DirectoryFailure};
use super::key::SigningKey;
use super::metrics::{AuthMetrics, Keys};
use super::refusal::Refusal;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// How long a key is fresh.
const FRESH_MS: i64 = HOUR_MS;

/// How long a key is used while nobody answers.
const STALE_MS: i64 = 24 * HOUR_MS;

/// How long a refusal is cached.
const REFUSED_MS: i64 = MINUTE_MS;

/// The pause between a failed refresh and the next one, for each DID.
const RETRY_MS: i64 = MINUTE_MS;

/// The least time between two look-ups that bad signatures force, for each DID.
const FORCED_MS: i64 = MINUTE_MS;

/// The most cached DIDs.
const MAX_CACHED: usize = 50_000;

/// The most DIDs whose last forced look-up is remembered.
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
    /// The look-ups in progress, of which `fetch::Limits` bounds the number. Hold this lock to change `cache`
    /// or `forced`.
    pending: Mutex<HashMap<Did, PendingLookup>>,
}

/// A look-up in progress, for any number of waiting callers; `None` until it has ended.
type PendingLookup = watch::Receiver<Option<Result<SigningKey, AuthError>>>;

/// The key of a DID.
#[derive(Debug)]
pub(crate) struct ResolvedKey {
    pub(crate) key: SigningKey,
    /// From the cache, so a newer key may exist.
    pub(crate) cached: bool,
}

/// The result of the last look-up of a DID. Times are milliseconds since 1970.
#[derive(Debug, Clone)]
enum CacheEntry {
    Key {
        key: SigningKey,
        fetched_ms: i64,
        /// When the last refresh failed because nobody answered.
        failed_ms: Option<i64>,
    },
    Refused {
        refusal: Refusal,
        at_ms: i64,
    },
}

/// What a cache entry means now.
enum KeyState {
    Fresh(SigningKey),
    /// Usable, but must be refreshed.
    Due(SigningKey),
    /// Usable; a refresh failed less than [`RETRY_MS`] ago.
    Stale(SigningKey),
    Refused(Refusal),
    Unknown,
}

impl CacheEntry {
    fn state(self, now_ms: i64) -> KeyState {
        match self {
            Self::Key { key, fetched_ms, failed_ms } => {
                if is_within(FRESH_MS, fetched_ms, now_ms) {
                    KeyState::Fresh(key)
                } else if !is_usable(fetched_ms, now_ms) {
                    KeyState::Unknown
                } else if failed_ms.is_some_and(|at| is_within(RETRY_MS, at, now_ms)) {
                    KeyState::Stale(key)
                } else {
                    KeyState::Due(key)
                }
            }
            Self::Refused { refusal, at_ms } if is_within(REFUSED_MS, at_ms, now_ms) => {
                KeyState::Refused(refusal)
            }
            Self::Refused { .. } => KeyState::Unknown,
        }
    }
}

/// Whether a key is recent enough to be used while it is refreshed. A key from the future, after the clock
/// went backwards, is usable too.
fn is_usable(fetched_ms: i64, now_ms: i64) -> bool {
    now_ms.abs_diff(fetched_ms) < STALE_MS.unsigned_abs()
}

/// Whether less than `span_ms` has passed. If the clock went backwards, the entry counts as expired.
fn is_within(span_ms: i64, since_ms: i64, now_ms: i64) -> bool {
    (0..span_ms).contains(&now_ms.saturating_sub(since_ms))
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
            pending: Mutex::default(),
        }
    }

    /// The key of a DID, cached or looked up. The look-up goes on if this future is dropped.
    pub(crate) async fn key(self: &Arc<Self>, did: &Did) -> Result<ResolvedKey, AuthError> {
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
                let _refresh = self.lookup(did);
                key
            }
            KeyState::Refused(refusal) => return Err(refusal.into()),
            KeyState::Unknown => {
                let key = outcome_of(self.lookup(did)?, did).await?;
                return Ok(ResolvedKey { key, cached: false });
            }
        };
        Ok(ResolvedKey { key, cached: true })
    }

    /// The key of a DID after a signature was bad with the cached key: looked up again, or, if that was done
    /// within the last minute, the key that is cached by now. Returns `None` if there is none.
    pub(crate) async fn refreshed_key(self: &Arc<Self>, did: &Did) -> Result<Option<SigningKey>, AuthError> {
        match self.forced_lookup(did) {
            Some(lookup) => outcome_of(lookup, did).await.map(Some),
            None => match self.state(did) {
                KeyState::Fresh(key) | KeyState::Due(key) | KeyState::Stale(key) => Ok(Some(key)),
                KeyState::Refused(refusal) => Err(refusal.into()),
                KeyState::Unknown => Ok(None),
            },
        }
    }

    fn state(&self, did: &Did) -> KeyState {
        self.cache.get(did).map_or(KeyState::Unknown, |entry| entry.state(self.clock.unix_ms()))
    }

    /// Joins the look-up of a DID, or starts one if the cache has no answer.
    fn lookup(self: &Arc<Self>, did: &Did) -> Result<PendingLookup, AuthError> {
        let mut pending = self.pending();
        if let Some(lookup) = pending_lookup(&pending, did) {
            return Ok(lookup);
        }
        // Another caller's look-up may have ended meanwhile.
        match self.state(did) {
            KeyState::Fresh(key) | KeyState::Stale(key) => Ok(watch::channel(Some(Ok(key))).1),
            KeyState::Refused(refusal) => Err(refusal.into()),
            KeyState::Due(_) | KeyState::Unknown => {
                self.admit(did)?;
                Ok(self.start(&mut pending, did))
            }
        }
    }

    /// Joins the look-up of a DID, or starts one regardless of the cache, once a minute.
    fn forced_lookup(self: &Arc<Self>, did: &Did) -> Option<PendingLookup> {
        let mut pending = self.pending();
        if let Some(lookup) = pending_lookup(&pending, did) {
            return Some(lookup);
        }
        let now_ms = self.clock.unix_ms();
        let last_ms = self.forced.get(did);
        if last_ms.is_some_and(|last_ms| is_within(FORCED_MS, last_ms, now_ms)) {
            return None;
        }
        self.admit(did).ok()?;
        self.forced.insert(did.clone(), now_ms);
        Some(self.start(&mut pending, did))
    }

    fn admit(&self, did: &Did) -> Result<(), AuthError> {
        self.network.admit(did).inspect_err(|_| self.metrics.limited(did))
    }

    fn start(self: &Arc<Self>, pending: &mut HashMap<Did, PendingLookup>, did: &Did) -> PendingLookup {
        let (outcome, lookup) = watch::channel(None);
        pending.insert(did.clone(), lookup.clone());
        let identities = Arc::clone(self);
        let did = did.clone();
        tokio::spawn(async move {
            let begun = Instant::now();
            let fetched = identities.network.fetch(&did).await;
            identities.metrics.looked_up(&did, &fetched, begun.elapsed());
            let key = identities.finish(&did, fetched);
            outcome.send_replace(Some(key));
        });
        lookup
    }

    /// Caches the result of a look-up and returns what its callers get.
    fn finish(&self, did: &Did, fetched: Result<SigningKey, LookupError>) -> Result<SigningKey, AuthError> {
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
            LookupError::HostUnavailable(_) | LookupError::DirectoryUnavailable(_) => {
                if let Some(key) = self.keep_stale(did, now_ms) {
                    tracing::warn!(%did, causes = chain(&error), "a key could not be refreshed; the old one serves on");
                    return Ok(key);
                }
                match lookup_error {
                    LookupError::HostUnavailable(refusal) => Some(refusal),
                    LookupError::Refused(_) | LookupError::DirectoryUnavailable(_) => None,
                }
            }
        };
        if let Some(refusal) = refusal {
            self.cache.insert(did.clone(), CacheEntry::Refused { refusal, at_ms: now_ms });
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

/// The look-up of a DID that is in progress. One that ended by a panic does not count.
fn pending_lookup(pending: &HashMap<Did, PendingLookup>, did: &Did) -> Option<PendingLookup> {
    pending.get(did).filter(|lookup| lookup.has_changed().is_ok()).cloned()
}

async fn outcome_of(mut lookup: PendingLookup, did: &Did) -> Result<SigningKey, AuthError> {
    match lookup.wait_for(Option::is_some).await.as_deref() {
        Ok(Some(outcome)) => outcome.clone(),
        Ok(None) | Err(_) => Err(match did.method() {
            Method::Plc => AuthError::DirectoryUnavailable(Arc::new(DirectoryFailure::BrokeOff)),
            Method::Web { .. } => AuthError::Refused(Refusal::HostUnreachable),
        }),
    }
}

#[cfg(test)]
mod tests;
