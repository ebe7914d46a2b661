//! How often URLs may be tried: for each owner, and for each host that is tried.
//!
//! Exact: of any minute, no more than the limit. (A token bucket would let nearly twice as many through in its
//! first minute.) The limits hold for each process.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::did::Did;

/// Probes in a minute for each DID (METHODS.md, "Unreachable").
const FOR_EACH_DID: usize = 30;
/// Probes in a minute for each target host (METHODS.md, "Unreachable").
const FOR_EACH_HOST: usize = 60;
/// What "a minute" is.
const WINDOW: Duration = Duration::from_secs(60);
/// DIDs, and hosts, that are remembered. While as many were active within a minute, new ones wait.
const MAX_KEYS: usize = 20_000;

/// The tries of the last minute.
#[derive(Debug)]
pub(crate) struct Tries(Mutex<Both>);

#[derive(Debug)]
struct Both {
    dids: Recent,
    hosts: Recent,
}

impl Tries {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Both { dids: Recent::new(FOR_EACH_DID), hosts: Recent::new(FOR_EACH_HOST) }))
    }

    /// Counts a try of `host` for `owner`, if both may have one more.
    ///
    /// # Errors
    ///
    /// How long to wait. Nothing is counted then.
    pub(crate) fn count(&self, owner: &Did, host: &str) -> Result<(), Duration> {
        let now = Instant::now();
        // A name with the root's dot is the same host.
        let host = host.strip_suffix('.').unwrap_or(host);
        // The counts are whole after a panic, too: nothing between their changes can panic.
        let mut both = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Both { dids, hosts } = &mut *both;
        dids.check(owner.as_str(), now)?;
        hosts.check(host, now)?;
        dids.add(owner.as_str(), now);
        hosts.add(host, now);
        Ok(())
    }
}

/// The times of the last minute's tries, by key, each list in order.
#[derive(Debug)]
struct Recent {
    limit: usize,
    times: HashMap<String, VecDeque<Instant>>,
}

impl Recent {
    fn new(limit: usize) -> Self {
        Self { limit, times: HashMap::new() }
    }

    /// Whether `key` may be tried once more; otherwise how long until it may.
    fn check(&mut self, key: &str, now: Instant) -> Result<(), Duration> {
        if !self.times.contains_key(key) && self.times.len() >= MAX_KEYS {
            self.times.retain(|_, times| times.back().is_some_and(|last| now.duration_since(*last) < WINDOW));
            if self.times.len() >= MAX_KEYS {
                return Err(WINDOW);
            }
        }
        let Some(times) = self.times.get_mut(key) else { return Ok(()) };
        while let Some(first) = times.front() {
            let age = now.duration_since(*first);
            if age < WINDOW {
                if times.len() < self.limit {
                    return Ok(());
                }
                return Err(WINDOW.saturating_sub(age));
            }
            times.pop_front();
        }
        Ok(())
    }

    fn add(&mut self, key: &str, now: Instant) {
        self.times.entry(key.to_owned()).or_default().push_back(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn did(number: usize) -> Did {
        format!("did:plc:{number}").parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn thirty_a_minute_for_a_did() {
        let tries = Tries::new();
        for number in 0..FOR_EACH_DID {
            assert_eq!(tries.count(&did(1), &format!("{number}.example")), Ok(()));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(tries.count(&did(1), "new.example"), Err(Duration::from_secs(30)));
        assert_eq!(tries.count(&did(2), "new.example"), Ok(()));
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(tries.count(&did(1), "new.example"), Ok(()));
        assert_eq!(tries.count(&did(1), "new.example"), Err(Duration::from_secs(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn sixty_a_minute_for_a_host() {
        let tries = Tries::new();
        for number in 0..FOR_EACH_HOST {
            assert_eq!(tries.count(&did(number), "a.example"), Ok(()));
        }
        assert_eq!(tries.count(&did(1), "a.example"), Err(WINDOW));
        assert_eq!(tries.count(&did(1), "b.example"), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn dot_of_the_root_makes_no_other_host() {
        let tries = Tries::new();
        for number in 0..FOR_EACH_HOST {
            let host = ["a.example", "a.example."][number % 2];
            assert_eq!(tries.count(&did(number), host), Ok(()));
        }
        assert_eq!(tries.count(&did(1), "a.example"), Err(WINDOW));
        assert_eq!(tries.count(&did(1), "a.example."), Err(WINDOW));
    }

    #[tokio::test(start_paused = true)]
    async fn refused_try_of_a_host_costs_the_did_nothing() {
        let tries = Tries::new();
        for number in 0..FOR_EACH_HOST {
            tries.count(&did(number), "a.example").unwrap();
        }
        for _ in 0..FOR_EACH_DID {
            assert_eq!(tries.count(&did(1000), "a.example"), Err(WINDOW));
        }
        assert_eq!(tries.count(&did(1000), "b.example"), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded() {
        let mut recent = Recent::new(1);
        let now = Instant::now();
        for number in 0..MAX_KEYS {
            recent.add(&number.to_string(), now);
        }
        assert_eq!(recent.check("one more", now), Err(WINDOW));
        assert_eq!(recent.check("one more", now + WINDOW), Ok(()));
        assert_eq!(recent.times.len(), 0);
    }
}
