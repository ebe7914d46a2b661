//! The way back from a job to the call that waits for it.

use tokio::sync::oneshot;

use crate::error::Error;

/// Where the result of a job goes. It is decided inside the transaction, perhaps again in the next try, and
/// sent after the commit.
#[derive(Debug)]
pub(in crate::store) struct Reply<T> {
    /// `None` once the result is sent.
    sender: Option<oneshot::Sender<Result<T, Error>>>,
    result: Option<Result<T, Error>>,
}

impl<T> Reply<T> {
    /// A reply, and where its result arrives.
    pub(super) fn channel() -> (Self, oneshot::Receiver<Result<T, Error>>) {
        let (sender, receiver) = oneshot::channel();
        (Self { sender: Some(sender), result: None }, receiver)
    }

    /// Sets what the call is answered if the transaction is committed.
    pub(super) fn decide(&mut self, result: Result<T, Error>) {
        self.result = Some(result);
    }

    pub(super) fn decided(&self) -> Option<&Result<T, Error>> {
        self.result.as_ref()
    }
}

/// A [`Reply`] of any type.
pub(super) trait AnyReply {
    /// Whether the call no longer waits.
    fn is_abandoned(&self) -> bool;

    /// Answers the call with what was decided.
    fn send(&mut self);

    /// Answers the call with `error`, whatever was decided.
    fn fail(&mut self, error: Error);
}

impl<T> AnyReply for Reply<T> {
    fn is_abandoned(&self) -> bool {
        self.sender.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    fn send(&mut self) {
        if let (Some(sender), Some(result)) = (self.sender.take(), self.result.take()) {
            // The caller may have gone meanwhile.
            let _ = sender.send(result);
        }
    }

    fn fail(&mut self, error: Error) {
        self.decide(Err(error));
        self.send();
    }
}
