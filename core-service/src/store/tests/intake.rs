//! The jobs of the intake: the lease, what is judged how, wh records and their states.

use jetstream::event::{Commit, Operation, Position, Wire};
use serde_json::json;
use serde_json::value::RawValue;

use super::deliveries::{Fixture, NOW_MS, fixture};
use super::*;
use crate::delivery::event::{Actor, Chat, Follow, Payload, StreamReceived};
use crate::domain::event_type::EventType;
use crate::intake::batch::{
    Batch, Change, Found, Holder, LeaseReport, RecordChange, RecordEvent, Stored, StoredStart, Written,
};
use crate::intake::derive::{Candidate, Check};
use crate::intake::mirror::{AccessRule, Action, BLOCK, MirrorChange, MirrorKind, Mirrored, Subject};
use crate::intake::payload::payload;
use crate::intake::record::WhRecord;
use crate::store::table::{event, intake as intake_table, mirror, record_webhook};

pub(super) const NOW_US: i64 = NOW_MS * 1000;
pub(super) const HOUR_US: i64 = 3_600_000_000;

pub(super) async fn holder(store: &Store) -> Holder {
    let id = Uuid::from_u128(7);
    let LeaseReport::Held { epoch, start: _ } = store.take_intake(id, true).await.unwrap() else {
        panic!("nobody else reads");
    };
    Holder { id, epoch }
}

pub(super) fn position(cursor: i64) -> Position {
    Position { host: "wss://a.example/subscribe".into(), wire: Wire::V1, cursor, time_us: cursor }
}

pub(super) async fn stored(store: &Store, holder: Holder, changes: Vec<Change>) -> Stored {
    let batch = Batch { changes, position: Some(position(NOW_US)), ..Batch::new(Some(holder)) };
    match store.write_intake(Arc::new(batch)).await.unwrap() {
        Written::Stored(stored) => stored,
        Written::LeaseLost => panic!("the lease is held"),
    }
}

pub(super) fn candidate(
    id: u128,
    author: &str,
    event_type: EventType,
    check: Check,
    payload: Payload,
) -> Change {
    Change::Streamer(Box::new(Candidate {
        id: Uuid::from_u128(id),
        streamer: did("a"),
        author: did(author),
        event_type,
        time_us: NOW_US,
        verdict: Ok(payload),
        check,
    }))
}

pub(super) fn chat(id: u128, author: &str) -> Change {
    let actor = Actor { did: did(author), handle: None, avatar_url: None };
    let payload = Payload::Chat(Chat { author: actor, text: "hello".to_owned(), uri: String::new() });
    candidate(id, author, EventType::Chat, Check::BlocksAndAccess, payload)
}

pub(super) fn at(change: Change, time_us: i64) -> Change {
    let Change::Streamer(mut candidate) = change else { panic!("a candidate") };
    candidate.time_us = time_us;
    Change::Streamer(candidate)
}

pub(crate) async fn deliveries_of(store: &Store, id: u128) -> Option<i32> {
    let row = event::Entity::find_by_id(Uuid::from_u128(id)).one(&store.database.reading).await.unwrap();
    row.map(|row| row.deliveries)
}

pub(super) fn mirrored(
    owner: &str,
    kind: MirrorKind,
    rkey: &str,
    rev: &str,
    content: Option<Mirrored>,
) -> Change {
    let (owner, rkey, rev) = (did(owner), rkey.to_owned(), rev.to_owned());
    Change::Mirror(vec![MirrorChange { owner, kind, rkey, rev, content }])
}

pub(super) fn wh(url: &str, more: &serde_json::Value) -> Found {
    let mut record = json!({
        "$type": "place.wisp.v2.wh",
        "scope": {"aturi": "at://did:plc:ewvi7nxzyoun6zhxrhs64oiz/a.b.c"},
        "url": url,
        "createdAt": "2026-11-29T12:00:00Z",
    });
    record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let raw = RawValue::from_string(record.to_string()).unwrap();
    Found::Valid(Box::new(WhRecord::parse(&raw, Schemes::Https).unwrap()))
}

pub(super) fn record(owner: &str, rkey: &str, rev: &str, found: Found) -> Change {
    let (owner, rkey, rev) = (did(owner), rkey.to_owned(), rev.to_owned());
    Change::Record(RecordChange { owner, rkey, rev, time_us: Some(NOW_US), found })
}

