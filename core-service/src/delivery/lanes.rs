//! Places for attempts in flight: how many at once for a webhook, an origin and this process.
//!
//! One slow or dead receiver must hold up nobody else (docs/delivery.md, "Fairness"):
//!
//! - a webhook has [`WEBHOOK_PLACES`], but one until its first success in this process and while its last
//!   attempt failed;
//! - an origin (scheme, host and port) has [`ORIGIN_PLACES`], and the process `--delivery-concurrency`;
//! - webhooks whose last attempt was no success hold at most three quarters of the places of a process and of
//!   an origin, so that the others always find one.
//!
//! Knows no time and no database: a [`Place`] is taken before a lease is. Webhook and origin have it back
//! when the attempt has ended, the process when the outcome is written too: no more leases are taken than
//! outcomes can be written for. Whoever claims hears of it if there was none left before ([`Lanes::freed`]).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quick_cache::unsync::Cache;
use tokio::sync::Notify;
use uuid::Uuid;

/// Attempts at once for one webhook.
const WEBHOOK_PLACES: usize = 4;
/// Attempts at once for one origin.
const ORIGIN_PLACES: usize = 64;
/// Webhooks whose success in this process is remembered. One that is forgotten has one place until its next
/// success.
const MAX_PROVEN: usize = 50_000;

/// Which webhook and origin an attempt is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lane {
    pub(crate) webhook: Uuid,
    /// A hash of scheme, host and port.
    pub(crate) origin: Arc<[u8]>,
    /// Whether the webhook's last attempt, in any process, was a success.
    pub(crate) healthy: bool,
}

/// The places of this process. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Lanes {
    places: Arc<Mutex<Places>>,
    freed: Arc<Notify>,
}

#[derive(Debug)]
struct Places {
    limit: usize,
    in_process: InFlight,
    origins: HashMap<Arc<[u8]>, InFlight>,
    webhooks: HashMap<Uuid, usize>,
    /// Webhooks with a success in this process and no failure since.
    proven: Cache<Uuid, ()>,
}

#[derive(Debug, Default, Clone, Copy)]
struct InFlight {
    all: usize,
    /// Of these, attempts for webhooks whose last attempt was no success.
    unhealthy: usize,
}

impl InFlight {
    fn has_place(self, limit: usize, healthy: bool) -> bool {
        self.all < limit && (healthy || self.unhealthy < three_quarters(limit))
    }

    fn add(&mut self, healthy: bool) {
        self.all += 1;
        self.unhealthy += usize::from(!healthy);
    }

    fn remove(&mut self, healthy: bool) {
        self.all -= 1;
        self.unhealthy -= usize::from(!healthy);
    }
}

impl Places {
    fn has_place(&mut self, lane: &Lane) -> bool {
        let Self { limit, in_process, origins, webhooks, proven } = self;
        let of_webhook = webhooks.get(&lane.webhook).copied().unwrap_or(0);
        let allowed = if lane.healthy && proven.get(&lane.webhook).is_some() { WEBHOOK_PLACES } else { 1 };
        let of_origin = origins.get(&lane.origin).copied().unwrap_or_default();
        of_webhook < allowed
            && of_origin.has_place(ORIGIN_PLACES, lane.healthy)
            && in_process.has_place(*limit, lane.healthy)
    }

    /// An attempt for `lane` has ended: webhook and origin have its place back.
    fn leave_receiver(&mut self, lane: &Lane) {
        if let Some(in_flight) = self.origins.get_mut(&lane.origin) {
            in_flight.remove(lane.healthy);
            if in_flight.all == 0 {
                self.origins.remove(&lane.origin);
            }
        }
        if let Some(in_flight) = self.webhooks.get_mut(&lane.webhook) {
            *in_flight -= 1;
            if *in_flight == 0 {
                self.webhooks.remove(&lane.webhook);
            }
        }
    }
}

fn three_quarters(limit: usize) -> usize {
    (limit * 3 / 4).max(1)
}

/// What has no place left, so that a claim leaves it out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Full {
    /// Free places of the process.
    pub(crate) free: usize,
    /// There is none for webhooks whose last attempt was no success.
    pub(crate) unhealthy: bool,
    pub(crate) webhooks: Vec<Uuid>,
    pub(crate) origins: Vec<Arc<[u8]>>,
    /// Origins that have none for webhooks whose last attempt was no success.
    pub(crate) unhealthy_origins: Vec<Arc<[u8]>>,
}

