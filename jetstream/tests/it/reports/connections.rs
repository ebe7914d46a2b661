//! Hosts that fall silent, cut, repeat, lose, ignore.

use fakes::jetstream::{Item, Jetstream, Wire};
use jetstream::event::{Kind, Position};
use jetstream::host::Start;
use jetstream::notice::Notice;
use jetstream::subscription::Subscription;
use tokio::time::{Instant, sleep, timeout};

use super::{HOUR_US, SECOND_US};
use crate::harness::{
    BOTH, CHAT, DID, Said, chat, chats, options, parameter, read, rkey, subscriptions, timing,
};

#[tokio::test]
async fn r01_silent_host_is_left() {
    let (silent, good) = (Jetstream::start().await, Jetstream::start().await);
    silent.fail(|faults| faults.silent = true);
    let start = good.now_us();
    good.push([chat("a")]);
    let hosts = [silent.url(Wire::V2), good.url(Wire::V2)];
    let mut subscription = Subscription::start(options(&hosts), Start::Time(start));
    let mut said = Said::default();
    said.until(&mut subscription, |said| said.has("a")).await;
    assert_eq!(said.disconnected(), ["no word from the host"; 2]);
    assert_eq!(subscriptions(&silent).len(), 2, "two tries");
}

#[tokio::test]
async fn r01_host_that_falls_silent_is_left() {
    let (first, second) = (Jetstream::start().await, Jetstream::start().await);
    let start = first.now_us();
    first.push([chat("a")]);
    let hosts = [first.url(Wire::V2), second.url(Wire::V2)];
    let mut subscription = Subscription::start(options(&hosts), Start::Time(start));
    let mut said = Said::default();
    said.until(&mut subscription, |said| said.has("a") && said.caught_up()).await;
    first.fail(|faults| faults.silent = true);
    second.push([chat("b")]);
    let since = Instant::now();
    said.until(&mut subscription, |said| said.has("b")).await;
    let timing = timing();
    assert!(since.elapsed() >= timing.silence - timing.ping, "it had answered a ping");
    assert!(said.disconnected().contains(&"the host fell silent"), "{:?}", said.disconnected());
}

#[tokio::test]
async fn r04_what_is_lost_where_replay_meets_live_comes_by_a_second_connection() {
    let host = Jetstream::start().await;
    let start = host.now_us() - 3 * SECOND_US;
    host.push_at(start + 1, chats(0..100));
    host.fail(|faults| faults.switch_drops = 20);
    let mut subscription = read(&host, Wire::V1, start);
    let mut said = Said::default();
    said.until(&mut subscription, |said| said.has("n79")).await;
    // The latest event says nothing about those before it that were lost.
    host.push([chat("live")]);
    said.until(&mut subscription, |said| said.distinct() == 101).await;
    assert_eq!(said.disconnected(), [""; 0], "the first connection was read until the second had caught up");
    assert_eq!(host.requests().len(), 2);
    host.opened(1).await;
}

#[tokio::test]
async fn r04_connections_that_are_cut() {
    for wire in BOTH {
        let host = Jetstream::start().await;
        let start = host.now_us() - HOUR_US;
        host.push_at(start + 1, chats(0..1_000));
        host.fail(|faults| faults.cut_after = Some(300));
        // The last seconds come again and again on v1: its time cursor goes back ten of them.
        let spread = chats(1_000..1_010).enumerate();
        for (number, item) in spread {
            host.push_at(start + i64::try_from(number + 1).unwrap() * 30 * SECOND_US, [item]);
        }
        let mut subscription = read(&host, wire, start);
        let mut said = Said::default();
        if wire == Wire::V1 {
            said.until(&mut subscription, |said| said.distinct() == 300).await;
            host.fail(|faults| faults.cut_after = None);
        }
        said.until(&mut subscription, |said| said.distinct() == 1_010).await;
        assert!(said.disconnected().contains(&"cut without a close"), "{:?}", said.disconnected());
        assert_eq!(said.gaps(), []);
        if wire == Wire::V2 {
            assert_eq!(said.rkeys().len(), 1_010, "none twice");
        }
    }
}

#[tokio::test]
async fn r05_time_cursor_that_jumps_back() {
    let host = Jetstream::start().await;
    let start = host.now_us() - 2 * HOUR_US;
    host.push_at(start, chats(0..50));
    host.push_at(start + 2 * HOUR_US - 5 * SECOND_US, chats(50..60));
    let mut subscription = read(&host, Wire::V1, start + 2 * HOUR_US - 5 * SECOND_US);
    let mut said = Said::default();
    said.until(&mut subscription, |said| said.has("n59") && said.caught_up()).await;
    assert_eq!(said.distinct(), 10);
    host.fail(|faults| faults.jump_back_us = 2 * HOUR_US);
    said.cut(&host, &mut subscription).await;
    host.push([chat("new")]);
    said.until(&mut subscription, |said| said.has("new")).await;
    assert_eq!(said.distinct(), 61, "what is repeated is handed on: the caller knows what it has had");
    assert_eq!(said.gaps(), []);
}

#[tokio::test]
async fn r06_time_cursor_is_no_floor_for_sequence_numbers() {
    let host = Jetstream::start().await;
    host.push([chat("before")]);
    let time_us = host.now_us();
    host.push([chat("after")]);
    let read_elsewhere = Position {
        host: "ws://v1.example/subscribe".into(),
        wire: jetstream::event::Wire::V1,
        cursor: time_us,
        time_us,
    };
    let mut subscription = Subscription::start(options(&[host.url(Wire::V2)]), Start::At(read_elsewhere));
    let mut said = Said::default();
    said.until(&mut subscription, |said| said.has("after")).await;
    let asked: i64 = parameter(&subscriptions(&host)[0], "cursor").unwrap().parse().unwrap();
    assert_eq!(asked, time_us - 10 * SECOND_US);
}

