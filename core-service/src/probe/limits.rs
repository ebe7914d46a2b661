//! Rate limits of probes: for each DID, for each host, and for each address that is connected to; and how
//! many a DID may have under way.
//!
//! A sliding window, which is exact: no minute has more probes than the limit. A token bucket would allow
//! nearly twice as many in its first minute. The limits hold for each process.

use std::borrow::Borrow;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::PROBE_LIMIT;
use crate::domain::did::Did;

/// Probes a minute for each DID (docs/methods.md, "Unreachable").
const FOR_EACH_DID: usize = 30;
/// Probes a minute for each host (docs/methods.md, "Unreachable").
const FOR_EACH_HOST: usize = 60;
/// Connections a minute to each IPv4 address and to each IPv6 network of [`NETWORK_BITS`]: many names may
/// lead to one address.
const FOR_EACH_ADDRESS: usize = 60;
/// Probes that a DID may have under way. One that was broken off, because its caller left or had to give way
/// to others, counts until [`PROBE_LIMIT`] has passed: otherwise a DID could start new ones all the faster.
const UNDER_WAY_FOR_EACH_DID: usize = 4;
/// The length of the window.
const WINDOW: Duration = Duration::from_secs(60);
/// The most DIDs in memory, the most hosts, and the most addresses. When more were active in the last minute,
/// those with the fewest probes are forgotten.
const MAX_KEYS: usize = 20_000;
/// One customer has this much of an IPv6 address, in bits.
const NETWORK_BITS: u32 = 64;

/// A probe that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Begun {
    /// A later probe has a higher one.
    pub(super) number: u64,
    /// How many probes of its DID in the last minute have reached nothing, or not yet; itself among them.
    pub(super) unreached: usize,
}

/// The probes of the last minute, by DID, by host and by address.
#[derive(Debug)]
pub(super) struct ProbeLimits(Mutex<Windows>);

#[derive(Debug)]
struct Windows {
    dids: SlidingWindow<String>,
    hosts: SlidingWindow<String>,
    addresses: SlidingWindow<IpAddr>,
    /// The number of the next probe.
    next: u64,
}

impl ProbeLimits {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Windows {
            dids: SlidingWindow::new(FOR_EACH_DID),
            hosts: SlidingWindow::new(FOR_EACH_HOST),
            addresses: SlidingWindow::new(FOR_EACH_ADDRESS),
            next: 0,
        }))
    }

    /// Counts a probe of `host` for `owner`, if neither is at its limit.
    ///
    /// # Errors
    ///
    /// How long to wait. Then nothing is counted.
    pub(super) fn begin(&self, owner: &Did, host: &str) -> Result<Begun, Duration> {
        let now = Instant::now();
        // With the dot of the DNS root it is the same host.
        let host = host.strip_suffix('.').unwrap_or(host);
        self.with(|Windows { dids, hosts, next, addresses: _ }| {
            dids.check(owner.as_str(), now)?;
            dids.check_under_way(owner.as_str(), now)?;
            hosts.check(host, now)?;
            *next += 1;
            dids.add(owner.as_str().to_owned(), now, *next);
            hosts.add(host.to_owned(), now, *next);
            Ok(Begun { number: *next, unreached: dids.unreached(owner.as_str()) })
        })
    }

    /// Counts a connection to `address`, if it is not at its limit.
    ///
    /// # Errors
    ///
    /// How long to wait. Then nothing is counted.
    pub(super) fn connect(&self, address: IpAddr) -> Result<(), Duration> {
        let now = Instant::now();
        let network = network(address);
        self.with(|Windows { addresses, next, .. }| {
            addresses.check(&network, now)?;
            *next += 1;
            addresses.add(network, now, *next);
            Ok(())
        })
    }

    /// The probe with this number has ended by itself.
    pub(super) fn end(&self, owner: &Did, number: u64, reached: bool) {
        self.with(|windows| windows.dids.end(owner.as_str(), number, reached));
    }

    fn with<T>(&self, work: impl FnOnce(&mut Windows) -> T) -> T {
        // Poison is no problem: no change panics half-way.
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What is counted as one address: an IPv4 address, also where an IPv6 address embeds it, or an IPv6 network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => match address.octets() {
            // NAT64 (RFC 6052)
            [0x00, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, ref embedded @ ..] => {
                Ipv4Addr::from(*embedded).into()
            }
            _ => Ipv6Addr::from_bits(address.to_bits() >> NETWORK_BITS << NETWORK_BITS).into(),
        },
        ipv4 => ipv4,
    }
}

