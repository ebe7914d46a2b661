//! Who the caller is (docs/methods.md, "Service auth"), through the real pair with a PLC directory on
//! loopback. What takes hours of a cache is tested beside the code, on a clock that tests move.
//!
//! | rule | tests |
//! | --- | --- |
//! | scheme | `service_auth::accepted_tokens`, `service_auth::refused_tokens` |
//! | algorithms, signature, `typ`, `kid` | `service_auth::accepted_tokens`, `service_auth::refused_tokens`, `gateway: auth::tests::keys::low_and_high_s`, `gateway: auth::key::tests::known_signatures` |
//! | `iss` | `service_auth::refused_tokens`, `gateway: auth::did::tests::callers`, `gateway: auth::did::tests::everything_else_is_refused` |
//! | `aud` | `service_auth::accepted_tokens`, `service_auth::refused_tokens`, `service_auth::own_audience` |
//! | `lxm` | `service_auth::refused_tokens`, `service_auth::token_seen_before_is_still_bound_to_its_method`, `conformance::caller_must_be_known` |
//! | `exp`, `iat` | `service_auth::accepted_tokens`, `service_auth::refused_tokens`, `gateway: auth::tests::refusals::expiry_and_its_leeway`, `gateway: auth::tests::refusals::issued_at_is_never_a_reason` |
//! | all claims, on every call, before any look-up | `service_auth::refused_tokens`, `gateway: auth::tests::keys::claims_are_checked_beside_a_remembered_verdict`, `gateway: auth::tests::keys::remembered_verdict_ends_with_the_key` |
//! | the key | `service_auth::keys_of_the_older_types`, `gateway: auth::tests::keys::every_key_type`, `gateway: auth::document::tests::relative_and_absolute_ids`, `gateway: auth::document::tests::other_methods_do_not_count` |
//! | did:web | `service_auth::did_web_over_http_on_localhost_alone`, `gateway: auth::tests::web::plain_http_is_for_localhost_alone`, `gateway: auth::tests::web::redirect`, `gateway: auth::tests::web::oversized`, `gateway: auth::tests::web::slow`, `gateway: auth::tests::web::another_did` |
//! | cache | `service_auth::look_up_is_shared_and_kept`, `service_auth::unknown_did`, `service_auth::forged_token_before_its_owner_is_registered`, `gateway: auth::identity::tests::freshness::fresh_for_an_hour`, `gateway: auth::identity::tests::freshness::old_key_serves_while_it_is_refreshed`, `gateway: auth::identity::tests::freshness::old_key_serves_for_a_day_while_the_directory_is_down`, `gateway: auth::identity::tests::freshness::not_found_is_asked_again_once_and_then_every_five_seconds` |
//! | forged tokens and invented DIDs | `service_auth::forged_tokens_do_not_drive_the_directory`, `gateway: auth::tests::keys::forged_tokens_force_one_look_up_a_minute`, `gateway: auth::identity::tests::budget::look_ups_in_the_directory`, `gateway: auth::identity::tests::budget::look_ups_at_one_host` |
//! | keys that rotate | `service_auth::key_that_rotated_to_the_other_curve`, `gateway: auth::tests::keys::rotation_is_picked_up` |
//! | failures are 401 and say why | `service_auth::refused_tokens` |
//! | directory away | `service_auth::directory_down`, `service_auth::directory_that_lies`, `gateway: auth::identity::tests::failures::statuses` |
//! | did:web in trouble | `service_auth::did_web_that_fails_is_the_callers`, `gateway: auth::identity::tests::failures::web_host_in_trouble_later` |

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::answer::{Answer, error};
use crate::harness::database::Kind;
use crate::harness::directory::{Directory, Reply};
use crate::harness::identity::{Identity, Key, document, unix_seconds};
use crate::harness::stack::{CREATE_SECRET, LIST_SECRETS, SERVICE, Setup, Stack};
use crate::harness::table::Table;

