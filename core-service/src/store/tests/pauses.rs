//! Paused webhooks and origins.

use std::time::Duration;

use super::deliveries::{NOW_MS, chat, fixture};
use super::*;
use crate::delivery::outcome::Outcome;
use crate::delivery::schedule::MAX_AGE;
use crate::domain::origin::Origin;
use crate::error::Error;
use crate::store::commit::expire::{Progress, Retention};
use crate::store::commit::states::{FAILED, PENDING};
use crate::store::table::delivery;

fn origin(text: &str) -> Origin {
    text.parse().unwrap()
}

async fn deliveries(store: &Store) -> Vec<delivery::Model> {
    delivery::Entity::find().all(&store.database.reading).await.unwrap()
}

#[tokio::test]
async fn nothing_is_leased_until_all_pauses_have_ended() {
    let (mut fixture, webhooks) = fixture(2).await;
    let id = webhooks[0].id;
    let host = origin("https://h0.example");
    let store = &fixture.store;
    store.pause_webhook(id, true).await.unwrap();
    // It has a state since it was paused; the other webhook is of another origin.
    assert_eq!(store.pause_origin(&host, true).await, Ok(1));
    assert_eq!(store.pause_origin(&host, true).await, Ok(1));
    store.publish(vec![chat("k", "hello")]).await.unwrap();
    store.claim().await.unwrap();
    let taken: Vec<Uuid> = fixture.taken().iter().map(|leased| leased.webhook).collect();
    assert_eq!(taken, [webhooks[1].id]);
    let state = fixture.state(id).await;
    assert_eq!((state.pending, state.due_at_ms, state.paused, state.origin_paused), (1, None, true, true));

    let store = &fixture.store;
    store.pause_webhook(id, false).await.unwrap();
    assert_eq!(fixture.state(id).await.due_at_ms, None);
    assert_eq!(store.claim().await.unwrap().leased, 0);
    assert_eq!(store.pause_origin(&host, false).await, Ok(1));
    assert_eq!(store.pause_origin(&host, false).await, Ok(0));
    assert_eq!(fixture.state(id).await.due_at_ms, Some(NOW_MS));
    assert_eq!(store.claim().await.unwrap().leased, 1);
    let unknown = store.pause_webhook(Uuid::nil(), true).await;
    assert_eq!(unknown, Err(Error::WebhookNotFound));
}

#[tokio::test]
async fn resumed_in_the_other_order() {
    let (mut fixture, webhooks) = fixture(1).await;
    let id = webhooks[0].id;
    let host = origin("https://h0.example");
    fixture.store.pause_origin(&host, true).await.unwrap();
    fixture.store.pause_webhook(id, true).await.unwrap();
    fixture.store.publish(vec![chat("k", "hello")]).await.unwrap();
    fixture.store.pause_origin(&host, false).await.unwrap();
    assert_eq!(fixture.state(id).await.due_at_ms, None);
    fixture.store.pause_webhook(id, false).await.unwrap();
    assert_eq!(fixture.store.claim().await.unwrap().leased, 1);
    assert_eq!(fixture.taken().len(), 1);
}

#[tokio::test]
async fn too_old_ones_fail() {
    let (mut fixture, webhooks) = fixture(2).await;
    let (paused, other) = (webhooks[0].id, webhooks[1].id);
    fixture.store.pause_webhook(paused, true).await.unwrap();
    fixture.store.publish(vec![chat("k", "hello")]).await.unwrap();
    drop(fixture.taken());
    let retention = Retention { payloads: 2 * MAX_AGE, attempts: 2 * MAX_AGE };
    let mut progress = Progress::default();
    for (after, states) in [
        (Duration::ZERO, [PENDING, PENDING]),
        (MAX_AGE.checked_sub(Duration::from_millis(1)).unwrap(), [PENDING, PENDING]),
        // It is looked at every ten minutes.
        (Duration::from_millis(1), [PENDING, PENDING]),
        (Duration::from_mins(10), [FAILED, PENDING]),
    ] {
        fixture.clock.advance(after);
        loop {
            let expired = fixture.store.expire(retention, progress).await.unwrap();
            progress = expired.progress;
            if !expired.more {
                break;
            }
        }
        let mut rows = deliveries(&fixture.store).await;
        rows.sort_by_key(|row| row.webhook_id == other);
        assert_eq!(rows.iter().map(|row| row.state).collect::<Vec<_>>(), states, "{after:?}");
    }
    let row = deliveries(&fixture.store).await.into_iter().find(|row| row.webhook_id == paused).unwrap();
    assert_eq!(row.last_outcome.as_deref(), Some(Outcome::Cancelled.as_str()));
    let state = fixture.state(paused).await;
    assert_eq!((state.pending, state.error_count, state.due_at_ms), (0, 0, None));
}
