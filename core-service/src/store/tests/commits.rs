//! The queue and its writers: what jobs of one batch do to each other, retries and limits.

use std::future::Future as _;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use prometheus_client::registry::Registry;

use super::*;
use crate::delivery::finished::{Ending, Finished};
use crate::domain::secret::Rotation;
use crate::domain::webhook_change::WebhookChange;
use crate::store::commit::Job;
use crate::store::commit::purge::Purged;

const PLENTY: Limits = Limits { secrets: 10_000, webhooks: 10_000 };

fn queue(store: &Store) -> CommitQueue {
    CommitQueue::start(
        &store.database,
        PLENTY,
        Arc::clone(&store.sealer),
        delivery_parts(Clock::manual(0)).0,
        &mut Registry::default(),
    )
}

async fn create(queue: &CommitQueue, id: Uuid, name: &str) -> Result<(), Error> {
    let new = NewSecret { id, ..new_secret("a", name) };
    let row = row::secret(&new, Vec::new());
    queue.submit(&new.owner, |reply| Job::CreateSecret { row, reply }).await
}

async fn names(store: &Store) -> Vec<String> {
    let rows = secret::Entity::find().all(&store.database.reading).await.unwrap();
    let mut names: Vec<String> = rows.into_iter().map(|row| row.name).collect();
    names.sort();
    names
}

async fn created(store: &Store, owner: &str, path: &str) -> Webhook {
    let new = new_webhook(owner, &format!("https://example.com/{path}"), None);
    store.create_webhook(&new).await.unwrap();
    new
}

fn renamed(name: &str) -> WebhookChange {
    WebhookChange { name: Some(Some(name.parse().unwrap())), ..WebhookChange::default() }
}

fn rotation(owner: &str, name: &str) -> Rotation {
    let token = "b".repeat(40).parse().unwrap();
    let (rotated_at_ms, overlap) = (1_700_000_100_000, Duration::ZERO);
    Rotation { owner: did(owner), name: name.parse().unwrap(), token, rotated_at_ms, overlap }
}

#[tokio::test]
async fn neighbours_of_a_bad_row_succeed() {
    let (_folder, store) = opened().await;
    let queue = queue(&store);
    let taken = id();
    assert_eq!(create(&queue, taken, "there").await, Ok(()));
    // No caller chooses an id: one that is taken fails the statement.
    let jobs = [(id(), "first"), (taken, "bad"), (id(), "there"), (id(), "last")];
    let results = join_all(jobs.map(|(id, name)| create(&queue, id, name))).await;
    assert_eq!(results, [Ok(()), Err(Error::Internal), Err(Error::SecretExists), Ok(())]);
    assert_eq!(names(&store).await, ["first", "last", "there"]);
    assert_eq!(counts(&store, "a").await, (3, 0));
}

#[tokio::test]
async fn neighbours_of_failing_changes_succeed() {
    let (_folder, store) = opened().await;
    let mut webhooks = Vec::new();
    for owner in ["a", "b", "c"] {
        webhooks.push((created(&store, owner, "1").await, created(&store, owner, "2").await));
    }
    let fail = "CREATE TRIGGER bad BEFORE UPDATE ON webhook WHEN NEW.name = 'bad'
                BEGIN SELECT RAISE(ABORT, 'bad'); END";
    store.database.writing.execute_unprepared(fail).await.unwrap();
    let url = WebhookUrl::parse("https://example.com/2", Schemes::Https).unwrap();
    let taken = WebhookChange { url: Some(url), ..WebhookChange::default() };
    let unknown = WebhookChange { secret: Some(Some("none".parse().unwrap())), ..renamed("n") };
    let changes = [taken, unknown, renamed("bad")];

    let failing = webhooks
        .iter()
        .zip(&changes)
        .map(|((webhook, _), change)| store.update_webhook(&webhook.owner, webhook.id, change, 7));
    let good = renamed("good");
    let others =
        webhooks.iter().map(|(_, webhook)| store.update_webhook(&webhook.owner, webhook.id, &good, 7));
    let new = new_secret("d", "n");
    let (failing, others, secret) =
        tokio::join!(join_all(failing), join_all(others), store.create_secret(&new));
    let unknown: Error = Rule::UnknownSecret.at("secret_id").into();
    let expected = [Err(Error::WebhookExists), Err(unknown), Err(Error::Internal)];
    assert_eq!(failing, expected);
    assert_eq!(secret, Ok(()));
    for ((failed, other), changed) in webhooks.iter().zip(others) {
        assert_eq!(store.webhook(&failed.owner, failed.id).await.as_ref(), Ok(failed));
        assert_eq!(changed.as_ref().unwrap().config.name, good.name.clone().unwrap());
        assert_eq!(store.webhook(&other.owner, other.id).await, changed);
    }
}

#[tokio::test]
async fn jobs_of_one_owner_in_one_batch() {
    let (_folder, store) = opened().await;
    let old = [created(&store, "a", "1").await, created(&store, "a", "2").await];
    let new = new_webhook("a", "https://example.com/3", Some("n"));
    let (secret, other_name) = (new_secret("a", "n"), "other".parse().unwrap());
    let (renamed, rotation) = (renamed("renamed"), rotation("a", "n"));
    let owner = did("a");
    let results = tokio::join!(
        store.delete_webhook(&owner, old[0].id),
        store.update_webhook(&owner, old[0].id, &renamed, 7),
        store.update_webhook(&owner, new.id, &renamed, 7),
        store.rotate_secret(&rotation),
        store.create_webhook(&new),
        store.create_secret(&secret),
        store.delete_secret(&owner, &secret.name),
        store.delete_secret(&owner, &other_name),
    );
    // Creations go first, the others in the order of their arrival.
    assert_eq!((results.0, results.1), (Ok(()), Err(Error::WebhookNotFound)));
    assert_eq!(results.2.as_ref().map(|webhook| webhook.id), Ok(new.id));
    assert_eq!((results.3, results.4, results.5), (Ok(()), Ok(()), Ok(())));
    assert_eq!((results.6, results.7), (Err(Error::SecretInUse { webhooks: 1 }), Err(Error::SecretNotFound)));
    assert_eq!(store.webhook(&owner, new.id).await, results.2);
    assert_eq!(counts(&store, "a").await, (1, 2));
    let row = secret::Entity::find_by_id(secret.id).one(&store.database.reading).await.unwrap().unwrap();
    assert_eq!(row.last_rotated_at_ms, Some(1_700_000_100_000));
}

