//! Who the caller is (METHODS.md, "Service auth"), through the real pair with a PLC directory on loopback. The rules of
//! the cache over hours are tested beside the code, on a clock that is moved by hand (`gateway/src/auth/`).
//!
//! | rule | tests |
//! | --- | --- |
//! | scheme | `proxied_by_a_pds`, `scheme_in_any_case`, `no_token` |
//! | algorithms, signature, `typ`, `kid` | `proxied_by_a_pds`, `signature_in_der`, `algorithms_that_are_not_taken`, `bare_header`, `forged`, `low_and_high_s`, `known_signatures` |
//! | `iss` | `issuers_that_are_not_taken`, `callers`, `everything_else_is_refused` |
//! | `aud` | `proxied_by_a_pds`, `wrong_audience`, `own_audience` |
//! | `lxm` | `token_of_another_method`, `token_seen_before_is_still_bound_to_its_method` |
//! | `exp`, `iat` | `times`, `expiry_and_its_leeway`, `issued_at_is_never_a_reason` |
//! | all claims, on every call, before any look-up | `issuers_that_are_not_taken`, `claims_are_checked_beside_a_remembered_verdict`, `remembered_verdict_ends_with_the_key` |
//! | the key | `keys_of_the_older_types`, `every_key_type`, `relative_and_absolute_ids`, `other_methods_do_not_count` |
//! | did:web | `did_web_over_http_on_localhost_alone`, `plain_http_is_for_localhost_alone`, `redirect`, `oversized`, `slow`, `another_did` |
//! | cache | `look_up_is_shared_and_kept`, `fresh_for_an_hour`, `old_key_serves_while_it_is_refreshed`, `old_key_serves_for_a_day_while_the_directory_is_down`, `unknown_did`, `not_found_is_believed_for_a_minute` |
//! | forged tokens and invented DIDs | `forged_tokens_do_not_drive_the_directory`, `forged_tokens_force_one_look_up_a_minute`, `look_ups_in_the_directory`, `look_ups_at_one_host` |
//! | keys that rotate | `key_that_rotated_to_the_other_curve`, `rotation_is_picked_up` |
//! | failures are 401 and say why | `refused` in each test here |
//! | directory away | `directory_down`, `directory_that_hangs`, `directory_that_lies`, `statuses` |
//! | did:web in trouble | `did_web_that_fails_is_the_callers`, `web_host_in_trouble_later` |

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::database::Kind;
use crate::harness::directory::Says;
use crate::harness::identity::{Identity, Key, document, unix_seconds};
use crate::harness::on_both;
use crate::harness::stack::{Answer, CREATE_SECRET, CREATE_WEBHOOK, SERVICE, Setup, Stack};

async fn call(stack: &Stack, token: &str) -> Answer {
    stack.call_with(token, CREATE_SECRET, &json!({ "name": "a" })).await
}

/// Asserts that `token` is refused, and that message and challenge say so with `words`.
async fn refused(stack: &Stack, token: &str, words: &str) {
    let answer = call(stack, token).await;
    let message = answer.error(401, "AuthenticationRequired");
    assert!(message.to_lowercase().contains(words), "{words:?} is not in {message:?}");
    let challenge = answer.headers["www-authenticate"].to_str().unwrap();
    assert!(challenge.starts_with("Bearer") && challenge.contains("error_description"), "{challenge}");
    assert!(challenge.to_lowercase().contains(words), "{words:?} is not in {challenge:?}");
    assert!(!answer.body.contains(token), "the answer repeats the token");
}

fn claims_with(identity: &Identity, field: &str, value: Value) -> Value {
    let mut claims = identity.claims(SERVICE, CREATE_SECRET);
    claims[field] = value;
    claims
}

