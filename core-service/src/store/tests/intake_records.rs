//! Webhooks that are records: their states, their deliveries, and their owners' accounts.

use serde_json::json;

use super::deliveries::{NOW_MS, fixture};
use super::intake::{
    HOUR_US, NOW_US, at, chat, deliveries_of, holder, matched, matched_text, record, row, states, stored, wh,
    with_a_record,
};
use super::*;
use crate::intake::batch::{
    AccountChange, Batch, Change, Found, ListedRecords, RecordChange, RecordEvent, References,
};
use crate::store::table::{delivery, event, record_webhook};

#[tokio::test]
async fn records_of_strangers_do_not_count() {
    let (fixture, _) = fixture(1).await;
    let holder = holder(&fixture.store).await;
    let found = wh("https://r.example/", &json!({}));
    stored(&fixture.store, holder, vec![record("stranger", "r", "1", found)]).await;
    assert_eq!(states(&fixture.store).await, Vec::<String>::new());
}

#[tokio::test]
async fn first_records_have_the_places() {
    let (fixture, _) = fixture(1).await;
    let store = &fixture.store;
    let holder = holder(store).await;
    let valid = || wh("https://r.example/", &json!({}));
    let off = wh("https://r.example/", &json!({"enabled": false}));
    let mut changes: Vec<Change> = (0..5).map(|n| record("a", &format!("r{n}"), "1", valid())).collect();
    changes.push(record("a", "r5", "1", off));
    changes.push(record("a", "r6", "1", Found::Invalid("url: no".to_owned())));
    stored(store, holder, changes).await;
    assert_eq!(
        states(store).await,
        [
            "r0 active",
            "r1 active",
            "r2 active",
            "r3 over_limit",
            "r4 over_limit",
            "r5 disabled",
            "r6 invalid"
        ]
    );
    assert_eq!(row(store, "r3").await.reason.unwrap(), "the limit of 3 active records is reached");
    // An invalid update revokes, a deletion makes room, an older revision changes nothing.
    let changes = vec![
        record("a", "r0", "2", Found::Invalid("scope: no".to_owned())),
        record("a", "r1", "2", Found::Deleted),
        record("a", "r1", "1", valid()),
    ];
    let stored = stored(store, holder, changes).await;
    assert!(stored.changed_owners.contains("did:plc:a"));
    assert_eq!(
        states(store).await,
        ["r0 invalid", "r1 deleted", "r2 active", "r3 active", "r4 active", "r5 disabled", "r6 invalid"]
    );
}

#[tokio::test]
async fn places_in_all_go_to_the_next() {
    let (fixture, _) = fixture(1).await;
    let store = &fixture.store;
    store.create_webhook(&new_webhook("b", "https://b.example/", None)).await.unwrap();
    let holder = holder(store).await;
    let valid = || wh("https://r.example/", &json!({}));
    let of = |owner: &str, n: u32, found| record(owner, &format!("{owner}{n}"), &n.to_string(), found);
    let mut changes: Vec<Change> = (1..4).map(|n| of("a", n, valid())).collect();
    changes.extend((1..4).map(|n| of("b", n, valid())));
    stored(store, holder, changes).await;
    assert_eq!(
        states(store).await,
        ["a1 active", "a2 active", "a3 active", "b1 active", "b2 active", "b3 over_limit"]
    );
    stored(store, holder, vec![record("a", "a1", "9", Found::Deleted)]).await;
    assert_eq!(row(store, "b3").await.state, "active");
}

#[tokio::test]
async fn record_gets_its_payload_once_and_signed() {
    let (mut fixture, _) = fixture(1).await;
    let (holder, id) = with_a_record(&fixture, json!({"secret": "a-token"})).await;
    stored(&fixture.store, holder, vec![matched(1, id), matched(1, id)]).await;
    stored(&fixture.store, holder, vec![matched(1, id)]).await;
    let taken = fixture.taken();
    assert_eq!(taken.len(), 1);
    let leased = &taken[0];
    assert_eq!((leased.event, leased.webhook), (Uuid::from_u128(1), id));
    let crate::delivery::lease::Signing::With(tokens) = &leased.signing else { panic!("it is signed") };
    assert_eq!((tokens.newest.expose(), &tokens.previous), ("a-token", &None));
    let row = row(&fixture.store, "r").await;
    assert!(!String::from_utf8_lossy(&row.sealed_secret.unwrap()).contains("a-token"));
    assert!(!String::from_utf8_lossy(&row.sealed_url.unwrap()).contains("r.example"));
}

