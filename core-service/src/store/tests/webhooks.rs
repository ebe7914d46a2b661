//! Webhooks that are read, changed and deleted: what no client can see or bring about.

use sea_orm::{ActiveModelTrait as _, QueryTrait as _};

use super::*;
use crate::domain::cursor::Cursor;
use crate::domain::event_type::EventType;
use crate::domain::page::{Page, PageLimit, PageRequest};
use crate::domain::webhook_change::WebhookChange;
use crate::store::webhooks::page_query;

const PLENTY: Limits = Limits { secrets: 100, webhooks: 100 };

async fn made(store: &Store, owner: &str, path: &str) -> Webhook {
    let new = new_webhook(owner, &format!("https://example.com/{path}"), None);
    store.create_webhook(&new).await.unwrap();
    new
}

async fn row(store: &Store, id: Uuid) -> webhook::Model {
    webhook::Entity::find_by_id(id).one(&store.database.reading).await.unwrap().unwrap()
}

/// Changes a row past the store.
async fn change(store: &Store, id: Uuid, change: impl FnOnce(&mut webhook::Model)) {
    let mut row = row(store, id).await;
    change(&mut row);
    webhook::ActiveModel::from(row).reset_all().update(&store.database.writing).await.unwrap();
}

async fn all(store: &Store, owner: &str, limit: i64) -> Vec<Webhook> {
    let limit = PageLimit::try_from(limit).unwrap();
    let mut request = PageRequest { limit, ..PageRequest::default() };
    let mut listed = Vec::new();
    loop {
        let Page { webhooks, next } = store.webhooks(&did(owner), &request).await.unwrap();
        listed.extend(webhooks);
        match next {
            Some(_) => request.after = next,
            None => return listed,
        }
    }
}

fn renamed(name: &str) -> WebhookChange {
    WebhookChange { name: Some(Some(name.parse().unwrap())), ..WebhookChange::default() }
}

#[tokio::test]
async fn read_back_as_it_was_made() {
    let (_folder, store) = opened().await;
    store.create_secret(&new_secret("a", "n")).await.unwrap();
    let new = new_webhook("a", "https://example.com/hook?a=b", Some("n"));
    store.create_webhook(&new).await.unwrap();
    assert_eq!(store.webhook(&did("a"), new.id).await, Ok(new.clone()));
    assert_eq!(store.webhook(&did("b"), new.id).await, Err(Error::WebhookNotFound));
    assert_eq!(all(&store, "a", 1).await, [new]);
    assert_eq!(all(&store, "b", 1).await, []);
}

/// Whatever is asked for beside the owner.
#[tokio::test]
async fn page_reads_rows_of_its_owner_alone() {
    let (_folder, store) = opened().await;
    for after in [None, Some(Cursor::behind(1, Uuid::from_u128(1)))] {
        for (active, event) in [(None, None), (Some(true), Some(EventType::Chat))] {
            let request = PageRequest { after, active, event, ..PageRequest::default() };
            let mut statement = page_query(&did("a"), &request).build(DbBackend::Sqlite);
            statement.sql.insert_str(0, "EXPLAIN QUERY PLAN ");
            let steps = store.database.reading.query_all_raw(statement).await.unwrap();
            let steps: Vec<String> = steps.iter().map(|row| row.try_get("", "detail").unwrap()).collect();
            let unique = "SEARCH webhook USING INDEX sqlite_autoindex_webhook_2 (owner_did=?)";
            let state = "SEARCH webhook_state USING INDEX sqlite_autoindex_webhook_state_1 (webhook_id=?)";
            let sort = "USE TEMP B-TREE FOR ORDER BY";
            if active.is_some() {
                assert_eq!(steps, [unique, "CORRELATED SCALAR SUBQUERY 1", state, sort]);
            } else {
                assert_eq!(steps, [unique, sort]);
            }
        }
    }
}

#[tokio::test]
async fn same_millisecond_is_ordered_by_id() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), PLENTY).await;
    let mut ids = Vec::new();
    for number in 0..20 {
        ids.push(made(&store, "a", &number.to_string()).await.id);
    }
    ids.sort();
    ids.reverse();
    for limit in [1, 3, 19, 20, 21] {
        let listed: Vec<Uuid> = all(&store, "a", limit).await.iter().map(|webhook| webhook.id).collect();
        assert_eq!(listed, ids, "{limit}");
    }
}

#[tokio::test]
async fn row_that_is_not_readable_fails_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), PLENTY).await;
    let (first, other) = (made(&store, "a", "first").await, made(&store, "a", "other").await);
    let moved = row(&store, other.id).await.sealed_url;
    let breaks: [&dyn Fn(&mut webhook::Model); 9] = [
        // Sealed with another key; moved from another row; cut; not there at all.
        &|row| row.sealed_url[1] ^= 1,
        &|row| row.sealed_url.clone_from(&moved),
        &|row| row.sealed_url.truncate(30),
        &|row| row.sealed_url.clear(),
        &|row| row.events = String::new(),
        &|row| row.events = "chat,raid".into(),
        &|row| row.rewrite = r#"[["a"]]"#.into(),
        &|row| row.mute_words = "{}".into(),
        &|row| row.name = Some("x".repeat(101)),
    ];
    for break_it in breaks {
        let broken = made(&store, "a", "broken").await;
        change(&store, broken.id, break_it).await;
        let stored = row(&store, broken.id).await;
        let owner = did("a");
        assert_eq!(store.webhook(&owner, broken.id).await, Err(Error::Internal));
        assert_eq!(store.update_webhook(&owner, broken.id, &renamed("n"), 7).await, Err(Error::Internal));
        assert_eq!(row(&store, broken.id).await, stored);
        for limit in [1, 2, 3] {
            let listed = all(&store, "a", limit).await;
            assert_eq!(listed.len(), 2);
            assert!(listed.contains(&first) && listed.contains(&other));
        }
        assert_eq!(store.delete_webhook(&owner, broken.id).await, Ok(()));
    }
}

