//! Each rule for tokens, with a token that breaks only that one.

use http::HeaderMap;
use http::header::AUTHORIZATION;
use serde_json::{Value, json};

use super::issuer::{Issuer, NOW_S, NSID, SERVICE, Signer};
use super::{World, bearer, client, refused};
use crate::auth::error::AuthError;
use crate::auth::refusal::Refusal;

fn issuer() -> Issuer {
    Issuer::plc(Signer::k256(1))
}

async fn refusal_of(claims: impl Fn(&Issuer) -> Value) -> Refusal {
    let issuer = issuer();
    let world = World::knowing(&issuer).await;
    let refusal = world.refusal(&issuer, &claims(&issuer)).await;
    assert_eq!(world.directory.requests(), 0, "claims are checked before any look-up");
    refusal
}

async fn refusal_of_header(header: Value) -> Refusal {
    let issuer = issuer();
    let world = World::knowing(&issuer).await;
    let refusal = refused(world.call(&issuer.token_with_header(&header)).await);
    assert_eq!(world.directory.requests(), 0, "the header is checked before any look-up");
    refusal
}

async fn refusal_of_headers(headers: &HeaderMap) -> Refusal {
    let world = World::new().await;
    match world.authenticator.authenticate(headers, NSID, client(1)).await {
        Err(AuthError::Refused(refusal)) => refusal,
        other => panic!("expected a refusal: {other:?}"),
    }
}

#[tokio::test]
async fn good_token() {
    let issuer = issuer();
    let world = World::knowing(&issuer).await;
    assert_eq!(world.call(&issuer.good_token()).await.unwrap(), issuer.did());
}

#[tokio::test]
async fn scheme_in_any_case() {
    let issuer = issuer();
    let world = World::knowing(&issuer).await;
    for scheme in ["bearer", "BEARER", "bEaReR "] {
        let value = format!("{scheme} {}", issuer.good_token());
        let headers = HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())]);
        assert!(world.authenticator.authenticate(&headers, NSID, client(1)).await.is_ok());
    }
}

#[tokio::test]
async fn no_token() {
    assert_eq!(refusal_of_headers(&HeaderMap::new()).await, Refusal::MissingToken);
    assert_eq!(refusal_of_headers(&bearer("")).await, Refusal::MissingToken);
}

#[tokio::test]
async fn two_headers() {
    let mut headers = bearer("a.b.c");
    headers.append(AUTHORIZATION, "Bearer a.b.c".parse().unwrap());
    assert_eq!(refusal_of_headers(&headers).await, Refusal::SeveralHeaders);
}

#[tokio::test]
async fn another_scheme() {
    for value in ["Basic dXNlcjpwYXNz", "DPoP a.b.c", "a.b.c"] {
        let headers = HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())]);
        assert_eq!(refusal_of_headers(&headers).await, Refusal::NotBearer);
    }
}

#[tokio::test]
async fn too_long() {
    assert_eq!(refusal_of_headers(&bearer(&"a".repeat(8 * 1024 + 1))).await, Refusal::TooLong(8 * 1024));
    assert_eq!(refusal_of_headers(&bearer(&"a".repeat(8 * 1024))).await, Refusal::NotAJwt);
}

#[tokio::test]
async fn other_audience() {
    for audience in ["did:web:other.example.com", "", "did:web:hooks.example.com#streamplace"] {
        let refusal = refusal_of(|issuer| issuer.claims_with("aud", json!(audience))).await;
        let taken = format!("{SERVICE} or {SERVICE}#wisp_place");
        assert_eq!(refusal, Refusal::WrongAudience(taken.into()));
    }
    let refusal = refusal_of(|issuer| issuer.claims_without("aud")).await;
    assert_eq!(refusal, Refusal::Missing("aud"));
    let refusal = refusal_of(|issuer| issuer.claims_with("aud", json!([SERVICE]))).await;
    assert_eq!(refusal, Refusal::NotText("aud"));
}

#[tokio::test]
async fn audience_with_service_id() {
    let issuer = issuer();
    let world = World::knowing(&issuer).await;
    let claims = issuer.claims_with("aud", json!(format!("{SERVICE}#wisp_place")));
    assert!(world.call(&issuer.token(&claims)).await.is_ok());
}

#[tokio::test]
async fn other_method() {
    for method in ["com.example.hooks.delete", "*", "", "com.example.hooks.List"] {
        let refusal = refusal_of(|issuer| issuer.claims_with("lxm", json!(method))).await;
        assert_eq!(refusal, Refusal::WrongMethod);
    }
    let refusal = refusal_of(|issuer| issuer.claims_without("lxm")).await;
    assert_eq!(refusal, Refusal::Missing("lxm"));
}

#[tokio::test]
async fn other_issuers() {
    for did in ["did:plc:7iza6de2dwap2sbkpav7c6c6#atproto_labeler", "did:web:example.com:alice", "did:key:z"]
    {
        let refusal = refusal_of(|issuer| issuer.claims_with("iss", json!(did))).await;
        assert_eq!(refusal, Refusal::WrongIssuer);
    }
    let refusal = refusal_of(|issuer| issuer.claims_without("iss")).await;
    assert_eq!(refusal, Refusal::Missing("iss"));
}