pub(super) async fn row(store: &Store, rkey: &str) -> record_webhook::Model {
    let found = record_webhook::Entity::find().filter(record_webhook::Column::Rkey.eq(rkey));
    found.one(&store.database.reading).await.unwrap().unwrap()
}

pub(super) async fn states(store: &Store) -> Vec<String> {
    use sea_orm::QueryOrder as _;
    let rows = record_webhook::Entity::find().order_by_asc(record_webhook::Column::Rkey);
    let rows = rows.all(&store.database.reading).await.unwrap();
    rows.into_iter().map(|row| format!("{} {}", row.rkey, row.state)).collect()
}

pub(super) fn matched(id: u128, webhook: Uuid) -> Change {
    matched_text(id, webhook, 1)
}

/// With a record that has a text of `bytes`.
pub(super) fn matched_text(id: u128, webhook: Uuid, bytes: usize) -> Change {
    let commit = Commit {
        rev: "3l6oveex3ii2l".to_owned(),
        operation: Operation::Create,
        collection: "a.b.c".to_owned(),
        rkey: "r".to_owned(),
        cid: None,
        record: Some(RawValue::from_string(json!({"text": "x".repeat(bytes)}).to_string()).unwrap()),
    };
    Change::Matched(RecordEvent {
        id: Uuid::from_u128(id),
        webhook,
        operation: Operation::Create,
        payload: Arc::new(payload("did:plc:a", &commit, NOW_US).unwrap()),
        time_us: NOW_US,
    })
}

pub(super) async fn with_a_record(fixture: &Fixture, more: serde_json::Value) -> (Holder, Uuid) {
    let holder = holder(&fixture.store).await;
    stored(&fixture.store, holder, vec![record("a", "r", "1", wh("https://r.example/", &more))]).await;
    (holder, row(&fixture.store, "r").await.id)
}

#[tokio::test]
async fn one_holder_writes_and_the_place_never_goes_back() {
    let (fixture, _) = fixture(1).await;
    let store = &fixture.store;
    let first = holder(store).await;
    let batch = |holder, cursor, changes| Batch {
        position: Some(position(cursor)),
        changes,
        ..Batch::new(Some(holder))
    };
    let start = |report| match report {
        LeaseReport::Held { epoch, start } => (epoch, start),
        LeaseReport::Elsewhere => panic!("it is free"),
    };
    let (_, began) = start(store.take_intake(first.id, false).await.unwrap());
    assert_eq!(began, StoredStart::Time(NOW_US));
    let other = Uuid::from_u128(8);
    assert_eq!(store.take_intake(other, false).await.unwrap(), LeaseReport::Elsewhere);
    for (cursor, expected) in [(NOW_US, NOW_US), (NOW_US + 5, NOW_US + 5), (NOW_US - HOUR_US, NOW_US + 5)] {
        store.write_intake(Arc::new(batch(first, cursor, Vec::new()))).await.unwrap();
        let row = intake_table::Entity::find().one(&store.database.reading).await.unwrap().unwrap();
        assert_eq!((row.cursor, row.time_us), (Some(expected), Some(expected)));
    }
    fixture.clock.advance(Duration::from_secs(31));
    let (epoch, place) = start(store.take_intake(other, false).await.unwrap());
    assert_eq!((epoch, place), (first.epoch + 1, StoredStart::At(position(NOW_US + 5))));
    let late = Arc::new(batch(first, NOW_US + 9, vec![chat(1, "b")]));
    let lost = store.write_intake(late).await.unwrap();
    assert_eq!(lost, Written::LeaseLost);
    assert_eq!(deliveries_of(store, 1).await, None);
    // A process that has just started is alone on the file.
    assert_eq!(start(store.take_intake(first.id, true).await.unwrap()).0, epoch + 1);
    store.give_back_intake(Holder { epoch: epoch + 1, ..first }).await.unwrap();
    assert_eq!(start(store.take_intake(other, false).await.unwrap()).0, epoch + 2);
}

