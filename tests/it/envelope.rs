//! The conventions of all methods (docs/methods.md, "Conventions"): the order of checks, bodies, CORS,
//! health, the DID document, and what the log says of a request. These tests hold each row:
//!
//! | row | tests |
//! | --- | --- |
//! | path | `envelope::whole_answers::paths_that_are_no_method`, `envelope::whole_answers::verbs_of_methods`, `conformance::head_is_get_without_its_body` |
//! | order of checks | `envelope::checks::checks_in_their_order`, `conformance::caller_must_be_known` |
//! | unknown NSID | `envelope::whole_answers::paths_that_are_no_method`, `conformance::wrong_verb` |
//! | body | `conformance::body_is_json_of_at_most_64_kib`, `envelope::type_parameters_and_case_do_not_matter`, `envelope::body_in_chunks`, `hostile_json::each_kind` |
//! | body, early answers | `envelope::early_answer_reaches_a_client_that_still_sends`, `envelope::expecting_client_need_not_send_a_refused_body`, `gateway: routes::tests::refused_call_keeps_no_place_while_its_body_comes` |
//! | JSON values | `conformance::unknown_fields_are_ignored`, `conformance::required_fields`, `conformance::wrong_types_are_named_with_their_path`, `conformance::field_given_twice`, `conformance::nul_in_any_string`, `hostile_json::each_kind`, `foreign_service::procedure_is_served`, `foreign_service::query_is_served` |
//! | `maxLength`, `minLength` | `webhook_rules::just_inside`, `webhook_rules::just_outside` |
//! | errors | every answer of every test: `harness::contract::tests::error_bodies`; `malformed::ten_thousand_requests`, `foreign_service::every_code` |
//! | HTTP status | every answer of every test: `harness::contract::tests::error_names`; `contract::every_declared_error_is_provoked` |
//! | times | `secret_create::token_is_made_and_shown_once`, `gateway: transcode::datetime::tests::lexicon_datetimes` |
//! | CORS | every answer of every test; `envelope::every_answer_has_cors`, `envelope::whole_answers::preflights` |
//! | caller | `conformance::caller_must_be_known`, `conformance::unknown_fields_are_ignored`, `foreign_service::query_cannot_name_another_caller` |
//! | someone else's webhook | `webhook_ids::webhook_of_somebody_else`, `webhook_ids::webhook_that_does_not_exist` |
//! | deadline | `envelope::checks::deadline_covers_authentication`, `slow_clients::body_that_does_not_come`, `faults::hangs::process_that_is_stopped` |
//! | limits | `envelope::rate_limit_by_did`, `envelope::no_rate_limit`, `webhook_url::probes_are_limited_for_each_did` |
//! | `/xrpc/_health` | `envelope::health_follows_the_core_service`, `envelope::whole_answers::internal_paths` |
//! | `/.well-known/did.json` | `envelope::did_document_names_the_services`, `envelope::own_service_ids`, `envelope::no_did_document_for_a_did_plc` |
//!
//! `tidy::tests_that_tables_name_exist` checks that these tests exist.

mod checks;
mod whole_answers;

use http::Method;
use serde_json::json;

use crate::harness::answer::{Answer, error};
use crate::harness::database::Kind;
use crate::harness::identity::{Key, unix_seconds};
use crate::harness::logs;
use crate::harness::stack::{BOB, CREATE_SECRET, CREATE_WEBHOOK, SERVICE, Setup, Stack};

const SECRET_PATH: &str = "/xrpc/place.wisp.v2.secret.create";

#[tokio::test]
async fn type_parameters_and_case_do_not_matter() {
    let stack = Stack::start(Kind::Sqlite).await;
    for (name, media_type) in
        [("a", "application/json; charset=utf-8"), ("b", "Application/JSON"), ("c", "application/json ;x=y")]
    {
        let token = stack.alice.token(SERVICE, CREATE_SECRET);
        let request = stack.post(CREATE_SECRET).bearer_auth(token).header("content-type", media_type);
        stack.send(request.body(json!({ "name": name }).to_string())).await.ok();
    }
}

/// Without a `Content-Length`.
#[tokio::test]
async fn body_in_chunks() {
    let stack = Stack::start(Kind::Sqlite).await;
    let padded = |bytes: usize| {
        let start = r#"{"name":"a","other":""#;
        format!("{start}{}\"}}", "x".repeat(bytes - start.len() - 2))
    };
    let over = stack.call_in_chunks(CREATE_SECRET, &padded(65_537)).await;
    assert_eq!(over.whole(), error(413, "PayloadTooLarge", "the body is over 65536 bytes"));
    stack.call_in_chunks(CREATE_SECRET, &padded(65_536)).await.ok();
}

