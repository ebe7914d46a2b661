//! How long look-ups are cached, and when they are repeated.

use std::pin::pin;

use futures_util::future::{join_all, poll_immediate};

use super::{HOUR, INSTANT, MINUTE, SECOND, World, did, issuer, key_of};
use crate::auth::error::AuthError;
use crate::auth::identity::entry::{CacheEntry, HOUR_MS, KeyState, is_within};
use crate::auth::refusal::Refusal;
use crate::auth::tests::client;
use crate::auth::tests::issuer::{Issuer, Signer};
use crate::auth::tests::stub::Reply;

#[tokio::test]
async fn fresh_for_an_hour() {
    let issuer = issuer();
    let world = World::knowing(&issuer).await;
    world.clock.advance(HOUR - INSTANT);
    assert!(world.key(&issuer).await.is_ok());
    assert!(world.identities.pending().is_empty());
    assert_eq!(world.directory.requests(), 1);
}

#[tokio::test]
async fn old_key_serves_while_it_is_refreshed() {
    let old = issuer();
    let new = Issuer::plc(Signer::p256(2));
    let world = World::knowing(&old).await;
    world.clock.advance(HOUR);
    world.directory.reply(old.did(), Reply::Gated(new.document().to_string()));
    for _ in 0..3 {
        assert_eq!(world.key(&old).await.unwrap(), key_of(&old));
    }
    world.directory.open();
    world.settle(&old).await;
    assert_eq!(world.key(&old).await.unwrap(), key_of(&new));
    assert_eq!(world.directory.requests(), 2);

    world.clock.advance(HOUR - INSTANT);
    assert_eq!(world.key(&old).await.unwrap(), key_of(&new));
    assert_eq!(world.directory.requests(), 2);
}

#[tokio::test]
async fn old_key_serves_for_a_day_while_the_directory_is_down() {
    let issuer = issuer();
    let world = World::knowing(&issuer).await;
    world.directory.stop().await;
    world.clock.advance(HOUR);
    for _ in 1..23 {
        assert!(world.key(&issuer).await.is_ok());
        world.settle(&issuer).await;
        world.clock.advance(HOUR);
    }
    world.clock.advance(HOUR - INSTANT);
    assert!(world.key(&issuer).await.is_ok());
    world.settle(&issuer).await;
    world.clock.advance(INSTANT);
    assert!(matches!(world.key(&issuer).await, Err(AuthError::DirectoryUnavailable(_))));
}

#[tokio::test]
async fn failed_refresh_waits_a_minute() {
    let issuer = issuer();
    let world = World::knowing(&issuer).await;
    world.directory.reply(issuer.did(), Reply::Status(503));
    world.clock.advance(HOUR);
    for expected in [2, 2, 2] {
        assert!(world.key(&issuer).await.is_ok());
        world.settle(&issuer).await;
        assert_eq!(world.directory.requests(), expected);
    }
    world.clock.advance(MINUTE - INSTANT);
    assert!(world.key(&issuer).await.is_ok());
    assert!(world.identities.pending().is_empty());

    world.publish(&issuer);
    world.clock.advance(INSTANT);
    assert!(world.key(&issuer).await.is_ok());
    world.settle(&issuer).await;
    assert_eq!(world.directory.requests(), 3);
    world.clock.advance(HOUR - INSTANT);
    assert!(world.key(&issuer).await.is_ok());
    assert_eq!(world.directory.requests(), 3);
}

#[tokio::test]
async fn tombstone_ends_a_key() {
    let issuer = issuer();
    let world = World::knowing(&issuer).await;
    world.directory.reply(issuer.did(), Reply::Status(410));
    world.clock.advance(HOUR);
    assert!(world.key(&issuer).await.is_ok());
    world.settle(&issuer).await;
    assert!(matches!(world.key(&issuer).await, Err(AuthError::Refused(Refusal::UnknownIssuer))));
}

