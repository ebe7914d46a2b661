//! Hosts, refusals, compression, resuming, dropping.

use std::time::Duration;

use fakes::jetstream::{Item, Jetstream, Wire};
use jetstream::event::Position;
use jetstream::host::{Filter, Start};
use jetstream::notice::Notice;
use jetstream::subscription::Subscription;
use tokio::time::timeout;

use crate::harness::{
    BOTH, CHAT, DID, Said, chat, chats, options, parameter, read, rkey, subscriptions, timing,
};

const HOUR_US: i64 = 3_600_000_000;

/// Both wires say the same of the same.
#[tokio::test]
async fn both_wires_say_the_same() {
    let host = Jetstream::start().await;
    let start = host.now_us();
    let record = r#"{"text":"ä\n\u0041","n":[1,{"a":null}]}"#;
    host.push([
        Item::create(DID, CHAT, "a", record),
        Item::update(DID, CHAT, "a", record),
        Item::delete(DID, CHAT, "a"),
        Item::identity(DID),
        Item::account(DID, false, Some("deactivated")),
        chat("last"),
    ]);
    let mut seen = Vec::new();
    for wire in BOTH {
        let mut subscription = read(&host, wire, start);
        let mut said = Said::default();
        said.until(&mut subscription, |said| said.has("last")).await;
        let events: Vec<_> =
            said.once().into_iter().map(|event| format!("{} {:?}", event.did, event.kind)).collect();
        let times: Vec<_> = said.once().into_iter().map(|event| event.position.time_us).collect();
        assert!(events[0].contains(r#"{"text":"ä\n\u0041""#), "{}", events[0]);
        seen.push((events, times));
    }
    assert_eq!(seen[0], seen[1]);
}

#[tokio::test]
async fn first_host_is_tried_again() {
    let (first, second) = (Jetstream::start().await, Jetstream::start().await);
    first.fail(|faults| faults.refuse = Some((503, "ServiceUnavailable")));
    let start = first.now_us();
    second.push([chat("a")]);
    let mut timing = timing();
    timing.first_host = Duration::from_millis(500);
    let options = options(&[first.url(Wire::V2), second.url(Wire::V2)]).timing(timing);
    let mut subscription = Subscription::start(options, Start::Time(start));
    let mut said = Said::default();
    said.until(&mut subscription, |said| said.has("a")).await;
    assert_eq!(said.disconnected(), ["refused with status 503"; 2]);
    first.fail(|faults| faults.refuse = None);
    first.push([chat("b")]);
    said.until(&mut subscription, |said| said.has("b")).await;
    assert_eq!(said.disconnected().last(), Some(&"the first host is tried again"));
}

/// Nothing is told twice, and nothing goes missing, when frames are.
#[tokio::test]
async fn frames_of_v2_that_come_twice_are_one() {
    let host = Jetstream::start().await;
    let start = host.now_us();
    host.fail(|faults| faults.repeat = true);
    host.push(chats(0..10));
    let mut subscription = read(&host, Wire::V2, start);
    let mut said = Said::default();
    said.until(&mut subscription, |said| said.has("n9")).await;
    assert_eq!(said.rkeys().len(), 10);
}

#[tokio::test]
async fn frames_of_v2_are_compressed() {
    let host = Jetstream::start().await;
    let start = host.now_us();
    host.push(chats(0..3));
    let mut subscription = read(&host, Wire::V2, start);
    let mut said = Said::default();
    said.until(&mut subscription, |said| said.has("n2")).await;
    assert_eq!(parameter(&subscriptions(&host)[0], "zstdDictionary"), Some("7000001"));
    host.cut();
    host.push(chats(3..6));
    said.until(&mut subscription, |said| said.has("n5")).await;
    assert_eq!(host.requests().len(), 3, "the dictionary is fetched once");
    assert_eq!(said.unreadable(), [""; 0]);
}

#[tokio::test]
async fn hosts_without_a_dictionary_send_frames_as_they_are() {
    type Fault = fn(&mut fakes::jetstream::Faults);
    let faults: [(Fault, usize); 3] = [
        (|faults| faults.no_dictionary = true, 1),
        (|faults| faults.dictionary_hangs = true, 1),
        (|faults| faults.forgets_dictionary = true, 2),
    ];
    for (fault, fetches) in faults {
        let host = Jetstream::start().await;
        let start = host.now_us();
        host.fail(fault);
        host.push(chats(0..3));
        let mut subscription = read(&host, Wire::V2, start);
        let mut said = Said::default();
        said.until(&mut subscription, |said| said.has("n2")).await;
        let last = subscriptions(&host).pop().unwrap();
        assert_eq!(parameter(&last, "zstdDictionary"), None);
        assert_eq!(host.requests().len() - subscriptions(&host).len(), fetches, "{:?}", host.requests());
    }
}

#[tokio::test]
async fn unavailable_host_is_tried_until_it_is_there() {
    let host = Jetstream::start().await;
    let start = host.now_us();
    host.fail(|faults| faults.refuse = Some((503, "ServiceUnavailable")));
    host.push([chat("a")]);
    let mut subscription = read(&host, Wire::V2, start);
    host.requested(5).await;
    host.fail(|faults| faults.refuse = None);
    let mut said = Said::default();
    said.until(&mut subscription, |said| said.has("a")).await;
    assert!(said.disconnected().iter().all(|reason| *reason == "refused with status 503"));
}

#[tokio::test]
async fn host_that_never_answers_the_upgrade_is_left() {
    let (deaf, good) = (Jetstream::start().await, Jetstream::start().await);
    deaf.fail(|faults| faults.deaf = true);
    let start = good.now_us();
    good.push([chat("a")]);
    let hosts = [deaf.url(Wire::V1), good.url(Wire::V2)];
    let mut subscription = Subscription::start(options(&hosts), Start::Time(start));
    let mut said = Said::default();
    said.until(&mut subscription, |said| said.has("a")).await;
    assert_eq!(said.disconnected(), ["no answer to the upgrade"; 2]);
}

#[tokio::test]
async fn error_of_the_host_ends_the_connection() {
    let host = Jetstream::start().await;
    let start = host.now_us();
    host.fail(|faults| faults.error_after = Some((5, "ConsumerTooSlow")));
    host.push(chats(0..10));
    let mut subscription = read(&host, Wire::V2, start);
    let mut said = Said::default();
    said.until(&mut subscription, |said| said.has("n9")).await;
    assert_eq!(said.disconnected()[0], "ended by the host with ConsumerTooSlow");
}

/// A host that was set up anew counts from 1 again: sequence numbers of before mean nothing to it.
#[tokio::test]
async fn host_that_counts_anew() {
    for info in [None, Some("FutureCursor")] {
        let host = Jetstream::start().await;
        let start = host.now_us() - HOUR_US;
        host.push_at(start, chats(0..5));
        host.fail(|faults| faults.info = info);
        let at = |cursor| Position {
            host: host.url(Wire::V2).into(),
            wire: jetstream::event::Wire::V2,
            cursor,
            time_us: start - 1,
        };
        let mut subscription = Subscription::start(options(&[host.url(Wire::V2)]), Start::At(at(900_000)));
        let mut said = Said::default();
        let is_live = |said: &Said| said.caught_up() || !said.disconnected().is_empty();
        said.until(&mut subscription, is_live).await;
        host.push([chat("new")]);
        said.until(&mut subscription, |said| said.has("n0") && said.has("new")).await;
        assert_eq!(said.disconnected()[0], "the sequence numbers are others");
        assert_eq!(said.gaps(), [(start - 1, Some(start))]);
    }
}

#[tokio::test]
async fn another_filter_from_an_event_on() {
    for wire in BOTH {
        let host = Jetstream::start().await;
        let start = host.now_us() - HOUR_US;
        let second_us = |number: i64| start + number * 20_000_000;
        for number in 0..20 {
            host.push_at(second_us(number), [chat(&format!("n{number}"))]);
            host.push_at(
                second_us(number) + 1,
                [Item::create(DID, "a.b.c", &format!("other{number}"), "{}")],
            );
        }
        let narrow = Filter::Collections([CHAT.to_owned()].into());
        let wide = Filter::Collections([CHAT.to_owned(), "a.b.c".to_owned()].into());
        let mut subscription = read(&host, wire, start);
        let from =
            Position { host: "".into(), wire: jetstream::event::Wire::V1, cursor: start, time_us: start };
        subscription.resume(narrow, from);
        let mut said = Said::default();
        said.until(&mut subscription, |said| said.has("n10")).await;
        let position = said.events().last().unwrap().position.clone();
        subscription.resume(wide, position);
        let mut said = Said::default();
        said.until(&mut subscription, |said| said.has("n19") && said.has("other19")).await;
        let first = if wire == Wire::V2 { "other10" } else { "n10" };
        assert_eq!(said.rkeys()[0], first, "{wire:?}: what was read ahead is dropped");
        let others = said.rkeys().iter().filter(|name| name.starts_with("other")).count();
        assert!(others >= 10, "{wire:?}");
    }
}

#[tokio::test]
async fn dropping_ends_the_connection() {
    for wire in BOTH {
        let host = Jetstream::start().await;
        let subscription = read(&host, wire, host.now_us());
        host.opened(1).await;
        drop(subscription);
        timeout(Duration::from_secs(10), host.opened(0)).await.expect("it is still open");
    }
}

/// A wait that is given up takes nothing away.
#[tokio::test]
async fn waiting_can_be_given_up() {
    let host = Jetstream::start().await;
    let mut subscription = read(&host, Wire::V2, host.now_us());
    let mut names = Vec::new();
    for number in 0..200 {
        host.push([chat(&format!("n{number}"))]);
        if let Ok(Notice::Event(event)) = timeout(Duration::from_micros(number), subscription.next()).await {
            names.push(rkey(&event).unwrap().to_owned());
        }
    }
    while names.len() < 200 {
        if let Notice::Event(event) = subscription.next().await {
            names.push(rkey(&event).unwrap().to_owned());
        }
    }
    let expected: Vec<_> = (0..200).map(|number| format!("n{number}")).collect();
    assert_eq!(names, expected);
}
