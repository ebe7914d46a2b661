//! Public reports about Jetstreams and their clients, and what becomes of each case here.
//!
//! The first column counts the reports; tests of the crate `jetstream` carry these numbers.
//!
//! | | report | case | what is right | tests |
//! | --- | --- | --- | --- | --- |
//! | 1 | bluesky-social/jetstream-legacy#48, simonw/tools#308 | a host takes the connection and never says a word | it is left: two tries, then the next host | `jetstream: reports::connections::r01_silent_host_is_left`, `jetstream: reports::connections::r01_host_that_falls_silent_is_left` |
//! | 2 | zzstoatzz/plyr.fm#1739 | a host lacks one collection while others flow | wh records are found at the PDS | `intake_reports::what_a_host_lacks_is_found_at_the_pds` |
//! | 3 | singi-labs/sifa-workspace#394 | a host lacks whole PDSes | the same, and what is gone there goes here | `intake_reports::what_a_host_lacks_is_found_at_the_pds` |
//! | 4 | bluesky-social/jetstream-legacy#42, #27 | events are lost where replay meets live | a second, overlapping connection brings them; none is delivered twice | `jetstream: reports::connections::r04_what_is_lost_where_replay_meets_live_comes_by_a_second_connection`, `jetstream: reports::connections::r04_connections_that_are_cut`, `faults::intake::killed_again_and_again` |
//! | 5 | bluesky-social/jetstream#343 | a time cursor jumps back an hour | repeats are delivered to nobody, and the stored place never goes back | `intake_reports::an_hour_comes_once_more`, `jetstream: reports::connections::r05_time_cursor_that_jumps_back`, `core-service: store::tests::intake::one_holder_writes_and_the_place_never_goes_back` |
//! | 6 | bluesky-social/jetstream#349 | a time is taken for a sequence number: silence for ever | only numbers that came are a floor | `jetstream: reports::connections::r06_time_cursor_is_no_floor_for_sequence_numbers` |
//! | 7 | disnet/skyboard#4 | the cursor is older than what a host keeps, and nothing says so | a gap is told, and wh records are listed | `intake::gap_is_healed_by_a_listing`, `jetstream: reports::content::r07_cursor_older_than_what_is_kept_is_a_gap` |
//! | 8 | bluesky-social/jetstream-legacy#24, bluesky-social/jetstream#260 | one evil record ends the reading | it is skipped, counted and kept as its hash | `intake_reports::frames_that_cannot_be_read`, `jetstream: reports::content::r08_frames_that_cannot_be_read_are_skipped`, `jetstream: reports::content::r08_frame_too_large_to_be_received_is_left_out` |
//! | 9 | bluesky-social/jetstream-legacy#59 | 10,000 DIDs don't fit into a URL | no DID is asked for: a thousand scopes work | `intake_reports::a_thousand_scopes`, `jetstream: reports::content::r09_no_filter_by_did_is_asked_for_and_a_hundred_collections_fit` |
//! | 10 | bluesky-social/jetstream#43 | a resync sends old records as new | nobody is told of them | `intake::records_of_a_sync_are_not_told`, `jetstream: reports::content::r10_rows_of_a_resync_follow_their_sync` |
//! | 11 | gamesgamesgamesgamesgames/happyview#88, shinolabs/PinkSea#45 | events of accounts are ignored | a deleted account's records go; one that is switched off is paused until it is back | `intake_reports::accounts_of_each_status`, `intake::accounts_that_come_and_go`, `jetstream: reports::content::r11_account_events_come_whatever_is_asked_for` |
//! | 12 | juni-b-queer/bsky-event-handlers#91, ewanc26/inkwell#71 | a reconnect at the tip loses what came meanwhile | the place is stored with what was done: a kill loses nothing | `faults::intake::killed_again_and_again`, `jetstream: reports::connections::r12_reconnect_resumes_where_it_was` |
//! | 13 | blowdart/idunno.Bluesky#499 | a close that does not finish; memory without bound | the peer is left; who is slow stops the reading | `jetstream: reports::connections::r13_host_that_ignores_the_close`, `jetstream: reports::connections::r13_slow_caller_stops_the_reading_and_not_the_connection` |
//! | 14 | bluesky-social/jetstream#170 | a stream without events is taken for dead | pongs are enough | `jetstream: reports::connections::r14_idle_stream_is_not_taken_for_dead` |
//! | 15 | bluesky-social/jetstream-legacy#18 | a narrow filter lets the cursor age | events of identities move it, within ten seconds | `intake_reports::place_is_stored_within_ten_seconds`, `jetstream: reports::content::r15_events_of_identities_move_the_cursor_of_a_narrow_filter` |
//! | 16 | bluesky-social/indigo#1407 | after a migration or at another relay the same comes with other numbers | no second delivery | `intake_reports::same_commits_under_other_numbers`, `faults::intake::killed_again_and_again`, `jetstream: reports::connections::r16_other_host_with_other_numbers_goes_on_by_time` |
//! | 17 | bluesky-social/jetstream#190 | a fault of the server skips a part without a word | wh records are found at the PDS | `intake_reports::what_a_host_lacks_is_found_at_the_pds` |
//! | 18 | drasticactions/FishyFlip#349 | the cursor passes work that failed | a database that is away keeps the place; what it always refuses is set aside | `faults::intake::postgres_stops_while_the_network_is_read`, `intake_reports::change_that_the_database_refuses`, `jetstream: reports::connections::r18_what_was_not_acknowledged_comes_again` |

