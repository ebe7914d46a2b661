//! Files that are read again while a service runs: when one of them has changed, and at SIGHUP.
//!
//! What counts is the content: Kubernetes exchanges the link of a folder, others rename a new file over the
//! old one or write into it, and none of these is seen reliably by who watches one file. Only regular files
//! are looked at: a pipe can be read once.

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::settings::WrongSettings;

/// The pause between two looks at the files.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Files, and what was in them when they were last looked at.
#[derive(Clone, PartialEq, Eq)]
pub struct Watched {
    paths: Vec<PathBuf>,
    /// `None`: it is no regular file, or can't be read.
    contents: Vec<Option<Vec<u8>>>,
}

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watched").field("paths", &self.paths).finish_non_exhaustive()
    }
}

impl Watched {
    /// Looks at the files. Who does so before reading them misses no change.
    #[must_use]
    pub fn new(paths: Vec<PathBuf>) -> Self {
        let contents = paths.iter().map(|path| path.is_file().then(|| std::fs::read(path).ok())?).collect();
        Self { paths, contents }
    }

    /// Calls `read` whenever a file has changed, and at SIGHUP, which no longer ends the process. Logs
    /// success, and what can't be used: `read` leaves that as it was, until the file changes again. Never
    /// ends.
    ///
    /// # Errors
    ///
    /// The operating system refuses the signal handler.
    pub fn read_again<Read>(self, mut read: Read) -> std::io::Result<impl Future<Output = ()>>
    where
        Read: FnMut() -> Result<(), WrongSettings>,
    {
        let mut hangup = signal(SignalKind::hangup())?;
        Ok(async move {
            let mut watched = self;
            loop {
                let asked = tokio::select! {
                    _ = hangup.recv() => true,
                    () = sleep(LOOK_INTERVAL) => false,
                };
                let paths = watched.paths.clone();
                let Ok(now) = spawn_blocking(|| Self::new(paths)).await else { continue };
                if now == watched && !asked {
                    continue;
                }
                watched = now;
                // Opening a pipe would wait for its writer.
                if let Some(path) = watched.paths.iter().find(|path| path.exists() && !path.is_file()) {
                    let path = path.display();
                    tracing::warn!(%path, "not a file: nothing is read again until it is one");
                    continue;
                }
                match read() {
                    Ok(()) => tracing::info!("the files of certificates and tokens were read again"),
                    Err(error) => {
                        tracing::warn!(%error, "changed files can't be used: what was in them before stays in use");
                    }
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_that_are_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        // As Kubernetes does it: the file is a link into a folder that is itself a link.
        for version in ["one", "two"] {
            std::fs::create_dir(path(version)).unwrap();
            std::fs::write(path(version).join("key"), version).unwrap();
        }
        let point_at = |version: &str| {
            std::os::unix::fs::symlink(version, path("new")).unwrap();
            std::fs::rename(path("new"), path("data")).unwrap();
        };
        point_at("one");
        std::os::unix::fs::symlink("data/key", path("key")).unwrap();
        let look = || Watched::new(vec![path("key"), path("none"), folder.path().to_owned()]);
        let first = look();
        assert_eq!(first, look());
        point_at("two");
        let second = look();
        assert_ne!(first, second);
        std::fs::write(path("two").join("key"), "owt").unwrap();
        let third = look();
        assert_ne!(second, third);
        std::fs::remove_file(path("key")).unwrap();
        assert_ne!(third, look());
    }

    #[test]
    fn content_is_not_told() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        std::fs::write(&key, "a secret").unwrap();
        let told = format!("{:?}", Watched::new(vec![key]));
        assert!(!told.contains("secret") && !told.contains("contents"), "{told}");
    }
}
