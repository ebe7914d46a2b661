//! Graceful shutdown in three steps: SIGTERM or SIGINT; a delay in which readiness is off while requests are
//! still served; a drain, in which no new work is accepted and the requests in flight finish, for a limited
//! time.
//!
//! Neither axum nor tonic limits a drain, so the limit is enforced here.

use std::future::Future;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// One shutdown, shared by all servers of the process. Clones are the same shutdown.
#[derive(Debug, Clone)]
pub struct Shutdown {
    leaving: CancellationToken,
    draining: CancellationToken,
    delay: Duration,
    limit: Duration,
}

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Everything in flight finished.
    Drained,
    /// The drain limit passed first, and the rest was dropped.
    Cut,
}

impl Shutdown {
    /// A shutdown that waits `delay` before it drains, and drains for at most `limit`.
    #[must_use]
    pub fn new(delay: Duration, limit: Duration) -> Self {
        Self { leaving: CancellationToken::new(), draining: CancellationToken::new(), delay, limit }
    }

    /// Begins the shutdown at the first SIGTERM or SIGINT.
    ///
    /// # Errors
    ///
    /// The operating system refuses the signal handlers.
    pub fn begin_on_signal(&self) -> std::io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let shutdown = self.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::info!("stopping");
            shutdown.begin();
        });
        Ok(())
    }

    /// The same at the first SIGHUP: for what ends with its terminal.
    ///
    /// # Errors
    ///
    /// The operating system refuses the signal handler.
    pub fn begin_on_hangup(&self) -> std::io::Result<()> {
        let mut hangup = signal(SignalKind::hangup())?;
        let shutdown = self.clone();
        tokio::spawn(async move {
            hangup.recv().await;
            shutdown.begin();
        });
        Ok(())
    }

    /// Turns readiness off now and starts the drain after the delay. A second call has no effect.
    pub fn begin(&self) {
        if self.leaving.is_cancelled() {
            return;
        }
        self.leaving.cancel();
        let (draining, delay) = (self.draining.clone(), self.delay);
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            draining.cancel();
        });
    }

    /// Whether readiness is off.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.leaving.is_cancelled()
    }

    /// Waits until readiness goes off.
    pub async fn leaving(&self) {
        self.leaving.cancelled().await;
    }

    /// Waits until the drain starts: from then on no new work is accepted.
    pub async fn draining(&self) {
        self.draining.cancelled().await;
    }

    /// Runs `serve`, which should end by itself after [`draining`](Self::draining). If it has not when the
    /// drain limit has passed, it is dropped.
    pub async fn limit<T>(&self, serve: impl Future<Output = T>) -> (End, Option<T>) {
        let cut = async {
            self.draining().await;
            tokio::time::sleep(self.limit).await;
        };
        tokio::select! {
            value = serve => (End::Drained, Some(value)),
            () = cut => (End::Cut, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_drain_that_hangs_is_cut() {
        let shutdown = Shutdown::new(Duration::from_secs(5), Duration::from_secs(20));
        let started = tokio::time::Instant::now();
        shutdown.begin();
        assert!(shutdown.is_leaving());
        let end = shutdown.limit(std::future::pending::<()>()).await;
        assert_eq!((end, started.elapsed().as_secs()), ((End::Cut, None), 25));
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_that_ends_is_not_cut() {
        let shutdown = Shutdown::new(Duration::ZERO, Duration::from_secs(20));
        shutdown.begin();
        let end = shutdown.limit(shutdown.draining()).await;
        assert_eq!(end, (End::Drained, Some(())));
    }
}
