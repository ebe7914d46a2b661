//! Webhooks whose URLs an earlier release stored in another normal form.

use sea_orm::sea_query::Expr;
use sea_orm::{ActiveModelTrait as _, ColumnTrait as _, QueryFilter as _};

use super::*;
use crate::seal::Purpose;
use crate::store::table::{index_key as index_key_table, webhook};

const PLENTY: Limits = Limits { secrets: 100, webhooks: 100 };

/// Stores a webhook as an earlier release did: with this text, and another hash.
async fn of_an_earlier_release(store: &Store, text: &str) -> Webhook {
    let other = new_webhook("a", &format!("https://other.example/{}", id()), None);
    store.create_webhook(&other).await.unwrap();
    let found = webhook::Entity::find_by_id(other.id).one(&store.database.reading).await.unwrap();
    let purpose = Purpose::Url { owner: &other.owner, webhook: other.id };
    let nonce = store.sealer.randomness.bytes().unwrap();
    let row = webhook::Model {
        sealed_url: store.sealer.keys.seal(nonce, purpose, text.as_bytes()),
        url_hash: id().as_bytes().repeat(2),
        ..found.unwrap()
    };
    webhook::ActiveModel::from(row).reset_all().update(&store.database.writing).await.unwrap();
    other
}

/// Closes the store, and opens it as if a release with another form had had it.
async fn opened_again(folder: &TempDir, store: Store, form: i32) -> Store {
    index_key_table::Entity::update_many()
        .col_expr(index_key_table::Column::UrlForm, Expr::val(form))
        .filter(index_key_table::Column::Id.eq(index_key::ID))
        .exec(&store.database.writing)
        .await
        .unwrap();
    store.close().await;
    open(folder.path(), PLENTY).await
}

async fn creates(store: &Store, url: &str) -> Result<(), Error> {
    store.create_webhook(&new_webhook("a", url, None)).await.map(drop)
}

#[tokio::test]
async fn urls_are_found_once_they_are_hashed_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), PLENTY).await;
    let old = of_an_earlier_release(&store, "https://hooks.example./hook?").await;
    // Not hashed again: the database is of this form.
    let store = opened_again(&folder, store, index_key::URL_FORM).await;
    assert_eq!(creates(&store, "https://hooks.example/hook").await, Ok(()));
    let store = opened_again(&folder, store, index_key::URL_FORM).await;
    store.delete_webhook(&did("a"), newest(&store).await).await.unwrap();

    let store = opened_again(&folder, store, 0).await;
    assert_eq!(creates(&store, "https://hooks.example/hook").await, Err(Error::WebhookExists));
    assert_eq!(creates(&store, "https://hooks.example/other").await, Ok(()));
    let shown = store.webhook(&did("a"), old.id).await.unwrap();
    assert_eq!(shown.config.url.expose().as_str(), "https://hooks.example/hook");
}

/// The id of the webhook that is not of an earlier release.
async fn newest(store: &Store) -> Uuid {
    let rows = webhook::Entity::find().all(&store.database.reading).await.unwrap();
    let hash = store.sealer.index_key.hash(&new_webhook("a", "https://hooks.example/hook", None).config.url);
    rows.into_iter().find(|row| row.url_hash == hash).unwrap().id
}

#[tokio::test]
async fn two_that_become_one_url_both_stay() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), PLENTY).await;
    creates(&store, "https://hooks.example/hook").await.unwrap();
    for text in ["https://hooks.example/hook?", "https://hooks.example./hook"] {
        of_an_earlier_release(&store, text).await;
    }
    let store = opened_again(&folder, store, 0).await;
    let rows = webhook::Entity::find().all(&store.database.reading).await.unwrap();
    assert_eq!(rows.len(), 3);
    for row in &rows {
        let shown = store.webhook(&did("a"), row.id).await.unwrap();
        assert_eq!(shown.config.url.expose().as_str(), "https://hooks.example/hook");
        store.delete_webhook(&did("a"), row.id).await.unwrap();
    }
    assert_eq!(creates(&store, "https://hooks.example/hook?").await, Ok(()));
}
