//! What replicas tell each other: that something is due.
//!
//! Who commits deliveries that are due without taking their leases notifies a channel of Postgres, outside of
//! the transaction, and every replica that delivers listens and claims. It only saves time: who hears nothing
//! claims every second.

use std::time::Duration;

use sea_orm::sqlx;
use sea_orm::sqlx::postgres::{PgListener, PgPool};
use sea_orm::{DbErr, RuntimeErr};
use tokio::time::sleep;

use super::Store;
use super::database::sessions::Sessions;
use super::told::Told;
use crate::delivery::wake::Wake;

/// The channel.
const CHANNEL: &str = "athook_due";
const NOTIFY: &str = "NOTIFY athook_due";
/// The least time between two notifications of a process: those in between are one.
const NOTIFY_INTERVAL: Duration = Duration::from_millis(50);
/// The pause before the next try to listen, while Postgres is away.
const LISTEN_RETRY: Duration = Duration::from_secs(1);

impl Store {
    /// Tells the other replicas what `wake` says, and `wake` what they say if this process `delivers`. Goes
    /// on for ever, but returns on SQLite, which one process serves and delivers from, and behind a pooler.
    pub(crate) async fn share_wakes(&self, wake: &Wake, delivers: bool) {
        let Some(listening) = &self.database.listening else { return };
        let writing = self.database.writing.get_postgres_connection_pool();
        let listen = async {
            if delivers {
                listen_for_ever(listening, &self.database.sessions, wake).await;
            }
        };
        tokio::join!(notify_for_ever(writing, wake), listen);
    }
}

async fn notify_for_ever(pool: &PgPool, wake: &Wake) {
    loop {
        wake.has_news().await;
        if let Err(error) = sqlx::query(NOTIFY).execute(pool).await {
            let error = Told::from(DbErr::Conn(RuntimeErr::SqlxError(error.into())));
            tracing::debug!(causes = %error, "other replicas were not notified");
        }
        sleep(NOTIFY_INTERVAL).await;
    }
}

async fn listen_for_ever(pool: &PgPool, sessions: &Sessions, wake: &Wake) {
    loop {
        let listened = tokio::select! {
            Err(error) = listen(pool, wake) => Err(error),
            () = sessions.are_to_be_closed() => Ok(()),
        };
        if let Err(error) = listened {
            let error = Told::from(DbErr::Conn(RuntimeErr::SqlxError(error.into())));
            tracing::debug!(causes = %error, "other replicas are not listened to");
        }
        sleep(LISTEN_RETRY).await;
    }
}

/// Listens until the connection is lost and can't be opened again.
async fn listen(pool: &PgPool, wake: &Wake) -> Result<std::convert::Infallible, sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    loop {
        listener.recv().await?;
        wake.here();
    }
}
