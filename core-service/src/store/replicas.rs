//! What replicas tell each other: that something is due, and whose names may have changed.
//!
//! Who commits deliveries that are due without taking their leases notifies a channel of Postgres, outside of
//! the transaction, and every replica that delivers listens and claims. It only saves time: who hears nothing
//! claims every second, and has names that are a day old at most.

use std::collections::BTreeSet;
use std::time::Duration;

use sea_orm::sqlx;
use sea_orm::sqlx::postgres::{PgListener, PgPool};
use sea_orm::{DbErr, RuntimeErr};
use tokio::time::sleep;

use super::Store;
use super::database::sessions::Sessions;
use super::told::Told;
use crate::delivery::wake::Wake;
use crate::domain::did::Did;
use crate::identity::Identity;

/// The channel for what is due.
const CHANNEL: &str = "athook_due";
const NOTIFY: &str = "NOTIFY athook_due";
/// The channel for DIDs whose names may have changed, with a space between two.
const NAMES_CHANNEL: &str = "athook_names";
const NOTIFY_NAMES: &str = "SELECT pg_notify('athook_names', $1)";
/// The longest text of DIDs in one notification, in bytes: Postgres takes less than 8,000.
const MAX_NAMES_BYTES: usize = 7_000;
/// The least time between two notifications of names.
const NAMES_INTERVAL: Duration = Duration::from_secs(1);
/// The least time between two notifications of a process: those in between are one.
const NOTIFY_INTERVAL: Duration = Duration::from_millis(50);
/// The pause before the next try to listen, while Postgres is away.
const LISTEN_RETRY: Duration = Duration::from_secs(1);

impl Store {
    /// Tells the other replicas what `wake` and `identity` say, and these what they say if this process
    /// `delivers`. Goes on for ever, but returns on SQLite, which one process serves and delivers from, and
    /// behind a pooler.
    pub(crate) async fn share_news(&self, wake: &Wake, identity: &Identity, delivers: bool) {
        let Some(listening) = &self.database.listening else { return };
        let writing = self.database.writing.get_postgres_connection_pool();
        let listen = async {
            if delivers {
                listen_for_ever(listening, &self.database.sessions, wake, identity).await;
            }
        };
        tokio::join!(notify_for_ever(writing, wake), notify_names_for_ever(writing, identity), listen);
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

async fn notify_names_for_ever(pool: &PgPool, identity: &Identity) {
    loop {
        let changed = identity.changed().await;
        for text in texts_of(&changed) {
            if let Err(error) = sqlx::query(NOTIFY_NAMES).bind(text).execute(pool).await {
                let error = Told::from(DbErr::Conn(RuntimeErr::SqlxError(error.into())));
                tracing::debug!(causes = %error, "other replicas were not told of changed names");
            }
        }
        sleep(NAMES_INTERVAL).await;
    }
}

/// The texts of notifications about these DIDs, each of which is shorter than a notification may be.
fn texts_of(dids: &BTreeSet<Did>) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    for did in dids {
        match texts.last_mut() {
            Some(text) if text.len() + 1 + did.as_str().len() <= MAX_NAMES_BYTES => {
                text.push(' ');
                text.push_str(did.as_str());
            }
            _ => texts.push(did.to_string()),
        }
    }
    texts
}

async fn listen_for_ever(pool: &PgPool, sessions: &Sessions, wake: &Wake, identity: &Identity) {
    loop {
        let listened = tokio::select! {
            Err(error) = listen(pool, wake, identity) => Err(error),
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
async fn listen(
    pool: &PgPool,
    wake: &Wake,
    identity: &Identity,
) -> Result<std::convert::Infallible, sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen_all([CHANNEL, NAMES_CHANNEL]).await?;
    loop {
        let notification = listener.recv().await?;
        if notification.channel() == CHANNEL {
            wake.here();
            continue;
        }
        for did in notification.payload().split(' ').filter_map(|text| text.parse().ok()) {
            identity.forget(&did);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_notifications() {
        assert!(texts_of(&BTreeSet::new()).is_empty());
        let did = |number: usize| format!("did:web:{number:0>1000}.example").parse().unwrap();
        let dids: BTreeSet<Did> = (0..20).map(did).collect();
        let texts = texts_of(&dids);
        assert_eq!(texts.len(), 4);
        assert!(texts.iter().all(|text| text.len() <= MAX_NAMES_BYTES));
        let read = texts.iter().flat_map(|text| text.split(' ')).map(|text| text.parse().unwrap());
        assert_eq!(read.collect::<BTreeSet<Did>>(), dids);
    }
}
