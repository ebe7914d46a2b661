//! What is in the frames, what is missing, what is asked for.

use fakes::jetstream::{Item, Jetstream, Wire};
use jetstream::event::{Kind, Position};
use jetstream::host::{Filter, Start};
use jetstream::notice::Notice;
use jetstream::subscription::Subscription;

use super::{HOUR_US, SECOND_US};
use crate::harness::{BOTH, CHAT, DID, Said, chat, chats, options, parameter, read, rkey, subscriptions};

#[tokio::test]
async fn r07_cursor_older_than_what_is_kept_is_a_gap() {
    for (wire, by_sequence) in [(Wire::V1, false), (Wire::V2, false), (Wire::V2, true)] {
        let host = Jetstream::start().await;
        let start = host.now_us() - 3 * HOUR_US;
        host.push_at(start, chats(0..10));
        host.push_at(start + HOUR_US, chats(10..20));
        let mut first = read(&host, wire, start);
        let mut said = Said::default();
        said.until(&mut first, |said| said.has("n4")).await;
        let position = said.events().find(|event| rkey(event) == Some("n4")).unwrap().position.clone();
        let from_us = position.time_us;
        drop(first);
        host.keep(10);
        let start = if by_sequence { Start::At(position) } else { Start::Time(from_us) };
        let mut second = Subscription::start(options(&[host.url(wire)]), start);
        let mut said = Said::default();
        said.until(&mut second, |said| said.has("n19")).await;
        let first_us = said.events().next().unwrap().position.time_us;
        assert_eq!(said.gaps(), [(from_us, Some(first_us))], "{wire:?} {by_sequence}");
        assert_eq!(said.rkeys()[0], "n10");
    }
}

#[tokio::test]
async fn r07_nothing_is_missing_and_nothing_is_told() {
    for wire in BOTH {
        let host = Jetstream::start().await;
        let start = host.now_us() - HOUR_US;
        let mut subscription = read(&host, wire, start);
        let mut said = Said::default();
        said.until(&mut subscription, Said::caught_up).await;
        host.push([chat("first in an hour")]);
        host.push([chat("first")]);
        said.until(&mut subscription, |said| said.has("first")).await;
        assert_eq!(said.gaps(), [], "{wire:?}: a stream may be silent for an hour");
    }
}