impl Lanes {
    /// `limit` is `--delivery-concurrency`.
    pub(crate) fn new(limit: usize) -> Self {
        let places = Places {
            limit,
            in_process: InFlight::default(),
            origins: HashMap::new(),
            webhooks: HashMap::new(),
            proven: Cache::new(MAX_PROVEN),
        };
        Self { places: Arc::new(Mutex::new(places)), freed: Arc::default() }
    }

    /// Takes a place for one attempt, if webhook, origin and process have one.
    pub(crate) fn reserve(&self, lane: &Lane) -> Option<Place> {
        let mut places = self.lock();
        if !places.has_place(lane) {
            return None;
        }
        let Places { limit: _, in_process, origins, webhooks, proven: _ } = &mut *places;
        in_process.add(lane.healthy);
        origins.entry(Arc::clone(&lane.origin)).or_default().add(lane.healthy);
        *webhooks.entry(lane.webhook).or_default() += 1;
        drop(places);
        Some(Place { lanes: self.clone(), lane: lane.clone(), at_receiver: true })
    }

    /// Notified when there is a place again for what had none: only then can a claim take more than before.
    pub(crate) fn freed(&self) -> &Notify {
        &self.freed
    }

    /// Gives no more places, for the end of the process.
    pub(crate) fn close(&self) {
        self.lock().limit = 0;
    }

    /// Places of the process that are taken.
    pub(crate) fn taken(&self) -> usize {
        self.lock().in_process.all
    }

    /// Places of the process.
    pub(crate) fn limit(&self) -> usize {
        self.lock().limit
    }

