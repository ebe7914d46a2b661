//! The place in the stream up to which everything is done, where some of what came later waits.
//!
//! An event waits until its streamer's blocks are listed, or until a wider filter brings what goes with it.
//! The stored place stays before it until then, so that a crash loses nothing; what is read twice is stored
//! once.

use std::collections::{HashMap, HashSet, VecDeque};

use jetstream::event::Position;

use super::derive::{Candidate, Check};
use super::mirror::MirrorKind;
use crate::domain::did::Did;

/// Events that wait for listings. With more of them nothing is read for a while.
const MAX_WAITING: usize = 2000;

/// What waits, in the order of the stream.
#[derive(Debug, Default)]
pub(super) struct Pins {
    waiting: VecDeque<Waiting>,
    /// Streamers whose blocks and rules, and verifiers whose verifications, are being listed.
    unlisted: HashSet<(Did, MirrorKind)>,
    /// By streamer, whom the rules of their chat name.
    pub(super) verifiers: HashMap<Did, Vec<Did>>,
    /// Streamers of whose events too many waited.
    given_up: HashSet<Did>,
    /// The event that widened the interests, until the stream is read with a wider filter from there.
    pub(super) widened_at: Option<Position>,
}

#[derive(Debug)]
struct Waiting {
    /// The event before.
    after: Option<Position>,
    candidate: Candidate,
}

impl Pins {
    /// Keeps `candidate` back if its streamer is being listed; `after` is the place of the event before it.
    /// Gives it back if it need not wait.
    pub(super) fn keep_back(&mut self, candidate: Candidate, after: Option<&Position>) -> Option<Candidate> {
        if !self.must_wait(&candidate) {
            return Some(candidate);
        }
        self.waiting.push_back(Waiting { after: after.cloned(), candidate });
        None
    }

    fn must_wait(&self, candidate: &Candidate) -> bool {
        let streamer = &candidate.streamer;
        let unlisted = |did: &Did, kind| self.unlisted.contains(&(did.clone(), kind));
        let waits = match candidate.check {
            Check::None | Check::Origins => false,
            Check::Blocks | Check::BlocksAndFollows => unlisted(streamer, MirrorKind::Block),
            Check::BlocksAndAccess => {
                let mut verifiers = self.verifiers.get(streamer).into_iter().flatten();
                unlisted(streamer, MirrorKind::Block)
                    || unlisted(streamer, MirrorKind::Access)
                    || verifiers.any(|verifier| unlisted(verifier, MirrorKind::Verification))
            }
        };
        waits && !self.given_up.contains(streamer)
    }

    /// Whether so much waits that nothing more should be read.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= MAX_WAITING
    }

    /// Ends the wait of the streamer of whose events most wait. Returns these events.
    pub(super) fn give_up(&mut self) -> Option<(Did, Vec<Candidate>)> {
        let mut waiting: HashMap<&Did, usize> = HashMap::new();
        for one in &self.waiting {
            *waiting.entry(&one.candidate.streamer).or_default() += 1;
        }
        let (streamer, _) = waiting.into_iter().max_by_key(|(_, count)| *count)?;
        let streamer = streamer.clone();
        self.given_up.insert(streamer.clone());
        Some((streamer, self.ready()))
    }

    /// Notes that what is mirrored of `did` is being listed. Returns false if it was already.
    pub(super) fn list(&mut self, did: &Did, kind: MirrorKind) -> bool {
        self.given_up.remove(did);
        self.unlisted.insert((did.clone(), kind))
    }

    /// What is being listed.
    pub(super) fn unlisted(&self) -> impl Iterator<Item = &(Did, MirrorKind)> {
        self.unlisted.iter()
    }

    /// Notes that what is mirrored of `did` is listed, or can't be. Returns what waited for that.
    pub(super) fn listed(&mut self, did: Did, kind: MirrorKind) -> Vec<Candidate> {
        self.unlisted.remove(&(did, kind));
        if self.unlisted.is_empty() {
            self.given_up.clear();
        }
        self.ready()
    }

    /// Takes out what need not wait any more.
    fn ready(&mut self) -> Vec<Candidate> {
        let all = std::mem::take(&mut self.waiting);
        let (waiting, ready): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|one| self.must_wait(&one.candidate));
        self.waiting = waiting.into();
        ready.into_iter().map(|one| one.candidate).collect()
    }

    /// Up to where everything is done, if `read` is the last event that was read.
    pub(super) fn done(&self, read: Option<&Position>) -> Option<Position> {
        let first = self.waiting.front();
        // Nothing was read before the first that waits: the place stays as it is.
        if first.is_some_and(|first| first.after.is_none()) {
            return None;
        }
        let after = first.and_then(|first| first.after.as_ref());
        let mut done = read?;
        for pin in [after, self.widened_at.as_ref()].into_iter().flatten() {
            if is_before(pin, done) {
                done = pin;
            }
        }
        Some(done.clone())
    }
}

/// Whether `one` was read before `other`. What was read from another host was read before.
fn is_before(one: &Position, other: &Position) -> bool {
    one.host != other.host || one.wire != other.wire || one.cursor < other.cursor
}

#[cfg(test)]
mod tests;
