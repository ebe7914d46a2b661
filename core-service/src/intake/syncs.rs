//! The revisions with which the stream sends whole repositories once more. Anybody can cause them, so the
//! latest ones are known, by a hash.

use std::collections::{HashSet, VecDeque};

use ring::digest::{Context, SHA256};

use super::batch::Sync;

/// Syncs that are known, in memory and in the database; the oldest are forgotten first.
pub(crate) const MAX_SYNCS: usize = 100_000;

type Hash = [u8; 16];

#[derive(Debug, Default)]
pub(super) struct Syncs {
    known: HashSet<Hash>,
    /// The oldest first.
    order: VecDeque<Hash>,
}

impl Syncs {
    pub(super) fn insert(&mut self, Sync { did, rev }: &Sync) {
        let hash = hash(did, rev);
        if !self.known.insert(hash) {
            return;
        }
        self.order.push_back(hash);
        if self.order.len() > MAX_SYNCS
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    /// Whether the repository of `did` is sent once more with this revision.
    pub(super) fn contains(&self, did: &str, rev: &str) -> bool {
        !self.known.is_empty() && self.known.contains(&hash(did, rev))
    }
}

fn hash(did: &str, rev: &str) -> Hash {
    let mut context = Context::new(&SHA256);
    // Neither has a space.
    for part in [did, " ", rev] {
        context.update(part.as_bytes());
    }
    let digest = context.finish();
    digest.as_ref().first_chunk().copied().expect("a SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oldest_are_forgotten_first() {
        let mut syncs = Syncs::default();
        let sync = |n: usize| Sync { did: format!("did:plc:{n}"), rev: "3l6oveex3ii2l".to_owned() };
        let knows = |syncs: &Syncs, n| syncs.contains(&sync(n).did, &sync(n).rev);
        assert!(!knows(&syncs, 0));
        for n in 0..MAX_SYNCS {
            syncs.insert(&sync(n));
        }
        syncs.insert(&sync(1));
        assert!(knows(&syncs, 0) && !syncs.contains("did:plc:0", "3l6oveex3ii2m"));
        syncs.insert(&sync(MAX_SYNCS));
        assert!(!knows(&syncs, 0) && knows(&syncs, 1) && knows(&syncs, MAX_SYNCS));
        assert_eq!(syncs.known.len(), MAX_SYNCS);
    }
}
