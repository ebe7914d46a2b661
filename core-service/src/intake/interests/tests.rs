//! Who wants what, and what the stream is asked for.

use jetstream::event::Operation;
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

use super::*;

const A: &str = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "did:plc:bbbbbbbbbbbbbbbbbbbbbbbb";
const OWNER: &str = "did:plc:oooooooooooooooooooooooo";

fn did(text: &str) -> Did {
    text.parse().unwrap()
}

fn wanted(id: u128, uri: &str) -> WantedRecord {
    WantedRecord {
        id: Uuid::from_u128(id),
        owner: did(OWNER),
        rkey: id.to_string(),
        scope: Scope::parse(uri, false).unwrap(),
        events: Operations::ALL,
    }
}

fn with_backlinks(id: u128, uri: &str) -> WantedRecord {
    WantedRecord { scope: Scope::parse(uri, true).unwrap(), ..wanted(id, uri) }
}

fn interests(records: impl IntoIterator<Item = WantedRecord>) -> Interests {
    let mut interests = Interests::default();
    for record in records {
        interests.set_record(record);
    }
    interests
}

#[test]
fn withheld_records_are_told_of_nothing() {
    let mut interests = interests([wanted(1, &format!("at://{A}")), wanted(2, &format!("at://{A}/app.x.y"))]);
    let told = |interests: &Interests| -> Vec<u128> {
        let commit = commit(Operation::Create, "app.x.y", "1");
        interests.told(A, &commit, &References::default()).iter().map(|one| one.id.as_u128()).collect()
    };
    interests.withhold([Uuid::from_u128(1)]);
    assert_eq!(told(&interests), [2]);
    interests.withhold([]);
    assert_eq!(told(&interests), [1, 2]);
}

fn commit(operation: Operation, collection: &str, rkey: &str) -> Commit {
    Commit {
        rev: "3l6oveex3ii2l".to_owned(),
        operation,
        collection: collection.to_owned(),
        rkey: rkey.to_owned(),
        cid: None,
        record: None,
    }
}

fn told(interests: &Interests, did: &str, commit: &Commit, references: &str) -> Vec<u128> {
    let told = interests.told(did, commit, &References::stored(references));
    told.iter().map(|record| record.id.as_u128()).collect()
}

#[test]
fn types_of_streamers() {
    let mut interests = Interests::default();
    interests.set_streamer(did(A), [EventType::Chat, EventType::StreamReceived]);
    interests.set_streamer(did(B), [EventType::Livestream]);
    let all = [
        EventType::Chat,
        EventType::Livestream,
        EventType::Follow,
        EventType::Mention,
        EventType::StreamReceived,
    ];
    let wants = |interests: &Interests, streamer| all.map(|event_type| interests.wants(streamer, event_type));
    assert_eq!(wants(&interests, A), [true, false, false, false, true]);
    assert_eq!(wants(&interests, B), [false, true, false, false, false]);
    assert_eq!(wants(&interests, OWNER), [false; 5]);
    assert_eq!([A, B, OWNER].map(|did| interests.judges(did)), [true, false, false]);
    assert_eq!([A, B, OWNER].map(|did| interests.has_chat(did)), [true, false, false]);
    interests.set_streamer(did(A), [EventType::Mention]);
    assert_eq!(wants(&interests, A), [false, false, false, true, false]);
    assert!(interests.judges(A) && !interests.has_chat(A));
    interests.set_streamer(did(A), []);
    assert_eq!(wants(&interests, A), [false; 5]);
    interests.set_verifiers([did(A)]);
    assert_eq!([A, B].map(|did| interests.verifies(did)), [true, false]);
    interests.set_verifiers([did(B)]);
    assert_eq!([A, B].map(|did| interests.verifies(did)), [false, true]);
}

