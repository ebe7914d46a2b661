//! Secrets that are there: which tokens sign after a rotation, and when.

use std::time::Duration;

use super::*;
use crate::domain::secret::{Rotation, SecretName};

const ROTATED_AT_MS: i64 = 1_700_000_100_000;
const HOUR: Duration = Duration::from_hours(1);
const HOUR_MS: i64 = 3_600_000;

fn token(byte: char) -> String {
    byte.to_string().repeat(40)
}

async fn rotate(store: &Store, byte: char, rotated_at_ms: i64, overlap: Duration) {
    let (owner, name) = (did("a"), "n".parse().unwrap());
    let token = token(byte).parse().unwrap();
    store.rotate_secret(&Rotation { owner, name, token, rotated_at_ms, overlap }).await.unwrap();
}

async fn row_of(store: &Store, name: &str) -> secret::Model {
    let named = secret::Column::Name.eq(name);
    secret::Entity::find().filter(named).one(&store.database.reading).await.unwrap().unwrap()
}

/// The tokens that sign at `now_ms`, the current one first.
async fn signing(store: &Store, now_ms: i64) -> Vec<String> {
    let (owner, name): (Did, SecretName) = (did("a"), "n".parse().unwrap());
    let row = row_of(store, "n").await;
    let previous = row.previous_sealed_token.filter(|_| row.previous_until_ms.unwrap() > now_ms);
    let sealed = std::iter::once(row.sealed_token).chain(previous);
    let opened = sealed.map(|sealed| {
        let text = store.sealer.keys.open(Purpose::Token { owner: &owner, name: &name }, &sealed).unwrap();
        String::from_utf8(text).unwrap()
    });
    opened.collect()
}

#[tokio::test]
async fn without_overlap_one_token_signs() {
    let (_folder, store) = opened().await;
    store.create_secret(&new_secret("a", "n")).await.unwrap();
    assert_eq!(signing(&store, ROTATED_AT_MS).await, [TOKEN]);
    rotate(&store, 'b', ROTATED_AT_MS, Duration::ZERO).await;
    assert_eq!(signing(&store, ROTATED_AT_MS).await, [token('b')]);
    let row = row_of(&store, "n").await;
    assert_eq!((row.previous_sealed_token, row.previous_until_ms), (None, None));
    assert_eq!((row.created_at_ms, row.last_rotated_at_ms), (1_700_000_000_000, Some(ROTATED_AT_MS)));
}

#[tokio::test]
async fn within_the_overlap_two_tokens_sign() {
    let (_folder, store) = opened().await;
    store.create_secret(&new_secret("a", "n")).await.unwrap();
    let sealed_before = row_of(&store, "n").await.sealed_token;
    rotate(&store, 'b', ROTATED_AT_MS, HOUR).await;
    let sealed_previous = row_of(&store, "n").await.previous_sealed_token.unwrap();
    assert_eq!(sealed_previous, sealed_before, "sealed as it was");
    for (now_ms, signing_then) in [
        (ROTATED_AT_MS, vec![token('b'), TOKEN.to_owned()]),
        (ROTATED_AT_MS + HOUR_MS - 1, vec![token('b'), TOKEN.to_owned()]),
        (ROTATED_AT_MS + HOUR_MS, vec![token('b')]),
    ] {
        assert_eq!(signing(&store, now_ms).await, signing_then, "{now_ms}");
    }

    // Rotated again within the hour: the token before the last is gone, and the hour begins anew.
    rotate(&store, 'c', ROTATED_AT_MS + 1000, HOUR).await;
    for (now_ms, signing_then) in [
        (ROTATED_AT_MS + 1000, vec![token('c'), token('b')]),
        (ROTATED_AT_MS + HOUR_MS + 999, vec![token('c'), token('b')]),
        (ROTATED_AT_MS + HOUR_MS + 1000, vec![token('c')]),
    ] {
        assert_eq!(signing(&store, now_ms).await, signing_then, "{now_ms}");
    }

    // The setting is zero now: what an earlier rotation left stops too.
    rotate(&store, 'd', ROTATED_AT_MS + 2000, Duration::ZERO).await;
    assert_eq!(signing(&store, ROTATED_AT_MS + 2000).await, [token('d')]);
    assert_eq!(row_of(&store, "n").await.previous_until_ms, None);
}

#[tokio::test]
async fn others_are_left_alone() {
    let (_folder, store) = opened().await;
    for (owner, name) in [("a", "n"), ("a", "N"), ("b", "n2")] {
        store.create_secret(&new_secret(owner, name)).await.unwrap();
    }
    let before = [row_of(&store, "N").await, row_of(&store, "n2").await];
    rotate(&store, 'b', ROTATED_AT_MS, HOUR).await;
    for (owner, name) in [("a", "n2"), ("b", "n"), ("c", "n")] {
        let missing = Rotation {
            owner: did(owner),
            name: name.parse().unwrap(),
            token: token('c').parse().unwrap(),
            rotated_at_ms: ROTATED_AT_MS,
            overlap: HOUR,
        };
        assert_eq!(store.rotate_secret(&missing).await, Err(Error::SecretNotFound), "{owner} {name}");
        let deleted = store.delete_secret(&missing.owner, &missing.name).await;
        assert_eq!(deleted, Err(Error::SecretNotFound), "{owner} {name}");
    }
    assert_eq!([row_of(&store, "N").await, row_of(&store, "n2").await], before);
    store.delete_secret(&did("a"), &"n".parse().unwrap()).await.unwrap();
    assert_eq!([row_of(&store, "N").await, row_of(&store, "n2").await], before);
    assert_eq!((counts(&store, "a").await, counts(&store, "b").await), ((1, 0), (1, 0)));
}

#[tokio::test]
async fn name_that_nobody_could_have_given() {
    let (_folder, store) = opened().await;
    store.create_secret(&new_secret("a", "n")).await.unwrap();
    store.database.writing.execute_unprepared("UPDATE secret SET name = 'no name'").await.unwrap();
    assert_eq!(store.list_secrets(&did("a")).await, Err(Error::Internal));
    assert_eq!(store.list_secrets(&did("b")).await, Ok(Vec::new()));
}

#[tokio::test]
async fn database_that_is_gone() {
    let (_folder, store) = opened().await;
    store.create_secret(&new_secret("a", "n")).await.unwrap();
    store.database.close().await;
    assert_eq!(store.list_secrets(&did("a")).await, Err(Error::Unavailable));
    let deleted = store.delete_secret(&did("a"), &"n".parse().unwrap()).await;
    assert_eq!(deleted, Err(Error::Unavailable));
}