on_both! {
    proxied_by_a_pds, scheme_in_any_case, no_token, forged, signature_in_der, algorithms_that_are_not_taken,
    bare_header, times, wrong_audience, own_audience, token_of_another_method,
    token_seen_before_is_still_bound_to_its_method, issuers_that_are_not_taken, unknown_did, directory_down,
    directory_that_hangs, directory_that_lies, look_up_is_shared_and_kept,
    key_that_rotated_to_the_other_curve, forged_tokens_do_not_drive_the_directory, keys_of_the_older_types,
    documents_of_a_folder_come_first, did_web_over_http_on_localhost_alone, did_web_that_fails_is_the_callers
}

async fn proxied_by_a_pds(on: Kind) {
    let stack = Stack::start(on).await;
    // A PDS signs with the account's key, for the service as the client named it in atproto-proxy.
    for (number, audience) in ["", "#wisp_place", "#streamplace"].iter().enumerate() {
        for key in [Key::k256(), Key::p256()] {
            let did = format!(
                "did:plc:{}{}22222222222222222222",
                ["a", "b", "c"][number],
                key.algorithm().to_lowercase().replace("es256", "z")
            );
            let caller = stack.newcomer(&did, key);
            let token = caller.token(&format!("{SERVICE}{audience}"), CREATE_SECRET);
            call(&stack, &token).await.ok();
        }
    }
}

async fn scheme_in_any_case(on: Kind) {
    let stack = Stack::start(on).await;
    for (number, scheme) in ["bearer", "BEARER", "Bearer"].iter().enumerate() {
        let token = stack.alice.token(SERVICE, CREATE_SECRET);
        let request = stack.post(CREATE_SECRET).header("authorization", format!("{scheme} {token}"));
        stack.send(request.json(&json!({ "name": format!("n{number}") }))).await.ok();
    }
}

async fn no_token(on: Kind) {
    let stack = Stack::start(on).await;
    for value in
        [None, Some("Basic YTpi"), Some("Bearer"), Some("Bearer "), Some("Bearer a b"), Some("Bearer x.y")]
    {
        let mut request = stack.post(CREATE_SECRET).json(&json!({ "name": "a" }));
        if let Some(value) = value {
            request = request.header("authorization", value);
        }
        let answer = stack.send(request).await;
        answer.error(401, "AuthenticationRequired");
        assert!(answer.headers["www-authenticate"].to_str().unwrap().starts_with("Bearer"), "{value:?}");
    }
}

async fn forged(on: Kind) {
    let stack = Stack::start(on).await;
    let impostor = Identity::new(stack.alice.did.clone(), Key::k256());
    refused(&stack, &impostor.token(SERVICE, CREATE_SECRET), "signature").await;
    let good = stack.alice.token(SERVICE, CREATE_SECRET);
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let claims = URL_SAFE_NO_PAD.encode(claims_with(&stack.alice, "jti", json!("other")).to_string());
    let header = signed.split('.').next().unwrap();
    refused(&stack, &format!("{header}.{claims}.{signature}"), "signature").await;
    refused(&stack, &format!("{signed}.{}", URL_SAFE_NO_PAD.encode([0_u8; 64])), "signature").await;
    refused(&stack, &format!("{signed}."), "signature").await;
}

async fn signature_in_der(on: Kind) {
    let stack = Stack::start(on).await;
    let carol = stack.newcomer("did:plc:carol2222222222222222222", Key::p256());
    for caller in [&stack.alice, &carol] {
        refused(&stack, &caller.token_in_der(SERVICE, CREATE_SECRET), "64").await;
    }
}