#[derive(Debug, Clone, Copy)]
struct Probe {
    number: u64,
    begun: Instant,
    ended: bool,
    reached: bool,
}

/// The last minute's probes by key, the oldest first.
#[derive(Debug)]
pub(crate) struct SlidingWindow<Key> {
    /// Probes a minute for each key.
    limit: usize,
    probes: HashMap<Key, VecDeque<Probe>>,
}

impl<Key: Hash + Eq> SlidingWindow<Key> {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, probes: HashMap::new() }
    }

    /// Whether `key` is below its limit; if not, how long until it is.
    pub(crate) fn check<Q: Hash + Eq + ?Sized>(&mut self, key: &Q, now: Instant) -> Result<(), Duration>
    where
        Key: Borrow<Q>,
    {
        let Some(probes) = self.probes.get_mut(key) else { return Ok(()) };
        while let Some(first) = probes.front() {
            let age = now.duration_since(first.begun);
            if age < WINDOW {
                if probes.len() < self.limit {
                    return Ok(());
                }
                return Err(WINDOW.saturating_sub(age));
            }
            probes.pop_front();
        }
        Ok(())
    }

    /// Whether `key` has few enough probes under way; if not, how long until it has at the latest.
    fn check_under_way<Q: Hash + Eq + ?Sized>(&self, key: &Q, now: Instant) -> Result<(), Duration>
    where
        Key: Borrow<Q>,
    {
        let probes = self.probes.get(key).into_iter().flatten();
        let left = probes.filter(|probe| !probe.ended).filter_map(|probe| {
            let left = PROBE_LIMIT.saturating_sub(now.duration_since(probe.begun));
            (!left.is_zero()).then_some(left)
        });
        let left: Vec<Duration> = left.collect();
        // The oldest is the first.
        if left.len() < UNDER_WAY_FOR_EACH_DID { Ok(()) } else { Err(left[0]) }
    }

    /// How many probes of `key` have not reached their hosts.
    fn unreached<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> usize
    where
        Key: Borrow<Q>,
    {
        self.probes.get(key).into_iter().flatten().filter(|probe| !probe.reached).count()
    }

    pub(crate) fn add(&mut self, key: Key, now: Instant, number: u64) {
        if self.probes.len() >= MAX_KEYS && !self.probes.contains_key(&key) {
            self.make_room(now);
        }
        self.probes.entry(key).or_default().push_back(Probe {
            number,
            begun: now,
            ended: false,
            reached: false,
        });
    }

    /// Forgets the keys without a probe in the last minute; if that is not enough, those with the fewest.
    fn make_room(&mut self, now: Instant) {
        let mut fewest = 0;
        while self.probes.len() >= MAX_KEYS {
            self.probes.retain(|_, probes| {
                let active = probes.back().is_some_and(|last| now.duration_since(last.begun) < WINDOW);
                active && probes.len() > fewest
            });
            fewest += 1;
        }
    }

    fn end<Q: Hash + Eq + ?Sized>(&mut self, key: &Q, number: u64, reached: bool)
    where
        Key: Borrow<Q>,
    {
        let probes = self.probes.get_mut(key).into_iter().flatten();
        for probe in probes.filter(|probe| probe.number == number) {
            (probe.ended, probe.reached) = (true, reached);
        }
    }
}

#[cfg(test)]
mod tests;