#[tokio::test]
async fn large_payloads_wait_up_to_a_size() {
    let (mut fixture, _) = fixture(1).await;
    let (holder, id) = with_a_record(&fixture, json!({})).await;
    let mut changes: Vec<Change> = (1..71).map(|n| matched_text(n, id, 520_000)).collect();
    changes.push(matched(71, id));
    stored(&fixture.store, holder, changes).await;
    let state = fixture.state(id).await;
    assert_eq!((state.pending, state.dropped), (66, 5));
    let payloads = event::Entity::find().all(&fixture.store.database.reading).await.unwrap();
    let large = payloads.iter().filter_map(|row| row.payload.as_ref()).filter(|text| text.len() > 520_000);
    assert!(large.clone().all(|text| text.contains("\"id\":\"00000000-0000-")));
    assert_eq!((large.count(), fixture.taken().len()), (65, 1));
}

#[tokio::test]
async fn deliveries_wait_for_a_secret_and_go_when_it_is_made() {
    let (mut fixture, _) = fixture(1).await;
    let (holder, id) = with_a_record(&fixture, json!({"secretId": "mine"})).await;
    let changes = (0..102).map(|n| matched(n + 1, id)).collect();
    stored(&fixture.store, holder, changes).await;
    let state = fixture.state(id).await;
    // The queue of the fixture has 100 places for a webhook as well.
    assert_eq!((state.pending, state.dropped), (100, 2));
    for leased in fixture.taken() {
        let ending = crate::delivery::finished::Ending::NoSecret;
        let Leased { delivery, webhook, lease, .. } = leased;
        let finished = crate::delivery::finished::Finished { delivery, webhook, lease, ending };
        fixture.store.finish(finished).await.unwrap();
    }
    let held = fixture.state(id).await;
    assert!(held.held_for_secret && held.due_at_ms.unwrap() > NOW_MS);
    fixture.store.create_secret(&new_secret("a", "mine")).await.unwrap();
    let state = fixture.state(id).await;
    assert_eq!((state.held_for_secret, state.due_at_ms), (false, Some(NOW_MS)));
    fixture.store.delete_secret(&did("a"), &"mine".parse().unwrap()).await.unwrap();
}

#[tokio::test]
async fn inactive_accounts_are_paused_and_go_on_from_then() {
    let (mut fixture, webhooks) = fixture(1).await;
    let (holder, id) = with_a_record(&fixture, json!({})).await;
    stored(&fixture.store, holder, vec![chat(1, "b"), matched(2, id)]).await;
    for leased in fixture.taken() {
        fixture.finish(leased, crate::delivery::outcome::Outcome::Http, deliveries::RETRY).await;
    }
    let off = vec![account(Some("suspended"), NOW_US), chat(3, "b"), matched(4, id)];
    stored(&fixture.store, holder, off).await;
    fixture.clock.advance(Duration::from_secs(60));
    fixture.store.claim().await.unwrap();
    assert_eq!(fixture.taken().len(), 0);
    // An event from before that comes late changes nothing.
    let on = vec![account(None, NOW_US + 1), account(Some("deactivated"), NOW_US)];
    let stored_on = stored(&fixture.store, holder, on).await;
    assert_eq!(stored_on.resumed, [did("a")]);
    fixture.store.claim().await.unwrap();
    let mut called: Vec<Uuid> = fixture.taken().iter().map(|leased| leased.event).collect();
    called.sort_unstable();
    assert_eq!(called, [Uuid::from_u128(1), Uuid::from_u128(2)], "held, not cancelled, and nothing else");
    for (event, deliveries) in [(3, 0), (4, 0)] {
        assert_eq!(deliveries_of(&fixture.store, event).await, Some(deliveries));
    }
    stored(&fixture.store, holder, vec![account(Some("deleted"), NOW_US + 2)]).await;
    let rows = record_webhook::Entity::find().all(&fixture.store.database.reading).await.unwrap();
    assert_eq!(rows, []);
    assert!(fixture.state(webhooks[0].id).await.owner_paused);
}

