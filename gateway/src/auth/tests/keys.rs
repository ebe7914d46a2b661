//! Curves, key types, forms of signatures, cached signatures and rotated keys.

use std::time::Duration;

use serde_json::json;

use super::issuer::{Issuer, Signer};
use super::{World, refused};
use crate::auth::refusal::Refusal;

fn signers() -> [Signer; 2] {
    [Signer::k256(1), Signer::p256(1)]
}

#[tokio::test]
async fn every_key_type() {
    for signer in signers() {
        let issuer = Issuer::plc(signer);
        let kind = match issuer.signer {
            Signer::K256(_) => "EcdsaSecp256k1VerificationKey2019",
            Signer::P256 { .. } => "EcdsaSecp256r1VerificationKey2019",
        };
        let point = |compressed| format!("z{}", bs58::encode(issuer.signer.point(compressed)).into_string());
        for document in [
            issuer.document(),
            issuer.document_with(kind, &point(true)),
            issuer.document_with(kind, &point(false)),
        ] {
            let world = World::new().await;
            world.directory.serve(issuer.did(), &document);
            assert_eq!(world.call(&issuer.good_token()).await.unwrap(), issuer.did());
        }
    }
}

#[tokio::test]
async fn low_and_high_s() {
    for signer in signers() {
        let issuer = Issuer::plc(signer);
        let world = World::knowing(&issuer).await;
        for high in [false, true] {
            let token = issuer.resigned(|signature| {
                let signature = issuer.signer.with_s(signature, high);
                assert_eq!(signature[32] >= 0x80, high);
                signature.to_vec()
            });
            assert!(world.call(&token).await.is_ok());
        }
    }
}

#[tokio::test]
async fn der_signature() {
    let issuer = Issuer::plc(Signer::k256(1));
    let world = World::knowing(&issuer).await;
    let der = issuer.resigned(|signature| {
        let signature = secp256k1::ecdsa::Signature::from_compact(&signature).unwrap();
        signature.serialize_der().to_vec()
    });
    assert_eq!(refused(world.call(&der).await), Refusal::DerSignature);
    let short = issuer.resigned(|signature| signature[..63].to_vec());
    assert_eq!(refused(world.call(&short).await), Refusal::SignatureLength);
    let none = issuer.resigned(|_| Vec::new());
    assert_eq!(refused(world.call(&none).await), Refusal::SignatureLength);
    assert_eq!(world.directory.requests(), 0);
}

#[tokio::test]
async fn algorithm_of_the_other_curve() {
    let issuer = Issuer::plc(Signer::k256(1));
    let world = World::knowing(&issuer).await;
    let token = issuer.token_with_header(&json!({ "alg": "ES256" }));
    assert_eq!(refused(world.call(&token).await), Refusal::WrongCurve);
}

#[tokio::test]
async fn claims_are_checked_beside_a_remembered_verdict() {
    let issuer = Issuer::plc(Signer::k256(1));
    let world = World::knowing(&issuer).await;
    let token = issuer.good_token();
    assert!(world.call(&token).await.is_ok());
    assert!(world.call(&token).await.is_ok());
    let other = world.call_method("com.example.hooks.get", &token).await;
    assert_eq!(refused(other), Refusal::WrongMethod);
    world.clock.advance(Duration::from_secs(90));
    assert!(world.call(&token).await.is_ok());
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(refused(world.call(&token).await), Refusal::Expired);
}

#[tokio::test]
async fn remembered_verdict_ends_with_the_key() {
    let old = Issuer::plc(Signer::k256(1));
    let world = World::knowing(&old).await;
    let token = old.good_token();
    assert!(world.call(&token).await.is_ok());

    let new = Issuer::plc(Signer::k256(2));
    world.publish(&new);
    assert!(world.call(&new.good_token()).await.is_ok());
    assert_eq!(refused(world.call(&token).await), Refusal::BadSignature);
}

#[tokio::test]
async fn rotation_is_picked_up() {
    for (old, new) in [
        (Signer::k256(1), Signer::k256(2)),
        (Signer::k256(1), Signer::p256(2)),
        (Signer::p256(1), Signer::k256(2)),
    ] {
        let (old, new) = (Issuer::plc(old), Issuer::plc(new));
        let world = World::knowing(&old).await;
        assert!(world.call(&old.good_token()).await.is_ok());
        world.publish(&new);
        assert!(world.call(&new.good_token()).await.is_ok());
        assert_eq!(world.directory.requests(), 2);
        assert!(world.call(&old.good_token()).await.is_err());
    }
}

#[tokio::test]
async fn forged_tokens_force_one_look_up_a_minute() {
    let issuer = Issuer::plc(Signer::k256(1));
    let forger = Issuer::plc(Signer::p256(2));
    let world = World::knowing(&issuer).await;
    assert!(world.call(&issuer.good_token()).await.is_ok());
    assert_eq!(world.directory.requests(), 1);

    let forged = async || refused(world.call(&forger.good_token()).await);
    assert_eq!(forged().await, Refusal::WrongCurve);
    assert_eq!(forged().await, Refusal::WrongCurve);
    assert_eq!(world.directory.requests(), 2);
    world.clock.advance(Duration::from_millis(59_999));
    assert_eq!(forged().await, Refusal::WrongCurve);
    assert_eq!(world.directory.requests(), 2);
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(forged().await, Refusal::WrongCurve);
    assert_eq!(world.directory.requests(), 3);
    assert!(world.call(&issuer.good_token()).await.is_ok());
}

/// An owner who has just changed the key is not locked out by forged tokens from elsewhere.
#[tokio::test]
async fn forged_tokens_leave_the_owner_its_look_up() {
    let old = Issuer::plc(Signer::k256(1));
    let forger = Issuer::plc(Signer::k256(2));
    let new = Issuer::plc(Signer::k256(3));
    let world = World::knowing(&old).await;
    assert!(world.call_from(1, &old.good_token()).await.is_ok());
    assert_eq!(refused(world.call_from(2, &forger.good_token()).await), Refusal::BadSignature);
    world.publish(&new);
    assert_eq!(world.directory.requests(), 2);

    // All addresses together wait for five seconds.
    world.clock.advance(Duration::from_millis(4_999));
    assert_eq!(refused(world.call_from(2, &forger.good_token()).await), Refusal::BadSignature);
    assert_eq!(refused(world.call_from(1, &new.good_token()).await), Refusal::BadSignature);
    assert_eq!(world.directory.requests(), 2);
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(refused(world.call_from(2, &forger.good_token()).await), Refusal::BadSignature);
    assert_eq!(world.directory.requests(), 2);
    assert!(world.call_from(1, &new.good_token()).await.is_ok());
    assert_eq!(world.directory.requests(), 3);
}

#[tokio::test]
async fn a_bad_signature_while_the_directory_is_down() {
    let issuer = Issuer::plc(Signer::k256(1));
    let forger = Issuer::plc(Signer::k256(2));
    let world = World::knowing(&issuer).await;
    assert!(world.call(&issuer.good_token()).await.is_ok());
    world.directory.stop().await;
    assert_eq!(refused(world.call(&forger.good_token()).await), Refusal::BadSignature);
    assert!(world.call(&issuer.good_token()).await.is_ok());
}
