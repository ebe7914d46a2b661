//! Failures of the PLC directory and of did:web hosts.

use tokio::sync::watch;

use super::{HOUR, World, did, issuer, key_of};
use crate::auth::error::{AuthError, DirectoryFailure};
use crate::auth::identity::{PendingLookup, outcome_of};
use crate::auth::refusal::Refusal;
use crate::auth::tests::issuer::{Issuer, Signer};
use crate::auth::tests::stub::{Reply, Stub};

const PATH: &str = ".well-known/did.json";

/// The failure that a PLC directory with this reply counts as. It is not cached.
async fn failure(reply: Reply) -> String {
    let issuer = issuer();
    let world = World::with(reply.limits()).await;
    world.directory.reply(issuer.did(), reply);
    let failure = match world.key(&issuer).await {
        Err(AuthError::DirectoryUnavailable(failure)) => failure.to_string(),
        other => panic!("expected the directory to be unavailable: {other:?}"),
    };
    world.publish(&issuer);
    assert!(world.key(&issuer).await.is_ok());
    assert_eq!(world.directory.requests(), 2);
    failure
}

#[tokio::test]
async fn statuses() {
    for status in [500, 502, 503, 429, 403, 204] {
        let expected = format!("the PLC directory answered {status}");
        assert!(failure(Reply::Status(status)).await.starts_with(&expected));
    }
    let elsewhere = Reply::Redirect("http://127.0.0.1:9/".to_owned());
    assert_eq!(failure(elsewhere).await, "the PLC directory answered 302 Found");
}

#[tokio::test]
async fn something_else() {
    let other = Issuer::new("did:plc:other", Signer::k256(1)).document().to_string();
    for body in [other, "<html>".to_owned()] {
        let expected = DirectoryFailure::NotTheDocument.to_string();
        assert_eq!(failure(Reply::Body(body)).await, expected);
    }
}

#[tokio::test]
async fn oversized() {
    let mut document = issuer().document();
    document["padding"] = "x".repeat(64 * 1024).into();
    let failure = failure(Reply::Body(document.to_string())).await;
    assert_eq!(failure, "the request to the PLC directory failed");
}

#[tokio::test]
async fn slow() {
    failure(Reply::Hang).await;
}

#[tokio::test]
async fn nobody_listens() {
    let world = World::new().await;
    world.directory.stop().await;
    let answer = world.key(&issuer()).await;
    let Err(AuthError::DirectoryUnavailable(failure)) = answer else {
        panic!("expected the directory to be unavailable: {answer:?}");
    };
    assert!(matches!(*failure, DirectoryFailure::Request(_)));
}

#[tokio::test]
async fn document_without_a_key() {
    let issuer = issuer();
    let world = World::new().await;
    world.directory.serve(issuer.did(), &issuer.document_with("JsonWebKey2020", "z"));
    assert!(matches!(world.key(&issuer).await, Err(AuthError::Refused(Refusal::NoKey))));
}

/// A cached key is used while its host fails, but not once the host says that there is none.
#[tokio::test]
async fn web_host_in_trouble_later() {
    let gone = AuthError::Refused(Refusal::HostRefuses).to_string();
    for (status, expected) in [(503, None), (429, None), (404, Some(gone))] {
        let host = Stub::start().await;
        let did = format!("did:web:localhost%3A{}", host.port());
        let issuer = Issuer::new(&did, Signer::p256(1));
        host.serve(PATH, &issuer.document());
        let world = World::new().await;
        assert_eq!(world.key(&issuer).await.unwrap(), key_of(&issuer));

        host.reply(PATH, Reply::Status(status));
        world.clock.advance(HOUR);
        assert!(world.key(&issuer).await.is_ok());
        world.settle(&issuer).await;
        let requests = if expected.is_some() { 3 } else { 2 };
        let error = world.key(&issuer).await.err().map(|error| error.to_string());
        assert_eq!(error, expected, "{status}");
        assert_eq!(host.requests(), requests);
    }
}

#[tokio::test]
async fn look_up_that_breaks_off() {
    let (outcome, lookup) = watch::channel(None);
    drop(outcome);
    let answer = outcome_of(lookup.clone(), &did(&issuer())).await;
    assert!(matches!(answer, Err(AuthError::DirectoryUnavailable(_))));
    let web = "did:web:example.com".parse().unwrap();
    let answer = outcome_of(lookup.clone(), &web).await;
    assert!(matches!(answer, Err(AuthError::Refused(Refusal::HostUnreachable))));

    // It does not block later look-ups.
    let issuer = issuer();
    let world = World::new().await;
    world.publish(&issuer);
    world.identities.pending().insert(did(&issuer), PendingLookup { outcome: lookup, sooner: None });
    assert!(world.key(&issuer).await.is_ok());
}
