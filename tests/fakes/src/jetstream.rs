//! A Jetstream of both wires, on a port of its own.
//!
//! Owns a log of what happened, its sequence numbers and times, and the ways in which hosts fail
//! ([`Faults`]). Shares no code with the client: each is a check of the other.

mod item;
mod log;
mod query;
mod serve;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::AbortHandle;

pub use item::Item;

use self::log::Log;

/// Which of the two wires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// `/subscribe`.
    V1,
    /// `/xrpc/network.bsky.jetstream.subscribeEvents`.
    V2,
}

/// How a host misbehaves. By default it does not.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// Accepts connections and never answers.
    pub deaf: bool,
    /// Not a byte from now on, on any connection, not even a pong; upgrades are answered.
    pub silent: bool,
    /// Refuses every upgrade: status, the error's name.
    pub refuse: Option<(u16, &'static str)>,
    /// Has no dictionary.
    pub no_dictionary: bool,
    /// Never answers who asks for the dictionary.
    pub dictionary_hangs: bool,
    /// Serves a dictionary and doesn't know it when it is asked for.
    pub forgets_dictionary: bool,
    /// Cuts each connection after so many frames, without a close.
    pub cut_after: Option<usize>,
    /// Closes each connection after so many frames, with this code, and then never ends the connection.
    pub close_after: Option<(usize, u16)>,
    /// Says this error instead of what follows so many frames, and closes.
    pub error_after: Option<(usize, &'static str)>,
    /// Sends each frame twice.
    pub repeat: bool,
    /// Loses so many events where the next replay meets what is live. Once.
    pub switch_drops: usize,
    /// Goes back so many microseconds further than a v1 cursor asks.
    pub jump_back_us: i64,
    /// Waits before each frame.
    pub pause: Option<Duration>,
    /// Never has this collection.
    pub lacks_collection: Option<String>,
    /// Sends this `#info` first.
    pub info: Option<&'static str>,
}

/// A host. Dropping it ends it and every connection.
#[derive(Debug)]
pub struct Jetstream {
    shared: Arc<Shared>,
    address: SocketAddr,
    accepting: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    log: Log,
    faults: watch::Sender<Faults>,
    seen: watch::Sender<Seen>,
    connections: Mutex<Vec<AbortHandle>>,
}

/// What a host has seen of its clients.
#[derive(Debug, Clone, Default)]
struct Seen {
    /// Path and query of each request, refused or not.
    requests: Vec<String>,
    open: usize,
}

impl Jetstream {
    /// A host with an empty log.
    ///
    /// # Panics
    ///
    /// If there is no port.
    #[must_use]
    pub async fn start() -> Self {
        Self::numbered(1, 0).await
    }

    /// A host whose sequence numbers begin at `first_seq` and whose clock is ahead by `ahead_us`
    /// microseconds.
    ///
    /// # Panics
    ///
    /// If there is no port.
    #[must_use]
    pub async fn numbered(first_seq: i64, ahead_us: i64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            log: Log::new(first_seq, ahead_us),
            faults: watch::Sender::default(),
            seen: watch::Sender::default(),
            connections: Mutex::default(),
        });
        let accepting = tokio::spawn(serve::accept(listener, Arc::clone(&shared))).abort_handle();
        Self { shared, address, accepting }
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self, wire: Wire) -> String {
        let path = match wire {
            Wire::V1 => serve::V1_PATH,
            Wire::V2 => serve::V2_PATH,
        };
        format!("ws://{}{path}", self.address)
    }

    /// The items happen now. Gives sequence number and time of the last.
    pub fn push(&self, items: impl IntoIterator<Item = Item>) -> (i64, i64) {
        self.shared.log.push(items, None)
    }

    /// The items happened at `time_us`, each a microsecond after the one before.
    pub fn push_at(&self, time_us: i64, items: impl IntoIterator<Item = Item>) -> (i64, i64) {
        self.shared.log.push(items, Some(time_us))
    }

    /// Leaves out so many sequence numbers.
    pub fn skip_numbers(&self, count: i64) {
        self.shared.log.skip_numbers(count);
    }

    /// Keeps only the last `count` items.
    pub fn keep(&self, count: usize) {
        self.shared.log.keep(count);
    }

    /// The host's clock, in microseconds since 1970.
    #[must_use]
    pub fn now_us(&self) -> i64 {
        self.shared.log.now_us()
    }

    /// From now on it misbehaves like this.
    pub fn fail(&self, change: impl FnOnce(&mut Faults)) {
        self.shared.faults.send_modify(change);
    }

    /// Cuts all connections, without a close.
    pub fn cut(&self) {
        for connection in self.shared.connections().drain(..) {
            connection.abort();
        }
    }

    /// Path and query of each request so far.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.shared.seen.borrow().requests.clone()
    }

    /// How many WebSockets are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.shared.seen.borrow().open
    }

    /// Waits until so many requests have come.
    pub async fn requested(&self, count: usize) {
        let mut seen = self.shared.seen.subscribe();
        let _ = seen.wait_for(|seen| seen.requests.len() >= count).await;
    }

    /// Waits until so many WebSockets are open.
    pub async fn opened(&self, count: usize) {
        let mut seen = self.shared.seen.subscribe();
        let _ = seen.wait_for(|seen| seen.open == count).await;
    }
}

impl Drop for Jetstream {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

impl Shared {
    fn connections(&self) -> MutexGuard<'_, Vec<AbortHandle>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
