//! What the drills share with `tests/it`: callers, processes, Postgres, and the other sides as stubs.

#[path = "../it/harness/directory.rs"]
pub(crate) mod directory;
#[path = "../it/harness/hook.rs"]
pub(crate) mod hook;
#[path = "../it/harness/http2.rs"]
pub(crate) mod http2;
#[path = "../it/harness/identity.rs"]
pub(crate) mod identity;
#[path = "../it/harness/postgres.rs"]
pub(crate) mod postgres;
#[path = "../it/harness/processes.rs"]
pub(crate) mod processes;
#[path = "../it/harness/publisher.rs"]
pub(crate) mod publisher;
#[path = "../it/harness/receiver.rs"]
pub(crate) mod receiver;