#[tokio::test]
async fn not_found_is_asked_again_once_and_then_every_five_seconds() {
    for status in [404, 410, 400] {
        let issuer = issuer();
        let world = World::new().await;
        world.directory.reply(issuer.did(), Reply::Status(status));
        for requests in [1, 2, 2, 2] {
            let answer = world.key(&issuer).await;
            assert!(matches!(answer, Err(AuthError::Refused(Refusal::UnknownIssuer))));
            assert_eq!(world.directory.requests(), requests);
        }
        world.clock.advance(5 * SECOND);
        for _ in 0..2 {
            assert!(world.key(&issuer).await.is_err());
            assert_eq!(world.directory.requests(), 3);
        }
        world.publish(&issuer);
        world.clock.advance(5 * SECOND - INSTANT);
        assert!(world.key(&issuer).await.is_err());
        assert_eq!(world.directory.requests(), 3);
        world.clock.advance(INSTANT);
        assert!(world.key(&issuer).await.is_ok());
    }
}

/// A forged token that comes just before its owner is registered does not lock the owner out.
#[tokio::test]
async fn not_found_and_then_registered() {
    let issuer = issuer();
    let world = World::new().await;
    assert!(world.key(&issuer).await.is_err());
    world.publish(&issuer);
    assert_eq!(world.key(&issuer).await.unwrap(), key_of(&issuer));

    // A key that is found ends the count.
    world.directory.reply(issuer.did(), Reply::Status(404));
    world.clock.advance(HOUR);
    assert!(world.key(&issuer).await.is_ok());
    world.settle(&issuer).await;
    world.publish(&issuer);
    assert!(world.key(&issuer).await.is_ok());
}

#[tokio::test]
async fn one_look_up_for_many_callers() {
    let issuer = issuer();
    let world = World::new().await;
    world.publish(&issuer);
    let answers = join_all((0..20).map(|_| world.key(&issuer))).await;
    assert!(answers.into_iter().all(|answer| answer.is_ok()));
    assert_eq!(world.directory.requests(), 1);
    assert!(world.identities.pending().is_empty());
}

#[tokio::test]
async fn one_forced_look_up_for_many_callers() {
    let old = issuer();
    let new = Issuer::plc(Signer::p256(2));
    let world = World::knowing(&old).await;
    world.publish(&new);
    let did = did(&old);
    let answers = join_all((0..20).map(|_| world.identities.refreshed_key(&did, client(1)))).await;
    for answer in answers {
        assert_eq!(answer.unwrap(), Some(key_of(&new)));
    }
    // A later caller gets the result of that look-up.
    assert_eq!(world.identities.refreshed_key(&did, client(1)).await.unwrap(), Some(key_of(&new)));
    assert_eq!(world.directory.requests(), 2);
}

#[tokio::test]
async fn caller_that_goes_away_ends_no_look_up() {
    let issuer = issuer();
    let world = World::new().await;
    world.directory.reply(issuer.did(), Reply::Gated(issuer.document().to_string()));
    let mut stays = pin!(world.key(&issuer));
    {
        let goes = pin!(world.key(&issuer));
        assert!(poll_immediate(goes).await.is_none());
        assert!(poll_immediate(&mut stays).await.is_none());
    }
    world.directory.open();
    assert!(stays.await.is_ok());
    assert_eq!(world.directory.requests(), 1);
}

/// A corrected clock must not expire all keys at once.
#[test]
fn key_of_the_future_serves_and_is_refreshed() {
    let entry = CacheEntry::Key { key: key_of(&issuer()), fetched_ms: HOUR_MS, failed_ms: None };
    assert!(matches!(entry.clone().state(HOUR_MS - 1), KeyState::Due(_)));
    assert!(matches!(entry.clone().state(-22 * HOUR_MS), KeyState::Due(_)));
    assert!(matches!(entry.state(-23 * HOUR_MS), KeyState::Unknown));
}

#[test]
fn spans_of_time() {
    assert!(is_within(10, 100, 100));
    assert!(is_within(10, 100, 109));
    assert!(!is_within(10, 100, 110));
    assert!(!is_within(10, 100, 99), "the clock went backwards");
    assert!(!is_within(10, i64::MIN, i64::MAX));
}