#[test]
fn told_of_what_is_in_the_scope() {
    let only_deletes =
        WantedRecord { events: [Operation::Delete].into_iter().collect(), ..wanted(4, &format!("at://{A}")) };
    let interests = interests([
        wanted(1, &format!("at://{A}")),
        wanted(2, &format!("at://{A}/app.bsky.*")),
        wanted(3, &format!("at://{A}/app.bsky.feed.post/a")),
        only_deletes,
        wanted(5, &format!("at://{B}")),
    ]);
    let post = |operation, rkey| commit(operation, "app.bsky.feed.post", rkey);
    assert_eq!(told(&interests, A, &post(Operation::Create, "a"), ""), [1, 2, 3]);
    assert_eq!(told(&interests, A, &post(Operation::Update, "b"), ""), [1, 2]);
    assert_eq!(told(&interests, A, &post(Operation::Delete, "b"), ""), [1, 2, 4]);
    assert_eq!(told(&interests, B, &post(Operation::Create, "a"), ""), [5]);
    assert_eq!(told(&interests, OWNER, &post(Operation::Create, "a"), ""), []);
}

#[test]
fn told_of_references_once() {
    let interests = interests([
        with_backlinks(1, &format!("at://{A}")),
        with_backlinks(2, &format!("at://{A}/app.bsky.feed.post/a")),
        wanted(3, &format!("at://{A}")),
        with_backlinks(4, &format!("at://{B}/app.bsky.*")),
    ]);
    let like = commit(Operation::Create, "app.bsky.feed.like", "x");
    let to = |rest: &[&str]| rest.iter().map(|rest| format!("at://{rest}\n")).collect::<String>();
    let post = format!("{A}/app.bsky.feed.post/a");
    let other = format!("{A}/app.bsky.feed.post/b");
    assert_eq!(told(&interests, OWNER, &like, ""), []);
    assert_eq!(told(&interests, OWNER, &like, &to(&[&post])), [1, 2]);
    assert_eq!(told(&interests, OWNER, &like, &to(&[&other])), [1]);
    assert_eq!(told(&interests, OWNER, &like, &to(&[A])), [1]);
    assert_eq!(told(&interests, OWNER, &like, &to(&[&other, &post, A])), [1, 2]);
    assert_eq!(told(&interests, OWNER, &like, &to(&[B])), []);
    // Within the scope and by reference too.
    assert_eq!(told(&interests, A, &like, &to(&[&post])), [1, 3, 2]);
    assert_eq!(told(&interests, B, &like, &to(&[&post])), [4, 1, 2]);
    assert!(interests.has_backlinks() && interests.is_referred(A) && !interests.is_referred(OWNER));
}

#[test]
fn never_told_of_itself() {
    let interests = interests([
        with_backlinks(1, &format!("at://{OWNER}")),
        wanted(2, &format!("at://{OWNER}/place.wisp.v2.wh")),
    ]);
    for operation in [Operation::Create, Operation::Update, Operation::Delete] {
        let itself = commit(operation, record::COLLECTION, "1");
        assert_eq!(told(&interests, OWNER, &itself, &format!("at://{OWNER}")), [2]);
        assert_eq!(told(&interests, OWNER, &commit(operation, record::COLLECTION, "3"), ""), [1, 2]);
        assert_eq!(told(&interests, OWNER, &commit(operation, "app.bsky.feed.post", "1"), ""), [1]);
        // Somebody else's record with the same key.
        assert_eq!(told(&interests, A, &itself, &format!("at://{OWNER}")), [1]);
    }
}

#[test]
fn records_change_and_go() {
    let mut interests = interests([with_backlinks(1, &format!("at://{A}"))]);
    let post = commit(Operation::Create, "app.bsky.feed.post", "a");
    interests.set_record(wanted(1, &format!("at://{B}")));
    assert_eq!(told(&interests, A, &post, &format!("at://{A}")), []);
    assert_eq!(told(&interests, B, &post, ""), [1]);
    assert!(!interests.has_backlinks());
    interests.remove_record(Uuid::from_u128(1));
    interests.remove_record(Uuid::from_u128(2));
    assert_eq!(told(&interests, B, &post, ""), []);
    assert!(interests.scopes.is_empty() && interests.backlinks.is_empty() && interests.records.is_empty());
}

