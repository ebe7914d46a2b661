//! Deliveries that wait: what holds them, and what ends them without an attempt.

use std::time::Duration;

use super::deliveries::{Fixture, NOW_MS, RETRY, attempted, chat, fixture};
use super::*;
use crate::delivery::finished::Ending;
use crate::delivery::lease::Leased;
use crate::delivery::outcome::{Hold, HoldScope, Next, Outcome};
use crate::delivery::schedule::MAX_AGE;
use crate::domain::mute_word::MuteWords;
use crate::domain::secret::Rotation;
use crate::domain::webhook_change::WebhookChange;
use crate::store::commit::states::FAILED;

pub(super) async fn execute(fixture: &Fixture, sql: &str) {
    fixture.store.database.writing.execute_unprepared(sql).await.unwrap();
}

#[tokio::test]
async fn delivery_that_is_too_old_has_only_its_attempts() {
    let (mut fixture, webhooks) = fixture(1).await;
    fixture.store.publish(vec![chat("k", "hello")]).await.unwrap();
    let leased = fixture.taken().pop().unwrap();
    let id = leased.delivery;
    fixture.finish(leased, Outcome::Timeout, RETRY).await;
    fixture.clock.advance(MAX_AGE);
    let report = fixture.store.claim().await.unwrap();
    assert_eq!((report.leased, report.lost), (0, 0));
    let delivery = fixture.delivery(id).await;
    assert_eq!((delivery.state, delivery.attempts, delivery.next_at_ms), (FAILED, 1, None));
    assert_eq!(
        (delivery.last_outcome.as_deref(), delivery.last_attempt_at_ms),
        (Some("timeout"), Some(NOW_MS))
    );
    assert_eq!(delivery.ended_at_ms, Some(fixture.clock.unix_ms()));
    let state = fixture.state(webhooks[0].id).await;
    assert_eq!((state.pending, state.error_count, state.due_at_ms), (0, 1, None));
}

#[tokio::test]
async fn muted_meanwhile_is_not_tried_again() {
    let (mut fixture, webhooks) = fixture(1).await;
    fixture.store.publish(vec![chat("k", "Hello World"), chat("l", "others go on")]).await.unwrap();
    let leased = fixture.taken().pop().unwrap();
    let muted = leased.delivery;
    fixture.finish(leased, Outcome::Timeout, RETRY).await;
    let words = MuteWords::parse("words", &["hello w".to_owned()]).unwrap();
    let change = WebhookChange { mute_words: Some(words), ..WebhookChange::default() };
    fixture.store.update_webhook(&did("a"), webhooks[0].id, &change, NOW_MS).await.unwrap();
    fixture.clock.advance(Duration::from_secs(10));
    while fixture.store.claim().await.unwrap().leased > 0 {
        let leased = fixture.taken().pop().unwrap();
        assert_ne!(leased.delivery, muted);
        fixture.finish(leased, Outcome::Ok, Next::Done).await;
    }
    let delivery = fixture.delivery(muted).await;
    let ended = (delivery.state, delivery.attempts, delivery.last_outcome.as_deref());
    assert_eq!(ended, (FAILED, 1, Some("cancelled")));
    let state = fixture.state(webhooks[0].id).await;
    assert_eq!((state.pending, state.error_count), (0, 0));
}

#[tokio::test]
async fn delivery_to_an_unreadable_webhook_waits() {
    let (mut fixture, webhooks) = fixture(1).await;
    execute(&fixture, "CREATE TABLE kept AS SELECT sealed_url FROM webhook").await;
    execute(&fixture, "UPDATE webhook SET sealed_url = x'00'").await;
    let published = fixture.store.publish(vec![chat("k", "hello")]).await.unwrap();
    assert_eq!(published[0].deliveries, 1);
    assert_eq!(fixture.store.claim().await.unwrap().leased, 0);
    execute(&fixture, "UPDATE webhook SET sealed_url = (SELECT sealed_url FROM kept)").await;
    assert_eq!(fixture.store.claim().await.unwrap().leased, 0, "it is looked at every ten minutes");
    fixture.clock.advance(Duration::from_mins(10));
    assert_eq!(fixture.store.claim().await.unwrap().leased, 1);
    let leased = fixture.taken().pop().unwrap();
    assert_eq!((leased.webhook, leased.attempt), (webhooks[0].id, 1));
    assert!(!fixture.state(leased.webhook).await.origin.is_empty());
}

