//! Open files: how many this process may have, and so how many connections it may take.
//!
//! A connection over the limit is not refused but left waiting, with an error in the log at each try to accept it; so
//! services take no more places than there are files for.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Of the open files that a process may have, the part that one listener's connections get: a half. The rest is for the
/// other listeners, connections to the database, to the core-service and to whoever is looked up, and files.
const SHARE: u64 = 2;

/// Raises the soft limit of open files to the hard one: many systems set it at 1,024, for programs that use `select`. What
/// can't be raised stays as it is.
pub(crate) fn raise_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

/// How many of the `wanted` connections a listener may have at once under this process's limit of open files; at least
/// one. When it is not all of them that is logged.
#[must_use]
pub fn places(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    let places = share(limit, wanted);
    if places < wanted {
        tracing::warn!(
            limit,
            places,
            wanted,
            "fewer connections than wanted: the limit of open files is low"
        );
    }
    places
}

/// The part of `limit` files (`None`: without limit), at most `wanted`.
fn share(limit: Option<u64>, wanted: usize) -> usize {
    let share = limit.and_then(|limit| usize::try_from(limit / SHARE).ok());
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
