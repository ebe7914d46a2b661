//! Batches on an SQLite file. The root package's tests run the command beside a service.

use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use sea_orm::{ActiveModelTrait as _, ActiveValue::Set};
use tempfile::TempDir;

use super::*;
use crate::config::keys::KeySource;
use crate::domain::secret::Rotation;
use crate::store::commit::Limits;
use crate::store::tests::{
    KEY, LIMITS, TOKEN, delivery_parts, did, metrics, new_secret, new_webhook, open, opened,
};
use crate::store::{OpenError as StoreError, Store};
use process::clock::Clock;

/// Another key than [`KEY`].
const NEW_KEY: &str = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";

fn url(folder: &Path) -> DatabaseUrl {
    format!("sqlite://{}", folder.join("test.db").display()).parse().unwrap()
}

async fn reseal(folder: &TempDir, keys: &[&str]) -> Reseal {
    let keys = keys.join("\n").parse().unwrap();
    Reseal::open(&url(folder.path()), keys, Randomness::of_the_system()).await.unwrap()
}

async fn open_with(folder: &TempDir, keys: &str) -> Result<Store, StoreError> {
    let (url, keys) = (url(folder.path()), keys.parse().unwrap());
    Store::open(
        &url,
        LIMITS,
        KeySource::of(keys),
        Randomness::of_the_system(),
        delivery_parts(Clock::manual(0)).0,
        &metrics(),
    )
    .await
}

/// All batches, and the index key.
async fn run(reseal: &Reseal) -> Counts {
    let mut counts = Counts::default();
    let mut next = Some(Cursor::START);
    while let Some(cursor) = next {
        let (batch, after) = reseal.batch(cursor).await.unwrap();
        counts.add(batch);
        next = after;
    }
    counts.add(reseal.index_key().await.unwrap());
    counts
}

async fn token_of(store: &Store, owner: &str) -> secret::Model {
    let rows = secret::Entity::find().all(&store.database.reading).await.unwrap();
    rows.into_iter().find(|row| row.owner_did == did(owner).as_str()).unwrap()
}

async fn set_token(store: &Store, row: &secret::Model, sealed: Vec<u8>) {
    let row = secret::ActiveModel { id: Set(row.id), sealed_token: Set(sealed), ..Default::default() };
    row.update(&store.database.writing).await.unwrap();
}

#[tokio::test]
async fn everything_moves_to_the_first_key() {
    let (folder, store) = opened().await;
    let new = new_secret("a", "n");
    store.create_secret(&new).await.unwrap();
    store.create_webhook(&new_webhook("a", "https://example.com/", Some("n"))).await.unwrap();
    let reseal = reseal(&folder, &[NEW_KEY, KEY]).await;
    assert_eq!((reseal.total().await.unwrap(), reseal.under_other_keys().await.unwrap()), (3, 3));
    assert_eq!(run(&reseal).await, Counts { resealed: 3, ..Counts::default() });
    assert_eq!(reseal.under_other_keys().await.unwrap(), 0);
    assert_eq!(run(&reseal).await, Counts { current: 3, ..Counts::default() });

    assert!(open_with(&folder, KEY).await.is_err(), "the old key opens nothing any more");
    let store = open_with(&folder, NEW_KEY).await.unwrap();
    let purpose = Purpose::Token { owner: &new.owner, name: &new.name };
    let sealed = token_of(&store, "a").await.sealed_token;
    assert_eq!(store.sealer.keys.open(purpose, &sealed).unwrap(), TOKEN.as_bytes());
    let again = store.create_webhook(&new_webhook("a", "https://example.com/", None)).await;
    assert_eq!(again, Err(crate::error::Error::WebhookExists));
}

#[tokio::test]
async fn goes_on_after_a_stop() {
    let folder = tempfile::tempdir().unwrap();
    let page = existing::PAGE_ROWS;
    let rows = page + page / 2;
    let limits = Limits { secrets: u32::MAX, ..LIMITS };
    let store = open(folder.path(), limits).await;
    let new: Vec<_> = (0..rows).map(|number| new_secret("a", &format!("n{number}"))).collect();
    assert!(join_all(new.iter().map(|new| store.create_secret(new))).await.iter().all(Result::is_ok));

    let stopped = reseal(&folder, &[NEW_KEY, KEY]).await;
    let (first, next) = stopped.batch(Cursor::START).await.unwrap();
    assert_eq!(first, Counts { resealed: page, ..Counts::default() });
    assert!(next.is_some());
    assert_eq!(stopped.under_other_keys().await.unwrap(), page / 2 + 1);
    // As long as anything is under the old key, a service without that key does not start.
    assert!(open_with(&folder, NEW_KEY).await.is_err());

    let again = run(&reseal(&folder, &[NEW_KEY, KEY]).await).await;
    assert_eq!(again, Counts { resealed: page / 2 + 1, current: page, ..Counts::default() });
    assert!(open_with(&folder, NEW_KEY).await.is_ok());
}

