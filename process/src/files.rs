//! Open files: raises this process's limit, and derives from it how many connections a listener may take.
//!
//! Without a file descriptor to spare, `accept` fails and the connection stays in the queue, with an error in
//! the log at each attempt. So no listener takes more connections than there are descriptors for.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// One listener may use this fraction of the limit: a half. The rest is for the other listeners, for outgoing
/// connections and for files.
const SHARE: u64 = 2;

/// Raises the soft limit of open files to the hard limit: many systems set the soft one to 1,024, for
/// programs that use `select`. If that fails, the limit stays as it is.
pub(crate) fn raise_limit() {
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
    fn soft_limit_becomes_the_hard_one() {
        raise_limit();
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        assert_eq!(current, maximum);
        raise_limit();
    }
}
