//! Accounts that stay within the limit, and the connections that are closed for it.

use std::convert::Infallible;

use futures_util::{FutureExt as _, stream};
use http_body::Frame;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody};
use prometheus_client::registry::Registry;
use tokio::time::advance;

use super::answer::PIECE_BYTES;
use super::*;

const SECOND: Duration = Duration::from_secs(1);
/// A body of three pieces.
const BODY_BYTES: usize = 2 * PIECE_BYTES + 1000;

fn ledger(limit: usize) -> Ledger {
    Ledger::new(limit, HeldMetrics::new(&mut Registry::default()))
}

fn held(ledger: &Ledger) -> usize {
    ledger.0.held.load(Ordering::Relaxed)
}

/// An answer of the connection with a body of `bytes`, which nobody has taken anything of.
fn answer(open: &OpenAccount, bytes: usize) -> Response<AnswerBody<Full<Bytes>>> {
    let body = Full::new(vec![b'x'; bytes].into());
    Arc::clone(&open.account)
        .serve(async { Ok::<_, Infallible>(Response::new(body)) })
        .now_or_never()
        .unwrap()
        .unwrap()
}

fn next(body: &mut (impl Body<Data = Bytes, Error: std::fmt::Debug> + Unpin)) -> Bytes {
    body.frame().now_or_never().unwrap().unwrap().unwrap().into_data().unwrap()
}

fn is_closing(open: &OpenAccount) -> bool {
    open.account.state().closed
}

#[tokio::test(start_paused = true)]
async fn answer_counts_until_its_last_byte_is_taken() {
    let ledger = ledger(usize::MAX);
    let open = ledger.open();
    let mut body = answer(&open, BODY_BYTES).into_body();
    assert_eq!(held(&ledger), 2 * ANSWER_BYTES + BODY_BYTES);
    open.account.flushed();
    assert_eq!(held(&ledger), ANSWER_BYTES + BODY_BYTES);
    let first = next(&mut body);
    assert_eq!(first.len(), PIECE_BYTES);
    let [second, rest] = [next(&mut body), next(&mut body)];
    assert!(body.is_end_stream());
    drop(body);
    assert_eq!(held(&ledger), ANSWER_BYTES + BODY_BYTES);
    drop(first);
    assert_eq!(held(&ledger), ANSWER_BYTES + BODY_BYTES - PIECE_BYTES);
    drop(second);
    assert_eq!(held(&ledger), ANSWER_BYTES + 1000);
    drop(rest);
    assert_eq!(held(&ledger), 0);
}

#[tokio::test(start_paused = true)]
async fn answer_without_a_body_counts_until_it_is_flushed() {
    let ledger = ledger(usize::MAX);
    let open = ledger.open();
    let answering = async { Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())) };
    let _answer = Arc::clone(&open.account).serve(answering).now_or_never().unwrap().unwrap();
    assert_eq!(held(&ledger), ANSWER_BYTES);
    open.account.flushed();
    assert_eq!(held(&ledger), 0);
}

#[tokio::test(start_paused = true)]
async fn header_fields_count() {
    let ledger = ledger(usize::MAX);
    let open = ledger.open();
    let answer = Response::builder().header("name", "x".repeat(30_000)).body(Empty::<Bytes>::new()).unwrap();
    let answering = async { Ok::<_, Infallible>(answer) };
    let _answer = Arc::clone(&open.account).serve(answering).now_or_never().unwrap().unwrap();
    assert_eq!(held(&ledger), ANSWER_BYTES + 30_004);
}

#[tokio::test(start_paused = true)]
async fn body_of_unknown_length_counts_what_it_has_given() {
    let ledger = ledger(usize::MAX);
    let open = ledger.open();
    let pieces = [3, 5].map(|bytes| Ok::<_, Infallible>(Frame::data(Bytes::from(vec![b'x'; bytes]))));
    let body = StreamBody::new(stream::iter(pieces));
    let answering = async { Ok::<_, Infallible>(Response::new(body)) };
    let answer = Arc::clone(&open.account).serve(answering).now_or_never().unwrap().unwrap();
    open.account.flushed();
    assert_eq!(held(&ledger), 0);
    let mut body = answer.into_body();
    let first = next(&mut body);
    assert_eq!(held(&ledger), ANSWER_BYTES + 3);
    let second = next(&mut body);
    assert_eq!(held(&ledger), 2 * ANSWER_BYTES + 8);
    drop((first, second));
    assert_eq!((held(&ledger), open.account.state().held_since()), (0, None));
}

#[tokio::test(start_paused = true)]
async fn bytes_count_until_a_request_begins() {
    let ledger = ledger(usize::MAX);
    let open = ledger.open();
    open.account.read(FREE_BYTES);
    assert_eq!(held(&ledger), 0);
    open.account.read(1000);
    assert_eq!(held(&ledger), 1000);
    open.account.read(1_000_000);
    assert_eq!(held(&ledger), MAX_UNREAD_BYTES - FREE_BYTES);
    let _answer = answer(&open, 0);
    open.account.flushed();
    assert_eq!(held(&ledger), 0);
}

#[tokio::test(start_paused = true)]
async fn connection_that_has_held_longest_is_closed() {
    let ledger = ledger(5 * ANSWER_BYTES);
    let [busy, oldest, younger] = [ledger.open(), ledger.open(), ledger.open()];
    let flushed_answer = |open: &OpenAccount, bytes| {
        let answer = answer(open, bytes);
        open.account.flushed();
        answer
    };
    let first_of_busy = flushed_answer(&busy, 1);
    advance(SECOND).await;
    let _unread = flushed_answer(&oldest, 1);
    advance(SECOND).await;
    // It has held something all the time, but nothing for long.
    let _second_of_busy = flushed_answer(&busy, 1);
    drop(first_of_busy);
    let _last = flushed_answer(&younger, ANSWER_BYTES + 10);
    assert_eq!([&busy, &oldest, &younger].map(is_closing), [false, true, false]);
    assert_eq!(held(&ledger), 3 * ANSWER_BYTES + 11);
    drop((busy, oldest, younger));
    assert_eq!(held(&ledger), 0);
}

#[tokio::test(start_paused = true)]
async fn client_that_takes_nothing_is_closed() {
    let ledger = ledger(usize::MAX);
    let [idle, reading, stalled, unflushed] = [(); 4].map(|()| ledger.open());
    let [mut slow, _stalled] = [answer(&reading, 100_000).into_body(), answer(&stalled, 1).into_body()];
    let _head = answer(&unflushed, 0);
    reading.account.flushed();
    stalled.account.flushed();
    for _ in 0..3 {
        advance(STALL_LIMIT / 2).await;
        ledger.close_stalled();
        drop(next(&mut slow));
    }
    assert_eq!([&idle, &reading, &stalled, &unflushed].map(is_closing), [false, false, true, true]);
}

#[tokio::test(start_paused = true)]
async fn requests_that_nobody_looked_at_are_counted() {
    let ledger = ledger(usize::MAX);
    let open = ledger.open();
    let hanging = || std::future::pending::<Result<Response<Empty<Bytes>>, Infallible>>();
    let mut requests: Vec<_> =
        (0..MAX_QUEUED_REQUESTS).map(|_| Box::pin(Arc::clone(&open.account).serve(hanging()))).collect();
    assert!(ledger.is_busy());
    assert!(requests[0].as_mut().now_or_never().is_none());
    assert!(!ledger.is_busy(), "the first one waits for something else now");
    let _another = Arc::clone(&open.account).serve(hanging());
    assert!(ledger.is_busy());
    drop(requests);
    assert!(!ledger.is_busy());
}
