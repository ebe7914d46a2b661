//! Which host is next, and when. Pure: the time is handed in.

use std::time::Duration;

use tokio::time::Instant;

use crate::options::Timing;

/// After how many tries without a word the next host is tried.
const BARREN_TRIES: u32 = 2;

/// The hosts in the order of preference, by number.
#[derive(Debug)]
pub(crate) struct Hosts {
    count: usize,
    current: usize,
    /// Tries of the current host in a row without a word from it.
    barren: u32,
    /// Tries in a row, of any host, without a connection that lasted.
    failures: u32,
    /// Since when it is not the first host.
    away_since: Option<Instant>,
}

impl Hosts {
    pub(crate) fn new(count: usize) -> Self {
        Self { count, current: 0, barren: 0, failures: 0, away_since: None }
    }

    pub(crate) fn current(&self) -> usize {
        self.current
    }

    /// The host said something.
    pub(crate) fn heard(&mut self) {
        self.barren = 0;
    }

    /// A try without a word. Gives how long to wait for the next; `jitter` is between 0 and 1.
    pub(crate) fn barren(&mut self, now: Instant, timing: &Timing, jitter: f64) -> Duration {
        self.failures += 1;
        self.barren += 1;
        if self.barren < BARREN_TRIES || self.count == 1 {
            return self.wait(timing, jitter);
        }
        self.barren = 0;
        self.current = (self.current + 1) % self.count;
        if self.current == 0 {
            self.away_since = None;
            return self.wait(timing, jitter);
        }
        self.away_since = Some(now);
        Duration::ZERO
    }

    /// A connection broke that had said something. Gives how long to wait for the next.
    pub(crate) fn cut(&mut self, lasted: Duration, timing: &Timing, jitter: f64) -> Duration {
        self.failures = if lasted >= timing.barren { 1 } else { self.failures + 1 };
        self.wait(timing, jitter)
    }

    /// When the first host is tried again.
    pub(crate) fn first_again(&self, timing: &Timing) -> Option<Instant> {
        Some(self.away_since? + timing.first_host)
    }

    pub(crate) fn back_to_first(&mut self) {
        self.current = 0;
        self.barren = 0;
        self.away_since = None;
    }

    /// Full jitter: anything up to a ceiling that doubles.
    fn wait(&self, timing: &Timing, jitter: f64) -> Duration {
        let doubled = 2_u32.saturating_pow(self.failures.saturating_sub(1));
        let ceiling = timing.least_wait.saturating_mul(doubled).min(timing.most_wait);
        ceiling.mul_f64(jitter.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::Hosts;
    use crate::options::Timing;

    #[test]
    fn two_barren_tries_and_the_next_host() {
        let (timing, now) = (Timing::default(), Instant::now());
        let mut hosts = Hosts::new(2);
        assert_eq!(hosts.barren(now, &timing, 1.0), Duration::from_millis(250));
        assert_eq!((hosts.current(), hosts.first_again(&timing)), (0, None));
        assert_eq!(hosts.barren(now, &timing, 1.0), Duration::ZERO);
        assert_eq!((hosts.current(), hosts.first_again(&timing)), (1, Some(now + Duration::from_secs(3600))));
        hosts.heard();
        hosts.barren(now, &timing, 1.0);
        hosts.heard();
        hosts.barren(now, &timing, 1.0);
        assert_eq!(hosts.current(), 1, "it spoke in between");
        hosts.barren(now, &timing, 1.0);
        assert_eq!((hosts.current(), hosts.first_again(&timing)), (0, None));
    }

    #[test]
    fn waits_double_up_to_thirty_seconds() {
        let (timing, now) = (Timing::default(), Instant::now());
        let mut hosts = Hosts::new(1);
        let waits: Vec<_> = (0..9).map(|_| hosts.barren(now, &timing, 1.0).as_millis()).collect();
        assert_eq!(waits, [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
        assert_eq!(hosts.barren(now, &timing, 0.5), Duration::from_secs(15));
        for _ in 0..100 {
            hosts.barren(now, &timing, 0.0);
        }
        assert_eq!(
            hosts.cut(Duration::from_secs(1), &timing, 1.0),
            Duration::from_secs(30),
            "it lasted no time"
        );
        assert_eq!(hosts.cut(Duration::from_secs(5), &timing, 1.0), Duration::from_millis(250));
    }

    /// Silent for 45 s, then two tries of 5 s: what is left of a minute is more than the waits between.
    #[test]
    fn a_silent_host_is_left_within_a_minute() {
        let (timing, now) = (Timing::default(), Instant::now());
        let mut hosts = Hosts::new(2);
        hosts.heard();
        let mut gone = timing.silence + hosts.cut(timing.silence, &timing, 1.0);
        while hosts.current() == 0 {
            gone += timing.barren + hosts.barren(now, &timing, 1.0);
        }
        assert!(gone < Duration::from_secs(60), "{gone:?}");
    }
}
