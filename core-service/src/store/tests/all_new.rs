//! The short way of a batch on SQLite: when it is gone, and that it comes to the same as the exact one.

use std::sync::Arc;

use proptest::prelude::*;
use tokio::runtime;

use super::*;
use crate::store::all_new::AllNew;
use crate::store::batch::{self, Inserts};
use crate::store::transaction;

fn secret_row(owner: &str, name: &str) -> Row {
    Row::Secret(row::secret(&new_secret(owner, name), Vec::new()))
}

/// `url` is in place of its hash as well.
fn webhook_row(owner: &str, url: &str, secret: Option<&str>) -> Row {
    let new = new_webhook(owner, &format!("https://example.com/{url}"), secret);
    Row::Webhook(Box::new(row::webhook(&new, Vec::new(), url.into())))
}

fn all_new(limits: Limits) -> AllNew {
    AllNew::new(limits, Arc::new(Inserts::new()))
}

/// Whether `rows` went the short way.
async fn went(store: &Store, rows: &[Row]) -> bool {
    let rows: Vec<&Row> = rows.iter().collect();
    assert!(all_new(LIMITS).commands(&rows).is_some());
    all_new(LIMITS).write(&store.database.writing, &rows).await.unwrap()
}

#[tokio::test]
async fn new_rows_go_and_are_counted() {
    let (_folder, store) = opened().await;
    let rows =
        [secret_row("a", "1"), webhook_row("a", "1", None), secret_row("b", "1"), secret_row("a", "2")];
    assert!(went(&store, &rows).await);
    assert!(went(&store, &[secret_row("a", "3")]).await);
    assert_eq!(counts(&store, "a").await, (3, 1));
    assert_eq!(counts(&store, "b").await, (1, 0));
    // More than one command has.
    let many: Vec<Row> = (0..100).map(|number| webhook_row(&number.to_string(), "1", None)).collect();
    assert!(went(&store, &many).await);
    assert_eq!(webhook::Entity::find().count(&store.database.reading).await.unwrap(), 101);
}

#[tokio::test]
async fn rows_of_which_one_does_not_stay_do_not_go() {
    let (_folder, store) = opened().await;
    assert!(went(&store, &[secret_row("a", "1"), secret_row("a", "2"), webhook_row("a", "1", None)]).await);
    let fresh = || secret_row("b", "1");
    for rows in [
        // It is there; it comes twice; there is one too many, of an owner who has some and of one who has none.
        [secret_row("a", "1"), fresh(), secret_row("c", "1")],
        [webhook_row("a", "1", None), fresh(), secret_row("c", "1")],
        [webhook_row("c", "1", None), fresh(), webhook_row("c", "1", None)],
        [secret_row("a", "3"), fresh(), secret_row("a", "4")],
    ] {
        assert!(!went(&store, &rows).await, "{rows:?}");
    }
    let rows: Vec<Row> = (0..4).map(|number| webhook_row("c", &number.to_string(), None)).collect();
    assert!(!went(&store, &rows).await);
    assert_eq!(counts(&store, "a").await, (2, 1));
    assert_eq!(account::Entity::find().count(&store.database.reading).await.unwrap(), 1);
}

#[test]
fn what_can_not_go_is_known_before() {
    let none = all_new(Limits { secrets: 0, webhooks: 0 });
    assert!(none.commands(&[&secret_row("a", "1")]).is_none());
    assert!(none.commands(&[&webhook_row("a", "1", None)]).is_none());
    let some = all_new(LIMITS);
    assert!(some.commands(&[&secret_row("a", "1"), &webhook_row("a", "1", Some("1"))]).is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Batches of rows, each a secret or a webhook of one of a few owners with one of a few names.
    #[test]
    fn both_ways_come_to_the_same(
        batches in prop::collection::vec(
            prop::collection::vec((any::<bool>(), "[ab]", "[1-5]", prop::option::weighted(0.1, "[1-5]")), 1..8),
            1..6,
        )
    ) {
        // On one thread the writer takes nothing before all rows of a batch have queued.
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let ((_one, short), (_other, exact)) = (opened().await, opened().await);
            let writer = Writer::start(&short.database, LIMITS, &mut Default::default());
            let inserts = Inserts::new();
            for batch in &batches {
                let row = |(secret, owner, name, named): &(bool, String, String, Option<String>)| {
                    if *secret { secret_row(owner, name) } else { webhook_row(owner, name, named.as_deref()) }
                };
                let rows: Vec<Row> = batch.iter().map(row).collect();
                let outcomes = join_all(rows.iter().map(|row| writer.write(row.clone()))).await;
                let outcomes: Vec<Outcome> = outcomes.into_iter().map(Result::unwrap).collect();
                let transaction = transaction::begin(&exact.database.writing).await.unwrap();
                let rows: Vec<&Row> = rows.iter().collect();
                let expected = batch::write(&transaction, &inserts, LIMITS, &rows).await.unwrap();
                transaction.commit().await.unwrap();
                assert_eq!(outcomes, expected);
            }
            let accounts = async |store: &Store| {
                let mut accounts = account::Entity::find().all(&store.database.reading).await.unwrap();
                accounts.retain(|account| account.secrets + account.webhooks > 0);
                accounts.sort_by(|one, other| one.did.cmp(&other.did));
                accounts
            };
            assert_eq!(accounts(&short).await, accounts(&exact).await);
        });
    }
}