#[tokio::test]
async fn account_row_goes_with_the_last_row() {
    let (_folder, store) = opened().await;
    let owner = did("a");
    store.create_secret(&new_secret("a", "n")).await.unwrap();
    let webhook = created(&store, "a", "1").await;
    store.delete_secret(&owner, &"n".parse().unwrap()).await.unwrap();
    assert_eq!(account(&store, "a").await, Some((0, 1)));
    store.delete_webhook(&owner, webhook.id).await.unwrap();
    assert_eq!(account(&store, "a").await, None);
    store.create_secret(&new_secret("a", "n")).await.unwrap();
    assert_eq!(account(&store, "a").await, Some((1, 0)));
    assert_eq!(store.purge_account(&owner).await, Ok(Purged { secrets: 1, ..Purged::default() }));
    assert_eq!(account(&store, "a").await, None);
}

#[tokio::test]
async fn refused_creation_leaves_no_account_row() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), Limits { secrets: 0, webhooks: 0 }).await;
    let refused = store.create_secret(&new_secret("a", "n")).await;
    assert_eq!(refused, Err(Error::TooManySecrets { limit: 0 }));
    let refused = store.create_webhook(&new_webhook("a", "https://example.com/", None)).await;
    assert_eq!(refused, Err(Error::TooManyWebhooks { limit: 0 }));
    assert_eq!(account(&store, "a").await, None);
}

#[tokio::test]
async fn changes_by_somebody_who_has_nothing() {
    let (_folder, store) = opened().await;
    let webhook = created(&store, "a", "1").await;
    let (stranger, name) = (did("b"), "n".parse().unwrap());
    let update = store.update_webhook(&stranger, webhook.id, &renamed("n"), 7).await;
    assert_eq!(update, Err(Error::WebhookNotFound));
    assert_eq!(store.delete_webhook(&stranger, webhook.id).await, Err(Error::WebhookNotFound));
    assert_eq!(store.rotate_secret(&rotation("b", "n")).await, Err(Error::SecretNotFound));
    assert_eq!(store.delete_secret(&stranger, &name).await, Err(Error::SecretNotFound));
    assert_eq!(store.purge_account(&stranger).await, Ok(Purged::default()));
    assert_eq!(account(&store, "b").await, None);
    assert_eq!(store.webhook(&webhook.owner, webhook.id).await, Ok(webhook));
}

#[tokio::test]
async fn full_queue_refuses() {
    let (_folder, store) = opened().await;
    let queue = queue(&store);
    // On one thread the writer takes nothing before every call has queued.
    let results = join_all((0..1100).map(|number| {
        let queue = &queue;
        async move { create(queue, id(), &number.to_string()).await }
    }))
    .await;
    assert_eq!(count(&results, Ok(())), 1024);
    assert_eq!(count(&results, Err(&Error::Overloaded)), 1100 - 1024);
    assert_eq!(names(&store).await.len(), 1024);
}

#[tokio::test]
async fn outcomes_do_not_crowd_out_calls() {
    let (_folder, store) = opened().await;
    let queue = queue(&store);
    let finished = Finished { delivery: id(), webhook: id(), lease: id(), ending: Ending::GivenBack };
    // On one thread the writer takes nothing before all of them have queued, or wait for room.
    let outcomes = join_all((0..1100).map(|_| {
        let finished = Box::new(finished.clone());
        queue.submit_of_engine(&"outcomes", |reply| Job::Finish { finished, reply })
    }));
    let (outcomes, call) = tokio::join!(outcomes, create(&queue, id(), "a"));
    assert_eq!(count(&outcomes, Ok(())), 1100);
    assert_eq!(call, Ok(()));
}

#[tokio::test]
async fn job_of_a_caller_that_has_gone_is_dropped() {
    let (_folder, store) = opened().await;
    let queue = queue(&store);
    {
        let mut call = pin!(create(&queue, id(), "given-up"));
        let polled = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(polled, Poll::Pending);
    }
    assert_eq!(create(&queue, id(), "kept").await, Ok(()));
    assert_eq!(names(&store).await, ["kept"]);
}

#[tokio::test]
async fn queued_jobs_are_written_at_shutdown() {
    let (_folder, store) = opened().await;
    let queue = Arc::new(queue(&store));
    let calls = (0..600).map(|number| {
        let queue = Arc::clone(&queue);
        tokio::spawn(async move { create(&queue, id(), &number.to_string()).await })
    });
    let calls: Vec<_> = calls.collect();
    // All of them queue before the writer is asked to end.
    tokio::task::yield_now().await;
    queue.close().await;
    for call in calls {
        assert_eq!(call.await.unwrap(), Ok(()));
    }
    assert_eq!(names(&store).await.len(), 600);
    assert_eq!(create(&queue, id(), "late").await, Err(Error::Unavailable));
}
