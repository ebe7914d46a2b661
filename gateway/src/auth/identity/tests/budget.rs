//! Limits on look-ups: what forged tokens and invented DIDs can cost others.

use std::num::NonZeroU32;

use futures_util::future::join_all;

use super::{World, did, issuer};
use crate::auth::error::AuthError;
use crate::auth::identity::fetch::{Allowance, Limits};
use crate::auth::refusal::Refusal;
use crate::auth::tests::issuer::{Issuer, Signer};
use crate::auth::tests::stub::Stub;

const TWO: Allowance =
    Allowance { per_second: NonZeroU32::MIN, burst: NonZeroU32::new(2).unwrap(), at_once: 64 };

fn invented(count: usize) -> Vec<Issuer> {
    (0..count).map(|n| Issuer::new(&format!("did:plc:invented{n}"), Signer::k256(1))).collect()
}

#[tokio::test]
async fn look_ups_in_the_directory() {
    let world = World::with(Limits { directory: TWO, ..Limits::DEFAULT }).await;
    let issuers = invented(5);
    let answers = join_all(issuers.iter().map(|issuer| world.key(issuer))).await;
    let busy = answers
        .iter()
        .filter(|answer| match answer {
            Err(AuthError::DirectoryUnavailable(failure)) => {
                assert_eq!(failure.to_string(), "too many look-ups in the PLC directory");
                true
            }
            Err(AuthError::Refused(Refusal::UnknownIssuer)) => false,
            other => panic!("{other:?}"),
        })
        .count();
    assert_eq!(busy, 3);
    assert_eq!(world.directory.requests(), 2);
}

#[tokio::test]
async fn look_ups_at_a_time() {
    let directory = Allowance { at_once: 2, ..Limits::DEFAULT.directory };
    let world = World::with(Limits { directory, ..Limits::DEFAULT }).await;
    let issuers = invented(8);
    join_all(issuers.iter().map(|issuer| world.key(issuer))).await;
    assert_eq!(world.directory.requests(), 8);
    assert_eq!(world.directory.most_at_once(), 2);
}

#[tokio::test]
async fn look_ups_at_one_host() {
    let host_per_minute = NonZeroU32::new(2).unwrap();
    let world = World::with(Limits { host_per_minute, ..Limits::DEFAULT }).await;
    let mut refusals = Vec::new();
    let (first, second, third) = (Stub::start().await, Stub::start().await, Stub::start().await);
    // Another spelling is the same host.
    for (name, stub) in [("localhost", &first), ("LOCALHOST", &second), ("localhost", &third)] {
        let did = format!("did:web:{name}%3A{}", stub.port());
        refusals.push(world.key(&Issuer::new(&did, Signer::k256(1))).await.unwrap_err().to_string());
    }
    let [refuses, busy] = [Refusal::HostRefuses, Refusal::TooManyLookups].map(|refusal| refusal.to_string());
    assert_eq!(refusals, [refuses.clone(), refuses, busy]);
    assert_eq!(third.requests(), 0);
}

/// Invented did:webs reach their own limit and use up nothing of the directory's.
#[tokio::test]
async fn look_ups_at_all_hosts() {
    let world = World::with(Limits { web: TWO, ..Limits::DEFAULT }).await;
    // Single labels: refused before any DNS look-up.
    let issuers: Vec<Issuer> =
        (0..5).map(|n| Issuer::new(&format!("did:web:invented{n}"), Signer::k256(1))).collect();
    let answers = join_all(issuers.iter().map(|issuer| world.key(issuer))).await;
    let count = |expected: Refusal| {
        let text = expected.to_string();
        answers.iter().filter(|answer| answer.as_ref().is_err_and(|error| error.to_string() == text)).count()
    };
    assert_eq!(count(Refusal::HostUnreachable), 2);
    assert_eq!(count(Refusal::TooManyLookups), 3);

    let issuer = issuer();
    world.publish(&issuer);
    assert!(world.key(&issuer).await.is_ok());
}

/// Over the limit a bad signature forces no look-up, and the cached key is used.
#[tokio::test]
async fn forced_look_ups_count() {
    let directory = Allowance { burst: NonZeroU32::MIN, ..TWO };
    let world = World::with(Limits { directory, ..Limits::DEFAULT }).await;
    let issuer = issuer();
    world.publish(&issuer);
    let key = world.key(&issuer).await.unwrap();
    assert_eq!(world.identities.refreshed_key(&did(&issuer)).await.unwrap(), Some(key));
    assert_eq!(world.directory.requests(), 1);
}
