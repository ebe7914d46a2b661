//! Files: who may read those that this process makes and those that it is given, and how many may be open.
//!
//! Without a file descriptor to spare, `accept` fails and the connection stays in the queue, with an error in
//! the log at each attempt. So no listener takes more connections than there are descriptors for.

pub mod private;

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, geteuid, getrlimit, setrlimit, umask};

/// One listener may use this fraction of the limit: a half. The rest is for the other listeners, for outgoing
/// connections and for files.
const SHARE: u64 = 2;

/// The bits of a file's mode by which others than its owner may read or write it.
const GROUP_AND_OTHERS: u32 = 0o066;
/// The same without the file's group.
const OTHERS: u32 = 0o006;

/// Makes all files and folders that this process creates from now on private to its user, whatever umask it
/// was started with: files have the mode 0600, folders 0700.
pub fn create_private() {
    umask(Mode::RWXG | Mode::RWXO);
}

/// A file with a secret in it that others can read or write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExposedFile {
    /// What the file is: the setting that names it.
    setting: String,
    path: PathBuf,
}

impl ExposedFile {
    /// The file at `path`, which `setting` names, if others can read or write it. In a file of another user
    /// this process itself may need the group's rights, as in a Secret of Kubernetes; there only everybody's
    /// count.
    #[must_use]
    pub fn find(setting: &str, path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
        let ours = metadata.uid() == geteuid().as_raw();
        let exposing = if ours { GROUP_AND_OTHERS } else { OTHERS };
        let exposed = Self { setting: setting.to_owned(), path: path.to_owned() };
        (metadata.mode() & exposing != 0).then_some(exposed)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Logs a warning.
    pub fn warn(&self) {
        let Self { setting, path } = self;
        tracing::warn!(%setting, path = %path.display(), "others can read or write a file with a secret: chmod 600");
    }
}

/// Raises the soft limit of open files to the hard limit: many systems set the soft one to 1,024, for
/// programs that use `select`. If that fails, the limit stays as it is.
pub fn raise_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

/// How many connections a listener that wants `wanted` may have open at once: at most half of the process's
/// limit of open files, at least one. Logs a warning when that is fewer than `wanted`.
#[must_use]
pub fn connection_limit(wanted: usize) -> usize {
    let files = getrlimit(Resource::Nofile).current;
    let connections = share(files, wanted);
    if connections < wanted {
        tracing::warn!(
            limit = files,
            places = connections,
            wanted,
            "fewer connections than wanted: the limit of open files is low"
        );
    }
    connections
}

/// One listener's share of `files` (`None`: unlimited), at most `wanted`.
fn share(files: Option<u64>, wanted: usize) -> usize {
    let share = files.and_then(|files| usize::try_from(files / SHARE).ok());
    share.map_or(wanted, |share| share.clamp(1, wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_files_and_no_more_than_wanted() {
        assert_eq!(share(None, 8192), 8192);
        assert_eq!(share(Some(u64::MAX), 8192), 8192);
        assert_eq!(share(Some(16_384), 8192), 8192);
        assert_eq!(share(Some(16_383), 8192), 8191);
        assert_eq!(share(Some(1024), 8192), 512);
        assert_eq!(share(Some(1), 8192), 1);
        assert_eq!(share(Some(0), 8192), 1);
    }

    #[test]
    fn files_that_others_can_read_or_write() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys");
        std::fs::write(&file, "a secret").unwrap();
        for (mode, exposed) in [
            (0o600, false),
            (0o400, false),
            (0o700, false),
            (0o711, false),
            (0o640, true),
            (0o604, true),
            (0o620, true),
            (0o602, true),
            (0o644, true),
        ] {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(ExposedFile::find("--keys", &file).is_some(), exposed, "{mode:o}");
        }
        assert_eq!(ExposedFile::find("--keys", folder.path()), None);
        assert_eq!(ExposedFile::find("--keys", &folder.path().join("none")), None);
    }

    #[test]
    fn soft_limit_becomes_the_hard_one() {
        raise_limit();
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        assert_eq!(current, maximum);
        raise_limit();
    }
}