#[tokio::test]
async fn r12_reconnect_resumes_where_it_was() {
    for wire in BOTH {
        let host = Jetstream::start().await;
        let mut subscription = read(&host, wire, host.now_us());
        let mut said = Said::default();
        for round in 0..5 {
            host.push(chats(round * 10..round * 10 + 5));
            said.until(&mut subscription, |said| said.has(&format!("n{}", round * 10 + 4))).await;
            host.cut();
            host.push(chats(round * 10 + 5..round * 10 + 10));
        }
        said.until(&mut subscription, |said| said.distinct() == 50).await;
        assert_eq!(said.gaps(), []);
    }
}

#[tokio::test]
async fn r13_host_that_ignores_the_close() {
    for wire in BOTH {
        let host = Jetstream::start().await;
        let start = host.now_us();
        host.push(chats(0..10));
        host.fail(|faults| faults.close_after = Some((5, 1001)));
        let mut subscription = read(&host, wire, start);
        let mut said = Said::default();
        said.until(&mut subscription, |said| !said.disconnected().is_empty()).await;
        host.fail(|faults| faults.close_after = None);
        said.until(&mut subscription, |said| said.distinct() == 10).await;
        assert_eq!(said.disconnected()[0], "closed by the host with 1001");
    }
}

#[tokio::test]
async fn r13_slow_caller_stops_the_reading_and_not_the_connection() {
    let host = Jetstream::start().await;
    let start = host.now_us();
    let record = format!(r#"{{"text":"{}"}}"#, "a".repeat(2_000));
    host.push((0..5_000).map(|n| Item::create(DID, CHAT, &format!("n{n}"), &record)));
    let mut subscription = read(&host, Wire::V2, start);
    // Longer than a silent host has: the silence is ours.
    sleep(timing().silence * 2).await;
    let mut said = Said(subscription.next_batch(usize::MAX).await);
    assert_eq!(said.0.len(), 2_000, "no more wait");
    said.until(&mut subscription, |said| said.has("n4999")).await;
    assert_eq!(said.rkeys().len(), 5_000);
    assert_eq!(said.disconnected(), [""; 0]);
}

#[tokio::test]
async fn r14_idle_stream_is_not_taken_for_dead() {
    for wire in BOTH {
        let host = Jetstream::start().await;
        let mut subscription = read(&host, wire, host.now_us());
        let mut said = Said::default();
        said.until(&mut subscription, Said::caught_up).await;
        let timing = timing();
        let idle = async {
            loop {
                let notice = subscription.next().await;
                assert!(matches!(notice, Notice::CaughtUp { .. }), "{notice:?}");
            }
        };
        assert!(timeout(timing.silence * 2, idle).await.is_err());
        host.push([chat("a")]);
        said.until(&mut subscription, |said| said.has("a")).await;
        let connections = if wire == Wire::V1 { 2 } else { 1 };
        assert_eq!(subscriptions(&host).len(), connections, "v1 has repeated the end of its replay");
    }
}

#[tokio::test]
async fn r16_other_host_with_other_numbers_goes_on_by_time() {
    let (first, second) = (Jetstream::start().await, Jetstream::numbered(5_000_000, 0).await);
    let start = first.now_us();
    let items: Vec<_> = chats(0..20).collect();
    first.push(items[..10].iter().cloned());
    second.push(items.clone());
    let hosts = [first.url(Wire::V2), second.url(Wire::V2)];
    let mut subscription = Subscription::start(options(&hosts), Start::Time(start));
    let mut said = Said::default();
    said.until(&mut subscription, |said| said.has("n9")).await;
    first.fail(|faults| faults.refuse = Some((503, "ServiceUnavailable")));
    first.cut();
    said.until(&mut subscription, |said| said.has("n19")).await;
    let same = |event: &&jetstream::event::Event| match &event.kind {
        Kind::Commit(commit) => Some((commit.rkey.clone(), commit.rev.clone(), commit.cid.clone())),
        _ => None,
    };
    let all: Vec<_> = said.events().filter_map(|event| same(&event)).collect();
    assert_eq!(all[..10], all[10..20], "they come again, and are the same but for numbers and times");
    let asked: i64 = parameter(&subscriptions(&second)[0], "cursor").unwrap().parse().unwrap();
    assert!(asked > 1_000_000_000_000_000, "a time");
}

#[tokio::test]
async fn r18_what_was_not_acknowledged_comes_again() {
    for wire in BOTH {
        let host = Jetstream::start().await;
        let start = host.now_us() - HOUR_US;
        host.push_at(start, [chat("done")]);
        host.push_at(start + 60 * SECOND_US, [chat("failed")]);
        host.push([chat("ahead")]);
        let mut subscription = read(&host, wire, start);
        let mut said = Said::default();
        said.until(&mut subscription, |said| said.has("done")).await;
        loop {
            let Notice::Event(event) = subscription.next().await else { continue };
            if rkey(&event) == Some("failed") {
                break;
            }
        }
        Said::default().cut(&host, &mut subscription).await;
        let mut said = Said::default();
        said.until(&mut subscription, |said| said.has("ahead")).await;
        assert!(said.has("failed"), "{wire:?}: {:?}", said.rkeys());
        let failed = said.rkeys().iter().position(|name| *name == "failed");
        let ahead = said.rkeys().iter().position(|name| *name == "ahead");
        assert!(failed < ahead, "in order");
    }
}