fn collections(filter: &Filter) -> Vec<&str> {
    match filter {
        Filter::All => vec!["all"],
        Filter::Collections(collections) => collections.iter().map(String::as_str).collect(),
    }
}

/// What is asked for beside what always is.
fn asked(interests: &Interests) -> Vec<String> {
    let plan = interests.plan(true);
    let asked = collections(&plan.filter).into_iter().filter(|name| !ALWAYS.contains(name));
    asked.map(str::to_owned).collect()
}

#[test]
fn collections_follow_from_what_is_wanted() {
    let mut interests = Interests::default();
    assert_eq!(
        collections(&interests.plan(false).filter),
        [
            "app.bsky.graph.block",
            "place.stream.broadcast.origin",
            "place.stream.chat.access",
            "place.stream.chat.message",
            "place.stream.livestream",
            "place.wisp.v2.wh"
        ]
    );
    interests.set_streamer(did(A), [EventType::Chat, EventType::Livestream, EventType::StreamReceived]);
    assert_eq!(asked(&interests), [""; 0]);
    for event_type in [EventType::Follow, EventType::Mention] {
        interests.set_streamer(did(B), [event_type]);
        assert_eq!(asked(&interests), ["app.bsky.feed.post", "app.bsky.graph.follow"]);
    }
    interests.set_streamer(did(B), []);
    interests.set_verifiers([did(B)]);
    assert_eq!(asked(&interests), ["app.bsky.graph.verification"]);
    interests.set_verifiers([]);
    interests.set_record(wanted(1, &format!("at://{A}/a.b.c")));
    interests.set_record(wanted(2, &format!("at://{A}/a.b.d.*")));
    interests.set_record(wanted(3, &format!("at://{A}/a.b.d.e/self")));
    interests.set_record(wanted(4, &format!("at://{A}/nothing")));
    assert_eq!(asked(&interests), ["a.b.c", "a.b.d.*"]);
    interests.set_record(wanted(5, &format!("at://{A}/a.b.*")));
    assert_eq!(asked(&interests), ["a.b.*"]);
    // What is always read can be within a wider one.
    interests.set_record(wanted(6, &format!("at://{A}/place.stream.*")));
    let plan = interests.plan(true);
    assert_eq!(
        collections(&plan.filter),
        ["a.b.*", "app.bsky.graph.block", "place.stream.*", "place.wisp.v2.wh"]
    );
}

#[test]
fn whole_network() {
    for record in [
        wanted(2, &format!("at://{A}")),
        wanted(2, &format!("at://{A}/*")),
        wanted(2, &format!("at://{A}/app.bsky.feed.p*")),
        with_backlinks(2, &format!("at://{A}/a.b.c")),
    ] {
        let interests = interests([wanted(1, &format!("at://{A}/a.b.c")), record]);
        let plan = interests.plan(true);
        assert_eq!(plan, Plan { filter: Filter::All, over_limit: vec![], need_network: vec![] });
        let plan = interests.plan(false);
        assert_eq!((plan.over_limit, plan.need_network), (vec![], vec![Uuid::from_u128(2)]));
        assert!(collections(&plan.filter).contains(&"a.b.c"));
    }
}

#[test]
fn more_collections_than_a_stream_can_be_asked_for() {
    let room = MAX_COLLECTIONS - ALWAYS.len();
    let scope = |id: usize| wanted(id as u128, &format!("at://{A}/a.b.c{id}"));
    // The oldest ones stand, in whatever order they are put in.
    let mut interests = interests((0..room).rev().map(scope));
    assert!(interests.plan(false).over_limit.is_empty());
    interests.set_record(scope(room + 5));
    interests.set_record(scope(room));
    interests.set_record(WantedRecord { id: Uuid::from_u128(1000), ..scope(3) });
    let plan = interests.plan(false);
    assert_eq!(plan.over_limit, [room, room + 5].map(|id| Uuid::from_u128(id as u128)));
    assert_eq!(collections(&plan.filter).len(), MAX_COLLECTIONS);
    assert_eq!(interests.plan(true).filter, Filter::All);
    // One goes, one moves up.
    interests.remove_record(Uuid::from_u128(0));
    assert_eq!(interests.plan(false).over_limit, [Uuid::from_u128(room as u128 + 5)]);
    // A prefix needs one place for all that it has, also where there is none.
    interests.set_record(wanted(2000, &format!("at://{A}/a.b.*")));
    assert_eq!(asked(&interests), ["a.b.*"]);
}