use std::collections::BTreeSet;
use std::time::Duration;

use fakes::jetstream::{Item, Jetstream, Wire};
use fakes::network::{Network, tid};
use sea_orm::ConnectionTrait as _;
use serde_json::json;

use crate::harness::database::{Kind, number, until_number};
use crate::harness::direct::Direct;
use crate::harness::hook::Received;
use crate::harness::identity::Key;
use crate::harness::intake::{CAROL, CHAT, DAVE, Intake, TOKEN, WH};
use crate::harness::on_both;
use crate::harness::stack::{BOB, CREATE_SECRET};

on_both! {
    what_a_host_lacks_is_found_at_the_pds, an_hour_comes_once_more, frames_that_cannot_be_read,
    a_thousand_scopes, accounts_of_each_status, place_is_stored_within_ten_seconds,
    same_commits_under_other_numbers, change_that_the_database_refuses
}

const ACTIVE: &str = "SELECT count(*) FROM record_webhook WHERE state = 'active'";
const HOUR_US: i64 = 3_600_000_000;
const SCOPES: usize = 1_000;
/// An owner may have a hundred records.
const OWNERS: usize = 10;

fn rkey_of(received: &Received) -> String {
    let body = received.json();
    let uri = body["data"]["uri"].as_str().and_then(|uri| uri.rsplit_once('/')).map(|(_, rkey)| rkey);
    uri.or(body["rkey"].as_str()).unwrap().to_owned()
}

async fn what_a_host_lacks_is_found_at_the_pds(kind: Kind) {
    let lacks =
        |_: &Network, host: &Jetstream| host.fail(|faults| faults.lacks_collection = Some(WH.to_owned()));
    let mut intake = Intake::start_with(kind, Wire::V2, lacks, &[]).await;
    intake.stack.call(CREATE_SECRET, &json!({ "name": "mine", "token": TOKEN })).await.ok();
    intake.reloaded().await;
    let alice = intake.alice().to_owned();
    let wh = intake.wh(&format!("at://{CAROL}/{CHAT}"), &json!({}));
    intake.network.put(&alice, WH, "mine", wh.clone());
    intake.push(Item::create(&alice, WH, "mine", &wh.to_string()));
    intake.push(intake.chat(CAROL, "3m6k2xq7v2c2a", "not known yet"));
    intake.push(Item::identity(CAROL));
    let connection = intake.stack.database.connect().await;
    until_number(&connection, "SELECT count(cursor) FROM intake", 1).await;
    assert_eq!(number(&connection, ACTIVE).await, 0);

    intake.stack.stop_core().await;
    intake.stack.start_core().await;
    until_number(&connection, ACTIVE, 1).await;
    intake.reloaded().await;
    intake.push(intake.chat(CAROL, "3m6k2xq7v2c2b", "hello"));
    assert_eq!(rkey_of(&intake.next().await), "3m6k2xq7v2c2b");

    intake.network.delete(&alice, WH, "mine");
    intake.stack.stop_core().await;
    intake.stack.start_core().await;
    until_number(&connection, ACTIVE, 0).await;
}