#[tokio::test]
async fn change_meanwhile_wins() {
    let (folder, store) = opened().await;
    for owner in ["a", "b", "c"] {
        store.create_secret(&new_secret(owner, "n")).await.unwrap();
    }
    let reseal = reseal(&folder, &[NEW_KEY, KEY]).await;
    let (values, _) = Table::Secret.page(&reseal.database, None).await.unwrap();
    let (counts, replacements) = reseal.plan(values).unwrap();
    assert_eq!((counts, replacements.len()), (Counts::default(), 3));

    // Before the three are replaced, one is rotated and one is deleted.
    let rotated = token_of(&store, "a").await;
    let (owner, name) = (did("a"), "n".parse().unwrap());
    let sealed = store.sealer.keys.seal([7; 12], Purpose::Token { owner: &owner, name: &name }, b"rotated");
    set_token(&store, &rotated, sealed.clone()).await;
    let deleted = token_of(&store, "b").await.id;
    secret::Entity::delete_by_id(deleted).exec(&store.database.writing).await.unwrap();
    let counts = reseal.replace(&replacements).await.unwrap();
    assert_eq!(counts, Counts { resealed: 1, changed: 2, ..Counts::default() });
    assert_eq!(token_of(&store, "a").await.sealed_token, sealed);
    // The rotation sealed with the old key, which is noticed.
    reseal.index_key().await.unwrap();
    assert_eq!(reseal.under_other_keys().await.unwrap(), 1);
    assert_eq!(run(&reseal).await, Counts { resealed: 1, current: 2, ..Counts::default() });
}

#[tokio::test]
async fn token_before_a_rotation_moves_too() {
    let (folder, store) = opened().await;
    let new = new_secret("a", "n");
    store.create_secret(&new).await.unwrap();
    let rotate = || Rotation {
        owner: did("a"),
        name: "n".parse().unwrap(),
        token: "r".repeat(40).parse().unwrap(),
        rotated_at_ms: 2,
        overlap: Duration::from_hours(1),
    };
    let opens = async |column: fn(secret::Model) -> Option<Vec<u8>>| {
        let keys: SealKeys = NEW_KEY.parse().unwrap();
        let sealed = column(token_of(&store, "a").await).unwrap();
        keys.open(Purpose::Token { owner: &new.owner, name: &new.name }, &sealed)
    };
    // It is read as the current token, and becomes the previous one before it is replaced.
    let reseal = reseal(&folder, &[NEW_KEY, KEY]).await;
    let (values, _) = Table::Secret.page(&reseal.database, None).await.unwrap();
    let (_, replacements) = reseal.plan(values).unwrap();
    store.rotate_secret(&rotate()).await.unwrap();
    assert_eq!(reseal.replace(&replacements).await.unwrap(), Counts { resealed: 1, ..Counts::default() });
    assert_eq!(opens(|row| row.previous_sealed_token).await.unwrap(), TOKEN.as_bytes());

    // It is read as the previous token.
    store.rotate_secret(&rotate()).await.unwrap();
    assert_eq!((reseal.total().await.unwrap(), reseal.under_other_keys().await.unwrap()), (3, 3));
    assert_eq!(run(&reseal).await, Counts { resealed: 3, ..Counts::default() });
    assert_eq!(opens(|row| row.previous_sealed_token).await.unwrap(), "r".repeat(40).as_bytes());
    assert_eq!(opens(|row| Some(row.sealed_token)).await.unwrap(), "r".repeat(40).as_bytes());
    assert_eq!(reseal.under_other_keys().await.unwrap(), 0);
}

#[tokio::test]
async fn value_of_another_row_is_left() {
    let (folder, store) = opened().await;
    for owner in ["a", "b"] {
        store.create_secret(&new_secret(owner, "n")).await.unwrap();
    }
    let moved = token_of(&store, "a").await.sealed_token;
    set_token(&store, &token_of(&store, "b").await, moved.clone()).await;
    // Under the first key, and under an older one.
    for keys in [&[KEY][..], &[NEW_KEY, KEY]] {
        let counts = run(&reseal(&folder, keys).await).await;
        assert_eq!((counts.unopenable, counts.total()), (1, 3), "{counts:?}");
        assert_eq!(token_of(&store, "b").await.sealed_token, moved);
    }
}

#[tokio::test]
async fn value_under_an_unknown_key_is_left() {
    let (folder, store) = opened().await;
    store.create_secret(&new_secret("a", "n")).await.unwrap();
    let before = token_of(&store, "a").await;
    let lost = reseal(&folder, &[NEW_KEY]).await;
    assert_eq!(run(&lost).await, Counts { unopenable: 2, ..Counts::default() });
    assert_eq!(lost.under_other_keys().await.unwrap(), 2);
    assert_eq!(token_of(&store, "a").await, before);
}

#[tokio::test]
async fn database_that_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |url: DatabaseUrl| async move {
        Reseal::open(&url, KEY.parse().unwrap(), Randomness::of_the_system()).await.err().unwrap()
    };
    assert!(matches!(refused(url(folder.path())).await, ExistingError::Missing { .. }));
    assert!(!folder.path().join("test.db").exists());
    std::fs::write(folder.path().join("test.db"), "").unwrap();
    assert!(matches!(refused(url(folder.path())).await, ExistingError::Older { .. }));
    let store = open(folder.path(), LIMITS).await;
    let newer = "INSERT INTO seaql_migrations VALUES ('m9999_from_the_future', 0)";
    sea_orm::ConnectionTrait::execute_unprepared(&store.database.writing, newer).await.unwrap();
    assert!(matches!(refused(url(folder.path())).await, ExistingError::Newer { .. }));
}