#[tokio::test]
async fn early_answer_reaches_a_client_that_still_sends() {
    let stack = Stack::start(Kind::Sqlite).await;
    let two_megabytes = "x".repeat(2_000_000);
    for path in [SECRET_PATH, "/xrpc/com.example.nothing", "/elsewhere", "/xrpc/_health"] {
        for version in ["1.1", "1.0"] {
            let head = format!(
                "POST {path} HTTP/{version}\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                two_megabytes.len()
            );
            // Simple clients write all before they read anything: a connection reset would lose the answer.
            let answer = stack.raw(&[head.as_bytes(), two_megabytes.as_bytes()].concat()).await;
            assert!(answer.starts_with("HTTP/1."), "{path}: {answer:?}");
            assert!(answer.contains("\"error\":"), "{path}: {answer}");
        }
    }
    stack.call_raw(CREATE_SECRET, two_megabytes).await.error(413, "PayloadTooLarge");
}

#[tokio::test]
async fn expecting_client_need_not_send_a_refused_body() {
    let stack = Stack::start(Kind::Sqlite).await;
    let head = format!(
        "POST {SECRET_PATH} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 100\r\n\r\n"
    );
    let answer = stack.raw_head(head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
}

#[tokio::test]
async fn query_string_of_a_procedure_is_ignored() {
    let stack = Stack::start(Kind::Sqlite).await;
    let token = stack.alice.token(SERVICE, CREATE_WEBHOOK);
    let request = stack.request(Method::POST, &format!("/xrpc/{CREATE_WEBHOOK}?url=x&url=y"));
    stack.send(request.bearer_auth(token).json(&json!({}))).await.invalid("input.url: required");
}

#[tokio::test]
async fn every_answer_has_cors() {
    let stack = Stack::start(Kind::Sqlite).await;
    for answer in [
        stack.create_secret("a").await,
        stack.create_secret("").await,
        stack.send(stack.post(CREATE_SECRET)).await,
        stack.get("/xrpc/com.example.nothing").await,
        stack.get("/nothing").await,
        stack.get("/xrpc/_health").await,
        stack.get("/.well-known/did.json").await,
    ] {
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert!(!answer.headers.contains_key("access-control-allow-credentials"));
        assert_eq!(
            answer.header("access-control-expose-headers"),
            "retry-after,www-authenticate,x-request-id,ratelimit-limit,ratelimit-remaining,ratelimit-reset,\
             ratelimit-policy"
        );
    }
}

#[tokio::test]
async fn health_follows_the_core_service() {
    let mut stack = Stack::start(Kind::Sqlite).await;
    let healthy = json!({ "version": env!("CARGO_PKG_VERSION") });
    assert_eq!(stack.get("/xrpc/_health").await.ok(), healthy);
    assert_eq!(stack.send(stack.request(Method::HEAD, "/xrpc/_health")).await.status, 200);
    stack.stop_core().await;
    stack.until_ready(503).await;
    stack.get("/xrpc/_health").await.error(503, "NotEnoughResources");
    stack.get("/livez").await.ok();
    stack.create_secret("a").await.error(502, "UpstreamFailure");
    stack.start_core().await;
    stack.until_ready(200).await;
    assert_eq!(stack.get("/xrpc/_health").await.ok(), healthy);
    stack.create_secret("a").await.ok();
}

#[tokio::test]
async fn did_document_names_the_services() {
    let stack = Stack::start(Kind::Sqlite).await;
    let service =
        |id: &str, kind: &str| json!({ "id": id, "type": kind, "serviceEndpoint": "https://hooks.example" });
    let expected = json!({
        "@context": ["https://www.w3.org/ns/did/v1"],
        "id": SERVICE,
        "service": [service("#wisp_place", "WispPlace"), service("#streamplace", "Streamplace")],
    });
    assert_eq!(stack.get("/.well-known/did.json").await.ok(), expected);
}

#[tokio::test]
async fn own_service_ids() {
    let stack = Setup::on(Kind::Sqlite).gateway("--service-ids", "hooks").start().await;
    let document = stack.get("/.well-known/did.json").await.ok();
    let expected = json!([{ "id": "#hooks", "type": "Hooks", "serviceEndpoint": "https://hooks.example" }]);
    assert_eq!(document["service"], expected);
}

#[tokio::test]
async fn no_did_document_for_a_did_plc() {
    let did = "did:plc:service2222222222222222x";
    let stack = Setup::on(Kind::Sqlite).gateway("--service-did", did).start().await;
    let answer = stack.get("/.well-known/did.json").await;
    assert_eq!(answer.whole(), error(404, "NotFound", "this service's DID is not a did:web"));
    let token = stack.alice.token(&format!("{did}#streamplace"), CREATE_SECRET);
    stack.call_with(&token, CREATE_SECRET, &json!({ "name": "a" })).await.ok();
}

#[tokio::test]
async fn rate_limit_by_did() {
    let stack = Setup::on(Kind::Sqlite).gateway("--rate-limit", "10").start().await;
    let first = stack.create_secret("one").await;
    first.ok();
    assert_eq!(limit_headers(&first), ("10", "1"));
    let second = stack.create_secret("one").await;
    second.error(400, "AlreadyExists");
    assert_eq!(limit_headers(&second), ("10", "0"));
    let third = stack.create_secret("three").await;
    let message = "too many calls by this DID; Retry-After says when to come back";
    assert_eq!(third.whole(), error(429, "RateLimitExceeded", message));
    assert_eq!(limit_headers(&third), ("10", "0"));
    let wait: u64 = third.header("retry-after").parse().unwrap();
    assert!((1..=30).contains(&wait), "{wait}");
    let bob = stack.newcomer(BOB, Key::k256());
    stack.call_as(&bob, CREATE_SECRET, &json!({ "name": "one" })).await.ok();
}

#[tokio::test]
async fn no_rate_limit() {
    let stack = Setup::on(Kind::Sqlite).gateway("--rate-limit", "0").start().await;
    let answer = stack.create_secret("one").await;
    answer.ok();
    assert!(!answer.headers.contains_key("ratelimit-limit"));
}

/// The limit of a caller and what remains of it.
fn limit_headers(answer: &Answer) -> (&str, &str) {
    let reset: i64 = answer.header("ratelimit-reset").parse().unwrap();
    assert!(reset >= unix_seconds() - 1, "Unix seconds: {reset}");
    (answer.header("ratelimit-limit"), answer.header("ratelimit-remaining"))
}

#[tokio::test]
async fn one_log_line_a_request() {
    let stack = Stack::start(Kind::Sqlite).await;
    let unknown = format!("/xrpc/com.example.unheardof?secret={}", "in-the-query");
    let did = stack.alice.did.as_str();
    for (answer, nsid, did, status, name) in [
        (stack.create_secret("a").await, CREATE_SECRET, did, 200, "-"),
        (stack.create_secret("a").await, CREATE_SECRET, did, 400, "AlreadyExists"),
        (stack.get(&unknown).await, "-", "-", 501, "MethodNotImplemented"),
    ] {
        let line = one_line(&answer);
        assert_eq!(
            (&line["nsid"], &line["did"], &line["status"], &line["error"]),
            (&json!(nsid), &json!(did), &json!(status), &json!(name)),
            "{line}"
        );
        assert!(line["ms"].is_u64(), "{line}");
    }
    let everything = logs::text();
    assert!(!everything.contains("com.example.unheardof") && !everything.contains("in-the-query"));
}

#[tokio::test]
async fn one_log_line_for_what_is_no_call() {
    let stack = Stack::start(Kind::Sqlite).await;
    for (verb, path, route, level) in [
        (Method::GET, "/xrpc/_health", "_health", "DEBUG"),
        (Method::GET, "/readyz", "readyz", "DEBUG"),
        (Method::GET, "/livez", "livez", "DEBUG"),
        (Method::POST, "/livez", "livez", "INFO"),
        (Method::GET, "/.well-known/did.json", "did.json", "INFO"),
        (Method::OPTIONS, SECRET_PATH, "preflight", "INFO"),
    ] {
        let answer = stack.send(stack.request(verb, path)).await;
        let line = one_line(&answer);
        assert_eq!((&line["route"], &line["level"]), (&json!(route), &json!(level)), "{line}");
        assert_eq!((&line["nsid"], &line["did"]), (&json!("-"), &json!("-")), "{line}");
        assert_eq!(line["status"], answer.status.as_u16(), "{line}");
    }
    let elsewhere = one_line(&stack.get("/elsewhere").await);
    assert!(elsewhere.get("route").is_none(), "{elsewhere}");
    assert_eq!(elsewhere["error"], "NotFound");
}

/// The one access line of this answer's request.
fn one_line(answer: &Answer) -> serde_json::Value {
    let mut lines = logs::access_lines(answer.header("x-request-id"));
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines.remove(0)
}