async fn an_hour_comes_once_more(kind: Kind) {
    let fill = |_: &Network, host: &Jetstream| {
        let hour_ago = host.now_us() - HOUR_US;
        host.push_at(hour_ago, (0..1_000).map(|_| Item::identity(DAVE)));
    };
    let mut intake = Intake::start_with(kind, Wire::V1, fill, &[]).await;
    intake.webhook(&["chat"]).await;
    for rkey in ["3m6k2xq7v2c2a", "3m6k2xq7v2c2b"] {
        intake.push(intake.chat(CAROL, rkey, rkey));
        assert_eq!(rkey_of(&intake.next().await), rkey);
    }
    let connection = intake.stack.database.connect().await;
    let stored = "SELECT cursor FROM intake";
    let before = number(&connection, stored).await;
    intake.jetstream.fail(|faults| faults.jump_back_us = HOUR_US + 1);
    intake.jetstream.cut();
    intake.jetstream.opened(1).await;
    intake.push(intake.chat(CAROL, "3m6k2xq7v2c2c", "new"));
    assert_eq!(rkey_of(&intake.next().await), "3m6k2xq7v2c2c");
    assert!(intake.hook.waiting().is_none());
    assert_eq!(number(&connection, "SELECT count(*) FROM delivery").await, 3);
    assert!(number(&connection, stored).await > before);
}