/// What the log says of such a row names neither the URL nor another value of the owner.
#[tokio::test]
async fn fault_names_the_row_and_none_of_its_values() {
    let (_folder, store) = opened().await;
    let new = new_webhook("a", "https://example.com/credential", None);
    store.create_webhook(&new).await.unwrap();
    let stored = row(&store, new.id).await;
    let told = |row: webhook::Model| chain(&row::open_webhook(&row, &store.sealer.keys).unwrap_err());
    for (row, cause) in [
        (webhook::Model { sealed_url: vec![], ..stored.clone() }, "its URL does not open: "),
        (webhook::Model { mute_words: "\"credential\"".into(), ..stored.clone() }, "a column has no list"),
        (
            webhook::Model { events: "credential".into(), ..stored.clone() },
            "a column breaks a rule: events[0]: ",
        ),
    ] {
        let told = told(row);
        assert!(told.starts_with(&format!("webhook {} can't be read: {cause}", new.id)), "{told}");
        assert!(!told.contains("credential"), "{told}");
    }
}

#[tokio::test]
async fn update_writes_only_what_differs() {
    let (_folder, store) = opened().await;
    let new = made(&store, "a", "1").await;
    let before = row(&store, new.id).await;
    change(&store, new.id, |row| {
        row.error_count = 5;
        row.last_triggered_at_ms = Some(9);
    })
    .await;

    let updated = store.update_webhook(&new.owner, new.id, &renamed("other"), 7).await.unwrap();
    assert_eq!(store.webhook(&new.owner, new.id).await, Ok(updated.clone()));
    assert_eq!(
        (updated.error_count, updated.last_triggered_at_ms, updated.updated_at_ms),
        (5, Some(9), Some(7))
    );
    let after = row(&store, new.id).await;
    assert_eq!(after.sealed_url, before.sealed_url, "a URL that stays is not sealed again");
    let expected = webhook::Model {
        name: Some("other".into()),
        updated_at_ms: Some(7),
        error_count: 5,
        last_triggered_at_ms: Some(9),
        ..before
    };
    assert_eq!(after, expected);

    let same_url =
        WebhookChange { url: Some(new.config.url.clone()), active: Some(true), ..WebhookChange::default() };
    let updated = store.update_webhook(&new.owner, new.id, &same_url, 8).await.unwrap();
    assert_eq!(updated.error_count, 0);
    let expected = webhook::Model { error_count: 0, updated_at_ms: Some(8), ..after.clone() };
    assert_eq!(row(&store, new.id).await, expected);

    let url = WebhookUrl::parse("https://example.com/2", Schemes::Https).unwrap();
    let other_url = WebhookChange { url: Some(url), ..WebhookChange::default() };
    store.update_webhook(&new.owner, new.id, &other_url, 9).await.unwrap();
    let last = row(&store, new.id).await;
    assert_ne!((&last.sealed_url, &last.url_hash), (&after.sealed_url, &after.url_hash));
    let webhook::Model { sealed_url, url_hash, .. } = last.clone();
    assert_eq!(last, webhook::Model { sealed_url, url_hash, updated_at_ms: Some(9), ..expected });
    made(&store, "a", "1").await;
}

#[tokio::test]
async fn refused_update_changes_nothing() {
    let (_folder, store) = opened().await;
    let (new, other) = (made(&store, "a", "1").await, made(&store, "a", "2").await);
    let before = row(&store, new.id).await;
    let taken = WebhookChange { url: Some(other.config.url.clone()), ..renamed("n") };
    let unknown = WebhookChange { secret: Some(Some("none".parse().unwrap())), ..renamed("n") };
    let told: Error = Rule::UnknownSecret.at("secret_id").into();
    for (owner, change, expected) in [
        ("a", &taken, Error::WebhookExists),
        ("a", &unknown, told),
        ("b", &renamed("n"), Error::WebhookNotFound),
    ] {
        let refused = store.update_webhook(&did(owner), new.id, change, 7).await;
        assert_eq!(refused, Err(expected));
        assert_eq!(row(&store, new.id).await, before);
    }
    store.update_webhook(&new.owner, new.id, &renamed("n"), 7).await.unwrap();
}

#[tokio::test]
async fn creates_and_deletes_at_once_are_counted_exactly() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), PLENTY).await;
    let mut old = Vec::new();
    for number in 0..20 {
        old.push(made(&store, "a", &format!("old/{number}")).await);
    }
    let new: Vec<_> =
        (0..20).map(|number| new_webhook("a", &format!("https://example.com/new/{number}"), None)).collect();
    let creates = join_all(new.iter().map(|new| store.create_webhook(new)));
    let deletes = join_all(old.iter().take(13).map(|old| store.delete_webhook(&old.owner, old.id)));
    let (created, deleted) = tokio::join!(creates, deletes);
    assert_eq!((count(&created, Ok(())), count(&deleted, Ok(()))), (20, 13));
    assert_eq!(webhook::Entity::find().count(&store.database.reading).await.unwrap(), 27);
    assert_eq!(counts(&store, "a").await, (0, 27));
    let again = join_all((0..20).map(|_| store.delete_webhook(&old[19].owner, old[19].id))).await;
    assert_eq!((count(&again, Ok(())), count(&again, Err(&Error::WebhookNotFound))), (1, 19));
    assert_eq!(counts(&store, "a").await, (0, 26));
}
