//! How fast the webhooks that are records are called: for each owner and each target host, in this process.
//!
//! Anybody can write such a record and choose its URL, so many of them could turn on one host.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::did::Did;
use crate::sliding_window::SlidingWindow;

/// Requests a second for each target host, of all records together.
const REQUESTS_OF_HOST: usize = 50;
const SECOND: Duration = Duration::from_secs(1);

/// The attempts of the last minute by owner, and of the last second by host. Clones count together.
#[derive(Debug, Clone)]
pub(crate) struct RecordRates(Arc<Mutex<Windows>>);

#[derive(Debug)]
struct Windows {
    owners: SlidingWindow<String, ()>,
    /// By the hash of scheme, host and port.
    hosts: SlidingWindow<Arc<[u8]>, ()>,
}

impl RecordRates {
    /// At most `of_owner` attempts a minute for each owner.
    pub(crate) fn new(of_owner: usize) -> Self {
        let owners = SlidingWindow::new(of_owner);
        let hosts = SlidingWindow::of_length(REQUESTS_OF_HOST, SECOND);
        Self(Arc::new(Mutex::new(Windows { owners, hosts })))
    }

    /// Counts an attempt now.
    ///
    /// # Errors
    ///
    /// There were too many: how long to wait. Then it is not counted.
    pub(crate) fn count(&self, owner: &Did, origin: &Arc<[u8]>) -> Result<(), Duration> {
        let now = Instant::now();
        // Poison is no problem: no change panics half-way.
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        windows.owners.check(owner.as_str(), now)?;
        windows.hosts.check(origin, now)?;
        windows.owners.add(owner.as_str().to_owned(), now, ());
        windows.hosts.add(Arc::clone(origin), now, ());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(byte: u8) -> Arc<[u8]> {
        Arc::from([byte])
    }

    #[tokio::test(start_paused = true)]
    async fn owners_and_hosts_have_limits_of_their_own() {
        let rates = RecordRates::new(60);
        let [a, b]: [Did; 2] = ["did:plc:a", "did:plc:b"].map(|did| did.parse().unwrap());
        for _ in 0..REQUESTS_OF_HOST {
            assert_eq!(rates.count(&a, &origin(0)), Ok(()));
        }
        assert_eq!(rates.count(&b, &origin(0)), Err(SECOND));
        for _ in 0..10 {
            assert_eq!(rates.count(&a, &origin(1)), Ok(()));
        }
        assert_eq!(rates.count(&a, &origin(2)), Err(Duration::from_secs(60)));
        assert_eq!(rates.count(&b, &origin(1)), Ok(()));
        tokio::time::advance(SECOND).await;
        assert_eq!(rates.count(&b, &origin(0)), Ok(()));
        assert_eq!(rates.count(&a, &origin(0)), Err(Duration::from_secs(59)));
    }
}
