//! The lock of an SQLite file: one process serves and delivers from it.
//!
//! A lock of the operating system (`flock`), which dies with its process. Commands of operators don't take it
//! and run beside the service, but an import does. The file stays open as long as the lock is held: closing
//! it earlier would release SQLite's own locks on it (POSIX, `fcntl`).

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How long a start waits for a process that is about to end.
const WAIT_LIMIT: Duration = Duration::from_secs(10);
/// The pause between two tries.
const RETRY: Duration = Duration::from_millis(100);

/// The lock, held until it is dropped.
#[derive(Debug)]
pub(crate) struct ServingLock {
    _file: File,
}

/// The lock can't be taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    #[error("{} is served by another process; an SQLite file has room for one", .0.display())]
    Held(PathBuf),
    #[error("{} can't be locked", .0.display())]
    Io(PathBuf, #[source] io::Error),
}

impl ServingLock {
    /// Takes the lock of the database at `path`, to which this process has connected.
    ///
    /// # Errors
    ///
    /// Another process holds it, or the file can't be opened.
    pub(super) async fn take(path: &Path) -> Result<Self, LockError> {
        Self::take_within(path, Duration::ZERO).await
    }

    /// The same, and waits for the holder to end, at most 10 s.
    ///
    /// # Errors
    ///
    /// As [`take`](Self::take).
    pub(crate) async fn take_soon(path: &Path) -> Result<Self, LockError> {
        Self::take_within(path, WAIT_LIMIT).await
    }

    /// Opens the file once: see above.
    async fn take_within(path: &Path, limit: Duration) -> Result<Self, LockError> {
        let failed = |error| LockError::Io(path.to_owned(), error);
        let deadline = Instant::now() + limit;
        let file = File::open(path).map_err(failed)?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(RETRY).await,
                Err(TryLockError::WouldBlock) => return Err(LockError::Held(path.to_owned())),
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn held_by_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.db");
        File::create(&path).unwrap();
        let first = ServingLock::take(&path).await.unwrap();
        let refused = ServingLock::take_soon(&path).await.unwrap_err();
        let text =
            format!("{} is served by another process; an SQLite file has room for one", path.display());
        assert_eq!(refused.to_string(), text);
        drop(first);
        ServingLock::take(&path).await.unwrap();
    }
}
