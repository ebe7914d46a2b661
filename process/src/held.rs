//! What clients make a server hold in memory, in all and for each connection.
//!
//! HTTP/2 lets a client send a hundred requests and take none of the answers: each stays in memory until the
//! connection ends. So every connection has an [`Account`] of
//!
//! - its answers that the client has not taken, until their last byte is handed to the operating system;
//! - the bytes that it has sent since its last request began, such as a header block without an end.
//!
//! While the accounts of all connections hold more than the [`Ledger`]'s limit, the connection that has held
//! something for the longest time is closed. Clients that read their answers hold them for an instant, so
//! they are never that one. A connection whose client takes nothing of its answers for [`STALL_LIMIT`] is
//! closed whatever the others hold.
//!
//! Requests that were read but not looked at yet are bounded too: while there are many, [`socket`] reads no
//! further ones.
//!
//! Owns no limit of connections and no protocol: the servers count their connections, and hyper and tonic
//! speak HTTP.

pub mod answer;
pub mod metrics;
pub mod socket;

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http::{HeaderMap, Response};
use http_body::Body;
use tokio::time::Instant;

use self::answer::AnswerBody;
use self::metrics::HeldMetrics;

/// What the accounts of all connections may hold, in bytes.
pub const HELD_LIMIT_BYTES: usize = 64 * 1024 * 1024;
/// What an answer counts besides its header fields and its body, in bytes: its stream and its task.
pub const ANSWER_BYTES: usize = 4 * 1024;
/// How long a client may take nothing of the answers that wait for it.
pub const STALL_LIMIT: Duration = Duration::from_secs(10);
/// Bytes that a connection may send without beginning a request before they count: more than the frames that
/// an idle connection sends.
const FREE_BYTES: usize = 4 * 1024;
/// Bytes without a request count up to this: more than a header block may have.
const MAX_UNREAD_BYTES: usize = 64 * 1024;
/// Requests that were read and not looked at yet; above it, no socket is read.
pub const MAX_QUEUED_REQUESTS: usize = 1024;

/// The accounts of all connections of one server.
#[derive(Debug, Clone)]
pub struct Ledger(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limit: usize,
    /// The sum of all accounts, in bytes.
    held: AtomicUsize,
    /// Requests that were read and not looked at yet.
    queued: AtomicUsize,
    accounts: Mutex<HashMap<usize, Arc<Account>>>,
    /// The key of the next account.
    next: AtomicUsize,
    metrics: HeldMetrics,
}

/// The account of one connection.
#[derive(Debug)]
pub struct Account {
    ledger: Ledger,
    state: Mutex<State>,
    /// Wakes the connection when it has to close.
    closing: AtomicWaker,
}

/// Keeps the account of a connection open: belongs to its socket.
#[derive(Debug)]
struct OpenAccount {
    key: usize,
    account: Arc<Account>,
}

#[derive(Debug)]
struct State {
    /// When each answer that is not taken yet was made, the oldest first. `None`: taken, while an older one
    /// is not.
    answers: VecDeque<Option<Instant>>,
    /// The number of the first of `answers`.
    first: usize,
    /// What the answers count, in bytes.
    answer_bytes: usize,
    /// When the client last took something of an answer.
    taken: Instant,
    /// What the answers count whose heads are not flushed yet.
    unflushed: Counted,
    /// When the socket last took something.
    written: Instant,
    /// What was read since the last request began.
    unread: Counted,
    /// Nothing counts any more.
    closed: bool,
}

/// Bytes, and since when there are any.
#[derive(Debug)]
struct Counted {
    bytes: usize,
    since: Instant,
}

impl Ledger {
    /// A ledger of accounts that may hold `limit` bytes together.
    #[must_use]
    pub fn new(limit: usize, metrics: HeldMetrics) -> Self {
        Self(Arc::new(Shared {
            limit,
            held: AtomicUsize::new(0),
            queued: AtomicUsize::new(0),
            accounts: Mutex::default(),
            next: AtomicUsize::new(0),
            metrics,
        }))
    }

    /// Opens the account of a new connection.
    fn open(&self) -> OpenAccount {
        let account = Arc::new(Account {
            ledger: self.clone(),
            state: Mutex::new(State::new(Instant::now())),
            closing: AtomicWaker::new(),
        });
        let key = self.0.next.fetch_add(1, Ordering::Relaxed);
        self.accounts().insert(key, Arc::clone(&account));
        OpenAccount { key, account }
    }

    /// Closes the connections whose clients have taken nothing of what waits for them for [`STALL_LIMIT`]. To
    /// be called about once a second.
    pub fn close_stalled(&self) {
        let now = Instant::now();
        let stalled: Vec<_> = self
            .accounts()
            .values()
            .filter(|account| account.state().is_stalled(now))
            .map(Arc::clone)
            .collect();
        for account in stalled {
            account.close();
            self.0.metrics.stalled.inc();
        }
    }

    /// Whether so many requests wait to be looked at that no further ones should be read.
    fn is_busy(&self) -> bool {
        self.0.queued.load(Ordering::Relaxed) >= MAX_QUEUED_REQUESTS
    }

    /// Closes connections, the one first that has held something for the longest time, until the rest holds
    /// no more than the limit.
    fn keep_limit(&self) {
        while self.0.held.load(Ordering::Relaxed) > self.0.limit {
            let oldest = {
                let accounts = self.accounts();
                let held =
                    accounts.values().filter_map(|account| Some((account.state().held_since()?, account)));
                held.min_by_key(|(since, _)| *since).map(|(_, account)| Arc::clone(account))
            };
            let Some(oldest) = oldest else { return };
            oldest.close();
            self.0.metrics.over_limit.inc();
        }
    }

