//! The jobs that wait for one writer: those of calls and those of the engine, each in a channel of its own.

use tokio::sync::mpsc;

use super::Queued;

/// The jobs that wait for one writer.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) calls: mpsc::Receiver<Queued>,
    pub(super) engine: mpsc::Receiver<Queued>,
}

impl Waiting {
    /// The next job; `None` when the queue is closed and empty.
    pub(super) async fn recv(&mut self) -> Option<Queued> {
        tokio::select! {
            biased;
            Some(queued) = self.engine.recv() => Some(queued),
            Some(queued) = self.calls.recv() => Some(queued),
            else => None,
        }
    }

    /// Takes no more jobs.
    pub(super) fn close(&mut self) {
        self.calls.close();
        self.engine.close();
    }
}
