//! How look-ups are shared among client addresses: whoever asks for little is not kept waiting by somebody
//! who asks for much.
//!
//! A limit has two halves. One is reserved for addresses that stay within a share of their own; the other
//! takes what is beyond. So an address that invents DIDs uses up its share and the common half, and others
//! still have the reserved one.

use std::num::NonZeroU32;
use std::sync::Arc;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use quick_cache::sync::Cache;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use crate::client_address::ClientAddress;

/// The share of one address in a limit: one in so many.
const SHARE_DIVISOR: u32 = 5;

/// The most addresses whose share is remembered.
const MAX_ADDRESSES: usize = 10_000;

/// A rate limit and a limit of look-ups at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowance {
    pub(crate) per_second: NonZeroU32,
    pub(crate) burst: NonZeroU32,
    pub(crate) at_once: usize,
}

/// The half of a limit that a look-up counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Half {
    /// For addresses within their share.
    Reserved,
    /// For everybody.
    Common,
}

/// A rate limit in two halves.
pub(super) struct SharedRate {
    reserved: DefaultDirectRateLimiter,
    common: DefaultDirectRateLimiter,
}

/// The limits on look-ups of one kind, shared among addresses.
pub(super) struct SharedLimiter {
    rate: SharedRate,
    /// The rate is checked first, which bounds how many wait for a permit.
    reserved: Semaphore,
    common: Semaphore,
    shares: Cache<ClientAddress, Arc<Share>>,
    allowance: Allowance,
}

/// The share of one address.
struct Share {
    rate: DefaultDirectRateLimiter,
    at_once: Arc<Semaphore>,
}

/// A look-up that the rate limits admit.
pub(super) struct Admission {
    half: Half,
    /// The place in the address's share, in the reserved half.
    _own: Option<OwnedSemaphorePermit>,
}

impl Admission {
    /// Whether it counts for the reserved half, where its turn comes soon.
    pub(super) fn is_reserved(&self) -> bool {
        self.half == Half::Reserved
    }
}

impl SharedRate {
    /// Half of `quota` for each half, at least one.
    pub(super) fn new(per_period: impl Fn(NonZeroU32) -> Quota, rate: NonZeroU32, burst: NonZeroU32) -> Self {
        let half = || RateLimiter::direct(per_period(part(rate, 2)).allow_burst(part(burst, 2)));
        Self { reserved: half(), common: half() }
    }

    /// Takes one from the reserved half, if it is for an address within its share, or from the common half.
    fn take(&self, within_share: bool) -> Option<Half> {
        if within_share && self.reserved.check().is_ok() {
            return Some(Half::Reserved);
        }
        self.common.check().is_ok().then_some(Half::Common)
    }

    /// Takes one for the address with this share. Returns whether there was one.
    pub(super) fn take_for(&self, share: &DefaultDirectRateLimiter) -> bool {
        self.take(share.check().is_ok()).is_some()
    }
}

impl SharedLimiter {
    pub(super) fn new(allowance: Allowance) -> Self {
        let Allowance { per_second, burst, at_once } = allowance;
        let half = || Semaphore::new((at_once / 2).max(1));
        Self {
            rate: SharedRate::new(Quota::per_second, per_second, burst),
            reserved: half(),
            common: half(),
            shares: Cache::new(MAX_ADDRESSES),
            allowance,
        }
    }

    /// Counts a look-up of this address against the rate limits. Returns `None` above them.
    pub(super) fn admit(&self, client: ClientAddress) -> Option<Admission> {
        let own = self.own_place(client);
        match self.rate.take(own.is_some())? {
            Half::Reserved => Some(Admission { half: Half::Reserved, _own: own }),
            Half::Common => Some(Admission { half: Half::Common, _own: None }),
        }
    }

    /// Counts a look-up of this address, if the reserved half admits it.
    pub(super) fn admit_reserved(&self, client: ClientAddress) -> Option<Admission> {
        let own = self.own_place(client)?;
        self.rate.reserved.check().ok()?;
        Some(Admission { half: Half::Reserved, _own: Some(own) })
    }

    /// Waits until the look-up may begin. It has ended when the permit is dropped.
    pub(super) async fn turn(&self, admission: &Admission) -> SemaphorePermit<'_> {
        let permits = match admission.half {
            Half::Reserved => &self.reserved,
            Half::Common => &self.common,
        };
        permits.acquire().await.expect("never closed")
    }

    /// A place in the share of this address, if it is within it.
    fn own_place(&self, client: ClientAddress) -> Option<OwnedSemaphorePermit> {
        let share = self.share(client);
        let place = Arc::clone(&share.at_once).try_acquire_owned().ok()?;
        share.rate.check().ok()?;
        Some(place)
    }

    fn share(&self, client: ClientAddress) -> Arc<Share> {
        if let Some(share) = self.shares.get(&client) {
            return share;
        }
        let Allowance { per_second, burst, at_once } = self.allowance;
        let at_once = at_once / usize::try_from(SHARE_DIVISOR).expect("a few");
        let share = Arc::new(Share {
            rate: share_of(Quota::per_second, per_second, burst),
            at_once: Arc::new(Semaphore::new(at_once.max(1))),
        });
        self.shares.insert(client, Arc::clone(&share));
        share
    }
}

/// The share of one address in a rate.
pub(super) fn share_of(
    per_period: impl Fn(NonZeroU32) -> Quota,
    rate: NonZeroU32,
    burst: NonZeroU32,
) -> DefaultDirectRateLimiter {
    RateLimiter::direct(per_period(part(rate, SHARE_DIVISOR)).allow_burst(part(burst, SHARE_DIVISOR)))
}

/// One of so many parts, at least one.
fn part(whole: NonZeroU32, parts: u32) -> NonZeroU32 {
    NonZeroU32::new(whole.get() / parts).unwrap_or(NonZeroU32::MIN)
}