    fn accounts(&self) -> MutexGuard<'_, HashMap<usize, Arc<Account>>> {
        self.0.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OpenAccount {
    fn drop(&mut self) {
        self.account.close();
        self.account.ledger.accounts().remove(&self.key);
    }
}

impl Account {
    /// Notes that a request begins, which `answering` answers. The answer counts until the client has taken
    /// it.
    pub fn serve<B, E>(
        self: Arc<Self>,
        answering: impl Future<Output = Result<Response<B>, E>>,
    ) -> impl Future<Output = Result<Response<AnswerBody<B>>, E>>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        self.change(|state, _| state.unread.bytes = 0);
        let mut queued = Some(QueuedRequest::new(self.ledger.clone()));
        async move {
            let mut answering = pin!(answering);
            let answer = poll_fn(|context| {
                let polled = answering.as_mut().poll(context);
                queued = None;
                polled
            });
            let answer = answer.await?;
            self.head_begins(head_bytes(answer.headers()));
            Ok(answer.map(|body| AnswerBody::new(body, self)))
        }
    }

    /// Notes that the head of an answer was made, whose fields have `bytes`.
    fn head_begins(&self, bytes: usize) {
        self.change(|state, now| state.unflushed.add(ANSWER_BYTES + bytes, now));
    }

    /// Notes that `bytes` of an answer's body are there. Returns their number.
    fn answer_begins(&self, bytes: usize) -> usize {
        let mut number = 0;
        self.change(|state, now| {
            if state.answers.is_empty() {
                state.taken = now;
            }
            number = state.first + state.answers.len();
            state.answers.push_back(Some(now));
            state.answer_bytes += ANSWER_BYTES + bytes;
        });
        number
    }

    /// Notes that the client took `bytes` of an answer.
    fn answer_taken(&self, bytes: usize) {
        self.change(|state, now| {
            state.taken = now;
            state.answer_bytes -= bytes;
        });
    }

    /// Notes that nothing of the answer with this `number` is kept any more. `rest` of it still counted.
    fn answer_ends(&self, number: usize, rest: usize) {
        self.change(|state, _| {
            state.answer_bytes -= ANSWER_BYTES + rest;
            let index = number - state.first;
            state.answers[index] = None;
            while let Some(None) = state.answers.front() {
                state.answers.pop_front();
                state.first += 1;
            }
        });
    }

    /// Notes that the socket took something.
    fn written(&self) {
        self.state().written = Instant::now();
    }

    /// Notes that the socket took all that the client lets be sent.
    fn flushed(&self) {
        self.change(|state, _| state.unflushed.bytes = 0);
    }

    /// Notes that `bytes` were read.
    fn read(&self, bytes: usize) {
        self.change(|state, now| {
            let bytes = bytes.min(MAX_UNREAD_BYTES - state.unread.bytes);
            state.unread.add(bytes, now);
        });
    }

    /// Lets `note` change the account, and the ledger follow.
    fn change(&self, note: impl FnOnce(&mut State, Instant)) {
        let mut state = self.state();
        let before = state.held();
        note(&mut state, Instant::now());
        let after = state.held();
        drop(state);
        let held = &self.ledger.0.held;
        if after > before {
            held.fetch_add(after - before, Ordering::Relaxed);
            self.ledger.keep_limit();
        } else if after < before {
            held.fetch_sub(before - after, Ordering::Relaxed);
        }
    }

    fn close(&self) {
        self.change(|state, _| state.closed = true);
        self.closing.wake();
    }

    /// Ready once the connection has to be closed.
    fn poll_closing(&self, context: &mut Context<'_>) -> Poll<()> {
        self.closing.register(context.waker());
        if self.state().closed { Poll::Ready(()) } else { Poll::Pending }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn new(now: Instant) -> Self {
        Self {
            answers: VecDeque::new(),
            first: 0,
            answer_bytes: 0,
            taken: now,
            unflushed: Counted { bytes: 0, since: now },
            written: now,
            unread: Counted { bytes: 0, since: now },
            closed: false,
        }
    }

    /// What counts, in bytes.
    fn held(&self) -> usize {
        if self.closed {
            return 0;
        }
        self.answer_bytes + self.unflushed.bytes + self.unread.bytes.saturating_sub(FREE_BYTES)
    }

    /// Since when something counts.
    fn held_since(&self) -> Option<Instant> {
        let answers = self.answers.front().copied().flatten();
        let unflushed = (self.unflushed.bytes > 0).then_some(self.unflushed.since);
        let unread = (self.unread.bytes > FREE_BYTES).then_some(self.unread.since);
        [answers, unflushed, unread].into_iter().flatten().min().filter(|_| !self.closed)
    }

    /// Whether the client has taken nothing of what waits for it for [`STALL_LIMIT`].
    fn is_stalled(&self, now: Instant) -> bool {
        let answers = !self.answers.is_empty() && now - self.taken >= STALL_LIMIT;
        let waiting_since = self.written.max(self.unflushed.since);
        let unflushed = self.unflushed.bytes > 0 && now - waiting_since >= STALL_LIMIT;
        (answers || unflushed) && !self.closed
    }
}

impl Counted {
    fn add(&mut self, bytes: usize, now: Instant) {
        if self.bytes == 0 {
            self.since = now;
        }
        self.bytes += bytes;
    }
}

/// The names and values of these fields, in bytes. Some are of the client's choice: the answer to a preflight
/// repeats which headers it asks for.
fn head_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}

/// A request that was read and not looked at yet.
struct QueuedRequest(Ledger);

impl QueuedRequest {
    fn new(ledger: Ledger) -> Self {
        ledger.0.queued.fetch_add(1, Ordering::Relaxed);
        Self(ledger)
    }
}

impl Drop for QueuedRequest {
    fn drop(&mut self) {
        self.0.0.queued.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
