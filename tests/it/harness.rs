//! What all tests use: the real stack on a real database, signed tokens, and stubs of everything else.
//!
//! Everything listens on port 0 and every stack has its own database, so that tests run side by side.

pub(crate) mod answer;
pub(crate) mod collector;
pub(crate) mod commands;
pub(crate) mod contract;
pub(crate) mod database;
pub(crate) mod direct;
pub(crate) mod directory;
pub(crate) mod gateway;
pub(crate) mod healthy;
pub(crate) mod hook;
pub(crate) mod http2;
pub(crate) mod identity;
pub(crate) mod intake;
pub(crate) mod logs;
pub(crate) mod machine;
pub(crate) mod packages;
pub(crate) mod pgbouncer;
pub(crate) mod pooler;
pub(crate) mod postgres;
pub(crate) mod private_hosts;
pub(crate) mod processes;
pub(crate) mod program;
pub(crate) mod publisher;
pub(crate) mod receiver;
pub(crate) mod rows;
pub(crate) mod rpc_stub;
pub(crate) mod sealed;
pub(crate) mod slow;
pub(crate) mod stack;
pub(crate) mod table;
pub(crate) mod tour;
pub(crate) mod webhook;

/// Runs each of these functions, `async fn outcome(kind: Kind)`, as two tests: `sqlite::outcome` and
/// `postgres::outcome`.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::harness::database::Kind::Sqlite).await;
            })*
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::harness::database::Kind::Postgres).await;
            })*
        }
    };
}
pub(crate) use on_both;
