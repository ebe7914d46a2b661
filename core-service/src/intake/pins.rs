//! The place in the stream up to which everything is done, where some of what came later waits.
//!
//! An event waits until its streamer's blocks are listed, or until a wider filter brings what goes with it.
//! The stored place stays before it until then, so that a crash loses nothing; what is read twice is stored
//! once.

use std::collections::{HashSet, VecDeque};

use jetstream::event::Position;

use super::derive::{Candidate, Check};
use super::mirror::MirrorKind;
use crate::domain::did::Did;

/// Events that wait for listings. With more of them they are judged by what is known.
const MAX_WAITING: usize = 2000;

/// What waits, in the order of the stream.
#[derive(Debug, Default)]
pub(super) struct Pins {
    waiting: VecDeque<Waiting>,
    /// Streamers whose blocks and rules, and verifiers whose verifications, are being listed.
    pub(super) unlisted: HashSet<(Did, MirrorKind)>,
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
    /// Gives back what need not wait.
    pub(super) fn keep_back(&mut self, candidate: Candidate, after: Option<&Position>) -> Vec<Candidate> {
        if !self.must_wait(&candidate) {
            return vec![candidate];
        }
        self.waiting.push_back(Waiting { after: after.cloned(), candidate });
        if self.waiting.len() > MAX_WAITING {
            self.unlisted.clear();
            return self.waiting.drain(..).map(|one| one.candidate).collect();
        }
        Vec::new()
    }

    fn must_wait(&self, candidate: &Candidate) -> bool {
        let kinds: &[MirrorKind] = match candidate.check {
            Check::None | Check::Origins => &[],
            Check::Blocks | Check::BlocksAndFollows => &[MirrorKind::Block],
            Check::BlocksAndAccess => &[MirrorKind::Block, MirrorKind::Access],
        };
        kinds.iter().any(|kind| self.unlisted.contains(&(candidate.streamer.clone(), *kind)))
    }

    /// Notes that what is mirrored of `did` is listed, or can't be. Returns what waited for that.
    pub(super) fn listed(&mut self, did: Did, kind: MirrorKind) -> Vec<Candidate> {
        self.unlisted.remove(&(did, kind));
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