fn account(status: Option<&str>, time_us: i64) -> Change {
    Change::Account(AccountChange { did: did("a"), status: status.map(str::to_owned), time_us })
}

#[tokio::test]
async fn what_is_made_while_the_account_is_inactive_waits_too() {
    let (mut fixture, _) = fixture(0).await;
    let store = &fixture.store;
    store.create_secret(&new_secret("a", "mine")).await.unwrap();
    let holder = holder(store).await;
    let valid = |rev| record("a", "r", rev, wh("https://r.example/", &json!({})));
    let invalid = || record("a", "i", "1", Found::Invalid("url: no".to_owned()));
    stored(store, holder, vec![invalid(), account(Some("takendown"), NOW_US), valid("1")]).await;
    let late = new_webhook("a", "https://late.example/", None);
    store.create_webhook(&late).await.unwrap();
    let mended = record("a", "i", "2", wh("https://i.example/", &json!({})));
    stored(store, holder, vec![record("a", "r", "2", Found::Deleted), valid("3"), mended]).await;
    let (r, i) = (row(store, "r").await.id, row(store, "i").await.id);
    stored(store, holder, vec![chat(1, "b"), matched(2, r), matched(3, i)]).await;
    for event in [1, 2, 3] {
        assert_eq!(deliveries_of(store, event).await, Some(0), "{event}");
    }
    // What is published waits.
    store.publish(vec![deliveries::chat("k", "hello")]).await.unwrap();
    assert_eq!(fixture.state(late.id).await.pending, 1);
    assert_eq!(fixture.taken().len(), 0);
    stored(&fixture.store, holder, vec![account(None, NOW_US + 1)]).await;
    let changes = [chat(4, "b"), matched(5, r), matched(6, i)].map(|change| match change {
        Change::Matched(event) => Change::Matched(RecordEvent { time_us: NOW_US + 1, ..event }),
        change => at(change, NOW_US + 1),
    });
    stored(&fixture.store, holder, changes.into()).await;
    for event in [4, 5, 6] {
        assert_eq!(deliveries_of(&fixture.store, event).await, Some(1), "{event}");
    }
}

#[tokio::test]
async fn records_of_a_deleted_account_do_not_come_back() {
    let (fixture, _) = fixture(1).await;
    let store = &fixture.store;
    let holder = holder(store).await;
    let valid = |rev, time_us| {
        let (owner, rkey, rev) = (did("a"), "r".to_owned(), str::to_owned(rev));
        let found = wh("https://r.example/", &json!({}));
        Change::Record(RecordChange { owner, rkey, rev, time_us, found })
    };
    // As they stand in the overlap after a reconnect.
    let both = || vec![valid("1", Some(NOW_US)), account(Some("deleted"), NOW_US + 1)];
    stored(store, holder, both()).await;
    stored(store, holder, both()).await;
    let records = vec![("r".to_owned(), wh("https://r.example/", &json!({})))];
    let listed = ListedRecords { owner: did("a"), rev: "1".to_owned(), records, all: None };
    stored(store, holder, vec![Change::Listed(listed)]).await;
    assert_eq!(states(store).await, Vec::<String>::new());
    stored(store, holder, vec![account(None, NOW_US + 2), valid("2", Some(NOW_US + 3))]).await;
    assert_eq!(states(store).await, ["r active"]);
}

#[tokio::test]
async fn list_of_records_heals_what_the_stream_missed() {
    let (fixture, _) = fixture(1).await;
    let store = &fixture.store;
    let holder = holder(store).await;
    let valid = || wh("https://r.example/", &json!({}));
    stored(store, holder, vec![record("a", "gone", "1", valid()), record("a", "newer", "7", Found::Deleted)])
        .await;
    let listed = ListedRecords {
        owner: did("a"),
        rev: "5".to_owned(),
        records: vec![
            ("missed".to_owned(), valid()),
            ("newer".to_owned(), valid()),
            ("broken".to_owned(), Found::Invalid("url: no".to_owned())),
        ],
        all: Some(vec!["missed".to_owned(), "newer".to_owned(), "broken".to_owned()]),
    };
    stored(store, holder, vec![Change::Listed(listed)]).await;
    assert_eq!(states(store).await, ["broken invalid", "gone deleted", "missed active", "newer deleted"]);
}

