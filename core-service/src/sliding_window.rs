//! How often something may happen in a minute or in another time, for each key.
//!
//! A sliding window, which is exact: no minute has more than the limit. A token bucket would allow nearly
//! twice as many in its first minute. Knows no clock: the time comes in.

use std::borrow::Borrow;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

/// The length of the window, unless it has another.
pub(crate) const WINDOW: Duration = Duration::from_secs(60);
/// The most keys in memory. When more were active in the last minute, those with the fewest entries are
/// forgotten.
const MAX_KEYS: usize = 20_000;

/// What happened in the last minute by key, the oldest first, with what is known of each.
#[derive(Debug)]
pub(crate) struct SlidingWindow<Key, Entry> {
    /// Entries in a window for each key.
    limit: usize,
    length: Duration,
    entries: HashMap<Key, VecDeque<(Instant, Entry)>>,
}

impl<Key: Hash + Eq, Entry> SlidingWindow<Key, Entry> {
    pub(crate) fn new(limit: usize) -> Self {
        Self::of_length(limit, WINDOW)
    }

    /// One whose window has another length than a minute.
    pub(crate) fn of_length(limit: usize, length: Duration) -> Self {
        Self { limit, length, entries: HashMap::new() }
    }

    /// Whether `key` is below its limit; if not, how long until it is.
    pub(crate) fn check<Q: Hash + Eq + ?Sized>(&mut self, key: &Q, now: Instant) -> Result<(), Duration>
    where
        Key: Borrow<Q>,
    {
        let Some(entries) = self.entries.get_mut(key) else { return Ok(()) };
        while let Some((first, _)) = entries.front() {
            let age = now.duration_since(*first);
            if age < self.length {
                if entries.len() < self.limit {
                    return Ok(());
                }
                return Err(self.length.saturating_sub(age));
            }
            entries.pop_front();
        }
        Ok(())
    }

    /// Counts something that happens now.
    pub(crate) fn add(&mut self, key: Key, now: Instant, entry: Entry) {
        if self.entries.len() >= MAX_KEYS && !self.entries.contains_key(&key) {
            self.make_room(now);
        }
        self.entries.entry(key).or_default().push_back((now, entry));
    }

    /// What is counted of `key`, with its times.
    pub(crate) fn of<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> impl Iterator<Item = (Instant, &Entry)>
    where
        Key: Borrow<Q>,
    {
        self.entries.get(key).into_iter().flatten().map(|(at, entry)| (*at, entry))
    }

    /// What is counted of `key`, to be changed.
    pub(crate) fn of_mut<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> impl Iterator<Item = &mut Entry>
    where
        Key: Borrow<Q>,
    {
        self.entries.get_mut(key).into_iter().flatten().map(|(_, entry)| entry)
    }

    /// Forgets the keys without an entry in the last minute; if that is not enough, those with the fewest.
    fn make_room(&mut self, now: Instant) {
        let mut fewest = 0;
        while self.entries.len() >= MAX_KEYS {
            self.entries.retain(|_, entries| {
                let active = entries.back().is_some_and(|(last, _)| now.duration_since(*last) < self.length);
                active && entries.len() > fewest
            });
            fewest += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn those_with_the_fewest_are_forgotten() {
        let mut window = SlidingWindow::new(2);
        let now = Instant::now();
        for _ in 0..2 {
            window.add("busy".to_owned(), now, ());
        }
        for number in 0..2 * MAX_KEYS {
            window.add(number.to_string(), now, ());
            assert!(window.entries.len() <= MAX_KEYS);
        }
        assert_eq!(window.check("busy", now), Err(WINDOW));
        assert_eq!(window.check("one more", now), Ok(()));
        // All have as many.
        for number in 0..2 * MAX_KEYS {
            window.add((number / 2).to_string(), now, ());
            assert!(window.entries.len() <= MAX_KEYS);
        }
    }
}