/// A DID that is not in the directory at first.
const CAROL: &str = "did:plc:carol2222222222222222222";
/// Where a did:web host has its document.
const WEB_DOCUMENT: &str = ".well-known/did.json";
const BAD_SIGNATURE: &str = "bad signature: it was not made with the #atproto key of the issuer";
const WRONG_ISSUER: &str = "the iss of the token must be a bare did:plc or did:web";
const WRONG_AUDIENCE: &str = "wrong audience: the aud of the token must be did:web:hooks.example, \
                              did:web:hooks.example#wisp_place or did:web:hooks.example#streamplace";
const WRONG_METHOD: &str = "wrong method: the lxm of the token is not the method called";

/// Calls a query with this `Authorization` header.
async fn call_with(stack: &Stack, authorization: Option<&str>) -> Answer {
    let request = stack.request(http::Method::GET, &format!("/xrpc/{LIST_SECRETS}"));
    stack
        .send(
            authorization.into_iter().fold(request, |request, value| request.header("authorization", value)),
        )
        .await
}

/// Calls it with this token.
async fn call(stack: &Stack, token: &str) -> Answer {
    call_with(stack, Some(&format!("Bearer {token}"))).await
}

/// Calls it as `caller`, with a good token.
async fn call_as(stack: &Stack, caller: &Identity) -> Answer {
    call(stack, &caller.token(SERVICE, LIST_SECRETS)).await
}

/// Asserts that the caller is refused with this message.
fn refused(answer: &Answer, message: &str) {
    assert_eq!(answer.whole(), error(401, "AuthenticationRequired", message));
}

/// Good claims with another value for one, or without it.
fn claims(caller: &Identity, name: &str, value: Value) -> Value {
    let mut claims = caller.claims(SERVICE, LIST_SECRETS);
    match value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
        value => claims[name] = value,
    }
    claims
}

/// The local did:web whose host is the directory.
fn on_localhost(directory: &Directory) -> Identity {
    let port = directory.url().rsplit(':').next().unwrap();
    Identity::new(format!("did:web:localhost%3A{port}"), Key::k256())
}

