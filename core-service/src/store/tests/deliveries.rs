//! Events and their deliveries: fan-out, leases, outcomes, cancellation.

use std::time::Duration;

use tokio::sync::mpsc::error::TryRecvError;

use super::*;
use crate::delivery::event::{Actor, Chat, Event, OccurredAt, Payload};
use crate::delivery::finished::{Attempted, Ending, Finished};
use crate::delivery::outcome::{Next, Outcome, Verdict};
use crate::delivery::publication::{NewEvent, PublishResult};
use crate::domain::webhook_change::WebhookChange;
use crate::store::commit::expire::{Progress, Retention};
use crate::store::commit::states::{DELIVERED, FAILED, PENDING};
use crate::store::table::{attempt, delivery, event, webhook_state};

pub(super) const NOW_MS: i64 = 1_800_000_000_000;
const LEASE_MS: i64 = 25_000;
/// After the step of the schedule, of which tests have one without jitter.
pub(super) const RETRY: Next = Next::Retry { after: Duration::ZERO };

pub(super) struct Fixture {
    _folder: TempDir,
    pub(super) store: Store,
    leased: UnboundedReceiver<Leased>,
    pub(super) clock: Clock,
}

/// The streamer `a` with `webhooks` webhooks, each at a host of its own.
pub(super) async fn fixture(webhooks: u32) -> (Fixture, Vec<Webhook>) {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::manual(NOW_MS);
    let limits = Limits { secrets: 3, webhooks: 50 };
    let (store, leased) = open_delivering(folder.path(), limits, clock.clone()).await;
    let mut made = Vec::new();
    for one in 0..webhooks {
        let new = new_webhook("a", &format!("https://h{one}.example/hook"), None);
        store.create_webhook(&new).await.unwrap();
        made.push(new);
    }
    (Fixture { _folder: folder, store, leased, clock }, made)
}

pub(super) fn chat(key: &str, text: &str) -> NewEvent {
    let author = Actor { did: did("author"), handle: None, avatar_url: None };
    let event = Event {
        publisher: "p".parse().unwrap(),
        idempotency_key: key.parse().unwrap(),
        streamer: did("a"),
        occurred_at: OccurredAt::parse("at", 1_700_000_000, 0).unwrap(),
        payload: Payload::Chat(Chat { author, text: text.to_owned(), uri: String::new() }),
    };
    NewEvent { id: time_ordered_id(), content_hash: event.content_hash(), event, traceparent: None }
}

/// A UUIDv7 of the time at which tests begin.
fn time_ordered_id() -> Uuid {
    let random: [u8; 10] = Randomness::of_the_system().bytes().unwrap();
    uuid::Builder::from_unix_timestamp_millis(NOW_MS.unsigned_abs(), &random).into_uuid()
}

pub(super) fn attempted(leased: &Leased, outcome: Outcome, next: Next) -> Finished {
    Finished {
        delivery: leased.delivery,
        webhook: leased.webhook,
        lease: leased.lease,
        ending: Ending::Attempted(Attempted {
            number: leased.attempt,
            at_ms: NOW_MS,
            duration_ms: 7,
            outcome,
            status: Some(204),
            response: None,
            verdict: Verdict { next, counts_as_error: true, hold: None },
        }),
    }
}

impl Fixture {
    pub(super) async fn delivery(&self, id: Uuid) -> delivery::Model {
        delivery::Entity::find_by_id(id).one(&self.store.database.reading).await.unwrap().unwrap()
    }

    pub(super) async fn state(&self, webhook: Uuid) -> webhook_state::Model {
        let found = webhook_state::Entity::find_by_id(webhook).one(&self.store.database.reading).await;
        found.unwrap().unwrap()
    }

    pub(super) fn taken(&mut self) -> Vec<Leased> {
        std::iter::from_fn(|| self.leased.try_recv().ok()).collect()
    }

    pub(super) async fn finish(&self, leased: Leased, outcome: Outcome, next: Next) {
        let finished = attempted(&leased, outcome, next);
        leased.place.ended(outcome == Outcome::Ok);
        self.store.finish(finished).await.unwrap();
    }

    async fn set_active(&self, webhook: Uuid, active: bool) {
        let change = WebhookChange { active: Some(active), ..WebhookChange::default() };
        self.store.update_webhook(&did("a"), webhook, &change, self.clock.unix_ms()).await.unwrap();
    }
}

