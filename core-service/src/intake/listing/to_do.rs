//! What the task that lists has to do, and which of it is under way.

use std::collections::{HashSet, VecDeque};
use std::future::Future;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Request;
use crate::domain::did::Did;

/// Repositories that are listed at once in a round, and as many of single owners.
const AT_ONCE: usize = 4;
/// Repositories that are listed at once for events that wait.
const MIRRORS_AT_ONCE: usize = 16;
/// When records that could not be listed in a round are asked for once more.
const AGAIN_AFTER: Duration = Duration::from_hours(1);

/// Requests that have their own places.
#[derive(Debug)]
pub(super) struct Lane {
    places: usize,
    queue: VecDeque<Request>,
    queued: HashSet<Request>,
    running: JoinSet<(Request, bool)>,
}

impl Lane {
    pub(super) fn new(places: usize) -> Self {
        Self { places, queue: VecDeque::new(), queued: HashSet::new(), running: JoinSet::new() }
    }

    pub(super) fn push(&mut self, request: Request) {
        if self.queued.insert(request.clone()) {
            self.queue.push_back(request);
        }
    }

    /// Begins what there are places for. `list`: returns whether all that there is was listed.
    pub(super) fn begin<F: Future<Output = bool> + Send + 'static>(&mut self, list: impl Fn(Request) -> F) {
        while self.running.len() < self.places
            && let Some(request) = self.queue.pop_front()
        {
            self.queued.remove(&request);
            let listing = list(request.clone());
            self.running.spawn(async move { (request, listing.await) });
        }
    }

    /// Waits for the next request that ends: for ever, if none runs. Returns what `list` did of it; `None`:
    /// it has panicked.
    pub(super) async fn next(&mut self) -> Option<(Request, bool)> {
        match self.running.join_next().await {
            Some(ended) => ended.ok(),
            None => std::future::pending().await,
        }
    }

    pub(super) fn left(&self) -> usize {
        self.queue.len() + self.running.len()
    }
}

/// What the worker has to do.
#[derive(Debug)]
pub(super) struct ToDo {
    pub(super) mirrors: Lane,
    pub(super) single: Lane,
    pub(super) of_round: Lane,
    pub(super) round: Option<Round>,
    /// Asks the relay for the round.
    pub(super) relay: JoinSet<Vec<Did>>,
}

/// A listing of all wh records.
#[derive(Debug)]
pub(super) struct Round {
    /// In microseconds since 1970.
    pub(super) began_us: i64,
    /// Those whose records are not listed yet.
    pub(super) left: HashSet<Did>,
    pub(super) again_at: Instant,
}

impl ToDo {
    pub(super) fn new() -> Self {
        Self {
            mirrors: Lane::new(MIRRORS_AT_ONCE),
            single: Lane::new(AT_ONCE),
            of_round: Lane::new(AT_ONCE),
            round: None,
            relay: JoinSet::new(),
        }
    }

    /// Begins a round with the wh records of `owners`, and of those that `relay` finds. One before ends.
    pub(super) fn begin_round(
        &mut self,
        now_us: i64,
        owners: Vec<Did>,
        relay: impl Future<Output = Vec<Did>> + Send + 'static,
    ) {
        let again_at = Instant::now() + AGAIN_AFTER;
        self.round = Some(Round { began_us: now_us, left: HashSet::new(), again_at });
        self.add_to_round(owners);
        self.relay = JoinSet::new();
        self.relay.spawn(relay);
    }

    /// Asks for the wh records of `owners`, who belong to the round.
    pub(super) fn add_to_round(&mut self, owners: Vec<Did>) {
        let Some(round) = &mut self.round else { return };
        for owner in owners {
            if round.left.insert(owner.clone()) {
                self.of_round.push(Request::Records(owner));
            }
        }
    }

    pub(super) fn again_at(&self) -> Option<Instant> {
        self.round.as_ref().map(|round| round.again_at)
    }

    /// Asks for what is left of the round.
    pub(super) fn ask_again(&mut self) {
        let Some(round) = &mut self.round else { return };
        round.again_at = Instant::now() + AGAIN_AFTER;
        for owner in &round.left {
            self.of_round.push(Request::Records(owner.clone()));
        }
    }

    /// Notes a request that has ended, and whether all that there is was listed.
    pub(super) fn ended(&mut self, request: Option<(Request, bool)>) {
        if let (Some((Request::Records(owner), true)), Some(round)) = (request, &mut self.round) {
            round.left.remove(&owner);
        }
    }

    /// Ends the round once nothing of it is left. Returns when it began.
    pub(super) fn end_of_round(&mut self) -> Option<i64> {
        let over = |round: &mut Round| self.relay.is_empty() && round.left.is_empty();
        self.round.take_if(over).map(|round| round.began_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::mirror::MirrorKind;

    fn did(number: usize) -> Did {
        format!("did:plc:{number}").parse().unwrap()
    }

    fn lanes(to_do: &mut ToDo) -> [&mut Lane; 3] {
        [&mut to_do.mirrors, &mut to_do.single, &mut to_do.of_round]
    }

    #[tokio::test]
    async fn silent_hosts_of_a_round_hold_up_nobody_else() {
        let mut to_do = ToDo::new();
        to_do.begin_round(7, (0..20).map(did).collect(), std::future::pending());
        to_do.mirrors.push(Request::Mirror(did(50), MirrorKind::Block));
        to_do.single.push(Request::Records(did(51)));
        for lane in lanes(&mut to_do) {
            lane.begin(|request| async move {
                if matches!(&request, Request::Records(owner) if *owner != did(51)) {
                    std::future::pending::<()>().await;
                }
                true
            });
        }
        assert_eq!(to_do.of_round.running.len(), AT_ONCE);
        let ended = to_do.mirrors.next().await;
        assert_eq!(ended, Some((Request::Mirror(did(50), MirrorKind::Block), true)));
        assert_eq!(to_do.single.next().await, Some((Request::Records(did(51)), true)));
    }

    #[tokio::test]
    async fn round_ends_with_the_last_of_its_owners_and_of_the_relay() {
        let mut to_do = ToDo::new();
        to_do.begin_round(7, vec![did(1)], async { vec![did(1), did(2)] });
        to_do.ended(Some((Request::Records(did(1)), true)));
        assert_eq!(to_do.end_of_round(), None, "the relay may know more");
        let found = to_do.relay.join_next().await.unwrap().unwrap();
        to_do.add_to_round(found);
        to_do.ended(Some((Request::Records(did(1)), true)));
        to_do.ended(Some((Request::Records(did(2)), false)));
        assert_eq!(to_do.end_of_round(), None, "it could not be listed");
        to_do.ask_again();
        to_do.ended(Some((Request::Records(did(2)), true)));
        assert_eq!((to_do.end_of_round(), to_do.end_of_round()), (Some(7), None));
    }
}