#[tokio::test]
async fn expiry_and_its_leeway() {
    let issuer = issuer();
    let world = World::knowing(&issuer).await;
    for (expires, expected) in [
        (NOW_S - 30, None),
        (NOW_S - 31, Some(Refusal::Expired)),
        (i64::MIN, Some(Refusal::Expired)),
        (NOW_S + 3_630, None),
        (NOW_S + 3_631, Some(Refusal::TooFarAhead)),
        (i64::MAX, Some(Refusal::TooFarAhead)),
    ] {
        let claims = issuer.claims_with("exp", json!(expires));
        let answer = world.call(&issuer.token(&claims)).await;
        assert_eq!(answer.err().map(|error| refused(Err(error))), expected, "{expires}");
    }
}

#[tokio::test]
async fn expiry_with_a_fraction() {
    let issuer = issuer();
    let world = World::knowing(&issuer).await;
    for (expires, expected) in [
        ("1800000059.5", None),
        ("1.80000006e9", None),
        ("1799999969.75", Some(Refusal::Expired)),
        ("-0.5", Some(Refusal::Expired)),
        ("-1e300", Some(Refusal::Expired)),
        ("1800003631.5", Some(Refusal::TooFarAhead)),
        ("1e300", Some(Refusal::TooFarAhead)),
    ] {
        let expires: Value = serde_json::from_str(expires).unwrap();
        let claims = issuer.claims_with("exp", expires.clone());
        let answer = world.call(&issuer.token(&claims)).await;
        assert_eq!(answer.err().map(|error| refused(Err(error))), expected, "{expires}");
    }
}

#[tokio::test]
async fn expiry_that_is_no_number() {
    let refusal = refusal_of(|issuer| issuer.claims_without("exp")).await;
    assert_eq!(refusal, Refusal::Missing("exp"));
    for expires in [json!("1800000060"), json!(null), json!(true), json!([1_800_000_060])] {
        let refusal = refusal_of(|issuer| issuer.claims_with("exp", expires.clone())).await;
        assert_eq!(refusal, Refusal::NotNumber("exp"));
    }
    let refusal = refusal_of(|issuer| issuer.claims_with("exp", json!(u64::MAX))).await;
    assert_eq!(refusal, Refusal::TooFarAhead);
}

#[tokio::test]
async fn not_before() {
    let issuer = issuer();
    let world = World::knowing(&issuer).await;
    let claims = issuer.claims_with("nbf", json!(NOW_S + 30));
    assert!(world.call(&issuer.token(&claims)).await.is_ok());
    let claims = issuer.claims_with("nbf", json!(NOW_S + 31));
    assert_eq!(world.refusal(&issuer, &claims).await, Refusal::NotYetValid);
    let claims = issuer.claims_with("nbf", json!("soon"));
    assert_eq!(world.refusal(&issuer, &claims).await, Refusal::NotNumber("nbf"));
}

#[tokio::test]
async fn issued_at_is_never_a_reason() {
    let issuer = issuer();
    let world = World::knowing(&issuer).await;
    for issued in [json!(NOW_S + 86_400), json!(0), json!("yesterday"), json!(null)] {
        let claims = issuer.claims_with("iat", issued);
        assert!(world.call(&issuer.token(&claims)).await.is_ok());
    }
    assert!(world.call(&issuer.token(&issuer.claims_without("iat"))).await.is_ok());
}

#[tokio::test]
async fn other_algorithms() {
    for algorithm in ["none", "HS256", "ES384", "es256k", ""] {
        let refusal = refusal_of_header(json!({ "alg": algorithm })).await;
        assert_eq!(refusal, Refusal::WrongAlgorithm);
    }
    assert_eq!(refusal_of_header(json!({ "typ": "JWT" })).await, Refusal::Missing("alg"));
    assert_eq!(refusal_of_header(json!({ "alg": null })).await, Refusal::NotText("alg"));
}

#[tokio::test]
async fn type_and_key_id() {
    for kind in [json!("at+jwt"), json!("dpop+jwt"), json!("refresh+jwt"), json!(""), json!(null)] {
        assert_eq!(refusal_of_header(json!({ "alg": "ES256K", "typ": kind })).await, Refusal::WrongType);
    }
    for id in [json!("#atproto_label"), json!("atproto"), json!("did:plc:a#atproto"), json!(null)] {
        assert_eq!(refusal_of_header(json!({ "alg": "ES256K", "kid": id })).await, Refusal::WrongKeyId);
    }
    let extended = json!({ "alg": "ES256K", "crit": ["b64"], "b64": false });
    assert_eq!(refusal_of_header(extended).await, Refusal::CriticalExtension);

    let issuer = issuer();
    let world = World::knowing(&issuer).await;
    for header in [json!({ "alg": "ES256K" }), json!({ "alg": "ES256K", "typ": "JWT", "kid": "#atproto" })] {
        assert!(world.call(&issuer.token_with_header(&header)).await.is_ok());
    }
}

#[tokio::test]
async fn forged() {
    let issuer = issuer();
    let world = World::knowing(&issuer).await;
    let forger = Issuer::plc(Signer::k256(2));
    assert_eq!(refused(world.call(&forger.good_token()).await), Refusal::BadSignature);

    let (good, changed) =
        (issuer.good_token(), issuer.token(&issuer.claims_with("jti", json!("another token"))));
    let (signed, _) = changed.rsplit_once('.').unwrap();
    let (_, signature) = good.rsplit_once('.').unwrap();
    assert_eq!(refused(world.call(&format!("{signed}.{signature}")).await), Refusal::BadSignature);

    for byte in [0, 0xff] {
        let token = issuer.resigned(|_| vec![byte; 64]);
        assert_eq!(refused(world.call(&token).await), Refusal::BadSignature);
    }
}