async fn algorithms_that_are_not_taken(on: Kind) {
    let stack = Stack::start(on).await;
    let claims = stack.alice.claims(SERVICE, CREATE_SECRET);
    for algorithm in ["none", "HS256", "ES384", "es256k", ""] {
        let token = stack.alice.sign_with(&json!({ "typ": "JWT", "alg": algorithm }), &claims);
        refused(&stack, &token, "alg").await;
    }
    // The other curve's name: the key is not of that kind.
    let token = stack.alice.sign_with(&json!({ "typ": "JWT", "alg": "ES256" }), &claims);
    call(&stack, &token).await.error(401, "AuthenticationRequired");
    for kind in ["at+jwt", "dpop+jwt", "refresh+jwt"] {
        let token = stack.alice.sign_with(&json!({ "typ": kind, "alg": "ES256K" }), &claims);
        refused(&stack, &token, "typ").await;
    }
    let token = stack.alice.sign_with(&json!({ "alg": "ES256K", "kid": "#other" }), &claims);
    refused(&stack, &token, "kid").await;
    let token = stack.alice.sign_with(&json!({ "alg": "ES256K", "kid": "#atproto" }), &claims);
    call(&stack, &token).await.ok();
}

async fn bare_header(on: Kind) {
    let stack = Stack::start(on).await;
    let claims = stack.alice.claims(SERVICE, CREATE_SECRET);
    call(&stack, &stack.alice.sign_with(&json!({ "alg": "ES256K" }), &claims)).await.ok();
    refused(&stack, &stack.alice.sign_with(&json!({}), &claims), "alg").await;
    refused(&stack, &stack.alice.sign_with(&json!({ "typ": null, "alg": "ES256K" }), &claims), "typ").await;
}

async fn times(on: Kind) {
    let stack = Stack::start(on).await;
    let now = unix_seconds();
    for (expires, words) in [(now - 35, "expired"), (now + 3600 + 40, "hour")] {
        let token = stack.alice.sign(&claims_with(&stack.alice, "exp", json!(expires)));
        refused(&stack, &token, words).await;
    }
    let bob = stack.newcomer("did:plc:bob22222222222222222222x", Key::k256());
    for (number, expires) in [now - 20, now + 3600].iter().enumerate() {
        let token = bob.sign(&claims_with(&bob, "exp", json!(expires)));
        stack.call_with(&token, CREATE_SECRET, &json!({ "name": format!("n{number}") })).await.ok();
    }
    // iat is never a reason.
    for (number, issued) in [json!(0), json!(now + 100_000), json!(now)].into_iter().enumerate() {
        let token = bob.sign(&claims_with(&bob, "iat", issued));
        stack.call_with(&token, CREATE_SECRET, &json!({ "name": format!("iat{number}") })).await.ok();
    }
    let mut claims = stack.alice.claims(SERVICE, CREATE_SECRET);
    claims.as_object_mut().unwrap().remove("exp");
    refused(&stack, &stack.alice.sign(&claims), "exp").await;
}

async fn wrong_audience(on: Kind) {
    let stack = Stack::start(on).await;
    let near = format!("{SERVICE}#other");
    for audience in ["did:web:elsewhere.example", &near, "", "did:web:hooks.example/"] {
        refused(&stack, &stack.alice.token(audience, CREATE_SECRET), "aud").await;
    }
}

async fn own_audience(on: Kind) {
    let stack = Setup::on(on).gateway("--audience", "did:web:a.example,did:web:b.example#x").start().await;
    refused(&stack, &stack.alice.token(SERVICE, CREATE_SECRET), "aud").await;
    call(&stack, &stack.alice.token("did:web:b.example#x", CREATE_SECRET)).await.ok();
}

async fn token_of_another_method(on: Kind) {
    let stack = Stack::start(on).await;
    refused(&stack, &stack.alice.token(SERVICE, CREATE_WEBHOOK), "lxm").await;
    let mut claims = stack.alice.claims(SERVICE, CREATE_SECRET);
    claims.as_object_mut().unwrap().remove("lxm");
    refused(&stack, &stack.alice.sign(&claims), "lxm").await;
}

async fn token_seen_before_is_still_bound_to_its_method(on: Kind) {
    let stack = Stack::start(on).await;
    let token = stack.alice.token(SERVICE, CREATE_SECRET);
    call(&stack, &token).await.ok();
    call(&stack, &token).await.error(400, "AlreadyExists");
    let input = json!({ "url": "https://hooks.example.com/", "events": ["chat"] });
    stack.call_with(&token, CREATE_WEBHOOK, &input).await.error(401, "AuthenticationRequired");
}

