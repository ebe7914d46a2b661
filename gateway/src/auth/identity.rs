//! From a DID to its signing key: folders of documents, then a cache of what the network said.
//!
//! Owns how long a key is believed, when it is looked up again, and that only one look-up of a DID is under way at a
//! time. What a look-up asks and may cost is `fetch`'s.
//!
//! A key is fresh for an hour. Older, it still serves while it is looked up again in the background; when that fails
//! because nobody answers, it serves on until it is a day old. "There is none" is believed for a minute, and so is any
//! failure of a did:web host while no key is known, so that a slow host is not asked again and again. A failure of the
//! PLC directory is not remembered: who asks next may be luckier, within the limits on look-ups.

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

use self::fetch::{Miss, Network};
use self::folder::Folders;
use super::did::{Did, Method};
use super::error::{AuthError, DirectoryFailure};
use super::key::SigningKey;
use super::metrics::{AuthMetrics, Keys};
use super::refusal::Refusal;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// How long a key is fresh ("fresh 1 h").
const FRESH_MS: i64 = HOUR_MS;

/// How old a key may get while nobody answers ("for up to 24 h").
const STALE_MS: i64 = 24 * HOUR_MS;

/// How long "there is none" is believed ("not-found cached 1 min").
const REFUSED_MS: i64 = MINUTE_MS;

/// How long after a failed refresh the next one waits, for each DID.
const RETRY_MS: i64 = MINUTE_MS;

/// How often a bad signature may force a look-up, for each DID ("at most once a minute").
const FORCED_MS: i64 = MINUTE_MS;

/// How many DIDs are remembered.
const MAX_KNOWN: usize = 50_000;

/// How many DIDs are remembered as refreshed by force.
const MAX_FORCED: usize = 10_000;

/// What tells a DID's signing key.
pub(crate) struct Identities {
    folders: Folders,
    network: Network,
    metrics: Arc<AuthMetrics>,
    clock: Clock,
    known: Cache<Did, Known>,
    /// When a bad signature last forced a look-up, in milliseconds since 1970.
    forced: Cache<Did, i64>,
    /// The look-ups under way. Whoever changes `known` or `forced` holds this. As many as `fetch::Limits` let begin.
    flights: Mutex<HashMap<Did, Flight>>,
}

/// A look-up, to be waited for by any number of callers.
type Flight = watch::Receiver<Option<Result<SigningKey, AuthError>>>;

/// A key as it was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) key: SigningKey,
    /// From the cache, so that a newer one may exist.
    pub(crate) may_be_old: bool,
}

/// What the network said of a DID. Times are milliseconds since 1970.
#[derive(Debug, Clone)]
enum Known {
    Key {
        key: SigningKey,
        fetched_ms: i64,
        /// When nobody answered to a refresh.
        failed_ms: Option<i64>,
    },
    Refused {
        refusal: Refusal,
        at_ms: i64,
    },
}

/// What follows from it now.
enum Standing {
    Fresh(SigningKey),
    /// To be used, and to be looked up again.
    Due(SigningKey),
    /// To be used; nobody answered a moment ago.
    Stale(SigningKey),
    Refused(Refusal),
    Unknown,
}

impl Known {
    fn standing(self, now_ms: i64) -> Standing {
        match self {
            Self::Key { key, fetched_ms, failed_ms } => {
                if is_within(FRESH_MS, fetched_ms, now_ms) {
                    Standing::Fresh(key)
                } else if !may_serve(fetched_ms, now_ms) {
                    Standing::Unknown
                } else if failed_ms.is_some_and(|at| is_within(RETRY_MS, at, now_ms)) {
                    Standing::Stale(key)
                } else {
                    Standing::Due(key)
                }
            }
            Self::Refused { refusal, at_ms } if is_within(REFUSED_MS, at_ms, now_ms) => {
                Standing::Refused(refusal)
            }
            Self::Refused { .. } => Standing::Unknown,
        }
    }
}

/// Whether a key is young enough to serve while it is looked up again. After the clock was set back, one of the future
/// is.
fn may_serve(fetched_ms: i64, now_ms: i64) -> bool {
    now_ms.abs_diff(fetched_ms) < STALE_MS.unsigned_abs()
}

