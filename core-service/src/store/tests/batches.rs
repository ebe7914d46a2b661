//! The writer: batches, retries and limits of the queue.

use std::future::Future as _;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use prometheus_client::registry::Registry;

use super::*;

fn secret_row(id: Uuid, name: &str) -> Row {
    let new = NewSecret { id, ..new_secret("a", name) };
    Row::Secret(row::secret(&new, Vec::new()))
}

fn writer(store: &Store) -> Writer {
    let plenty = Limits { secrets: 10_000, webhooks: 10_000 };
    Writer::start(&store.database, plenty, &mut Registry::default())
}

async fn names(store: &Store) -> Vec<String> {
    let rows = secret::Entity::find().all(&store.database.reading).await.unwrap();
    let mut names: Vec<String> = rows.into_iter().map(|row| row.name).collect();
    names.sort();
    names
}

#[tokio::test]
async fn neighbours_of_a_bad_row_succeed() {
    let (_folder, store) = opened().await;
    let writer = writer(&store);
    let taken = id();
    assert_eq!(writer.write(secret_row(taken, "there")).await, Ok(Outcome::Written));
    // An id that is taken is nobody's mistake but ours, and fails the statement.
    let rows = [
        secret_row(id(), "first"),
        secret_row(taken, "bad"),
        secret_row(id(), "there"),
        secret_row(id(), "last"),
    ];
    let results = join_all(rows.map(|row| writer.write(row))).await;
    let expected = [Ok(Outcome::Written), Err(Error::Internal), Ok(Outcome::Exists), Ok(Outcome::Written)];
    assert_eq!(results, expected);
    assert_eq!(names(&store).await, ["first", "last", "there"]);
    assert_eq!(counts(&store, "a").await, (3, 0));
}

#[tokio::test]
async fn full_queue_is_told() {
    let (_folder, store) = opened().await;
    let writer = writer(&store);
    // On one thread the writer takes nothing before every call has queued.
    let rows = (0..1100).map(|number| secret_row(id(), &number.to_string()));
    let results = join_all(rows.map(|row| writer.write(row))).await;
    assert_eq!(count(&results, Ok(())), 1024);
    assert_eq!(count(&results, Err(&Error::Overloaded)), 1100 - 1024);
    assert_eq!(names(&store).await.len(), 1024);
}

#[tokio::test]
async fn caller_that_gave_up_is_not_waited_for() {
    let (_folder, store) = opened().await;
    let writer = writer(&store);
    {
        let mut call = pin!(writer.write(secret_row(id(), "given-up")));
        let polled = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(polled, Poll::Pending);
    }
    assert_eq!(writer.write(secret_row(id(), "kept")).await, Ok(Outcome::Written));
    assert_eq!(names(&store).await, ["kept"]);
}

#[tokio::test]
async fn queued_rows_are_written_at_the_end() {
    let (_folder, store) = opened().await;
    let writer = Arc::new(writer(&store));
    let calls = (0..600).map(|number| {
        let writer = Arc::clone(&writer);
        tokio::spawn(async move { writer.write(secret_row(id(), &number.to_string())).await })
    });
    let calls: Vec<_> = calls.collect();
    // All of them queue before the writer is asked to end.
    tokio::task::yield_now().await;
    writer.close().await;
    for call in calls {
        assert_eq!(call.await.unwrap(), Ok(Outcome::Written));
    }
    assert_eq!(names(&store).await.len(), 600);
    assert_eq!(writer.write(secret_row(id(), "late")).await, Err(Error::Unavailable));
}
