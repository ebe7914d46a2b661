//! How many transactions were committed and how many failed, for the health check.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of the transactions that write.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    committed: AtomicU64,
    failed: AtomicU64,
}

impl Outcomes {
    /// Counts a commit.
    pub(super) fn commit(&self) {
        self.committed.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a transaction that the database could not write.
    pub(super) fn fail(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Commits so far.
    pub(super) fn committed(&self) -> u64 {
        self.committed.load(Ordering::Relaxed)
    }

    /// Failures so far.
    pub(super) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}
