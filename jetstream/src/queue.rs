//! What was read and not yet taken, and from where to read again. A bound on both numbers and bytes.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::event::Position;
use crate::frame::MAX_FRAME_BYTES;
use crate::host::Start;
use crate::notice::Notice;

/// How many notices wait at most; then reading stops.
const MAX_WAITING: usize = 2_000;
/// How many bytes of frames wait at most.
const MAX_WAITING_BYTES: usize = 16 << 20;

/// Shared by a subscription and its task.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    /// Told when there is something to take.
    filled: Notify,
    /// Told when there is room again.
    drained: Notify,
}

#[derive(Debug)]
struct State {
    waiting: VecDeque<(Notice, usize)>,
    bytes: usize,
    /// Counts the tasks: what an earlier one pushes is dropped.
    task: u64,
    /// Whether the task waits for room.
    paused: bool,
    start: Start,
    /// The time from which events are lost, in microseconds since 1970, until it is told.
    lost_from_us: Option<i64>,
}

impl Queue {
    pub(crate) fn new(start: Start) -> Self {
        let state =
            State { waiting: VecDeque::new(), bytes: 0, task: 0, paused: false, start, lost_from_us: None };
        Self { state: Mutex::new(state), filled: Notify::new(), drained: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What waits, at most `max` notices. Waits until there is one.
    pub(crate) async fn take(&self, max: usize) -> Vec<Notice> {
        loop {
            {
                let mut state = self.lock();
                if !state.waiting.is_empty() {
                    let count = state.waiting.len().min(max.max(1));
                    let mut taken = Vec::with_capacity(count);
                    for (notice, bytes) in state.waiting.drain(..count).collect::<Vec<_>>() {
                        state.bytes -= bytes;
                        taken.push(notice);
                    }
                    if state.paused && state.waiting.len() < MAX_WAITING / 2 && !state.is_full() {
                        state.paused = false;
                        self.drained.notify_one();
                    }
                    return taken;
                }
            }
            self.filled.notified().await;
        }
    }

    pub(crate) fn acknowledge(&self, position: Position) {
        self.lock().start = Start::At(position);
    }

    /// From another position on, for another task, whose number is given: what was read ahead is dropped.
    pub(crate) fn hand_over(&self, start: Start) -> u64 {
        let mut state = self.lock();
        state.task += 1;
        state.start = start;
        state.paused = false;
        state.drop_read_ahead();
        state.task
    }

    /// Where the task begins to read. What was read ahead is dropped: it comes again. `None`: the task has
    /// been replaced.
    pub(crate) fn restart(&self, task: u64) -> Option<Start> {
        let mut state = self.lock();
        if state.task != task {
            return None;
        }
        state.drop_read_ahead();
        Some(state.start.clone())
    }

    /// A sequence number is of no use any more: only the time is kept, from which events may be lost.
    pub(crate) fn forget_sequence(&self, task: u64) {
        let mut state = self.lock();
        if state.task == task {
            let time_us = state.start.time_us();
            state.start = Start::Time(time_us);
            state.lost_from_us.get_or_insert(time_us);
        }
    }

    /// Events may be lost from a time on.
    pub(crate) fn lost_from(&self, from_us: i64) {
        self.lock().lost_from_us.get_or_insert(from_us);
    }

    /// From when on events may be lost, once.
    pub(crate) fn take_lost_from(&self) -> Option<i64> {
        self.lock().lost_from_us.take()
    }

    pub(crate) fn push(&self, task: u64, notice: Notice, bytes: usize) {
        {
            let mut state = self.lock();
            if state.task != task {
                return;
            }
            state.bytes += bytes;
            state.waiting.push_back((notice, bytes));
        }
        self.filled.notify_one();
    }

    /// Whether reading has to stop.
    pub(crate) fn is_full(&self) -> bool {
        self.lock().is_full()
    }

    /// Waits until there is room.
    pub(crate) async fn room(&self) {
        loop {
            {
                let mut state = self.lock();
                state.paused = state.is_full();
                if !state.paused {
                    return;
                }
            }
            self.drained.notified().await;
        }
    }
}

impl State {
    /// One more frame fits into the bytes.
    fn is_full(&self) -> bool {
        self.waiting.len() >= MAX_WAITING || self.bytes > MAX_WAITING_BYTES - MAX_FRAME_BYTES
    }

    /// Drops what comes again. A gap is told once: it stays.
    fn drop_read_ahead(&mut self) {
        self.waiting.retain(|(notice, _)| {
            !matches!(notice, Notice::Event(_) | Notice::Unreadable(_) | Notice::CaughtUp { .. })
        });
        self.bytes = self.waiting.iter().map(|(_, bytes)| bytes).sum();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::{MAX_WAITING, Queue};
    use crate::frame::Unreadable;
    use crate::host::Start;
    use crate::notice::Notice;

    fn frame() -> Notice {
        Notice::Unreadable(Unreadable { position: None, hash: [0; 32], reason: "" })
    }

    fn gap() -> Notice {
        Notice::Gap { host: "a".into(), from_us: 0, to_us: None }
    }

    #[tokio::test(start_paused = true)]
    async fn reading_stops_at_2000_notices_and_goes_on_when_half_are_taken() {
        let queue = Queue::new(Start::Time(0));
        for _ in 0..MAX_WAITING {
            assert!(!queue.is_full());
            queue.push(0, frame(), 1);
        }
        assert!(queue.is_full());
        let room = async { timeout(Duration::from_secs(1), queue.room()).await.is_ok() };
        let taken = async { queue.take(1_000).await.len() };
        assert_eq!(tokio::join!(room, taken), (false, 1_000), "not before more than half are taken");
        let room = async { timeout(Duration::from_secs(1), queue.room()).await.is_ok() };
        let taken = async { queue.take(1).await.len() };
        assert_eq!(tokio::join!(room, taken), (true, 1));
    }

    #[tokio::test]
    async fn reading_stops_before_16_mib() {
        let queue = Queue::new(Start::Time(0));
        for _ in 0..3 {
            queue.push(0, frame(), 4 << 20);
            assert!(!queue.is_full());
        }
        queue.push(0, frame(), 1);
        assert!(queue.is_full());
    }

    #[tokio::test]
    async fn what_comes_again_is_dropped_and_a_gap_is_not() {
        let queue = Queue::new(Start::Time(5));
        queue.push(0, frame(), 1);
        queue.push(0, gap(), 0);
        queue.push(1, frame(), 1);
        assert_eq!(queue.restart(0), Some(Start::Time(5)));
        queue.push(0, gap(), 0);
        let taken = queue.take(9).await;
        assert!(matches!(&*taken, [Notice::Gap { .. }, Notice::Gap { .. }]), "{taken:?}");
        queue.push(0, frame(), 1);
        queue.push(0, gap(), 0);
        assert_eq!(queue.hand_over(Start::Time(6)), 1);
        queue.push(0, frame(), 1);
        assert_eq!(queue.restart(0), None, "the task was replaced");
        let taken = queue.take(9).await;
        assert!(matches!(&*taken, [Notice::Gap { .. }]), "{taken:?}");
    }
}
