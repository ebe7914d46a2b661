//! The places of the probes that are under way, of all DIDs together.
//!
//! When all are taken and one more begins, a probe gives way: of the DID that has reached the fewest of its
//! hosts in the last minute, and of equals the one that began first. So neither names whose DNS never answers
//! nor hosts that accept connections and say nothing can keep out a caller whose URL answers.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use super::limits::Begun;

/// The places, by the number of the probe.
#[derive(Debug, Clone)]
pub(super) struct Places {
    limit: usize,
    taken: Arc<Mutex<BTreeMap<u64, Taken>>>,
}

#[derive(Debug)]
struct Taken {
    unreached: usize,
    /// Dropped when the probe has to give way.
    _held: oneshot::Sender<()>,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    number: u64,
    places: Places,
    lost: oneshot::Receiver<()>,
}

impl Places {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, taken: Arc::default() }
    }

    /// A place for a probe. It is lost at once if this is the probe that gives way.
    pub(super) fn take(&self, probe: Begun) -> Place {
        let Begun { number, unreached } = probe;
        let (held, lost) = oneshot::channel();
        self.with(|taken| {
            taken.insert(number, Taken { unreached, _held: held });
            if taken.len() > self.limit {
                let loser = taken.iter().max_by_key(|(number, taken)| (taken.unreached, Reverse(**number)));
                if let Some(loser) = loser.map(|(number, _)| *number) {
                    taken.remove(&loser);
                }
            }
        });
        Place { number, places: self.clone(), lost }
    }

    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<u64, Taken>) -> T) -> T {
        // Poison is no problem: no change panics half-way.
        work(&mut self.taken.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Place {
    /// Returns when the probe has to give way.
    pub(super) async fn lost(&mut self) {
        // Nothing is sent: the other end is dropped.
        let _ = (&mut self.lost).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.with(|taken| taken.remove(&self.number));
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot::error::TryRecvError;

    use super::*;

    fn is_lost(place: &mut Place) -> bool {
        place.lost.try_recv() == Err(TryRecvError::Closed)
    }

    #[test]
    fn who_gives_way() {
        let places = Places::new(3);
        let mut taken = Vec::new();
        // How many the DID has not reached, and which probe gives way.
        for (unreached, loser) in
            [(1, None), (2, None), (1, None), (1, Some(1)), (1, Some(0)), (5, Some(5)), (1, Some(2))]
        {
            let before: Vec<bool> = taken.iter_mut().map(is_lost).collect();
            taken.push(places.take(Begun { number: taken.len() as u64, unreached }));
            let after: Vec<bool> = taken.iter_mut().map(is_lost).collect();
            let newly = (0..taken.len()).find(|index| after[*index] && before.get(*index) != Some(&true));
            assert_eq!(newly, loser);
        }
    }

    #[test]
    fn dropped_place_is_free() {
        let places = Places::new(1);
        drop(places.take(Begun { number: 0, unreached: 1 }));
        let mut second = places.take(Begun { number: 1, unreached: 1 });
        assert!(!is_lost(&mut second));
        let mut third = places.take(Begun { number: 2, unreached: 1 });
        assert!(is_lost(&mut second));
        drop(second);
        assert!(!is_lost(&mut third));
        assert_eq!(places.with(|taken| taken.len()), 1);
    }
}
