//! The files of an SQLite database: whether those that are open are still those at their paths.
//!
//! A file that is removed or replaced stays open, and SQLite goes on to write it. What is written then is
//! gone when the process ends, so such a write must not be acknowledged.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use sea_orm::sqlx;
use sea_orm::{DbErr, RuntimeErr};

/// What is appended to the path of the database for the files beside it: the write-ahead log and its index.
const BESIDE: [&str; 2] = ["-wal", "-shm"];

/// The open files of a database. They are the same as long as a connection is open.
#[derive(Debug)]
pub(super) struct Files(Vec<OpenFile>);

#[derive(Debug)]
struct OpenFile {
    path: PathBuf,
    identity: Identity,
}

/// What tells a file from all others: device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity(u64, u64);

/// A file that is open and not at its path.
#[derive(Debug, thiserror::Error)]
#[error("{} was removed or replaced while it was open; bring it back, or restart the core-service", .0.display())]
pub(super) struct Replaced(PathBuf);

impl Files {
    /// The files of the database at `path`, which a connection has just opened.
    ///
    /// # Errors
    ///
    /// There is no file at `path`.
    pub(super) fn of(path: &Path) -> Result<Self, DbErr> {
        let unusable = |error: io::Error| DbErr::Conn(RuntimeErr::SqlxError(sqlx::Error::Io(error).into()));
        let database = OpenFile { path: path.to_owned(), identity: identity(path).map_err(unusable)? };
        let mut files = vec![database];
        // SQLite follows symbolic links before it makes the names of the files beside the database.
        let target = path.canonicalize().map_err(unusable)?;
        for suffix in BESIDE {
            let path = PathBuf::from([target.as_os_str(), suffix.as_ref()].into_iter().collect::<OsString>());
            if let Ok(identity) = identity(&path) {
                files.push(OpenFile { path, identity });
            }
        }
        Ok(Self(files))
    }

    /// Checks that each file is still at its path. Opens none: closing one would release SQLite's locks on it
    /// (POSIX, `fcntl`).
    ///
    /// # Errors
    ///
    /// One is not: [`Replaced`], as a failure of the connection.
    pub(super) fn check(&self) -> Result<(), DbErr> {
        for OpenFile { path, identity: opened } in &self.0 {
            if identity(path).ok() != Some(*opened) {
                let replaced = io::Error::other(Replaced(path.clone()));
                return Err(DbErr::Conn(RuntimeErr::SqlxError(sqlx::Error::Io(replaced).into())));
            }
        }
        Ok(())
    }
}

/// The identity of the file that `path` leads to.
fn identity(path: &Path) -> io::Result<Identity> {
    let metadata = std::fs::metadata(path)?;
    Ok(Identity(metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::store::database::Database;
    use crate::store::database::url::DatabaseUrl;
    use crate::store::fault::{self, Fault};

    #[tokio::test]
    async fn each_file_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("real")).unwrap();
        let real = folder.path().join("real/test.db");
        let link = folder.path().join("link.db");
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let url: DatabaseUrl = format!("sqlite://{}?mode=rwc", link.display()).parse().unwrap();
        let database = Database::connect(&url).await.unwrap();
        let files = Files::of(&link).unwrap();
        assert_eq!(files.0.len(), 3, "{files:?}");
        files.check().unwrap();
        let away = folder.path().join("away");
        for OpenFile { path, .. } in &files.0 {
            fs::rename(path, &away).unwrap();
            let error = files.check().unwrap_err();
            assert_eq!(fault::kind(&error), Fault::Unusable);
            assert!(process::exit::chain(&error).contains(&path.display().to_string()), "{error}");
            fs::write(path, "another file").unwrap();
            files.check().unwrap_err();
            fs::rename(&away, path).unwrap();
            files.check().unwrap();
        }
        fs::rename(folder.path().join("real"), &away).unwrap();
        files.check().unwrap_err();
        database.close().await;
    }
}
