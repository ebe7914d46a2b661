//! Limits on look-ups: what forged tokens and invented DIDs can cost others.

use std::num::NonZeroU32;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;

use super::{World, did, issuer};
use crate::auth::error::AuthError;
use crate::auth::identity::fetch::Limits;
use crate::auth::identity::shares::Allowance;
use crate::auth::refusal::Refusal;
use crate::auth::tests::client;
use crate::auth::tests::issuer::{Issuer, Signer};
use crate::auth::tests::stub::{Reply, Stub};

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
            Err(AuthError::Busy) => true,
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
    let world = World::with(Limits { directory: TWO, ..Limits::DEFAULT }).await;
    let issuer = issuer();
    world.publish(&issuer);
    let key = world.key(&issuer).await.unwrap();
    assert!(world.key(&invented(1)[0]).await.is_err());
    assert_eq!(world.identities.refreshed_key(&did(&issuer), client(1)).await.unwrap(), Some(key));
    assert_eq!(world.directory.requests(), 2);
}

/// An address that invents DIDs uses up its share and what is for everybody. Others have the rest.
#[tokio::test]
async fn inventions_of_one_address_starve_its_own_callers() {
    let fifty = Allowance { per_second: NonZeroU32::MIN, burst: NonZeroU32::new(50).unwrap(), at_once: 64 };
    let world = World::with(Limits { directory: fifty, ..Limits::DEFAULT }).await;
    let issuers = invented(60);
    for issuer in &issuers {
        let _refused = world.key_from(1, issuer).await;
    }
    // Its share of 10, and the common 25.
    assert_eq!(world.directory.requests(), 35);
    let owner = issuer();
    world.publish(&owner);
    assert!(matches!(world.key_from(1, &owner).await, Err(AuthError::Busy)));
    assert!(world.key_from(2, &owner).await.is_ok());
}

/// The look-ups of one address that get no answer hold up nobody else's.
#[tokio::test]
async fn inventions_that_hang_hold_up_their_own_address() {
    let world = World::new().await;
    let invented = invented(64);
    for issuer in &invented {
        world.directory.reply(issuer.did(), Reply::Hang);
    }
    let owner = issuer();
    world.publish(&owner);
    let mut hanging: FuturesUnordered<_> = invented.iter().map(|issuer| world.key_from(1, issuer)).collect();
    let starts = async {
        while world.directory.requests() < 44 {
            tokio::task::yield_now().await;
        }
    };
    // A share of 12 and the common 32 are under way; the others wait for their turn.
    tokio::select! {
        _ended = hanging.next() => panic!("it hangs"),
        () = starts => {}
    }
    assert!(world.key_from(2, &owner).await.is_ok());
    assert_eq!(world.directory.requests(), 45);

    // Somebody who is within the share does not wait behind those who began the same look-up.
    let last = invented.last().unwrap();
    world.publish(last);
    assert!(world.key_from(2, last).await.is_ok());
    let mut busy = 0;
    while let Some(answer) = hanging.next().await {
        busy += usize::from(matches!(answer, Err(AuthError::Busy)));
    }
    assert_eq!(busy, 19);
    // It is not remembered.
    world.publish(&invented[50]);
    assert!(world.key_from(2, &invented[50]).await.is_ok());
}

/// Other ports of a host, from one address, leave the host's owner its look-ups.
#[tokio::test]
async fn one_address_does_not_use_up_the_limit_of_a_host() {
    let world = World::new().await;
    for number in 0..40 {
        let stranger = Issuer::new(&format!("did:web:localhost%3A{}", 1 + number), Signer::k256(1));
        assert!(world.key_from(1, &stranger).await.is_err());
    }
    let host = Stub::start().await;
    let owner = Issuer::new(&format!("did:web:localhost%3A{}", host.port()), Signer::k256(1));
    host.serve(".well-known/did.json", &owner.document());
    assert!(world.key_from(1, &owner).await.is_err());
    assert!(world.key_from(2, &owner).await.is_ok());
}
