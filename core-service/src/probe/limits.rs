//! Rate limits of probes: for each DID, and for each host.
//!
//! A sliding window, which is exact: no minute has more probes than the limit. A token bucket would allow
//! nearly twice as many in its first minute. The limits hold for each process.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::did::Did;

/// Probes a minute for each DID (docs/methods.md, "Unreachable").
const FOR_EACH_DID: usize = 30;
/// Probes a minute for each host (docs/methods.md, "Unreachable").
const FOR_EACH_HOST: usize = 60;
/// The length of the window.
const WINDOW: Duration = Duration::from_secs(60);
/// The most DIDs in memory, and the most hosts. While so many were active in the last minute, others are
/// refused.
const MAX_KEYS: usize = 20_000;

/// The probes of the last minute, by DID and by host.
#[derive(Debug)]
pub(super) struct ProbeLimits(Mutex<Windows>);

#[derive(Debug)]
struct Windows {
    dids: SlidingWindow,
    hosts: SlidingWindow,
}

impl ProbeLimits {
    pub(super) fn new() -> Self {
        let dids = SlidingWindow::new(FOR_EACH_DID);
        let hosts = SlidingWindow::new(FOR_EACH_HOST);
        Self(Mutex::new(Windows { dids, hosts }))
    }

    /// Counts a probe of `host` for `owner`, if neither is at its limit.
    ///
    /// # Errors
    ///
    /// How long to wait. Then nothing is counted.
    pub(super) fn take(&self, owner: &Did, host: &str) -> Result<(), Duration> {
        let now = Instant::now();
        // With the dot of the DNS root it is the same host.
        let host = host.strip_suffix('.').unwrap_or(host);
        // Poison is no problem: nothing below can panic between two changes.
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Windows { dids, hosts } = &mut *windows;
        dids.check(owner.as_str(), now)?;
        hosts.check(host, now)?;
        dids.add(owner.as_str(), now);
        hosts.add(host, now);
        Ok(())
    }
}

/// The times of the last minute's probes by key, the oldest first.
#[derive(Debug)]
struct SlidingWindow {
    /// Probes a minute for each key.
    limit: usize,
    times: HashMap<String, VecDeque<Instant>>,
}

impl SlidingWindow {
    fn new(limit: usize) -> Self {
        Self { limit, times: HashMap::new() }
    }

    /// Whether `key` is below its limit; if not, how long until it is.
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
        let limits = ProbeLimits::new();
        for number in 0..FOR_EACH_DID {
            assert_eq!(limits.take(&did(1), &format!("{number}.example")), Ok(()));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(limits.take(&did(1), "new.example"), Err(Duration::from_secs(30)));
        assert_eq!(limits.take(&did(2), "new.example"), Ok(()));
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(limits.take(&did(1), "new.example"), Ok(()));
        assert_eq!(limits.take(&did(1), "new.example"), Err(Duration::from_secs(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn sixty_a_minute_for_a_host() {
        let limits = ProbeLimits::new();
        for number in 0..FOR_EACH_HOST {
            assert_eq!(limits.take(&did(number), "a.example"), Ok(()));
        }
        assert_eq!(limits.take(&did(1), "a.example"), Err(WINDOW));
        assert_eq!(limits.take(&did(1), "b.example"), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn dot_of_the_root_makes_no_other_host() {
        let limits = ProbeLimits::new();
        for number in 0..FOR_EACH_HOST {
            let host = ["a.example", "a.example."][number % 2];
            assert_eq!(limits.take(&did(number), host), Ok(()));
        }
        assert_eq!(limits.take(&did(1), "a.example"), Err(WINDOW));
        assert_eq!(limits.take(&did(1), "a.example."), Err(WINDOW));
    }

    #[tokio::test(start_paused = true)]
    async fn refused_probe_of_a_host_costs_the_did_nothing() {
        let limits = ProbeLimits::new();
        for number in 0..FOR_EACH_HOST {
            limits.take(&did(number), "a.example").unwrap();
        }
        for _ in 0..FOR_EACH_DID {
            assert_eq!(limits.take(&did(1000), "a.example"), Err(WINDOW));
        }
        assert_eq!(limits.take(&did(1000), "b.example"), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded() {
        let mut window = SlidingWindow::new(1);
        let now = Instant::now();
        for number in 0..MAX_KEYS {
            window.add(&number.to_string(), now);
        }
        assert_eq!(window.check("one more", now), Err(WINDOW));
        assert_eq!(window.check("one more", now + WINDOW), Ok(()));
        assert_eq!(window.times.len(), 0);
    }
}
