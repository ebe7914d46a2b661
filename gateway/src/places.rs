//! Places: how many things may be in progress at once, in all and for each of those they are counted for.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A number of places, of which each key gets only a part.
pub(crate) struct Places<K: Eq + Hash> {
    all: usize,
    each: usize,
    taken: Mutex<Taken<K>>,
}

struct Taken<K> {
    all: usize,
    /// Keys without a place are left out.
    by_key: HashMap<K, usize>,
}

/// A place that is taken until this is dropped.
pub(crate) struct Place<K: Eq + Hash> {
    places: Arc<Places<K>>,
    key: K,
}

impl<K: Eq + Hash> Places<K> {
    /// So many places in all, and for each key.
    pub(crate) fn new(all: usize, each: usize) -> Arc<Self> {
        Arc::new(Self { all, each, taken: Mutex::new(Taken { all: 0, by_key: HashMap::new() }) })
    }

    /// Takes a place for `key`. Returns `None` if all places are taken, or all that it may have.
    pub(crate) fn take(self: &Arc<Self>, key: K) -> Option<Place<K>>
    where
        K: Clone,
    {
        let mut taken = self.taken();
        let own = taken.by_key.get(&key).copied().unwrap_or_default();
        if taken.all >= self.all || own >= self.each {
            return None;
        }
        taken.all += 1;
        taken.by_key.insert(key.clone(), own + 1);
        drop(taken);
        Some(Place { places: Arc::clone(self), key })
    }

    fn taken(&self) -> MutexGuard<'_, Taken<K>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all -= 1;
        if let Some(own) = taken.by_key.get_mut(&self.key) {
            *own -= 1;
            if *own == 0 {
                taken.by_key.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Places;

    #[test]
    fn each_key_gets_its_part() {
        let places = Places::new(3, 2);
        let first = places.take("a").unwrap();
        let second = places.take("a").unwrap();
        assert!(places.take("a").is_none());
        let other = places.take("b").unwrap();
        assert!(places.take("b").is_none(), "all are taken");
        drop(first);
        let again = places.take("b").unwrap();
        assert!(places.take("c").is_none());
        drop((second, other, again));
        assert!(places.taken().by_key.is_empty());
        assert_eq!(places.taken().all, 0);
    }
}
