//! Which sessions of Postgres are still of use.
//!
//! A server may end sessions (`idle_session_timeout`, a restart, an administrator), a network may swallow
//! them, and after a failover the server at the other end may be read-only. Whoever meets one such session
//! says so here, and the pools try or close the others of its age before they are used. A transaction that
//! met it is tried again ([`transaction`](crate::store::transaction)).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sea_orm::sqlx::pool::PoolConnectionMetadata;
use sea_orm::sqlx::postgres::PgConnection;
use sea_orm::sqlx::{self, Connection as _};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

/// A session that was idle for this long is pinged before it is used: firewalls drop such connections.
const IDLE_BEFORE_PING: Duration = Duration::from_secs(30);
/// The time limit of a ping. A session that exceeds it is dropped: when the network to the server goes
/// silent, TCP alone would keep it for a quarter of an hour.
pub(super) const PING_LIMIT: Duration = Duration::from_secs(1);
/// How long a session counts as good after the ones before it were closed because they were read-only: as
/// long as the server stays read-only, not every write opens new ones.
const READ_ONLY_PAUSE: Duration = Duration::from_secs(1);

/// What is known about the sessions of all pools. Clones share it.
#[derive(Debug, Clone)]
pub(in crate::store) struct Sessions {
    /// When one was last found lost or silent.
    lost: Arc<Mutex<Option<Instant>>>,
    /// When one was last found read-only.
    read_only: watch::Sender<Option<Instant>>,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { lost: Arc::default(), read_only: watch::Sender::new(None) }
    }
}

impl Sessions {
    /// Notes that a session was lost: those that have been idle since before are pinged before they are used.
    pub(in crate::store) fn note_lost(&self) {
        *self.lost.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Notes that a session is read-only: those opened before now are closed, and new ones take their place,
    /// at what is then at the server's address.
    pub(in crate::store) fn note_read_only(&self) {
        self.read_only.send_if_modified(|noted| {
            let is_new = noted.is_none_or(|at| at.elapsed() >= READ_ONLY_PAUSE);
            if is_new {
                *noted = Some(Instant::now());
            }
            is_new
        });
    }

    /// Returns when sessions opened before now are to be closed.
    pub(in crate::store) async fn are_to_be_closed(&self) {
        // An error would mean that the sender is gone, which is in `self`.
        let _ = self.read_only.subscribe().changed().await;
    }

    /// Whether `session` may be taken from a pool.
    pub(super) async fn may_be_taken(
        &self,
        session: &mut PgConnection,
        metadata: PoolConnectionMetadata,
    ) -> Result<bool, sqlx::Error> {
        if self.is_outdated(&metadata) {
            return Ok(false);
        }
        let idle = metadata.idle_for;
        let lost = *self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        if idle >= IDLE_BEFORE_PING || lost.is_some_and(|at| at.elapsed() <= idle) {
            self.ping(session).await?;
        }
        Ok(true)
    }

    /// Whether `session` may go back to its pool.
    pub(super) async fn may_be_kept(
        &self,
        session: &mut PgConnection,
        metadata: PoolConnectionMetadata,
    ) -> Result<bool, sqlx::Error> {
        if self.is_outdated(&metadata) {
            return Ok(false);
        }
        self.ping(session).await.map(|()| true)
    }

    /// Whether a session of this age was opened before one was found read-only.
    fn is_outdated(&self, metadata: &PoolConnectionMetadata) -> bool {
        self.read_only.borrow().is_some_and(|at| at.elapsed() <= metadata.age)
    }

    async fn ping(&self, session: &mut PgConnection) -> Result<(), sqlx::Error> {
        let answered = match timeout(PING_LIMIT, session.ping()).await {
            Ok(answered) => answered,
            Err(elapsed) => Err(sqlx::Error::Io(elapsed.into())),
        };
        if answered.is_err() {
            self.note_lost();
        }
        answered
    }
}