#[tokio::test]
async fn event_is_judged_once() {
    let (mut fixture, _) = fixture(2).await;
    let holder = holder(&fixture.store).await;
    let first = stored(&fixture.store, holder, vec![chat(1, "b"), chat(1, "b"), chat(2, "c")]).await;
    assert_eq!((first.events, first.skipped), (vec!["chat", "chat"], vec![]));
    let block = Some(Mirrored::Block(did("d")));
    let blocked = [mirrored("a", MirrorKind::Block, "k", "1", block), chat(3, "d")];
    let second = stored(&fixture.store, holder, blocked.into()).await;
    assert_eq!((second.events, second.skipped), (vec![], vec!["blocked"]));
    // The block is gone, and the same message comes once more.
    let again = [mirrored("a", MirrorKind::Block, "k", "2", None), chat(3, "d"), chat(2, "c"), chat(4, "d")];
    let third = stored(&fixture.store, holder, again.into()).await;
    assert_eq!((third.events, third.skipped), (vec!["chat"], vec![]));
    for (id, deliveries) in [(1, Some(2)), (2, Some(2)), (3, Some(0)), (4, Some(2))] {
        assert_eq!(deliveries_of(&fixture.store, id).await, deliveries, "{id}");
    }
    assert!(fixture.taken().iter().all(|leased| leased.attempt == 1));
}

#[tokio::test]
async fn who_asks_for_nothing_leaves_no_id() {
    let (fixture, _) = fixture(1).await;
    let store = &fixture.store;
    let holder = holder(store).await;
    let actor = Actor { did: did("b"), handle: None, avatar_url: None };
    let follow = Payload::Follow(Follow { follower: actor });
    let other = candidate(1, "b", EventType::Follow, Check::BlocksAndFollows, follow);
    stored(store, holder, vec![other]).await;
    assert_eq!(deliveries_of(store, 1).await, None);
}

#[tokio::test]
async fn events_from_before_a_webhook_are_not_its_own() {
    let (fixture, _) = fixture(1).await;
    let store = &fixture.store;
    let holder = holder(store).await;
    stored(store, holder, Vec::new()).await;
    store.create_webhook(&new_webhook("a", "https://later.example/", None)).await.unwrap();
    let changes = vec![
        at(chat(1, "b"), NOW_US - 2_000_001),
        at(chat(2, "b"), NOW_US - 2_000_000),
        at(chat(3, "b"), NOW_US + 1),
    ];
    stored(store, holder, changes).await;
    for (id, deliveries) in [(1, 1), (2, 2), (3, 2)] {
        assert_eq!(deliveries_of(store, id).await, Some(deliveries), "{id}");
    }
}

#[tokio::test]
async fn late_events_are_sent_up_to_an_age() {
    let (fixture, _) = fixture(1).await;
    let holder = holder(&fixture.store).await;
    let late = [at(chat(1, "b"), NOW_US - HOUR_US), at(chat(2, "b"), NOW_US - HOUR_US - 1000)];
    let stored = stored(&fixture.store, holder, late.into()).await;
    assert_eq!((stored.events, stored.skipped), (vec!["chat"], vec!["late"]));
}

#[tokio::test]
async fn access_rules_and_verifications() {
    let (fixture, _) = fixture(1).await;
    let holder = holder(&fixture.store).await;
    let rule = |rkey, action| {
        let rule = AccessRule { action, subject: Subject::Verifier(did("v")) };
        mirrored("a", MirrorKind::Access, rkey, "1", Some(Mirrored::Access(rule)))
    };
    let verified = Some(Mirrored::Verification(did("b")));
    let changes = vec![
        rule("1", Action::Allow),
        mirrored("v", MirrorKind::Verification, "k", "1", verified),
        chat(1, "b"),
        chat(2, "c"),
        rule("2", Action::Deny),
        chat(3, "b"),
    ];
    let stored = stored(&fixture.store, holder, changes).await;
    assert_eq!((stored.events, stored.skipped), (vec!["chat"], vec!["access", "access"]));
}

#[tokio::test]
async fn follows_and_streams_come_once_in_a_while() {
    let (fixture, webhooks) = fixture(1).await;
    let store = &fixture.store;
    let change = crate::domain::webhook_change::WebhookChange {
        events: Some(
            EventTypes::parse("events", &["follow".to_owned(), "stream.received".to_owned()]).unwrap(),
        ),
        ..Default::default()
    };
    store.update_webhook(&did("a"), webhooks[0].id, &change, NOW_MS).await.unwrap();
    let holder = holder(store).await;
    let follow = |id, time_us| {
        let actor = Actor { did: did("b"), handle: None, avatar_url: None };
        let payload = Payload::Follow(Follow { follower: actor });
        at(candidate(id, "b", EventType::Follow, Check::BlocksAndFollows, payload), time_us)
    };
    let origin = |id, time_us| {
        let payload = Payload::StreamReceived(StreamReceived {});
        at(candidate(id, "a", EventType::StreamReceived, Check::Origins, payload), time_us)
    };
    let minute = 60_000_000;
    let changes = vec![
        follow(1, NOW_US),
        follow(2, NOW_US + 23 * HOUR_US),
        follow(3, NOW_US + 24 * HOUR_US),
        origin(11, NOW_US),
        origin(12, NOW_US + 4 * minute),
        origin(13, NOW_US + 8 * minute),
        origin(14, NOW_US + 13 * minute),
    ];
    stored(store, holder, changes).await;
    let expected =
        [(1, Some(1)), (2, Some(0)), (3, Some(1)), (11, Some(1)), (12, None), (13, None), (14, Some(1))];
    for (id, deliveries) in expected {
        assert_eq!(deliveries_of(store, id).await, deliveries, "{id}");
    }
}