#[tokio::test]
async fn event_is_stored_with_its_deliveries_and_seen_again() {
    let (mut fixture, webhooks) = fixture(2).await;
    let new = chat("k", "hello");
    let published = fixture.store.publish(vec![new.clone()]).await.unwrap();
    assert_eq!(
        (published[0].event, published[0].result, published[0].deliveries),
        (new.id, PublishResult::Stored, 2)
    );
    let taken = fixture.taken();
    let mut called: Vec<Uuid> = taken.iter().map(|leased| leased.webhook).collect();
    called.sort_unstable();
    let mut expected: Vec<Uuid> = webhooks.iter().map(|webhook| webhook.id).collect();
    expected.sort_unstable();
    assert_eq!(called, expected);

    let again =
        fixture.store.publish(vec![chat("k", "hello"), chat("k", "other"), chat("l", "ä")]).await.unwrap();
    let results: Vec<_> = again.iter().map(|one| (one.event == new.id, one.result, one.deliveries)).collect();
    let expected = [
        (true, PublishResult::Seen, 2),
        (true, PublishResult::Conflict, 0),
        (false, PublishResult::Stored, 0),
    ];
    assert_eq!(results, expected, "the last one is muted");
    assert!(matches!(fixture.leased.try_recv(), Err(TryRecvError::Empty)));
    let stored =
        event::Entity::find_by_id(new.id).one(&fixture.store.database.reading).await.unwrap().unwrap();
    assert_eq!(
        stored,
        event::Model {
            id: new.id,
            publisher: "p".to_owned(),
            idempotency_key: "k".to_owned(),
            content_hash: new.content_hash.to_vec(),
            streamer_did: "did:plc:a".to_owned(),
            r#type: "chat".to_owned(),
            occurred_at_ms: 1_700_000_000_000,
            payload: Some(r#"{"author":{"did":"did:plc:author"},"text":"hello","uri":""}"#.to_owned()),
            deliveries: 2,
            created_at_ms: NOW_MS,
            traceparent: None,
            intake_at_ms: None,
        }
    );
}

#[tokio::test]
async fn key_twice_in_one_request_is_stored_then_seen() {
    let (fixture, _) = fixture(1).await;
    let published =
        fixture.store.publish(vec![chat("k", "a"), chat("k", "a"), chat("k", "b")]).await.unwrap();
    let results: Vec<_> = published.iter().map(|one| (one.result, one.deliveries)).collect();
    let expected = [(PublishResult::Stored, 1), (PublishResult::Seen, 1), (PublishResult::Conflict, 0)];
    assert_eq!(results, expected);
}

#[tokio::test]
async fn success_ends_a_delivery() {
    let (mut fixture, webhooks) = fixture(1).await;
    fixture.store.publish(vec![chat("k", "hello")]).await.unwrap();
    let leased = fixture.taken().remove(0);
    let id = leased.delivery;
    fixture.finish(leased, Outcome::Ok, Next::Done).await;
    let row = fixture.delivery(id).await;
    let expected = (DELIVERED, None, None, 1, Some("ok".to_owned()), Some(204), Some(NOW_MS));
    let delivery::Model {
        state,
        next_at_ms,
        lease,
        attempts,
        last_outcome,
        last_status,
        last_attempt_at_ms,
        ..
    } = row;
    assert_eq!((state, next_at_ms, lease, attempts, last_outcome, last_status, last_attempt_at_ms), expected);
    let state = fixture.state(webhooks[0].id).await;
    assert_eq!((state.pending, state.due_at_ms, state.last_triggered_at_ms), (0, None, Some(NOW_MS)));
    let attempts = attempt::Entity::find().all(&fixture.store.database.reading).await.unwrap();
    let row = attempt::Model {
        delivery_id: id,
        number: 1,
        at_ms: NOW_MS,
        duration_ms: 7,
        outcome: "ok".to_owned(),
        status: Some(204),
        response: None,
        next_at_ms: None,
    };
    assert_eq!(attempts, [row]);
}

#[tokio::test]
async fn retry_is_claimed_when_it_is_due_and_has_the_same_body() {
    let (mut fixture, _) = fixture(1).await;
    fixture.store.publish(vec![chat("k", "hello")]).await.unwrap();
    let first = fixture.taken().remove(0);
    let (id, body) = (first.delivery, first.body.clone());
    fixture.finish(first, Outcome::Http, RETRY).await;
    fixture.clock.advance(Duration::from_millis(4_999));
    let report = fixture.store.claim().await.unwrap();
    assert_eq!((report.leased, report.backlog), (0, false));
    // The step of 5 s has up to a fifth more.
    let due_in = report.next_due_in.unwrap();
    assert!(due_in >= Duration::from_millis(1) && due_in <= Duration::from_millis(1_001), "{due_in:?}");
    fixture.clock.advance(due_in);
    assert_eq!(fixture.store.claim().await.unwrap().leased, 1);
    let second = fixture.taken().remove(0);
    assert_eq!((second.delivery, second.attempt, &second.body), (id, 2, &body));
}

#[tokio::test]
async fn outcome_of_a_lost_lease_changes_nothing() {
    let (mut fixture, _) = fixture(1).await;
    fixture.store.publish(vec![chat("k", "hello")]).await.unwrap();
    let slow = fixture.taken().remove(0);
    let (late, id) = (attempted(&slow, Outcome::Ok, Next::Done), slow.delivery);
    drop(slow);
    // The lease ends; the next claim writes that, and a later one takes the delivery.
    fixture.clock.advance(Duration::from_millis(LEASE_MS.unsigned_abs()));
    assert_eq!(fixture.store.claim().await.unwrap().leased, 0);
    let row = fixture.delivery(id).await;
    assert_eq!(
        (row.state, row.lease, row.attempts, row.last_outcome.as_deref()),
        (PENDING, None, 1, Some("lost"))
    );
    fixture.store.finish(late.clone()).await.unwrap();
    assert_eq!(fixture.delivery(id).await, row);
    fixture.clock.advance(Duration::from_secs(7));
    assert_eq!(fixture.store.claim().await.unwrap().leased, 1);
    let before = fixture.delivery(id).await;
    fixture.store.finish(late).await.unwrap();
    assert_eq!(fixture.delivery(id).await, before);
}

#[tokio::test]
async fn switching_off_cancels_what_waits() {
    let (mut fixture, webhooks) = fixture(1).await;
    let webhook = webhooks[0].id;
    // The first is born leased, the others wait for the webhook's one place.
    fixture.store.publish((0..3).map(|one| chat(&format!("k{one}"), "hello")).collect()).await.unwrap();
    let in_flight = fixture.taken().remove(0);
    let id = in_flight.delivery;
    fixture.set_active(webhook, false).await;
    let published = fixture.store.publish(vec![chat("k", "hello")]).await.unwrap();
    assert_eq!(published[0].deliveries, 0);
    fixture.finish(in_flight, Outcome::Ok, Next::Done).await;
    fixture.set_active(webhook, true).await;
    fixture.clock.advance(Duration::from_secs(3600));
    let report = fixture.store.claim().await.unwrap();
    assert_eq!((report.leased, report.backlog, report.next_due_in), (0, false, None));
    while fixture.store.write_cancelled().await.unwrap() {}
    let rows = delivery::Entity::find().all(&fixture.store.database.reading).await.unwrap();
    let mut states: Vec<_> = rows.iter().map(|row| (row.state, row.last_outcome.as_deref())).collect();
    states.sort_unstable();
    assert_eq!(states, [(DELIVERED, Some("ok")), (FAILED, Some("cancelled")), (FAILED, Some("cancelled"))]);
    assert_eq!(fixture.delivery(id).await.state, DELIVERED);
    assert_eq!(fixture.state(webhook).await.cancelling_since_ms, None);
}

#[tokio::test]
async fn deleting_cancels_what_waits() {
    let (mut fixture, webhooks) = fixture(1).await;
    let webhook = webhooks[0].id;
    fixture.store.publish((0..3).map(|one| chat(&format!("k{one}"), "hello")).collect()).await.unwrap();
    let in_flight = fixture.taken().remove(0);
    fixture.store.delete_webhook(&did("a"), webhook).await.unwrap();
    fixture.finish(in_flight, Outcome::Http, RETRY).await;
    fixture.clock.advance(Duration::from_secs(3600));
    assert_eq!(fixture.store.claim().await.unwrap().leased, 0);
    while fixture.store.write_cancelled().await.unwrap() {}
    let rows = delivery::Entity::find().all(&fixture.store.database.reading).await.unwrap();
    assert!(rows.iter().all(|row| row.state == FAILED && row.next_at_ms.is_none()), "{rows:?}");
    let states = webhook_state::Entity::find().count(&fixture.store.database.reading).await.unwrap();
    assert_eq!(states, 0);
}

#[tokio::test]
async fn webhook_that_fails_for_too_long_is_turned_off() {
    let (mut fixture, webhooks) = fixture(1).await;
    let webhook = webhooks[0].id;
    for (one, hours) in [(0, 12), (1, 12), (2, 1), (3, 0)] {
        assert_eq!(fixture.state_of(webhook).await, None, "{one}");
        fixture.store.publish(vec![chat(&format!("k{one}"), "hello")]).await.unwrap();
        fixture.store.claim().await.unwrap();
        let leased = fixture.taken().remove(0);
        fixture.finish(leased, Outcome::Http, Next::End).await;
        fixture.clock.advance(Duration::from_secs(hours * 3600));
    }
    assert_eq!(fixture.state_of(webhook).await.as_deref(), Some("failing"));
    let published = fixture.store.publish(vec![chat("k", "hello")]).await.unwrap();
    assert_eq!(published[0].deliveries, 0);
    fixture.set_active(webhook, true).await;
    assert_eq!(fixture.state_of(webhook).await, None);
    let published = fixture.store.publish(vec![chat("l", "hello")]).await.unwrap();
    assert_eq!(published[0].deliveries, 1);
}

impl Fixture {
    /// Why the webhook is turned off.
    async fn state_of(&self, webhook: Uuid) -> Option<String> {
        let found = webhook_state::Entity::find_by_id(webhook).one(&self.store.database.reading).await;
        found.unwrap()?.disabled_reason
    }
}

#[tokio::test]
async fn receiver_that_is_gone_turns_its_webhook_off() {
    let (mut fixture, webhooks) = fixture(1).await;
    fixture.store.publish(vec![chat("k", "hello")]).await.unwrap();
    let leased = fixture.taken().remove(0);
    fixture.finish(leased, Outcome::Http, Next::EndAndDisable).await;
    assert_eq!(fixture.state_of(webhooks[0].id).await.as_deref(), Some("gone"));
}

#[tokio::test]
async fn more_than_may_wait_are_dropped_and_counted() {
    let (mut fixture, webhooks) = fixture(1).await;
    let published =
        fixture.store.publish((0..102).map(|one| chat(&format!("k{one}"), "hello")).collect()).await.unwrap();
    assert_eq!(published.iter().map(|one| one.deliveries).sum::<u32>(), 100);
    let state = fixture.state(webhooks[0].id).await;
    assert_eq!((state.pending, state.dropped), (100, 2));
    assert_eq!(fixture.taken().len(), 1, "a webhook has one place until its first success");
}

#[tokio::test]
async fn first_attempts_go_before_retries() {
    let (mut fixture, _) = fixture(1).await;
    fixture.store.publish(vec![chat("k1", "hello")]).await.unwrap();
    let first = fixture.taken().remove(0);
    let retried = first.delivery;
    fixture.finish(first, Outcome::Http, RETRY).await;
    fixture.clock.advance(Duration::from_secs(6));
    let busy = fixture.store.claim().await.unwrap();
    assert_eq!(busy.leased, 1);
    fixture.store.publish(vec![chat("k2", "hello")]).await.unwrap();
    let again = fixture.taken().remove(0);
    assert_eq!(again.delivery, retried);
    fixture.finish(again, Outcome::Http, RETRY).await;
    fixture.clock.advance(Duration::from_secs(60));
    assert_eq!(fixture.store.claim().await.unwrap().leased, 1);
    assert_ne!(fixture.taken().remove(0).delivery, retried);
}

#[tokio::test]
async fn start_ends_the_leases_of_before() {
    let (mut fixture, _) = fixture(1).await;
    fixture.store.publish(vec![chat("k", "hello")]).await.unwrap();
    let id = fixture.taken().remove(0).delivery;
    fixture.store.end_leases().await.unwrap();
    fixture.store.claim().await.unwrap();
    let row = fixture.delivery(id).await;
    assert_eq!((row.lease, row.attempts, row.last_outcome.as_deref()), (None, 1, Some("lost")));
}

#[tokio::test]
async fn contents_attempts_and_keys_expire() {
    let (mut fixture, _) = fixture(1).await;
    let (wanted, muted) = (chat("k", "hello"), chat("l", "ä"));
    fixture.store.publish(vec![wanted.clone(), muted.clone()]).await.unwrap();
    let leased = fixture.taken().remove(0);
    let delivery_id = leased.delivery;
    fixture.finish(leased, Outcome::Ok, Next::Done).await;
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    let retention = Retention { payloads: hours(2), attempts: hours(24 * 10) };
    let kept = async |fixture: &Fixture| {
        let database = &fixture.store.database.reading;
        let events = event::Entity::find().all(database).await.unwrap();
        let payload =
            events.iter().find(|event| event.id == wanted.id).and_then(|event| event.payload.clone());
        let body =
            delivery::Entity::find_by_id(delivery_id).one(database).await.unwrap().and_then(|row| row.body);
        let attempts = attempt::Entity::find().count(database).await.unwrap();
        (events.len(), payload.is_some(), body.is_some(), attempts)
    };
    let mut progress = Progress::default();
    // The muted event has no payload from the beginning; its key goes after 7 days, the other's with its
    // delivery.
    for (after, expected) in [
        (hours(2), (2, true, true, 1)),
        (Duration::from_millis(1), (2, false, false, 1)),
        (hours(24 * 7 - 2), (1, false, false, 1)),
        (hours(24 * 3), (0, false, false, 0)),
    ] {
        fixture.clock.advance(after);
        let expired = fixture.store.expire(retention, progress).await.unwrap();
        progress = expired.progress;
        assert_eq!(kept(&fixture).await, expected, "{after:?}");
    }
    let again = fixture.store.publish(vec![wanted]).await.unwrap();
    assert_eq!(again[0].result, PublishResult::Stored);
}
