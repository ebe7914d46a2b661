//! The task of a subscription: one connection after the other, and what the end of each means for the next.

mod feed;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use self::feed::{End, Feed, micros, read};
use crate::connection::Connection;
use crate::dial::{Compression, Refused, open};
use crate::host::Cursor;
use crate::hosts::Hosts;
use crate::notice::Notice;
use crate::options::Options;
use crate::queue::Queue;

/// After how many connections in a row that broke at the same place something is left out.
const BROKEN_TRIES: u32 = 2;
/// How much time is left out first; it doubles.
const LEAST_SKIP: Duration = Duration::from_secs(1);
/// How much time is left out at most.
const MAX_SKIP: Duration = Duration::from_secs(3600);

/// What outlives a task.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) queue: Queue,
    hosts: Mutex<Hosts>,
    /// For each host.
    compressions: Vec<Compression>,
}

impl Shared {
    pub(crate) fn new(queue: Queue, hosts: usize) -> Self {
        Self {
            queue,
            hosts: Mutex::new(Hosts::new(hosts)),
            compressions: (0..hosts).map(|_| Compression::default()).collect(),
        }
    }

    pub(crate) fn hosts(&self) -> MutexGuard<'_, Hosts> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task.
pub(crate) struct Reader {
    pub(crate) options: Options,
    pub(crate) shared: Arc<Shared>,
    /// Its number, see [`Queue::hand_over`].
    pub(crate) task: u64,
}

/// Connections that break at the same place.
#[derive(Debug, Default)]
struct Stuck {
    /// The time of the last event before they break, in microseconds since 1970.
    at_us: i64,
    tries: u32,
    skip: Duration,
}

impl Reader {
    /// Reads until it is aborted or replaced.
    pub(crate) async fn run(self) {
        let mut stuck = Stuck::default();
        // Whether the next connection repeats what a replay may have lost.
        let mut overlapping = false;
        loop {
            self.shared.queue.room().await;
            let Some(start) = self.shared.queue.restart(self.task) else { return };
            let number = self.shared.hosts().current();
            let host = &self.options.hosts[number];
            let cursor = stuck.cursor().inspect(|behind| self.shared.queue.lost_from(behind.from_us));
            let cursor = cursor.unwrap_or_else(|| start.cursor(host));
            let opened = Instant::now();
            let (end, overlap) = match self.open(number, cursor).await {
                Ok(connection) => {
                    let exact = cursor.seq.is_some();
                    self.push(Notice::Connected { host: host.name().clone(), wire: host.wire(), exact }, 0);
                    let feed = Feed::new(connection, cursor, opened, overlapping);
                    read(&self, feed).await
                }
                Err(Refused::TooOld) if cursor.seq.is_some() => (End::TooOld, false),
                Err(Refused::TooOld) => (End::Barren("refused with CursorTooOld".to_owned()), false),
                Err(Refused::Because(reason)) => (End::Barren(reason), false),
            };
            overlapping = overlap;
            self.push(Notice::Disconnected { host: host.name().clone(), reason: end.to_string() }, 0);
            stuck.note(&end);
            let wait = self.wait(&end, opened.elapsed());
            sleep(wait).await;
        }
    }

    /// How long to wait after the end of a connection.
    fn wait(&self, end: &End, lasted: Duration) -> Duration {
        let jitter = (self.options.jitter)();
        let timing = &self.options.timing;
        let mut hosts = self.shared.hosts();
        match end {
            End::Barren(_) => hosts.barren(Instant::now(), timing, jitter),
            End::Cut(_) | End::Broken { .. } => hosts.cut(lasted, timing, jitter),
            End::TooOld | End::Renumbered => {
                self.shared.queue.forget_sequence(self.task);
                hosts.cut(lasted, timing, jitter)
            }
            End::FirstHost => {
                hosts.back_to_first();
                Duration::ZERO
            }
        }
    }

    /// Opens a connection, within the time that a host has for its first word.
    async fn open(&self, number: usize, cursor: Cursor) -> Result<Connection, Refused> {
        let (host, compression) = (&self.options.hosts[number], &self.shared.compressions[number]);
        let opening = open(&self.options, host, compression, cursor);
        let opened = timeout(self.options.timing.barren, opening).await;
        opened.unwrap_or_else(|_| Err(Refused::Because("no answer to the upgrade".to_owned())))
    }

    fn now_us(&self) -> i64 {
        (self.options.now_us)()
    }

    fn push(&self, notice: Notice, bytes: usize) {
        self.shared.queue.push(self.task, notice, bytes);
    }
}

impl Stuck {
    fn note(&mut self, end: &End) {
        let End::Broken { last_us, .. } = end else {
            if !matches!(end, End::Barren(_)) {
                *self = Self::default();
            }
            return;
        };
        if *last_us > self.at_us {
            *self = Self { at_us: *last_us, tries: 1, skip: Duration::ZERO };
            return;
        }
        self.tries += 1;
        if self.tries >= BROKEN_TRIES {
            self.skip = (self.skip * 2).clamp(LEAST_SKIP, MAX_SKIP);
        }
    }

    /// Behind what can't be read.
    fn cursor(&self) -> Option<Cursor> {
        let value = self.at_us.saturating_add(micros(self.skip));
        (self.skip > Duration::ZERO).then(|| Cursor { from_us: self.at_us, ..Cursor::time(value, 0) })
    }
}
