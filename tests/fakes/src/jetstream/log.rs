//! What happened, in the order and with the numbers of one host.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::Wire;
use super::item::Item;
use super::query::{Refusal, begin};

/// The log of a host.
#[derive(Debug)]
pub(super) struct Log {
    state: RwLock<State>,
    length: watch::Sender<usize>,
    ahead_us: i64,
}

#[derive(Debug)]
struct State {
    entries: Vec<Arc<Entry>>,
    /// Sequence number and time of each.
    numbers: Vec<(i64, i64)>,
    next_seq: i64,
    /// What lies before it is not served.
    floor: usize,
}

/// An item and its frames.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) item: Item,
    pub(super) v1: Option<Utf8Bytes>,
    pub(super) v2: Utf8Bytes,
    /// The frame of v2, compressed once somebody wants it.
    pub(super) compressed: OnceLock<Bytes>,
}

impl Log {
    pub(super) fn new(first_seq: i64, ahead_us: i64) -> Self {
        let state = State { entries: Vec::new(), numbers: Vec::new(), next_seq: first_seq, floor: 0 };
        Self { state: RwLock::new(state), length: watch::Sender::new(0), ahead_us }
    }

    pub(super) fn push(&self, items: impl IntoIterator<Item = Item>, time_us: Option<i64>) -> (i64, i64) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let mut next_us = time_us;
        for item in items {
            let last_us = state.numbers.last().map_or(0, |(_, time_us)| *time_us);
            let time_us = next_us.unwrap_or_else(|| self.now_us().max(last_us + 1));
            next_us = next_us.map(|time_us| time_us + 1);
            let seq = state.next_seq;
            state.next_seq += 1;
            let v1 = item.v1(seq, time_us).map(Utf8Bytes::from);
            let v2 = item.v2(seq, time_us).into();
            state.entries.push(Arc::new(Entry { item, v1, v2, compressed: OnceLock::new() }));
            state.numbers.push((seq, time_us));
        }
        self.length.send_replace(state.entries.len());
        state.numbers.last().copied().unwrap_or_default()
    }

    pub(super) fn skip_numbers(&self, count: i64) {
        self.state.write().unwrap_or_else(PoisonError::into_inner).next_seq += count;
    }

    pub(super) fn keep(&self, count: usize) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.floor = state.entries.len().saturating_sub(count);
    }

    /// At most `max` entries from `at` on.
    pub(super) fn read(&self, at: usize, max: usize) -> Vec<Arc<Entry>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.entries.iter().skip(at).take(max).cloned().collect()
    }

    /// Where a client begins, how long the log is then, and the name of the `#info` to send first.
    pub(super) fn begin(
        &self,
        wire: Wire,
        cursor: Option<i64>,
    ) -> Result<(usize, usize, Option<&'static str>), Refusal> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let (at, info) = begin(wire, cursor, &state.numbers, state.floor, self.now_us())?;
        Ok((at, state.entries.len(), info))
    }

    pub(super) fn length(&self) -> watch::Receiver<usize> {
        self.length.subscribe()
    }

    pub(super) fn now_us(&self) -> i64 {
        #[expect(clippy::disallowed_methods, reason = "the clock of a host")]
        let now = SystemTime::now();
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX).saturating_add(self.ahead_us)
    }
}
