//! Rate limits of probes: for each DID, for each host, and for each address that is connected to; and how
//! many a DID may have under way.
//!
//! The limits hold for each process.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::PROBE_LIMIT;
use crate::domain::did::Did;
use crate::sliding_window::SlidingWindow;

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
    dids: SlidingWindow<String, Probe>,
    hosts: SlidingWindow<String, ()>,
    addresses: SlidingWindow<IpAddr, ()>,
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
            check_under_way(dids.of(owner.as_str()), now)?;
            hosts.check(host, now)?;
            *next += 1;
            dids.add(owner.as_str().to_owned(), now, Probe::begun(*next));
            hosts.add(host.to_owned(), now, ());
            let unreached = dids.of(owner.as_str()).filter(|(_, probe)| !probe.reached).count();
            Ok(Begun { number: *next, unreached })
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
        self.with(|Windows { addresses, .. }| {
            addresses.check(&network, now)?;
            addresses.add(network, now, ());
            Ok(())
        })
    }

    /// The probe with this number has ended by itself.
    pub(super) fn end(&self, owner: &Did, number: u64, reached: bool) {
        self.with(|windows| {
            for probe in windows.dids.of_mut(owner.as_str()).filter(|probe| probe.number == number) {
                (probe.ended, probe.reached) = (true, reached);
            }
        });
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

/// What is known of a probe.
#[derive(Debug, Clone, Copy)]
struct Probe {
    number: u64,
    ended: bool,
    reached: bool,
}

impl Probe {
    fn begun(number: u64) -> Self {
        Self { number, ended: false, reached: false }
    }
}

/// Whether few enough probes are under way of those that began at these times; if not, how long until there
/// are at the latest.
fn check_under_way<'a>(
    probes: impl Iterator<Item = (Instant, &'a Probe)>,
    now: Instant,
) -> Result<(), Duration> {
    let left = probes.filter(|(_, probe)| !probe.ended).filter_map(|(begun, _)| {
        let left = PROBE_LIMIT.saturating_sub(now.duration_since(begun));
        (!left.is_zero()).then_some(left)
    });
    let left: Vec<Duration> = left.collect();
    // The oldest is the first.
    if left.len() < UNDER_WAY_FOR_EACH_DID { Ok(()) } else { Err(left[0]) }
}

#[cfg(test)]
mod tests;