#[tokio::test]
async fn deletions_push_out_no_record() {
    let (fixture, _) = fixture(1).await;
    let store = &fixture.store;
    let holder = holder(store).await;
    let deletions = (0..1002).map(|n| record("a", &format!("gone{n}"), "1", Found::Deleted)).collect();
    stored(store, holder, deletions).await;
    stored(store, holder, vec![record("a", "r", "2", wh("https://r.example/", &json!({})))]).await;
    assert_eq!(row(store, "r").await.state, "active");
    assert_eq!(states(store).await.len(), 1001);
}

#[tokio::test]
async fn without_the_network_what_needs_it_has_no_place() {
    let (fixture, _) = fixture(1).await;
    let store = &fixture.store;
    let holder = holder(store).await;
    let of = |aturi: &str| wh("https://r.example/", &json!({"scope": {"aturi": aturi}}));
    let uri = |rest: &str| format!("at://did:plc:ewvi7nxzyoun6zhxrhs64oiz{rest}");
    let mut changes: Vec<Change> = (0..3).map(|n| record("a", &format!("n{n}"), "1", of(&uri("")))).collect();
    changes.push(record("a", "r", "1", of(&uri("/a.b.c"))));
    changes.push(record("a", "n0", "2", of(&uri(""))));
    stored(store, holder, changes).await;
    assert_eq!(states(store).await, ["n0 invalid", "n1 invalid", "n2 invalid", "r active"]);
    let row = row(store, "n0").await;
    assert_eq!(
        (row.reason.as_deref(), row.rev.as_str()),
        (Some(crate::intake::interests::NEEDS_NETWORK), "2")
    );
    assert!(row.sealed_url.is_some());
}

#[tokio::test]
async fn records_listed_before_a_first_event_have_no_time() {
    let (fixture, _) = fixture(1).await;
    let holder = holder(&fixture.store).await;
    let records = vec![("r".to_owned(), wh("https://r.example/", &json!({})))];
    let listed = ListedRecords { owner: did("a"), rev: "5".to_owned(), records, all: None };
    let batch = Batch { changes: vec![Change::Listed(listed)], ..Batch::new(Some(holder)) };
    fixture.store.write_intake(Arc::new(batch)).await.unwrap();
    let row = row(&fixture.store, "r").await;
    assert_eq!((row.state.as_str(), row.since_us), ("active", None));
}

#[tokio::test]
async fn references_too_long_for_an_index_are_left_out() {
    let (fixture, _) = fixture(1).await;
    let holder = holder(&fixture.store).await;
    let uri = |length: usize| format!("at://did:web:a.example/a.b.c/{}", "r".repeat(length));
    let references = References {
        did: format!("did:plc:{}", "d".repeat(2040)),
        collection: "a.b.c".to_owned(),
        rkey: "r".to_owned(),
        targets: vec![uri(500), uri(600)],
    };
    let key = (references.did.clone(), references.collection.clone(), references.rkey.clone());
    stored(&fixture.store, holder, vec![Change::References(references)]).await;
    let known = fixture.store.references_of(std::slice::from_ref(&key)).await.unwrap();
    assert_eq!(known[&key], [uri(500)]);
}

#[tokio::test]
async fn the_same_record_once_more_keeps_its_time() {
    let (fixture, _) = fixture(1).await;
    let (holder, id) = with_a_record(&fixture, json!({})).await;
    let later = |found| {
        Change::Record(RecordChange {
            owner: did("a"),
            rkey: "r".to_owned(),
            rev: "5".to_owned(),
            time_us: Some(NOW_US + HOUR_US),
            found,
        })
    };
    let again = stored(&fixture.store, holder, vec![later(wh("https://r.example/", &json!({})))]).await;
    assert!(again.changed_owners.is_empty());
    let row = row(&fixture.store, "r").await;
    assert_eq!((row.id, row.rev.as_str(), row.since_us), (id, "5", Some(NOW_US)));
    let no_deliveries = delivery::Entity::find().all(&fixture.store.database.reading).await.unwrap();
    assert_eq!(no_deliveries, []);
}
