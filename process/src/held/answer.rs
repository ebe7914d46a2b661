//! The body of an answer that counts in its connection's [`Account`] until the client has taken it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::Account;

/// The largest piece that a body gives out. That a client takes something is noticed piece by piece.
pub(super) const PIECE_BYTES: usize = 16 * 1024;

/// A body that counts until its data is sent: as a whole from the beginning if its length is known, else each
/// frame from when it is there.
#[derive(Debug)]
pub struct AnswerBody<B> {
    body: B,
    account: Arc<Account>,
    /// What is not given out yet of the last frame of `body`.
    frame: Bytes,
    /// The whole body, or the last frame.
    counted: Option<Arc<Counted>>,
    /// `counted` is the whole body.
    whole: bool,
}

/// A body or frame that counts in the account.
#[derive(Debug)]
struct Counted {
    account: Arc<Account>,
    number: usize,
    /// What of it is not taken.
    rest: AtomicUsize,
}

/// Data that counts until it is dropped, which HTTP does once it is sent.
struct Piece {
    bytes: Bytes,
    counted: Arc<Counted>,
}

impl<B: Body<Data = Bytes>> AnswerBody<B> {
    pub(super) fn new(body: B, account: Arc<Account>) -> Self {
        let length = body.size_hint().exact().and_then(|length| usize::try_from(length).ok());
        let counted = length.filter(|length| *length > 0).map(|length| Counted::new(&account, length));
        Self { body, account, frame: Bytes::new(), whole: counted.is_some(), counted }
    }

    /// The next piece of the frame.
    fn piece(&mut self) -> Bytes {
        let bytes = self.frame.split_to(self.frame.len().min(PIECE_BYTES));
        let is_last = self.frame.is_empty() && (!self.whole || self.body.is_end_stream());
        let counted = if is_last { self.counted.take() } else { self.counted.clone() };
        counted.map_or(Bytes::new(), |counted| Bytes::from_owner(Piece { bytes, counted }))
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for AnswerBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if self.frame.is_empty() {
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                ended => return Poll::Ready(ended),
            };
            match frame.into_data() {
                Ok(bytes) if !bytes.is_empty() => self.frame = bytes,
                Ok(empty) => return Poll::Ready(Some(Ok(Frame::data(empty)))),
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
            if !self.whole {
                self.counted = Some(Counted::new(&self.account, self.frame.len()));
            }
        }
        Poll::Ready(Some(Ok(Frame::data(self.piece()))))
    }

    fn is_end_stream(&self) -> bool {
        self.frame.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (frame, body) = (self.frame.len() as u64, self.body.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(frame + body.lower());
        if let Some(upper) = body.upper() {
            hint.set_upper(frame + upper);
        }
        hint
    }
}

impl Counted {
    fn new(account: &Arc<Account>, bytes: usize) -> Arc<Self> {
        let number = account.answer_begins(bytes);
        Arc::new(Self { account: Arc::clone(account), number, rest: AtomicUsize::new(bytes) })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.account.answer_ends(self.number, self.rest.load(Ordering::Relaxed));
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let rest = self.counted.rest.load(Ordering::Relaxed);
        // A body may be longer than it said.
        let taken = self.bytes.len().min(rest);
        self.counted.rest.store(rest - taken, Ordering::Relaxed);
        self.counted.account.answer_taken(taken);
    }
}