#[test]
fn wider_and_narrower_filters() {
    let filter = |names: &[&str]| Filter::Collections(names.iter().copied().map(str::to_owned).collect());
    for (wide, narrow, covers) in [
        (Filter::All, Filter::All, true),
        (Filter::All, filter(&["a.b.c"]), true),
        (filter(&["a.b.c"]), Filter::All, false),
        (filter(&["a.b.c", "a.b.d"]), filter(&["a.b.c"]), true),
        (filter(&["a.b.c"]), filter(&["a.b.c", "a.b.d"]), false),
        (filter(&["a.b.*"]), filter(&["a.b.c", "a.b.c.d", "a.b.c.*"]), true),
        (filter(&["a.b.*"]), filter(&["a.bc.d"]), false),
        (filter(&["a.b.c"]), filter(&["a.b.*"]), false),
        (filter(&["a.b.c.*"]), filter(&["a.b.c"]), false),
    ] {
        assert_eq!(wide.covers(&narrow), covers, "{wide:?} {narrow:?}");
    }
}

proptest! {
    /// Beside a list that is searched record by record.
    #[test]
    fn told_is_what_a_search_finds(
        scopes in proptest::collection::vec(("[ab]", "(|/[ab*]|/a/[ab]|/b/[ab])", any::<bool>(), 0..4_usize), 0..8),
        author in "[ab]", collection in "[ab]", rkey in "[ab]",
        references in proptest::collection::vec("[ab](|/[ab]|/[ab]/[ab])", 0..4),
        operation in 0..3_usize,
    ) {
        let of = |name: &str| format!("did:web:{name}");
        let operations = [Operation::Create, Operation::Update, Operation::Delete];
        let uri = |rest: &str| format!("at://did:web:{rest}");
        let records: Vec<_> = scopes.iter().enumerate().map(|(id, (name, rest, backlinks, without))| WantedRecord {
            scope: Scope::parse(&uri(&format!("{name}{rest}")), *backlinks).unwrap(),
            events: operations.into_iter().enumerate().filter(|(at, _)| at != without).map(|(_, o)| o).collect(),
            ..wanted(id as u128, &uri(name))
        }).collect();
        let commit = commit(operations[operation], &collection, &rkey);
        let references = references.iter().map(|rest| uri(rest)).collect::<Vec<_>>().join("\n");
        let known = References::stored(&references);
        let expected: Vec<_> = records.iter().filter(|record| {
            let refers = record.scope.backlinks && known.iter().any(|uri| record.scope.refers(uri));
            record.events.contains(commit.operation)
                && (record.scope.matches(&of(&author), &collection, &rkey) || refers)
        }).map(|record| record.id.as_u128()).collect();
        let mut found = told(&interests(records.clone()), &of(&author), &commit, &references);
        found.sort_unstable();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn plan_has_what_every_record_needs(names in proptest::collection::vec("(a|b)\\.(a|b)\\.[a-d](\\.\\*|)", 0..12)) {
        let uri = |name: &String| format!("at://{A}/{name}");
        let interests = interests(names.iter().enumerate().map(|(id, name)| wanted(id as u128, &uri(name))));
        let filter = interests.plan(true).filter;
        for name in names {
            prop_assert!(filter.covers(&Filter::Collections(BTreeSet::from([name]))));
        }
    }
}
