//! The subscription: what a caller holds.

use std::sync::Arc;

use tokio::task::AbortHandle;

use crate::event::Position;
use crate::host::{Filter, Start};
use crate::notice::Notice;
use crate::options::Options;
use crate::queue::Queue;
use crate::reader::{Reader, Shared};

/// Reads the stream, reconnecting for as long as it lives. Dropping it ends its task and closes its socket.
#[derive(Debug)]
pub struct Subscription {
    options: Options,
    shared: Arc<Shared>,
    reader: AbortHandle,
}

impl Subscription {
    /// Begins to read from `start`. After a reconnect reading goes on from what was
    /// [acknowledged](Self::acknowledge) last, or from `start` again.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime.
    #[must_use]
    pub fn start(options: Options, start: Start) -> Self {
        let shared = Arc::new(Shared::new(Queue::new(start), options.hosts.len()));
        let reader = spawn(&options, &shared, 0);
        Self { options, shared, reader }
    }

    /// The next notice. Cancel-safe.
    pub async fn next(&mut self) -> Notice {
        loop {
            if let Some(notice) = self.shared.queue.take(1).await.pop() {
                return notice;
            }
        }
    }

    /// What waits, at most `max` notices; waits until there is one. Cancel-safe.
    pub async fn next_batch(&mut self, max: usize) -> Vec<Notice> {
        self.shared.queue.take(max).await
    }

    /// Says that everything up to `position` is done: the next reconnect goes on behind it. A host of v2 then
    /// sends what follows; any other sends some seconds before it again.
    pub fn acknowledge(&mut self, position: Position) {
        self.shared.queue.acknowledge(position);
    }

    /// Reads on behind `from`, with another filter. What was read ahead and not taken is dropped.
    pub fn resume(&mut self, filter: Filter, from: Position) {
        self.reader.abort();
        self.options.filter = filter;
        let task = self.shared.queue.hand_over(Start::At(from));
        self.reader = spawn(&self.options, &self.shared, task);
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

fn spawn(options: &Options, shared: &Arc<Shared>, task: u64) -> AbortHandle {
    let reader = Reader { options: options.clone(), shared: Arc::clone(shared), task };
    tokio::spawn(reader.run()).abort_handle()
}
