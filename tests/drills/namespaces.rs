//! Turns a test into the first process of namespaces of its own, where it may set up hosts. Owns no host.

use std::process::{Command, id};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use tokio::time::timeout;

/// No drill takes longer.
const LIMIT: Duration = Duration::from_secs(150);
/// After this many seconds its processes are killed, whatever keeps it from noticing.
const KILLED_AFTER: &str = "180";

/// What else may run meanwhile: all drills share the processors.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Company {
    /// Nothing: the load is heavy.
    Nobody,
    /// Others that say so too.
    Others,
}

/// Held for writing by a drill that wants no company.
static PROCESSORS: RwLock<()> = RwLock::new(());

/// Makes a test `drill::name` of each of these async functions, which runs as the first process of namespaces
/// of its own; `Nobody` or `Others` says what may run beside it.
macro_rules! drills {
    ($company:ident: $($name:ident),* $(,)?) => {
        mod drill {
            $(#[test]
            fn $name() {
                let path = concat!(module_path!(), "::", stringify!($name));
                crate::namespaces::enter(path, crate::namespaces::Company::$company, super::$name());
            })*
        }
    };
}
pub(crate) use drills;

/// Waits until no drill runs. None begins until the result is dropped.
pub(crate) fn alone() -> impl Sized {
    PROCESSORS.write().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `drill`, the body of the test called `path`, with user, network and PID namespaces of its own: by
/// starting this program again under `unshare`, for this one test. There it is root, whoever runs it, and has
/// a network without an interface; when it ends, however it ends, the kernel removes every host and process
/// of it. Where that can't be had (no util-linux, no user namespaces) the test fails.
pub(crate) fn enter(path: &str, company: Company, drill: impl Future<Output = ()>) {
    // The first process of a PID namespace has the id 1.
    if id() == 1 {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let drill = async { timeout(LIMIT, drill).await.expect("the drill ends in time") };
        return runtime.unwrap().block_on(drill);
    }
    let _turn = match company {
        Company::Nobody => (Some(alone()), None),
        Company::Others => (None, Some(PROCESSORS.read().unwrap_or_else(PoisonError::into_inner))),
    };
    let (_crate, name) = path.split_once("::").expect("a path in this crate");
    // What a killed drill leaves behind goes with this folder.
    let folder = tempfile::tempdir().unwrap();
    let ended = Command::new("timeout")
        .args(["--foreground", "--signal=KILL", KILLED_AFTER, "unshare"])
        .args(["--user", "--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--include-ignored", "--nocapture"])
        .env("TMPDIR", folder.path())
        .output()
        .expect("timeout is there (coreutils)");
    let (stdout, stderr) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    println!("{stdout}");
    assert!(ended.status.success() && stdout.contains("1 passed"), "{stdout}\n{stderr}");
}