async fn frames_that_cannot_be_read(kind: Kind) {
    let mut intake = Intake::start(kind, Wire::V2).await;
    intake.webhook(&["chat"]).await;
    let (alice, now) = (intake.alice().to_owned(), intake.now());
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let of_chat = |text: &str| {
        format!(r#"{{"$type":"{CHAT}","text":{text},"streamer":"{alice}","createdAt":"{now}"}}"#)
    };
    let large = format!(r#""{}""#, "a".repeat(2_000_000));
    for (number, text) in [&*deep, r#""\ud800""#, &large].into_iter().enumerate() {
        intake.push(Item::create(CAROL, CHAT, &format!("evil{number}"), &of_chat(text)));
    }
    intake.push(Item::raw("not JSON", "not JSON"));
    intake.push(Item::raw("[]", "[]"));
    intake.push(intake.chat(CAROL, "3m6k2xq7v2c2a", "hello"));
    intake.next_chat("hello").await;
    let connection = intake.stack.database.connect().await;
    assert_eq!(number(&connection, "SELECT count(*) FROM delivery").await, 1);
    assert_eq!(number(&connection, "SELECT count(*) FROM intake_unreadable").await, 2);
}

async fn a_thousand_scopes(kind: Kind) {
    let mut intake = Intake::start(kind, Wire::V2).await;
    let did = |number: usize| format!("did:plc:{}22222222222", tid(u64::try_from(number).unwrap()));
    let direct = Direct::to(intake.stack.core).await;
    for owner in 0..OWNERS {
        direct.create_secret(&did(SCOPES + owner), "mine").await.unwrap();
    }
    intake.reloaded().await;
    for number in 0..SCOPES {
        let wh = intake.wh(&format!("at://{}/{CHAT}", did(number)), &json!({}));
        let owner = did(SCOPES + number % OWNERS);
        intake.push(Item::create(&owner, WH, &format!("scope{number}"), &wh.to_string()));
    }
    let connection = intake.stack.database.connect().await;
    until_number(&connection, ACTIVE, SCOPES).await;
    for number in [0, SCOPES / 2, SCOPES - 1] {
        intake.push(intake.chat(&did(SCOPES), "3m6k2xq7v2c2a", "of no scope"));
        intake.push(intake.chat(&did(number), "3m6k2xq7v2c2b", "hello"));
        assert_eq!(intake.next().await.json()["did"], did(number));
    }
    let requests = intake.jetstream.requests();
    assert!(requests.iter().all(|url| !url.contains("did") && !url.contains("Did")), "{requests:?}");
}

async fn accounts_of_each_status(kind: Kind) {
    let mut intake = Intake::start(kind, Wire::V2).await;
    let bob = intake.stack.newcomer(BOB, Key::k256());
    intake.stack.call_as(&bob, CREATE_SECRET, &json!({ "name": "mine" })).await.ok();
    intake.webhook(&["chat"]).await;
    let alice = intake.alice().to_owned();
    let scope = format!("at://{CAROL}/{CHAT}");
    let of_alice = intake.wh(&scope, &json!({}));
    let of_bob = intake.wh(&scope, &json!({ "url": intake.hook.url("/bob") }));
    intake.push(Item::create(&alice, WH, "mine", &of_alice.to_string()));
    intake.push(Item::create(&bob.did, WH, "mine", &of_bob.to_string()));
    let mut rkeys = (1..).map(tid);
    for status in ["deactivated", "takendown", "suspended"] {
        let [meanwhile, after] = [rkeys.next().unwrap(), rkeys.next().unwrap()];
        intake.push(Item::account(&alice, false, Some(status)));
        intake.push(intake.chat(CAROL, &meanwhile, "meanwhile"));
        intake.push(Item::account(&alice, true, None));
        intake.push(intake.chat(CAROL, &after, "after"));
        let to = |path: &str, rkey: &String| (path.to_owned(), rkey.clone());
        let expected =
            [to("/bob", &meanwhile), to("/bob", &after), to("/hook", &after), to("/record", &after)];
        assert_eq!(arrived(&mut intake, expected.len()).await, expected.into(), "{status}");
    }
    intake.push(Item::account(&alice, false, Some("deleted")));
    let last = rkeys.next().unwrap();
    intake.push(intake.chat(CAROL, &last, "deleted"));
    assert_eq!(arrived(&mut intake, 1).await, [("/bob".to_owned(), last)].into());
    let connection = intake.stack.database.connect().await;
    assert_eq!(number(&connection, "SELECT count(*) FROM delivery").await, 3 * 4 + 1);
    let of_alice = format!("SELECT count(*) FROM record_webhook WHERE owner_did = '{alice}'");
    assert_eq!(number(&connection, &of_alice).await, 0);
}

/// Path and record key of the next deliveries.
async fn arrived(intake: &mut Intake, count: usize) -> BTreeSet<(String, String)> {
    let mut arrived = BTreeSet::new();
    while arrived.len() < count {
        let received = intake.next().await;
        arrived.insert((received.path.clone(), rkey_of(&received)));
    }
    arrived
}

async fn place_is_stored_within_ten_seconds(kind: Kind) {
    let intake = Intake::start(kind, Wire::V2).await;
    let connection = intake.stack.database.connect().await;
    for _ in 0..2 {
        let (seq, _) = intake.jetstream.push([Item::identity(CAROL)]);
        let stored = format!("SELECT count(*) FROM intake WHERE cursor = {seq}");
        let storing = until_number(&connection, &stored, 1);
        tokio::time::timeout(Duration::from_secs(10), storing).await.expect("it is stored in time");
    }
}

async fn same_commits_under_other_numbers(kind: Kind) {
    let mut intake = Intake::start(kind, Wire::V2).await;
    intake.webhook(&["chat"]).await;
    let items: Vec<Item> = (1..=20).map(|number| intake.chat(CAROL, &tid(number), "hello")).collect();
    intake.jetstream.push(items.clone());
    for _ in 0..items.len() {
        intake.next_chat("hello").await;
    }
    intake.jetstream.skip_numbers(1_000_000);
    intake.jetstream.push(items);
    intake.push(intake.chat(CAROL, "3m6k2xq7v2c2c", "new"));
    intake.next_chat("new").await;
    let connection = intake.stack.database.connect().await;
    assert_eq!(number(&connection, "SELECT count(*) FROM delivery").await, 21);
}

async fn change_that_the_database_refuses(kind: Kind) {
    let mut intake = Intake::start(kind, Wire::V2).await;
    intake.webhook(&["chat"]).await;
    let connection = intake.stack.database.connect().await;
    let refuse: &[&str] = match kind {
        Kind::Sqlite => &["CREATE TRIGGER refuse BEFORE INSERT ON event WHEN NEW.payload LIKE '%poison%' \
                           BEGIN SELECT RAISE(ABORT, 'refused'); END"],
        Kind::Postgres => &[
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN RAISE EXCEPTION 'refused'; END $$",
            "CREATE TRIGGER refuse BEFORE INSERT ON event FOR EACH ROW \
             WHEN (NEW.payload LIKE '%poison%') EXECUTE FUNCTION refuse()",
        ],
    };
    for statement in refuse {
        connection.execute_unprepared(statement).await.unwrap();
    }
    let chats = [("3m6k2xq7v2c2a", "one"), ("3m6k2xq7v2c2b", "poison"), ("3m6k2xq7v2c2c", "two")];
    let items = chats.map(|(rkey, text)| intake.chat(CAROL, rkey, text));
    let (seq, _) = intake.jetstream.push(items);
    intake.next_chat("one").await;
    intake.next_chat("two").await;
    assert_eq!(number(&connection, "SELECT count(*) FROM intake_unreadable").await, 1);
    until_number(&connection, &format!("SELECT count(*) FROM intake WHERE cursor = {seq}"), 1).await;
}
