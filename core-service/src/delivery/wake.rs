//! How those who claim learn at once that something may be due, here and in other replicas.
//!
//! A hint that saves time: claims also come by themselves.

use std::sync::Arc;

use tokio::sync::Notify;

/// Wakes who claims. Clones wake the same. Hints that nobody has waited for are one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wake(Arc<Hints>);

#[derive(Debug, Default)]
struct Hints {
    here: Notify,
    elsewhere: Notify,
}

impl Wake {
    /// Something is due, and no process has its lease.
    pub(crate) fn all(&self) {
        self.here();
        self.0.elsewhere.notify_one();
    }

    /// The same, as another replica has said.
    pub(crate) fn here(&self) {
        self.0.here.notify_one();
    }

    /// Waits until something may be due.
    pub(crate) async fn woken(&self) {
        self.0.here.notified().await;
    }

    /// Waits until there is something for other replicas to know.
    pub(crate) async fn has_news(&self) {
        self.0.elsewhere.notified().await;
    }
}