#[tokio::test]
async fn stream_goes_on_while_nobody_wants_it() {
    let (fixture, webhooks) = fixture(1).await;
    let store = &fixture.store;
    let holder = holder(store).await;
    let origin = |id, minutes: i64| {
        let payload = Payload::StreamReceived(StreamReceived {});
        let origin = candidate(id, "a", EventType::StreamReceived, Check::Origins, payload);
        at(origin, NOW_US + minutes * 60_000_000)
    };
    let wants = async |name: &str| {
        let events = Some(EventTypes::parse("events", &[name.to_owned()]).unwrap());
        let change = crate::domain::webhook_change::WebhookChange { events, ..Default::default() };
        store.update_webhook(&did("a"), webhooks[0].id, &change, NOW_MS).await.unwrap();
    };
    wants("chat").await;
    stored(store, holder, vec![origin(1, 0), origin(2, 4)]).await;
    wants("stream.received").await;
    stored(store, holder, vec![origin(3, 8), origin(4, 13)]).await;
    for (id, deliveries) in [(1, None), (2, None), (3, None), (4, Some(1))] {
        assert_eq!(deliveries_of(store, id).await, deliveries, "{id}");
    }
}

#[tokio::test]
async fn listing_ends_what_is_gone_but_nothing_newer() {
    let (fixture, _) = fixture(1).await;
    let store = &fixture.store;
    let holder = holder(store).await;
    let block = |rkey, rev, of: Option<&str>| {
        mirrored("a", MirrorKind::Block, rkey, rev, of.map(|name| Mirrored::Block(did(name))))
    };
    let listed = Change::Mirrored { did: did("a"), kind: MirrorKind::Block, rev: "5".to_owned() };
    let changes = vec![
        block("old", "1", Some("b")),
        block("kept", "2", Some("c")),
        block("deleted", "6", None),
        block("newer", "7", Some("d")),
        // The listing, of revision 5, in which the deleted one was still there.
        block("kept", "5", Some("c")),
        block("deleted", "5", Some("e")),
        block("newer", "5", Some("f")),
        listed,
    ];
    stored(store, holder, changes).await;
    let rows = mirror::Entity::find().filter(mirror::Column::Collection.eq(BLOCK));
    let mut rows: Vec<_> = rows.all(&store.database.reading).await.unwrap();
    rows.sort_by(|one, other| one.rkey.cmp(&other.rkey));
    let rows: Vec<_> = rows.iter().map(|row| (row.rkey.as_str(), row.subject.as_deref())).collect();
    let expected = [("deleted", None), ("kept", Some("did:plc:c")), ("newer", Some("did:plc:d"))];
    assert_eq!(rows, expected);
}

#[tokio::test]
async fn what_is_followed_no_more_is_not_listed_any_more() {
    let (fixture, _) = fixture(1).await;
    let store = &fixture.store;
    let holder = holder(store).await;
    let listed = |name, kind| Change::Mirrored { did: did(name), kind, rev: "5".to_owned() };
    let block = Some(Mirrored::Block(did("c")));
    let changes = vec![
        mirrored("a", MirrorKind::Block, "k", "5", block),
        listed("a", MirrorKind::Block),
        listed("a", MirrorKind::Access),
        listed("b", MirrorKind::Block),
        Change::Unmirrored(vec![(did("a"), MirrorKind::Block), (did("b"), MirrorKind::Access)]),
    ];
    stored(store, holder, changes).await;
    let expected = [(did("a"), MirrorKind::Access), (did("b"), MirrorKind::Block)];
    assert_eq!(store.mirrored_owners().await.unwrap(), expected.into());
    // It is judged by what is known, until it is listed.
    let judged = stored(store, holder, vec![chat(1, "c")]).await;
    assert_eq!(judged.skipped, ["blocked"]);
}
