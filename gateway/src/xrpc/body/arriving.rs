//! The places of calls whose body is still arriving. When there are too many, the oldest of the DID with the
//! most of them is given up (of several such DIDs, the oldest of all): it had the most time, and a body that
//! is on its way takes milliseconds.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Calls whose body is arriving. Each holds up to [`MAX_BODY_BYTES`](super::MAX_BODY_BYTES).
const MAX_ARRIVING: usize = 512;
/// … of one DID.
const MAX_ARRIVING_OF_DID: usize = 256;

/// Calls of verified callers whose body is arriving.
#[derive(Default)]
pub(crate) struct ArrivingBodies(Mutex<Arriving>);

#[derive(Default)]
struct Arriving {
    next: u64,
    all: usize,
    /// By age, the oldest first. Dropping the sender gives the place up. No DID has none.
    by_did: HashMap<String, BTreeMap<u64, oneshot::Sender<()>>>,
}

/// The place of one call.
pub(super) struct ArrivingBody {
    bodies: Arc<ArrivingBodies>,
    did: String,
    number: u64,
    place: oneshot::Receiver<()>,
}

impl ArrivingBodies {
    /// Takes a place for a call of this DID.
    pub(super) fn take(self: &Arc<Self>, did: &str) -> ArrivingBody {
        let mut arriving = self.lock();
        if arriving.by_did.get(did).is_some_and(|own| own.len() >= MAX_ARRIVING_OF_DID) {
            arriving.give_up_oldest_of(did);
        } else if arriving.all >= MAX_ARRIVING {
            arriving.give_up_one();
        }
        let (taken, place) = oneshot::channel();
        let number = arriving.next;
        arriving.next += 1;
        arriving.all += 1;
        arriving.by_did.entry(did.to_owned()).or_default().insert(number, taken);
        drop(arriving);
        ArrivingBody { bodies: Arc::clone(self), did: did.to_owned(), number, place }
    }

    fn lock(&self) -> MutexGuard<'_, Arriving> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Arriving {
    fn give_up_one(&mut self) {
        let most = self.by_did.iter().max_by_key(|(_, own)| (own.len(), Reverse(own.keys().next())));
        let most = most.map(|(did, _)| did.clone());
        if let Some(did) = most {
            self.give_up_oldest_of(&did);
        }
    }

    fn give_up_oldest_of(&mut self, did: &str) {
        let oldest = self.by_did.get(did).and_then(|own| own.keys().next().copied());
        if let Some(number) = oldest {
            self.remove(did, number);
        }
    }

    fn remove(&mut self, did: &str, number: u64) {
        let Some(own) = self.by_did.get_mut(did) else { return };
        if own.remove(&number).is_some() {
            self.all -= 1;
        }
        if own.is_empty() {
            self.by_did.remove(did);
        }
    }
}

impl ArrivingBody {
    /// Waits until the place is given up for another call.
    pub(super) async fn given_up(&mut self) {
        let _dropped = (&mut self.place).await;
    }
}

impl Drop for ArrivingBody {
    fn drop(&mut self) {
        self.bodies.lock().remove(&self.did, self.number);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::FutureExt as _;

    use super::*;

    fn kept(places: &mut [ArrivingBody]) -> Vec<usize> {
        let kept = places
            .iter_mut()
            .enumerate()
            .filter_map(|(number, place)| place.given_up().now_or_never().is_none().then_some(number));
        kept.collect()
    }

    #[test]
    fn a_did_gives_up_its_own_oldest() {
        let bodies = Arc::new(ArrivingBodies::default());
        let mut other = [bodies.take("did:plc:b")];
        let mut places: Vec<_> = (0..MAX_ARRIVING_OF_DID + 2).map(|_| bodies.take("did:plc:a")).collect();
        assert_eq!(kept(&mut places), (2..MAX_ARRIVING_OF_DID + 2).collect::<Vec<_>>());
        assert_eq!(kept(&mut other), [0]);
        drop((places, other));
        let arriving = bodies.lock();
        assert!(arriving.by_did.is_empty() && arriving.all == 0);
    }

    #[test]
    fn newcomer_takes_the_place_of_the_did_with_the_most() {
        let bodies = Arc::new(ArrivingBodies::default());
        let mut honest = vec![bodies.take("did:plc:honest")];
        let mut hostile: Vec<_> =
            (0..3 * MAX_ARRIVING).map(|number| bodies.take(&format!("did:plc:h{}", number % 20))).collect();
        honest.push(bodies.take("did:plc:honest"));
        assert_eq!(kept(&mut honest), [0, 1]);
        assert_eq!(kept(&mut hostile).len(), MAX_ARRIVING - 2);
        assert_eq!(bodies.lock().all, MAX_ARRIVING);
    }

    #[test]
    fn of_dids_with_one_each_the_oldest_gives_up_its_place() {
        let bodies = Arc::new(ArrivingBodies::default());
        let mut places: Vec<_> =
            (0..MAX_ARRIVING + 100).map(|number| bodies.take(&format!("did:plc:h{number}"))).collect();
        assert_eq!(kept(&mut places), (100..MAX_ARRIVING + 100).collect::<Vec<_>>());
    }
}