async fn issuers_that_are_not_taken(on: Kind) {
    let stack = Stack::start(on).await;
    for issuer in [
        "did:key:zabc",
        "did:plc:",
        "alice",
        "did:web:a.example:user",
        "did:plc:alice2222222222222222222#atproto_labeler",
    ] {
        let token = stack.alice.sign(&claims_with(&stack.alice, "iss", json!(issuer)));
        refused(&stack, &token, "iss").await;
    }
    assert_eq!(stack.directory.asked(&stack.alice.did), 0, "no look-up for a claim that fails");
}

async fn unknown_did(on: Kind) {
    let stack = Stack::start(on).await;
    let nobody = Identity::new("did:plc:nobody222222222222222222", Key::k256());
    for _ in 0..3 {
        call(&stack, &nobody.token(SERVICE, CREATE_SECRET)).await.error(401, "AuthenticationRequired");
    }
    assert_eq!(stack.directory.asked(&nobody.did), 1, "not found is remembered");
}

async fn directory_down(on: Kind) {
    let stack = Stack::start(on).await;
    let carol = Identity::new("did:plc:carol2222222222222222222", Key::k256());
    for status in [500, 503, 429] {
        stack.directory.says(&carol.did, Says::Status(status));
        call(&stack, &carol.token(SERVICE, CREATE_SECRET)).await.error(502, "UpstreamFailure");
    }
    // Nobody listens there.
    let away = Setup::on(on).gateway("--plc-url", "http://127.0.0.1:9").start().await;
    call(&away, &away.alice.token(SERVICE, CREATE_SECRET)).await.error(502, "UpstreamFailure");
}

async fn directory_that_hangs(on: Kind) {
    let stack = Stack::start(on).await;
    let carol = Identity::new("did:plc:carol2222222222222222222", Key::k256());
    stack.directory.says(&carol.did, Says::Nothing);
    call(&stack, &carol.token(SERVICE, CREATE_SECRET)).await.error(502, "UpstreamFailure");
}

async fn directory_that_lies(on: Kind) {
    let stack = Stack::start(on).await;
    let mallory = Identity::new("did:plc:mallory22222222222222222", Key::k256());
    let as_alice = Identity::new(stack.alice.did.clone(), Key::k256()).document();
    let elsewhere = format!("{}/{}", stack.directory.url(), stack.alice.did);
    for says in
        [Says::Document(as_alice), Says::RedirectTo(elsewhere), Says::TooMuch, Says::Document(json!([]))]
    {
        let mallory = Identity::new(mallory.did.clone(), Key::k256());
        stack.directory.says(&mallory.did, says);
        let answer = call(&stack, &mallory.token(SERVICE, CREATE_SECRET)).await;
        assert!(matches!(answer.status.as_u16(), 401 | 502), "{answer:?}");
    }
    stack.create_secret("alice-is-still-alice").await.ok();
}

async fn look_up_is_shared_and_kept(on: Kind) {
    let stack = Stack::start(on).await;
    let names: Vec<String> = (0..20).map(|number| format!("n{number}")).collect();
    for answer in join_all(names.iter().map(|name| stack.create_secret(name))).await {
        answer.ok();
    }
    assert_eq!(stack.directory.asked(&stack.alice.did), 1);
}

async fn key_that_rotated_to_the_other_curve(on: Kind) {
    let stack = Stack::start(on).await;
    stack.create_secret("before").await.ok();
    let rotated = Identity::new(stack.alice.did.clone(), Key::p256());
    stack.directory.says(&rotated.did, Says::Document(rotated.document()));
    stack.call_as(&rotated, CREATE_SECRET, &json!({ "name": "after" })).await.ok();
    assert_eq!(stack.directory.asked(&rotated.did), 2);
    // The old key has had its day, and nobody is asked again so soon.
    refused(&stack, &stack.alice.token(SERVICE, CREATE_SECRET), "").await;
    assert_eq!(stack.directory.asked(&rotated.did), 2);
}

