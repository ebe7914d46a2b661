//! The processor time of the Postgres server: of its processes, and of those that have ended.

use std::time::Duration;

use process::exit::Failure;
use sea_orm::sqlx;

use crate::usage::{SYSTEM_TIME, USER_TIME, stat, time_of};

/// The indices of `ppid`, `cutime` and `cstime`, counted as those in [`usage`](crate::usage).
const PARENT: usize = 1;
const ENDED_USER: usize = 13;
const ENDED_SYSTEM: usize = 14;

/// The server's process, which has one child for each session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Server(u32);

impl Server {
    /// That of a database. `None`: SQLite.
    pub(crate) async fn of(database_url: &str) -> Result<Option<Self>, Failure> {
        if database_url.starts_with("sqlite:") {
            return Ok(None);
        }
        let pool = sqlx::PgPool::connect(database_url).await?;
        let session: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&pool).await?;
        let fields = stat(&format!("/proc/{session}/stat"))?;
        pool.close().await;
        Ok(Some(Self(fields.get(PARENT).ok_or("no parent in /proc/…/stat")?.parse()?)))
    }

    /// What all have used so far.
    pub(crate) fn cpu(self) -> Result<Duration, Failure> {
        let Self(server) = self;
        let own = stat(&format!("/proc/{server}/stat"))?;
        let mut used = time_of(&own, &[USER_TIME, SYSTEM_TIME, ENDED_USER, ENDED_SYSTEM])?;
        for entry in std::fs::read_dir("/proc")? {
            // What has just ended counts with the server the next time.
            let Ok(fields) = stat(&entry?.path().join("stat").display().to_string()) else { continue };
            if fields.get(PARENT).is_some_and(|parent| *parent == server.to_string()) {
                used += time_of(&fields, &[USER_TIME, SYSTEM_TIME])?;
            }
        }
        Ok(used)
    }
}