#[tokio::test]
async fn what_stands_behind_lost_and_old_deliveries_is_sent() {
    let (mut fixture, _webhooks) = fixture(1).await;
    fixture.store.publish(vec![chat("lost", "1")]).await.unwrap();
    let lost = fixture.taken().pop().unwrap().delivery;
    fixture.clock.advance(Duration::from_secs(30));
    execute(&fixture, "UPDATE webhook_state SET held_until_ms = 9e15").await;
    fixture.store.publish(vec![chat("old", "2")]).await.unwrap();
    fixture.clock.advance(MAX_AGE - Duration::from_secs(1));
    let new = chat("new", "3");
    fixture.store.publish(vec![new.clone()]).await.unwrap();
    execute(&fixture, "UPDATE webhook_state SET held_until_ms = NULL, due_at_ms = 0").await;
    fixture.clock.advance(Duration::from_secs(1));
    let report = fixture.store.claim().await.unwrap();
    assert_eq!((report.leased, report.lost), (1, 1));
    let leased = fixture.taken().pop().unwrap();
    assert_eq!((leased.event, leased.body.made().unwrap().is_empty()), (new.id, false));
    assert_eq!(fixture.delivery(lost).await.last_outcome.as_deref(), Some("lost"));
}

/// A hold of the receiver outlasts a new token; one for the secret does not.
#[tokio::test]
async fn new_token_ends_only_the_hold_for_the_secret() {
    for (held_by_receiver, expected) in [(false, 1), (true, 0)] {
        let (mut fixture, _webhooks) = fixture(0).await;
        fixture.store.create_secret(&new_secret("a", "n")).await.unwrap();
        let webhook = new_webhook("a", "https://signed.example/hook", Some("n"));
        fixture.store.create_webhook(&webhook).await.unwrap();
        fixture.store.publish(vec![chat("first", "1")]).await.unwrap();
        let first = fixture.taken().pop().unwrap();
        fixture.finish(first, Outcome::Ok, Next::Done).await;
        fixture.store.publish(vec![chat("k", "2"), chat("l", "3")]).await.unwrap();
        let mut taken = fixture.taken();
        assert_eq!(taken.len(), 2, "a webhook that has succeeded has several places");
        let without = taken.pop().unwrap();
        let mut ended = attempted(&without, Outcome::Secret, RETRY);
        ended.ending = Ending::NoSecret;
        fixture.store.finish(ended).await.unwrap();
        if held_by_receiver {
            let refused = taken.pop().unwrap();
            let mut ended = attempted(&refused, Outcome::Http, RETRY);
            if let Ending::Attempted(attempted) = &mut ended.ending {
                let time = Some(Duration::from_mins(30));
                attempted.verdict.hold = Some(Hold { scope: HoldScope::Webhook, time });
            }
            fixture.store.finish(ended).await.unwrap();
        }
        drop((without, taken));
        assert_eq!(fixture.store.claim().await.unwrap().leased, 0);
        let rotation = Rotation {
            owner: did("a"),
            name: "n".parse().unwrap(),
            token: TOKEN.parse().unwrap(),
            rotated_at_ms: NOW_MS,
            overlap: Duration::ZERO,
        };
        fixture.store.rotate_secret(&rotation).await.unwrap();
        assert_eq!(fixture.store.claim().await.unwrap().leased, expected, "{held_by_receiver}");
    }
}

/// The body is made for the first attempt, not for a lease that was given back.
#[tokio::test]
async fn change_before_the_first_attempt_counts() {
    let (mut fixture, webhooks) = fixture(1).await;
    fixture.store.publish(vec![chat("k", "hello")]).await.unwrap();
    let says =
        |leased: &Leased, text: &str| String::from_utf8_lossy(&leased.body.made().unwrap()).contains(text);
    let change = async |fixture: &Fixture, prefix: &str| {
        let prefix = Some(Some(prefix.parse().unwrap()));
        let change = WebhookChange { prefix, ..WebhookChange::default() };
        fixture.store.update_webhook(&did("a"), webhooks[0].id, &change, NOW_MS).await.unwrap();
    };
    let unsent = fixture.taken().pop().unwrap();
    assert!(says(&unsent, "hello") && !says(&unsent, "one hello"));
    let mut given_back = attempted(&unsent, Outcome::Ok, Next::Done);
    given_back.ending = Ending::GivenBack;
    drop(unsent);
    fixture.store.finish(given_back).await.unwrap();
    change(&fixture, "one ").await;
    assert_eq!(fixture.store.claim().await.unwrap().leased, 1);
    let first = fixture.taken().pop().unwrap();
    assert!(says(&first, "one hello"));
    fixture.finish(first, Outcome::Timeout, RETRY).await;
    change(&fixture, "two ").await;
    fixture.clock.advance(Duration::from_secs(10));
    assert_eq!(fixture.store.claim().await.unwrap().leased, 1);
    assert!(says(&fixture.taken().pop().unwrap(), "one hello"), "a retry sends the same bytes");
}
