//! Callers with a did:web: every failure of their host is a refusal.

use std::time::Duration;

use egress::policy::Policy;

use super::issuer::{Issuer, Signer};
use super::stub::{Reply, Stub};
use super::{World, loopback, refused};
use crate::auth::identity::fetch::Limits;
use crate::auth::refusal::Refusal;

const PATH: &str = ".well-known/did.json";

/// A did:web host on loopback, and an issuer with its DID.
async fn host() -> (Stub, Issuer) {
    let stub = Stub::start().await;
    let did = format!("did:web:localhost%3A{}", stub.port());
    (stub, Issuer::new(&did, Signer::k256(1)))
}

async fn refusal_after(reply: Reply) -> Refusal {
    let (stub, issuer) = host().await;
    let world = World::with(loopback(), reply.limits()).await;
    stub.reply(PATH, reply);
    let refusal = refused(world.call(&issuer.good_token()).await);

    // It is asked for again once, and then cached for five seconds.
    assert_eq!(refused(world.call(&issuer.good_token()).await), refusal);
    assert_eq!(stub.requests(), 2);
    stub.serve(PATH, &issuer.document());
    world.clock.advance(Duration::from_millis(4_999));
    assert_eq!(refused(world.call(&issuer.good_token()).await), refusal);
    assert_eq!(stub.requests(), 2);
    world.clock.advance(Duration::from_millis(1));
    assert!(world.call(&issuer.good_token()).await.is_ok());
    refusal
}

#[tokio::test]
async fn document_of_the_host() {
    let (stub, issuer) = host().await;
    stub.serve(PATH, &issuer.document());
    let world = World::new().await;
    assert_eq!(world.call(&issuer.good_token()).await.unwrap(), issuer.did());
    assert!(world.call(&issuer.good_token()).await.is_ok());
    assert_eq!(stub.requests(), 1);
    assert_eq!(world.directory.requests(), 0);
}

#[tokio::test]
async fn loopback_only_where_it_is_allowed() {
    let (stub, issuer) = host().await;
    stub.serve(PATH, &issuer.document());
    let world = World::with(Policy::new(Vec::new()), Limits::DEFAULT).await;
    assert_eq!(refused(world.call(&issuer.good_token()).await), Refusal::HostUnreachable);
    assert_eq!(stub.requests(), 0);
}

#[tokio::test]
async fn plain_http_is_for_localhost_alone() {
    let (stub, _) = host().await;
    let did = format!("did:web:127.0.0.1%3A{}", stub.port());
    let issuer = Issuer::new(&did, Signer::k256(1));
    stub.serve(PATH, &issuer.document());
    let world = World::new().await;
    assert_eq!(refused(world.call(&issuer.good_token()).await), Refusal::HostUnreachable);
    assert_eq!(stub.requests(), 0);
}

#[tokio::test]
async fn redirect() {
    let to = Stub::start().await;
    let elsewhere = to.url().join(PATH).unwrap();
    assert_eq!(refusal_after(Reply::Redirect(elsewhere.to_string())).await, Refusal::HostRedirects);
    assert_eq!(to.requests(), 0);
}

#[tokio::test]
async fn statuses() {
    for status in [404, 410, 403, 429, 500, 503, 204] {
        assert_eq!(refusal_after(Reply::Status(status)).await, Refusal::HostRefuses, "{status}");
    }
}

#[tokio::test]
async fn another_did() {
    let other = Issuer::new("did:web:example.com", Signer::k256(1));
    let body = other.document().to_string();
    assert_eq!(refusal_after(Reply::Body(body)).await, Refusal::OtherDocument);
}

#[tokio::test]
async fn no_document() {
    assert_eq!(refusal_after(Reply::Body("<html>".to_owned())).await, Refusal::NotADocument);
}

#[tokio::test]
async fn oversized() {
    let (_stub, issuer) = host().await;
    let mut document = issuer.document();
    document["padding"] = "x".repeat(64 * 1024).into();
    assert_eq!(refusal_after(Reply::Body(document.to_string())).await, Refusal::NotADocument);
}

#[tokio::test]
async fn slow() {
    assert_eq!(refusal_after(Reply::Hang).await, Refusal::HostUnreachable);
}

#[tokio::test]
async fn nobody_listens() {
    let (stub, issuer) = host().await;
    stub.stop().await;
    let world = World::new().await;
    assert_eq!(refused(world.call(&issuer.good_token()).await), Refusal::HostUnreachable);
}

#[tokio::test]
async fn no_key() {
    let (stub, issuer) = host().await;
    stub.serve(PATH, &issuer.document_with("JsonWebKey2020", "z"));
    let world = World::new().await;
    assert_eq!(refused(world.call(&issuer.good_token()).await), Refusal::NoKey);
}

/// One forged token and a moment without the document don't lock the owner out.
#[tokio::test]
async fn asked_again_at_once() {
    for reply in [
        Reply::Status(404),
        Reply::Status(503),
        Reply::Body("<html>".to_owned()),
        Reply::Body(host().await.1.document_with("JsonWebKey2020", "z").to_string()),
    ] {
        let (stub, issuer) = host().await;
        let world = World::new().await;
        stub.reply(PATH, reply);
        let forger = Issuer::new(issuer.did(), Signer::k256(2));
        assert!(world.call(&forger.good_token()).await.is_err());
        stub.serve(PATH, &issuer.document());
        assert!(world.call(&issuer.good_token()).await.is_ok());
        assert_eq!(stub.requests(), 2);
    }
}