#[tokio::test]
async fn accepted_tokens() {
    let stack = Stack::start(Kind::Sqlite).await;
    let (mut table, now, alice) = (Table::default(), unix_seconds(), &stack.alice);
    let good = alice.token(SERVICE, LIST_SECRETS);
    let mut cases: Vec<(String, String)> = Vec::new();
    for scheme in ["bearer", "BEARER", "Bearer"] {
        cases.push((format!("scheme {scheme}"), format!("{scheme} {good}")));
    }
    // A PDS signs with the account's key, for the service as the client named it in atproto-proxy.
    let bob = stack.newcomer("did:plc:zzz22222222222222222222z", Key::p256());
    for audience in ["", "#wisp_place", "#streamplace"] {
        for caller in [alice, &bob] {
            let token = caller.token(&format!("{SERVICE}{audience}"), LIST_SECRETS);
            cases.push((format!("{} {audience}", caller.key.algorithm()), format!("Bearer {token}")));
        }
    }
    for header in [json!({ "alg": "ES256K" }), json!({ "alg": "ES256K", "kid": "#atproto" })] {
        let token = alice.sign_with(&header, &alice.claims(SERVICE, LIST_SECRETS));
        cases.push((header.to_string(), format!("Bearer {token}")));
    }
    for (name, value) in [
        ("exp", json!(now - 20)),
        ("exp", json!(now + 3600)),
        ("iat", json!(0)),
        ("iat", json!(now + 100_000)),
        ("iat", Value::Null),
    ] {
        let token = alice.sign(&claims(alice, name, value.clone()));
        cases.push((format!("{name} {value}"), format!("Bearer {token}")));
    }
    for (case, authorization) in cases {
        let answer = call_with(&stack, Some(&authorization)).await;
        table.check(case, answer.whole(), (200, r#"{"secrets":[]}"#.to_owned()));
    }
    table.finish();
}

/// Each case breaks one rule.
#[tokio::test]
async fn refused_tokens() {
    let stack = Stack::start(Kind::Sqlite).await;
    let (now, alice) = (unix_seconds(), &stack.alice);
    let good = alice.token(SERVICE, LIST_SECRETS);
    let with = |name: &str, value: Value| alice.sign(&claims(alice, name, value));
    let header = |header: Value| alice.sign_with(&header, &alice.claims(SERVICE, LIST_SECRETS));
    let mut cases: Vec<(String, Option<String>, &str)> =
        vec![("no header".to_owned(), None, "a service-auth token is needed: Authorization: Bearer <JWT>")];
    let mut case = |name: &str, authorization: String, message| {
        cases.push((name.to_owned(), Some(authorization), message));
    };
    let bearer = |token: &str| format!("Bearer {token}");
    let not_a_jwt = "the token is not a JWT: three parts of base64url without padding";
    case("another scheme", "Basic YTpi".to_owned(), "the Authorization header is not of the Bearer scheme");
    for value in ["Bearer", "Bearer "] {
        case(value, value.to_owned(), "a service-auth token is needed: Authorization: Bearer <JWT>");
    }
    for value in ["a b", "x.y"] {
        case(value, bearer(value), not_a_jwt);
    }
    for algorithm in ["none", "HS256", "ES384", "es256k", ""] {
        let token = header(json!({ "typ": "JWT", "alg": algorithm }));
        case(&format!("alg {algorithm}"), bearer(&token), "the alg of the token must be ES256K or ES256");
    }
    case("no alg", bearer(&header(json!({}))), "the token has no alg");
    for kind in [json!("at+jwt"), json!("dpop+jwt"), json!("refresh+jwt"), Value::Null] {
        let token = header(json!({ "typ": kind, "alg": "ES256K" }));
        case(&format!("typ {kind}"), bearer(&token), "the typ of the token must be JWT or absent");
    }
    let token = header(json!({ "alg": "ES256K", "kid": "#other" }));
    case("another kid", bearer(&token), "the kid of the token must be #atproto or absent");
    case("expired", bearer(&with("exp", json!(now - 35))), "the token has expired");
    case(
        "far ahead",
        bearer(&with("exp", json!(now + 3640))),
        "the exp of the token is more than one hour ahead",
    );
    case("no exp", bearer(&with("exp", Value::Null)), "the token has no exp");
    let near = format!("{SERVICE}#other");
    for audience in ["did:web:elsewhere.example", &near, "", "did:web:hooks.example/"] {
        case(&format!("aud {audience}"), bearer(&with("aud", json!(audience))), WRONG_AUDIENCE);
    }
    case("another method", bearer(&with("lxm", json!(CREATE_SECRET))), WRONG_METHOD);
    case("no lxm", bearer(&with("lxm", Value::Null)), "the token has no lxm");
    let labeler = format!("{}#atproto_labeler", alice.did);
    for issuer in ["did:key:zabc", "did:plc:", "alice", "did:web:a.example:user", &labeler] {
        case(&format!("iss {issuer}"), bearer(&with("iss", json!(issuer))), WRONG_ISSUER);
    }
    case(
        "in DER",
        bearer(&alice.token_in_der(SERVICE, LIST_SECRETS)),
        "the signature of the token is in DER form: 64 bytes in JOSE form are needed",
    );
    let (signed, signature) = good.rsplit_once('.').unwrap();
    case("no signature", bearer(&format!("{signed}.")), "the signature of the token is not 64 bytes long");
    let mut table = Table::default();
    check(&stack, &mut table, &cases).await;
    table.check("look-ups", stack.directory.lookups(&alice.did), 0);

    // These need the key.
    let impostor = Identity::new(alice.did.clone(), Key::k256());
    let other_claims = URL_SAFE_NO_PAD.encode(claims(alice, "jti", json!("other")).to_string());
    let (first, _) = signed.split_once('.').unwrap();
    let cases = [
        ("another key", impostor.token(SERVICE, LIST_SECRETS), BAD_SIGNATURE),
        ("other claims", format!("{first}.{other_claims}.{signature}"), BAD_SIGNATURE),
        ("zeros", format!("{signed}.{}", URL_SAFE_NO_PAD.encode([0_u8; 64])), BAD_SIGNATURE),
        (
            "another curve",
            header(json!({ "typ": "JWT", "alg": "ES256" })),
            "the alg of the token does not fit the #atproto key of the issuer",
        ),
    ];
    let cases = cases.map(|(name, token, message)| (name.to_owned(), Some(bearer(&token)), message));
    check(&stack, &mut table, &cases).await;
    table.finish();
}

async fn check(stack: &Stack, table: &mut Table, cases: &[(String, Option<String>, &str)]) {
    for (case, authorization, message) in cases {
        let answer = call_with(stack, authorization.as_deref()).await;
        // Without a token there is no error code (RFC 6750, section 3).
        let has_token = authorization.as_ref().is_some_and(|value| value.trim_end().starts_with("Bearer "));
        let code = if has_token { "error=\"invalid_token\", " } else { "" };
        let challenge = format!("Bearer {code}error_description=\"{message}\"");
        table.check(
            case,
            (answer.whole(), answer.header("www-authenticate")),
            (error(401, "AuthenticationRequired", message), challenge.as_str()),
        );
    }
}

#[tokio::test]
async fn own_audience() {
    let setup = Setup::on(Kind::Sqlite)
        .gateway("--audience", "did:web:a.example,did:web:b.example#x")
        .gateway("--service-did", "did:web:b.example");
    let stack = setup.start().await;
    let wrong = "wrong audience: the aud of the token must be did:web:a.example or did:web:b.example#x";
    refused(&call_as(&stack, &stack.alice).await, wrong);
    call(&stack, &stack.alice.token("did:web:b.example#x", LIST_SECRETS)).await.ok();
}

#[tokio::test]
async fn token_seen_before_is_still_bound_to_its_method() {
    let stack = Stack::start(Kind::Sqlite).await;
    let token = stack.alice.token(SERVICE, LIST_SECRETS);
    for _ in 0..2 {
        call(&stack, &token).await.ok();
    }
    refused(&stack.call_with(&token, CREATE_SECRET, &json!({ "name": "a" })).await, WRONG_METHOD);
}

#[tokio::test]
async fn unknown_did() {
    let stack = Stack::start(Kind::Sqlite).await;
    let carol = Identity::new(CAROL, Key::k256());
    for _ in 0..3 {
        refused(&call_as(&stack, &carol).await, "the DID of the issuer is not known to its directory");
    }
    assert_eq!(stack.directory.lookups(CAROL), 2, "not found is asked again once, and then remembered");
}

#[tokio::test]
async fn forged_token_before_its_owner_is_registered() {
    let stack = Stack::start(Kind::Sqlite).await;
    let forger = Identity::new(CAROL, Key::k256());
    refused(&call_as(&stack, &forger).await, "the DID of the issuer is not known to its directory");
    let carol = stack.newcomer(CAROL, Key::k256());
    call_as(&stack, &carol).await.ok();
}

#[tokio::test]
async fn directory_down() {
    let stack = Stack::start(Kind::Sqlite).await;
    let carol = Identity::new(CAROL, Key::k256());
    for reply in [Reply::Status(500), Reply::Status(503), Reply::Status(429), Reply::Nothing] {
        stack.directory.set(CAROL, reply);
        call_as(&stack, &carol).await.error(502, "UpstreamFailure");
    }
    // Nobody listens there.
    let away = Setup::on(Kind::Sqlite).gateway("--plc-url", "http://127.0.0.1:9").start().await;
    call_as(&away, &away.alice).await.error(502, "UpstreamFailure");
}

#[tokio::test]
async fn directory_that_lies() {
    let stack = Stack::start(Kind::Sqlite).await;
    let mallory = Identity::new("did:plc:mallory22222222222222222", Key::k256());
    let as_alice = Identity::new(stack.alice.did.clone(), Key::k256()).document();
    let elsewhere = format!("{}/{}", stack.directory.url(), stack.alice.did);
    for reply in
        [Reply::Document(as_alice), Reply::RedirectTo(elsewhere), Reply::TooMuch, Reply::Document(json!([]))]
    {
        stack.directory.set(&mallory.did, reply);
        call_as(&stack, &mallory).await.error(502, "UpstreamFailure");
    }
    call_as(&stack, &stack.alice).await.ok();
}

#[tokio::test]
async fn look_up_is_shared_and_kept() {
    let stack = Stack::start(Kind::Sqlite).await;
    for answer in join_all((0..20).map(|_| call_as(&stack, &stack.alice))).await {
        answer.ok();
    }
    assert_eq!(stack.directory.lookups(&stack.alice.did), 1);
}

#[tokio::test]
async fn key_that_rotated_to_the_other_curve() {
    let stack = Stack::start(Kind::Sqlite).await;
    call_as(&stack, &stack.alice).await.ok();
    let rotated = Identity::new(stack.alice.did.clone(), Key::p256());
    stack.directory.set(&rotated.did, Reply::Document(rotated.document()));
    call_as(&stack, &rotated).await.ok();
    assert_eq!(stack.directory.lookups(&rotated.did), 2);
    // The old key is refused, and the directory is not asked again so soon.
    let answer = call_as(&stack, &stack.alice).await;
    refused(&answer, "the alg of the token does not fit the #atproto key of the issuer");
    assert_eq!(stack.directory.lookups(&rotated.did), 2);
}

#[tokio::test]
async fn forged_tokens_do_not_drive_the_directory() {
    let stack = Stack::start(Kind::Sqlite).await;
    call_as(&stack, &stack.alice).await.ok();
    for _ in 0..10 {
        let impostor = Identity::new(stack.alice.did.clone(), Key::k256());
        refused(&call_as(&stack, &impostor).await, BAD_SIGNATURE);
    }
    assert_eq!(stack.directory.lookups(&stack.alice.did), 2, "one look-up and one refresh");
    call_as(&stack, &stack.alice).await.ok();
}

#[tokio::test]
async fn keys_of_the_older_types() {
    let stack = Stack::start(Kind::Sqlite).await;
    for (number, kind, key) in [
        (1, "EcdsaSecp256k1VerificationKey2019", Key::k256()),
        (2, "EcdsaSecp256r1VerificationKey2019", Key::p256()),
    ] {
        let caller = Identity::new(format!("did:plc:old{number}22222222222222222222"), key);
        let mut older = document(&caller.did, "");
        let method = &mut older["verificationMethod"][0];
        method["type"] = json!(kind);
        method["id"] = json!("#atproto");
        let multibase = format!("z{}", bs58::encode(caller.key.uncompressed()).into_string());
        method["publicKeyMultibase"] = json!(multibase);
        stack.directory.set(&caller.did, Reply::Document(older));
        call_as(&stack, &caller).await.ok();
    }
}

#[tokio::test]
async fn documents_of_a_folder_come_first() {
    let folder = tempfile::tempdir().unwrap();
    let dave = Identity::new("did:web:dave.invalid", Key::p256());
    std::fs::write(folder.path().join("anything.json"), dave.document().to_string()).unwrap();
    let path = folder.path().display().to_string();
    let stack = Setup::on(Kind::Sqlite).gateway("--did-documents", &path).start().await;
    call_as(&stack, &dave).await.ok();
    call_as(&stack, &stack.alice).await.ok();
}

#[tokio::test]
async fn did_web_over_http_on_localhost_alone() {
    let stack = Setup::on(Kind::Sqlite).gateway("--allow-private-ranges", "127.0.0.0/8").start().await;
    let local = on_localhost(&stack.directory);
    stack.directory.set(WEB_DOCUMENT, Reply::Document(local.document()));
    call_as(&stack, &local).await.ok();

    let guarded = Stack::start(Kind::Sqlite).await;
    let local = on_localhost(&guarded.directory);
    guarded.directory.set(WEB_DOCUMENT, Reply::Document(local.document()));
    refused(
        &call_as(&guarded, &local).await,
        "the DID document of the issuer could not be fetched from its host",
    );
    assert_eq!(guarded.directory.lookups(WEB_DOCUMENT), 0);
}

#[tokio::test]
async fn did_web_that_fails_is_the_callers() {
    let stack = Setup::on(Kind::Sqlite).gateway("--allow-private-ranges", "127.0.0.0/8").start().await;
    stack.directory.set(WEB_DOCUMENT, Reply::Status(503));
    let answer = call_as(&stack, &on_localhost(&stack.directory)).await;
    refused(&answer, "the host of the issuer's DID document does not answer with 200");
    for did in ["did:web:nowhere.invalid", "did:web:printer.local"] {
        let answer = call_as(&stack, &Identity::new(did, Key::k256())).await;
        refused(&answer, "the DID document of the issuer could not be fetched from its host");
    }
}