async fn forged_tokens_do_not_drive_the_directory(on: Kind) {
    let stack = Stack::start(on).await;
    stack.create_secret("a").await.ok();
    for _ in 0..10 {
        let impostor = Identity::new(stack.alice.did.clone(), Key::k256());
        refused(&stack, &impostor.token(SERVICE, CREATE_SECRET), "signature").await;
    }
    assert_eq!(stack.directory.asked(&stack.alice.did), 2, "one look-up and one refresh");
    stack.create_secret("b").await.ok();
}

async fn keys_of_the_older_types(on: Kind) {
    let stack = Stack::start(on).await;
    for (number, (kind, key)) in [
        ("EcdsaSecp256k1VerificationKey2019", Key::k256()),
        ("EcdsaSecp256r1VerificationKey2019", Key::p256()),
    ]
    .into_iter()
    .enumerate()
    {
        let caller = Identity::new(format!("did:plc:old{number}22222222222222222222"), key);
        let mut older = document(&caller.did, "");
        let method = &mut older["verificationMethod"][0];
        method["type"] = json!(kind);
        method["id"] = json!("#atproto");
        method["publicKeyMultibase"] =
            json!(format!("z{}", bs58::encode(caller.key.uncompressed()).into_string()));
        stack.directory.says(&caller.did, Says::Document(older));
        call(&stack, &caller.token(SERVICE, CREATE_SECRET)).await.ok();
    }
}

async fn documents_of_a_folder_come_first(on: Kind) {
    let folder = tempfile::tempdir().unwrap();
    let dave = Identity::new("did:web:dave.invalid", Key::p256());
    std::fs::write(folder.path().join("anything.json"), dave.document().to_string()).unwrap();
    let stack = Setup::on(on).gateway("--did-documents", &folder.path().display().to_string()).start().await;
    call(&stack, &dave.token(SERVICE, CREATE_SECRET)).await.ok();
    stack.create_secret("a").await.ok();
}

async fn did_web_over_http_on_localhost_alone(on: Kind) {
    let stack = Setup::on(on).gateway("--allow-private-ranges", "127.0.0.0/8").start().await;
    let port = stack.directory.url().rsplit(':').next().unwrap().to_owned();
    let local = Identity::new(format!("did:web:localhost%3A{port}"), Key::k256());
    stack.directory.says(".well-known/did.json", Says::Document(local.document()));
    call(&stack, &local.token(SERVICE, CREATE_SECRET)).await.ok();

    let guarded = Stack::start(on).await;
    let port = guarded.directory.url().rsplit(':').next().unwrap().to_owned();
    let local = Identity::new(format!("did:web:localhost%3A{port}"), Key::k256());
    guarded.directory.says(".well-known/did.json", Says::Document(local.document()));
    call(&guarded, &local.token(SERVICE, CREATE_SECRET)).await.error(401, "AuthenticationRequired");
    assert_eq!(guarded.directory.asked(".well-known/did.json"), 0);
}

async fn did_web_that_fails_is_the_callers(on: Kind) {
    let stack = Setup::on(on).gateway("--allow-private-ranges", "127.0.0.0/8").start().await;
    let port = stack.directory.url().rsplit(':').next().unwrap().to_owned();
    stack.directory.says(".well-known/did.json", Says::Status(503));
    for did in [
        format!("did:web:localhost%3A{port}"),
        "did:web:nowhere.invalid".to_owned(),
        "did:web:printer.local".to_owned(),
    ] {
        let caller = Identity::new(did, Key::k256());
        call(&stack, &caller.token(SERVICE, CREATE_SECRET)).await.error(401, "AuthenticationRequired");
    }
}
