//! Each limit alone, on a clock that the test sets.

use super::*;
use crate::sliding_window::WINDOW;

fn did(number: usize) -> Did {
    format!("did:plc:{number}").parse().unwrap()
}

/// A probe that ends at once.
fn probe(limits: &ProbeLimits, owner: usize, host: &str) -> Result<(), Duration> {
    let begun = limits.begin(&did(owner), host)?;
    limits.end(&did(owner), begun.number, true);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn thirty_a_minute_for_a_did() {
    let limits = ProbeLimits::new();
    for number in 0..FOR_EACH_DID {
        assert_eq!(probe(&limits, 1, &format!("{number}.example")), Ok(()));
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert_eq!(probe(&limits, 1, "new.example"), Err(Duration::from_secs(30)));
    assert_eq!(probe(&limits, 2, "new.example"), Ok(()));
    tokio::time::advance(Duration::from_secs(30)).await;
    assert_eq!(probe(&limits, 1, "new.example"), Ok(()));
    assert_eq!(probe(&limits, 1, "new.example"), Err(Duration::from_secs(1)));
}

#[tokio::test(start_paused = true)]
async fn four_under_way_for_a_did() {
    let limits = ProbeLimits::new();
    let second = Duration::from_secs(1);
    let mut numbers = Vec::new();
    for _ in 0..UNDER_WAY_FOR_EACH_DID {
        numbers.push(limits.begin(&did(1), "a.example").unwrap().number);
        tokio::time::advance(second / 2).await;
    }
    assert_eq!(limits.begin(&did(1), "a.example"), Err(second));
    assert!(limits.begin(&did(2), "a.example").is_ok());
    // One ends, and another may begin.
    limits.end(&did(1), numbers[2], true);
    assert!(limits.begin(&did(1), "a.example").is_ok());
    assert_eq!(limits.begin(&did(1), "a.example"), Err(second));
    // One that was broken off counts as long as it could have taken.
    tokio::time::advance(second).await;
    assert!(limits.begin(&did(1), "a.example").is_ok());
    assert_eq!(limits.begin(&did(1), "a.example"), Err(second / 2));
}

#[tokio::test(start_paused = true)]
async fn unreached_hosts_are_counted() {
    let limits = ProbeLimits::new();
    let begin = || limits.begin(&did(1), "a.example").unwrap();
    let one = begin();
    assert_eq!(one.unreached, 1);
    limits.end(&did(1), one.number, true);
    let two = begin();
    assert_eq!(two.unreached, 1);
    limits.end(&did(1), two.number, false);
    assert_eq!((begin().unreached, begin().unreached), (2, 3));
    assert_eq!(limits.begin(&did(2), "a.example").unwrap().unreached, 1);
    tokio::time::advance(WINDOW).await;
    assert_eq!(begin().unreached, 1);
}

#[tokio::test(start_paused = true)]
async fn sixty_a_minute_for_a_host() {
    let limits = ProbeLimits::new();
    for number in 0..FOR_EACH_HOST {
        // With the dot of the root it is no other host.
        let host = ["a.example", "a.example."][number % 2];
        assert_eq!(probe(&limits, number, host), Ok(()));
    }
    assert_eq!(probe(&limits, 1000, "a.example"), Err(WINDOW));
    assert_eq!(probe(&limits, 1000, "a.example."), Err(WINDOW));
    assert_eq!(probe(&limits, 1000, "b.example"), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn refused_probe_of_a_host_costs_the_did_nothing() {
    let limits = ProbeLimits::new();
    for number in 0..FOR_EACH_HOST {
        probe(&limits, number, "a.example").unwrap();
    }
    for _ in 0..FOR_EACH_DID {
        assert_eq!(probe(&limits, 1000, "a.example"), Err(WINDOW));
    }
    assert_eq!(probe(&limits, 1000, "b.example"), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn sixty_connections_a_minute_to_an_address() {
    for (same, other) in [
        (["192.0.2.1", "::ffff:192.0.2.1", "64:ff9b::192.0.2.1"], "192.0.2.2"),
        (["64:ff9b::198.51.100.1", "198.51.100.1", "::ffff:198.51.100.1"], "64:ff9b::198.51.100.2"),
        (["2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:0:ffff::"], "2001:db8:0:1::1"),
    ] {
        let limits = ProbeLimits::new();
        let [same @ .., other] = [same[0], same[1], same[2], other].map(|text| text.parse().unwrap());
        for address in same.iter().cycle().take(FOR_EACH_ADDRESS) {
            assert_eq!(limits.connect(*address), Ok(()));
        }
        for address in same {
            assert_eq!(limits.connect(address), Err(WINDOW), "{address}");
        }
        assert_eq!(limits.connect(other), Ok(()));
        tokio::time::advance(WINDOW).await;
        assert_eq!(limits.connect(same[0]), Ok(()));
    }
}