/// Whether less than `span_ms` went by. A clock that was set back makes everything old, rather than young for long.
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
            known: Cache::new(MAX_KNOWN),
            forced: Cache::new(MAX_FORCED),
            flights: Mutex::default(),
        }
    }

    /// The key of a DID: remembered, or looked up. A caller that goes away ends no look-up.
    pub(crate) async fn key(self: &Arc<Self>, did: &Did) -> Result<Found, AuthError> {
        let Keys { folder, fresh, stale, refused, missed } = &self.metrics.keys;
        if let Some(key) = self.folders.key(did, self.clock.unix_ms()).await {
            folder.inc();
            let key = key?;
            return Ok(Found { key, may_be_old: false });
        }
        let standing = self.standing(did);
        let source = match &standing {
            Standing::Fresh(_) => fresh,
            Standing::Due(_) | Standing::Stale(_) => stale,
            Standing::Refused(_) => refused,
            Standing::Unknown => missed,
        };
        source.inc();
        let key = match standing {
            Standing::Fresh(key) | Standing::Stale(key) => key,
            Standing::Due(key) => {
                // When the limits forbid it, a later call does it.
                let _refresh = self.flight(did);
                key
            }
            Standing::Refused(refusal) => return Err(refusal.into()),
            Standing::Unknown => {
                let key = landed(self.flight(did)?, did).await?;
                return Ok(Found { key, may_be_old: false });
            }
        };
        Ok(Found { key, may_be_old: true })
    }

    /// The key of a DID after a signature was bad with the one remembered: looked up again, or, when that was done
    /// within the last minute, the key that is remembered by now. `None` when there is nothing newer to be had.
    pub(crate) async fn key_again(self: &Arc<Self>, did: &Did) -> Result<Option<SigningKey>, AuthError> {
        match self.forced_flight(did) {
            Some(flight) => landed(flight, did).await.map(Some),
            None => match self.standing(did) {
                Standing::Fresh(key) | Standing::Due(key) | Standing::Stale(key) => Ok(Some(key)),
                Standing::Refused(refusal) => Err(refusal.into()),
                Standing::Unknown => Ok(None),
            },
        }
    }

    fn standing(&self, did: &Did) -> Standing {
        self.known.get(did).map_or(Standing::Unknown, |known| known.standing(self.clock.unix_ms()))
    }

    /// Joins the look-up of a DID, or starts it.
    fn flight(self: &Arc<Self>, did: &Did) -> Result<Flight, AuthError> {
        let mut flights = self.flights();
        if let Some(flight) = under_way(&flights, did) {
            return Ok(flight);
        }
        // Another caller's may have landed since this one looked.
        match self.standing(did) {
            Standing::Fresh(key) | Standing::Stale(key) => Ok(watch::channel(Some(Ok(key))).1),
            Standing::Refused(refusal) => Err(refusal.into()),
            Standing::Due(_) | Standing::Unknown => {
                self.admit(did)?;
                Ok(self.start(&mut flights, did))
            }
        }
    }

    /// Joins the look-up of a DID, or starts one whatever is remembered, once a minute.
    fn forced_flight(self: &Arc<Self>, did: &Did) -> Option<Flight> {
        let mut flights = self.flights();
        if let Some(flight) = under_way(&flights, did) {
            return Some(flight);
        }
        let now_ms = self.clock.unix_ms();
        let last_ms = self.forced.get(did);
        if last_ms.is_some_and(|last_ms| is_within(FORCED_MS, last_ms, now_ms)) {
            return None;
        }
        self.admit(did).ok()?;
        self.forced.insert(did.clone(), now_ms);
        Some(self.start(&mut flights, did))
    }

    fn admit(&self, did: &Did) -> Result<(), AuthError> {
        self.network.admit(did).inspect_err(|_| self.metrics.limited(did))
    }

    fn start(self: &Arc<Self>, flights: &mut HashMap<Did, Flight>, did: &Did) -> Flight {
        let (landing, flight) = watch::channel(None);
        flights.insert(did.clone(), flight.clone());
        let identities = Arc::clone(self);
        let did = did.clone();
        tokio::spawn(async move {
            let begun = Instant::now();
            let found = identities.network.fetch(&did).await;
            identities.metrics.looked_up(&did, &found, begun.elapsed());
            let answer = identities.land(&did, found);
            landing.send_replace(Some(answer));
        });
        flight
    }

    /// Remembers what a look-up brought, and says what callers shall go by.
    fn land(&self, did: &Did, found: Result<SigningKey, Miss>) -> Result<SigningKey, AuthError> {
        let now_ms = self.clock.unix_ms();
        let mut flights = self.flights();
        flights.remove(did);
        let miss = match found {
            Ok(key) => {
                let known = Known::Key { key: key.clone(), fetched_ms: now_ms, failed_ms: None };
                self.known.insert(did.clone(), known);
                return Ok(key);
            }
            Err(miss) => miss,
        };
        let error = miss.error();
        let refusal = match miss {
            Miss::Definite(refusal) => Some(refusal),
            Miss::HostDown(_) | Miss::DirectoryDown(_) => {
                if let Some(key) = self.keep(did, now_ms) {
                    tracing::warn!(%did, causes = chain(&error), "a key could not be refreshed; the old one serves on");
                    return Ok(key);
                }
                match miss {
                    Miss::HostDown(refusal) => Some(refusal),
                    Miss::Definite(_) | Miss::DirectoryDown(_) => None,
                }
            }
        };
        if let Some(refusal) = refusal {
            self.known.insert(did.clone(), Known::Refused { refusal, at_ms: now_ms });
        }
        Err(error)
    }

    /// Lets the remembered key of a DID serve on, if it is not too old, and its next refresh wait.
    fn keep(&self, did: &Did, now_ms: i64) -> Option<SigningKey> {
        let Some(Known::Key { key, fetched_ms, failed_ms: _ }) = self.known.get(did) else {
            return None;
        };
        if !may_serve(fetched_ms, now_ms) {
            return None;
        }
        let known = Known::Key { key: key.clone(), fetched_ms, failed_ms: Some(now_ms) };
        self.known.insert(did.clone(), known);
        Some(key)
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<Did, Flight>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The look-up of a DID that has not landed. (One that was dropped without landing, by a panic, does not count.)
fn under_way(flights: &HashMap<Did, Flight>, did: &Did) -> Option<Flight> {
    flights.get(did).filter(|flight| flight.has_changed().is_ok()).cloned()
}

async fn landed(mut flight: Flight, did: &Did) -> Result<SigningKey, AuthError> {
    match flight.wait_for(Option::is_some).await.as_deref() {
        Ok(Some(answer)) => answer.clone(),
        Ok(None) | Err(_) => Err(match did.method() {
            Method::Plc => AuthError::DirectoryUnavailable(Arc::new(DirectoryFailure::BrokeOff)),
            Method::Web { .. } => AuthError::Refused(Refusal::HostUnreachable),
        }),
    }
}

#[cfg(test)]
mod tests;