    /// What is full now.
    pub(crate) fn full(&self) -> Full {
        let places = self.lock();
        let Places { limit, in_process, origins, webhooks, proven } = &*places;
        let full_webhooks = webhooks.iter().filter(|(webhook, in_flight)| {
            let allowed = if proven.peek(*webhook).is_some() { WEBHOOK_PLACES } else { 1 };
            **in_flight >= allowed
        });
        let full_origins = |healthy| {
            let full = origins.iter().filter(move |(_, of)| !of.has_place(ORIGIN_PLACES, healthy));
            full.map(|(origin, _)| Arc::clone(origin)).collect()
        };
        Full {
            free: limit.saturating_sub(in_process.all),
            unhealthy: !in_process.has_place(*limit, false),
            webhooks: full_webhooks.map(|(webhook, _)| *webhook).collect(),
            origins: full_origins(true),
            unhealthy_origins: full_origins(false),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place for one attempt, which is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    lanes: Lanes,
    lane: Lane,
    /// Whether the attempt has not ended, as far as is known.
    at_receiver: bool,
}

impl Place {
    /// Notes how the attempt ended, and frees the places of webhook and origin. The place of the process is
    /// free when what is returned is dropped.
    pub(crate) fn ended(mut self, success: bool) -> Self {
        let Self { lanes, lane, at_receiver } = &mut self;
        let mut places = lanes.lock();
        let mut had_place = places.has_place(lane);
        if success {
            places.proven.insert(lane.webhook, ());
        } else {
            places.proven.remove(&lane.webhook);
            had_place &= places.has_place(lane);
        }
        places.leave_receiver(lane);
        // In a process that is full this waits for the drop.
        if !had_place && places.in_process.has_place(places.limit, lane.healthy) {
            lanes.freed.notify_one();
        }
        *at_receiver = false;
        drop(places);
        self
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Self { lanes, lane, at_receiver } = self;
        let mut places = lanes.lock();
        let had_place = if *at_receiver {
            places.has_place(lane)
        } else {
            places.in_process.has_place(places.limit, lane.healthy)
        };
        if *at_receiver {
            places.leave_receiver(lane);
        }
        places.in_process.remove(lane.healthy);
        if !had_place {
            lanes.freed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(webhook: u128, origin: u8, healthy: bool) -> Lane {
        Lane { webhook: Uuid::from_u128(webhook), origin: Arc::from([origin]), healthy }
    }

    fn prove(lanes: &Lanes, lane: &Lane) {
        lanes.reserve(lane).unwrap().ended(true);
    }

    #[test]
    fn webhook_has_one_place_until_it_succeeds_and_after_a_failure() {
        let lanes = Lanes::new(1024);
        let healthy = lane(1, 1, true);
        let first = lanes.reserve(&healthy).unwrap();
        assert!(lanes.reserve(&healthy).is_none());
        first.ended(true);
        let four: Vec<Place> = (0..4).map(|_| lanes.reserve(&healthy).unwrap()).collect();
        assert!(lanes.reserve(&healthy).is_none());
        assert!(lanes.reserve(&lane(1, 1, false)).is_none(), "another process saw it fail");
        drop(four);
        lanes.reserve(&healthy).unwrap().ended(false);
        let _one = lanes.reserve(&healthy).unwrap();
        assert!(lanes.reserve(&healthy).is_none());
        assert_eq!(lanes.full().webhooks, [Uuid::from_u128(1)]);
    }

    #[test]
    fn freed_is_notified_where_there_was_no_place() {
        let lanes = Lanes::new(100);
        let is_notified = || std::pin::pin!(lanes.freed().notified()).enable();
        let healthy = lane(1, 1, true);
        lanes.reserve(&healthy).unwrap().ended(true);
        assert!(is_notified(), "it had one place");
        let mut four: Vec<Place> = (0..4).map(|_| lanes.reserve(&healthy).unwrap()).collect();
        four.pop().unwrap().ended(true);
        assert!(is_notified());
        four.pop().unwrap().ended(true);
        assert!(!is_notified(), "it had a place left");
        four.pop().unwrap().ended(false);
        assert!(is_notified(), "after a failure it has one place, and that is taken");
        drop(four);
        assert!(is_notified());
        let mut others: Vec<Place> =
            (10..85).filter_map(|one| lanes.reserve(&lane(one, 10, false))).collect();
        assert_eq!(others.len(), 48);
        others.extend((100..127).filter_map(|one| lanes.reserve(&lane(one, 11, false))));
        assert_eq!(others.len(), 75);
        lanes.reserve(&lane(1, 1, true)).unwrap().ended(true);
        assert!(is_notified(), "it had one place");
        lanes.reserve(&lane(1, 1, true)).unwrap().ended(true);
        assert!(!is_notified(), "the process is full for others alone");
        others.pop();
        assert!(is_notified());
    }

    #[test]
    fn process_is_full_until_outcomes_are_written() {
        let lanes = Lanes::new(2);
        let is_notified = || std::pin::pin!(lanes.freed().notified()).enable();
        let (one, other) = (lane(1, 1, true), lane(2, 2, true));
        let ended = lanes.reserve(&one).unwrap().ended(true);
        assert!(is_notified(), "it had one place");
        let _second = lanes.reserve(&one).unwrap();
        assert!(lanes.reserve(&other).is_none());
        assert_eq!(lanes.full(), Full { free: 0, unhealthy: true, ..lanes.full() });
        drop(ended);
        assert!(is_notified());
        let third = lanes.reserve(&one).unwrap().ended(true);
        assert!(!is_notified(), "the process is full");
        drop(third);
        assert!(is_notified());
        assert!(lanes.reserve(&other).is_some());
    }

    #[test]
    fn unhealthy_webhooks_leave_a_quarter_of_an_origin_and_of_the_process() {
        let lanes = Lanes::new(100);
        let at_one: Vec<Place> = (0..64).filter_map(|one| lanes.reserve(&lane(one, 1, false))).collect();
        assert_eq!(at_one.len(), 48);
        let others: Vec<Place> = (100..200).filter_map(|one| lanes.reserve(&lane(one, 2, false))).collect();
        assert_eq!(at_one.len() + others.len(), 75);
        assert!(lanes.full().unhealthy);
        let healthy: Vec<Place> = (200..300).filter_map(|one| lanes.reserve(&lane(one, 1, true))).collect();
        assert_eq!(healthy.len(), 16, "the origin is full");
        assert_eq!(lanes.full().origins, [Arc::<[u8]>::from([1])]);
        let rest: Vec<Place> = (300..400).filter_map(|one| lanes.reserve(&lane(one, 3, true))).collect();
        assert_eq!((rest.len(), lanes.full().free), (9, 0));
        drop((at_one, others, healthy, rest));
        assert_eq!(lanes.full(), Full { free: 100, ..Full::default() });
    }

    #[test]
    fn proven_webhooks_of_one_origin_share_its_places() {
        let lanes = Lanes::new(1024);
        for one in 0..20 {
            prove(&lanes, &lane(one, 1, true));
        }
        let taken: Vec<Place> = (0..20)
            .flat_map(|one| (0..4).filter_map(|_| lanes.reserve(&lane(one, 1, true))).collect::<Vec<_>>())
            .collect();
        assert_eq!(taken.len(), 64);
    }
}