#[tokio::test]
async fn r08_frames_that_cannot_be_read_are_skipped() {
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let two_megabytes = format!(r#""{}""#, "a".repeat(2_000_000));
    let five_mebibytes = format!(r#""{}""#, "a".repeat(5 << 20));
    let records = [&*deep, r#""\u0000""#, r#""\ud800""#, &*two_megabytes].map(str::to_owned);
    let v2 = |payload: &str| {
        format!(
            r#"{{"$type":"message","payload":{{"$type":"network.bsky.jetstream.subscribeEvents#{payload}}}}}"#
        )
    };
    let raw = [
        ("not JSON", "not JSON".to_owned()),
        (
            r#"{"did":"did:plc:a","time_us":{time_us},"kind":"heartbeat","commit":5}"#,
            v2(r#"heartbeat","seq":"five""#),
        ),
        (
            r#"{"did":"did:plc:a","time_us":{time_us},"kind":"commit","commit":5}"#,
            v2(r#"commit","seq":{seq},"time":"{time}","did":5"#),
        ),
        (
            r#"{"did":"did:plc:a\u0000","time_us":{time_us},"kind":"identity"}"#,
            v2(r#"identity","seq":{seq},"time":"{time}","did":"did:plc:a\u0000""#),
        ),
    ];
    for wire in BOTH {
        let host = Jetstream::start().await;
        let start = host.now_us() - HOUR_US;
        let evil = records.iter().enumerate();
        let evil = evil.map(|(n, record)| Item::create(DID, CHAT, &format!("evil{n}"), record));
        host.push_at(start, [chat("before")]);
        host.push(evil);
        host.push(raw.iter().map(|(v1, v2)| Item::raw(v1, v2)));
        host.push([Item::create(DID, CHAT, "huge", &five_mebibytes), chat("after")]);
        let mut subscription = read(&host, wire, start);
        let mut said = Said::default();
        said.until(&mut subscription, |said| said.has("after")).await;
        let names: Vec<_> = said.once().into_iter().filter_map(rkey).collect();
        assert_eq!(names[..5], ["before", "evil0", "evil1", "evil2", "evil3"], "{wire:?}");
        let Kind::Commit(commit) = &said.once()[1].kind else { panic!("no commit") };
        assert_eq!(commit.record.as_ref().unwrap().get(), deep);
        let (too_large, others) =
            said.unreadable().into_iter().partition::<Vec<_>, _>(|it| it.contains("4 MiB"));
        assert!(!too_large.is_empty());
        let expected = ["not an object of JSON", "not an event", "a DID that breaks the syntax"];
        assert_eq!(&others[..3], expected, "{wire:?}: an unknown kind is none of them");
        let skipped = said.0.iter().find_map(|notice| match notice {
            Notice::Unreadable(unreadable) if unreadable.reason == "not an event" => {
                unreadable.position.clone()
            }
            _ => None,
        });
        let (before, after) = (said.once()[0], said.events().last().unwrap());
        let at = skipped.unwrap().cursor;
        assert!(before.position.cursor < at && at < after.position.cursor, "it says where it stands");
    }
}

#[tokio::test]
async fn r08_frame_too_large_to_be_received_is_left_out() {
    let huge = format!(r#""{}""#, "a".repeat(17 << 20));
    for wire in BOTH {
        let host = Jetstream::start().await;
        let start = host.now_us() - HOUR_US;
        host.push_at(start, [chat("before")]);
        host.push_at(start + 3 * SECOND_US, [Item::create(DID, CHAT, "huge", &huge)]);
        host.push_at(start + 20 * SECOND_US, [chat("after")]);
        let options = options(&[host.url(wire)]).compress(false);
        let mut subscription = Subscription::start(options, Start::Time(start));
        let mut said = Said::default();
        said.until(&mut subscription, |said| said.has("after")).await;
        assert_eq!(said.gaps(), [(start, Some(start + 20 * SECOND_US))], "{wire:?}");
    }
}

#[tokio::test]
async fn r09_no_filter_by_did_is_asked_for_and_a_hundred_collections_fit() {
    for wire in BOTH {
        let host = Jetstream::start().await;
        let start = host.now_us();
        let collections =
            (0..99).map(|n| format!("com.example.of-some-length.c{n}")).chain([CHAT.to_owned()]);
        let mut subscription = Subscription::start(options(&[host.url(wire)]), Start::Time(start));
        subscription.resume(
            Filter::Collections(collections.collect()),
            Position {
                host: "elsewhere".into(),
                wire: jetstream::event::Wire::V1,
                cursor: start,
                time_us: start,
            },
        );
        host.push([Item::create(DID, "com.example.other", "other", "{}"), chat("a")]);
        let mut said = Said::default();
        said.until(&mut subscription, |said| said.has("a")).await;
        assert!(!said.has("other"), "{wire:?}");
        let asked = subscriptions(&host).pop().unwrap();
        assert!(asked.matches("ollections=").count() == 100 && !asked.contains("ids="), "{asked}");
    }
}

#[tokio::test]
async fn r10_rows_of_a_resync_follow_their_sync() {
    for wire in BOTH {
        let host = Jetstream::start().await;
        let start = host.now_us();
        let rows = (0..5_000).map(|n| Item::resync(DID, "3kresync", CHAT, &format!("old{n}"), "{}"));
        host.push([Item::sync(DID, "3kresync")].into_iter().chain(rows).chain([chat("after")]));
        let mut subscription = read(&host, wire, start);
        let mut said = Said::default();
        said.until(&mut subscription, |said| said.has("after")).await;
        let revisions = said.events().filter(|event| match &event.kind {
            Kind::Sync { rev } => rev == "3kresync",
            Kind::Commit(commit) => commit.rev == "3kresync",
            _ => false,
        });
        let expected = if wire == Wire::V2 { 5_001 } else { 0 };
        assert_eq!(revisions.count(), expected, "{wire:?}");
        let is_sync = |kind: &Kind| matches!(kind, Kind::Sync { .. });
        assert_eq!(said.events().position(|event| is_sync(&event.kind)), (wire == Wire::V2).then_some(0));
    }
}

#[tokio::test]
async fn r11_account_events_come_whatever_is_asked_for() {
    for wire in BOTH {
        let host = Jetstream::start().await;
        let start = host.now_us();
        let statuses = ["deleted", "deactivated", "suspended", "takendown"];
        host.push(statuses.map(|status| Item::account(DID, false, Some(status))));
        host.push([Item::account(DID, true, None)]);
        let filter = Filter::Collections([CHAT.to_owned()].into());
        let mut subscription = Subscription::start(options(&[host.url(wire)]), Start::Time(start));
        let from =
            Position { host: "".into(), wire: jetstream::event::Wire::V1, cursor: start, time_us: start };
        subscription.resume(filter, from);
        let mut said = Said::default();
        said.until(&mut subscription, |said| said.once().len() == 5).await;
        let read = said.once().into_iter().map(|event| match &event.kind {
            Kind::Account { active, status } => (*active, status.as_deref()),
            other => panic!("{other:?}"),
        });
        let mut expected: Vec<_> = statuses.map(|status| (false, Some(status))).into();
        expected.push((true, None));
        assert_eq!(read.collect::<Vec<_>>(), expected, "{wire:?}");
    }
}

#[tokio::test]
async fn r15_events_of_identities_move_the_cursor_of_a_narrow_filter() {
    let host = Jetstream::start().await;
    let (first, _) = host.push([Item::identity(DID)]);
    let filter = Filter::Collections(["com.example.rare".to_owned()].into());
    let mut subscription = read(&host, Wire::V2, host.now_us());
    let from =
        Position { host: "".into(), wire: jetstream::event::Wire::V1, cursor: 0, time_us: host.now_us() };
    subscription.resume(filter, from);
    host.push(chats(0..100));
    let (last, _) = host.push([Item::identity(DID)]);
    let mut said = Said::default();
    said.until(&mut subscription, |said| said.events().any(|event| event.position.cursor == last)).await;
    assert!(said.events().all(|event| matches!(event.kind, Kind::Identity)));
    host.cut();
    said.until(&mut subscription, |said| {
        said.0.iter().any(|notice| matches!(notice, Notice::Connected { exact: true, .. }))
    })
    .await;
    assert!(last > first + 100);
    assert_eq!(parameter(subscriptions(&host).last().unwrap(), "cursor"), Some(&*last.to_string()));
}
