//! The conventions of all methods (METHODS.md, "Conventions"): paths, verbs, the order of checks, CORS, health, the DID
//! document, and what the log says of a request. Each row there has its tests; those with a colon are elsewhere, in
//! the module before it or beside the code:
//!
//! | row | tests |
//! | --- | --- |
//! | path | `path_that_is_no_nsid`, `path_outside_xrpc`, `head_works_where_get_does`, `foreign_service::head_of_a_query` |
//! | order of checks | `checks_in_their_order`, `authentication_comes_before_the_body`, `type_comes_before_json` |
//! | unknown NSID | `unknown_method`, `path_that_is_no_nsid`, `wrong_verb`, `contract::every_method_is_routed` |
//! | body | `type_comes_before_json`, `type_parameters_and_case_do_not_matter`, `body_at_its_limit`, `hostile_json::broken_json`, `hostile_json::not_an_object` |
//! | body, early answers | `early_answer_reaches_a_client_that_still_sends`, `refused_call_keeps_no_place_while_its_body_comes`, `expecting_client_need_not_send_a_refused_body` |
//! | JSON values | `hostile_json::unknown_fields_are_ignored`, `hostile_json::wrong_types_are_named_with_their_path`, `hostile_json::duplicate_keys`, `hostile_json::nul_in_any_string`, `foreign_service::procedure_is_served`, `foreign_service::query_is_served` |
//! | `maxLength`, `minLength` | `webhook_create::texts_at_their_limits` |
//! | errors | every answer of every test: `contract::tests::error_bodies`; `malformed::ten_thousand_requests`, `foreign_service::every_code_bare` |
//! | HTTP status | every answer of every test: `contract::tests::error_names`; `contract::every_declared_error_is_provoked` |
//! | times | `secret_create::token_is_made_and_shown_once`, `transcode::datetime::tests::lexicon_datetimes` |
//! | CORS | every answer of every test; `every_answer_has_cors`, `preflight_needs_no_token` |
//! | caller | `secret_create::body_cannot_name_another_caller`, `foreign_service::query_cannot_name_another_caller` |
//! | someone else's webhook | `webhook_of_somebody_else`, `webhook_get::webhook_that_does_not_exist` |
//! | deadline | `deadline_covers_authentication`, `slow_clients::body_that_does_not_come`, `faults::hangs::process_that_is_stopped` |
//! | limits | `rate_limit_by_did`, `no_rate_limit`, `webhook_url::probes_are_limited_for_each_did` |
//! | `/xrpc/_health` | `health_follows_the_core_service` |
//! | `/.well-known/did.json` | `did_document_names_the_services`, `own_service_ids`, `no_did_document_for_a_did_plc` |
//!
//! `tidy::tests_that_tables_name_exist` sees that they are there.

mod checks;
mod whole_answers;

use http::Method;
use serde_json::json;

use crate::harness::database::Kind;
use crate::harness::identity::Key;
use crate::harness::logs;
use crate::harness::on_both;
use crate::harness::stack::{Answer, CREATE_SECRET, CREATE_WEBHOOK, SERVICE, Setup, Stack};

const SECRET_PATH: &str = "/xrpc/place.wisp.v2.secret.create";

on_both! {
    unknown_method, path_that_is_no_nsid, path_outside_xrpc, wrong_verb, authentication_comes_before_the_body,
    type_comes_before_json, type_parameters_and_case_do_not_matter, body_at_its_limit,
    early_answer_reaches_a_client_that_still_sends, expecting_client_need_not_send_a_refused_body,
    every_answer_has_cors, preflight_needs_no_token, health_follows_the_core_service,
    did_document_names_the_services, own_service_ids, no_did_document_for_a_did_plc, rate_limit_by_did,
    no_rate_limit, one_log_line_a_request, one_log_line_for_what_is_no_call,
    query_string_of_a_procedure_is_ignored
}

async fn unknown_method(on: Kind) {
    let stack = Stack::start(on).await;
    for nsid in ["place.wisp.v2.secret.make", "place.wisp.v2.secret.Create", "com.example.nothing"] {
        stack.get(&format!("/xrpc/{nsid}")).await.error(501, "MethodNotImplemented");
        stack.send(stack.post(nsid).body("{}")).await.error(501, "MethodNotImplemented");
    }
}

async fn path_that_is_no_nsid(on: Kind) {
    let stack = Stack::start(on).await;
    let encoded = format!("{SECRET_PATH}%20");
    let below = format!("{SECRET_PATH}/");
    for path in
        ["/xrpc/", "/xrpc/create", "/xrpc/a.b", "/xrpc//place.wisp.v2.secret.create", &encoded, &below]
    {
        stack.get(path).await.error(400, "InvalidRequest");
    }
}

async fn path_outside_xrpc(on: Kind) {
    let stack = Stack::start(on).await;
    for path in ["/", "/xrpc", "/XRPC/place.wisp.v2.secret.create", "/.well-known/atproto-did", "/livez/x"] {
        stack.get(path).await.error(404, "NotFound");
    }
}

async fn wrong_verb(on: Kind) {
    let stack = Stack::start(on).await;
    for verb in [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::PATCH] {
        let answer = stack.send(stack.request(verb.clone(), SECRET_PATH)).await;
        assert_eq!((answer.status.as_u16(), &answer.headers["allow"]), (400, &"POST".parse().unwrap()));
        if verb != Method::HEAD {
            answer.error(400, "InvalidRequest");
        }
    }
    let answer = stack.send(stack.request(Method::POST, "/xrpc/_health")).await;
    answer.error(400, "InvalidRequest");
    assert_eq!(answer.headers["allow"], "GET, HEAD");
}

async fn authentication_comes_before_the_body(on: Kind) {
    let stack = Stack::start(on).await;
    let request = stack.post(CREATE_SECRET).header("content-type", "text/plain").body("{");
    let answer = stack.send(request).await;
    answer.error(401, "AuthenticationRequired");
    assert!(answer.headers["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
}

async fn type_comes_before_json(on: Kind) {
    let stack = Stack::start(on).await;
    for (name, value) in [
        ("content-type", "text/plain"),
        ("content-type", "application/jsonx"),
        ("content-type", "application/x-www-form-urlencoded"),
        ("content-encoding", "gzip"),
        ("content-encoding", "identity"),
    ] {
        let token = stack.alice.token(SERVICE, CREATE_SECRET);
        let mut request = stack.post(CREATE_SECRET).bearer_auth(token).body("{");
        if name != "content-type" {
            request = request.header("content-type", "application/json");
        }
        let message = stack.send(request.header(name, value)).await.error(400, "InvalidRequest");
        assert!(message.to_lowercase().contains(name), "{message}");
    }
    let token = stack.alice.token(SERVICE, CREATE_SECRET);
    let message = stack.send(stack.post(CREATE_SECRET).bearer_auth(token)).await.error(400, "InvalidRequest");
    assert!(message.contains("Content-Type"), "{message}");
}

async fn type_parameters_and_case_do_not_matter(on: Kind) {
    let stack = Stack::start(on).await;
    for (number, value) in
        ["application/json; charset=utf-8", "Application/JSON", "application/json ;x=y"].iter().enumerate()
    {
        let token = stack.alice.token(SERVICE, CREATE_SECRET);
        let body = json!({ "name": format!("n{number}") }).to_string();
        let request = stack.post(CREATE_SECRET).bearer_auth(token).header("content-type", *value).body(body);
        stack.send(request).await.ok();
    }
}

async fn body_at_its_limit(on: Kind) {
    let stack = Stack::start(on).await;
    let padded = |name: &str, bytes: usize| {
        let start = format!(r#"{{"name":"{name}","pad":""#);
        format!("{start}{}\"}}", "x".repeat(bytes - start.len() - 2))
    };
    stack.call_raw(CREATE_SECRET, padded("below", 65_535)).await.ok();
    stack.call_raw(CREATE_SECRET, padded("at", 65_536)).await.ok();
    stack.call_raw(CREATE_SECRET, padded("over", 65_537)).await.error(413, "PayloadTooLarge");
    // In chunks, without a length announced.
    stack.call_in_chunks(CREATE_SECRET, &padded("chunks", 65_536)).await.ok();
    stack.call_in_chunks(CREATE_SECRET, &padded("over", 65_537)).await.error(413, "PayloadTooLarge");
}

async fn early_answer_reaches_a_client_that_still_sends(on: Kind) {
    let stack = Stack::start(on).await;
    let two_megabytes = "x".repeat(2_000_000);
    for path in [SECRET_PATH, "/xrpc/com.example.nothing", "/elsewhere", "/xrpc/_health"] {
        for version in ["1.1", "1.0"] {
            let head = format!(
                "POST {path} HTTP/{version}\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                two_megabytes.len()
            );
            // All is written before anything is read, as simple clients do: a reset would lose the answer.
            let answer = stack.raw(&[head.as_bytes(), two_megabytes.as_bytes()].concat()).await;
            assert!(answer.starts_with("HTTP/1."), "{path}: {answer:?}");
            assert!(answer.contains("\"error\":"), "{path}: {answer}");
        }
    }
    let token = stack.alice.token(SERVICE, CREATE_SECRET);
    let request = stack.post(CREATE_SECRET).bearer_auth(token).header("content-type", "application/json");
    stack.send(request.body(two_megabytes)).await.error(413, "PayloadTooLarge");
}

async fn expecting_client_need_not_send_a_refused_body(on: Kind) {
    let stack = Stack::start(on).await;
    let head = format!(
        "POST {SECRET_PATH} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 100\r\n\r\n"
    );
    let answer = stack.raw_head(head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
}

async fn every_answer_has_cors(on: Kind) {
    let stack = Stack::start(on).await;
    let answers = [
        stack.create_secret("a").await,
        stack.create_secret("").await,
        stack.send(stack.post(CREATE_SECRET)).await,
        stack.get("/xrpc/com.example.nothing").await,
        stack.get("/nothing").await,
        stack.get("/xrpc/_health").await,
        stack.get("/.well-known/did.json").await,
    ];
    for answer in answers {
        assert_eq!(answer.headers["access-control-allow-origin"], "*", "{answer:?}");
        assert!(!answer.headers.contains_key("access-control-allow-credentials"));
        let exposed = answer.headers["access-control-expose-headers"].to_str().unwrap().to_lowercase();
        for name in
            ["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "retry-after", "www-authenticate"]
        {
            assert!(exposed.contains(name), "{name}: {exposed}");
        }
    }
}

async fn preflight_needs_no_token(on: Kind) {
    let stack = Stack::start(on).await;
    for path in [SECRET_PATH, "/xrpc/com.example.nothing", "/.well-known/did.json"] {
        let wanted = "authorization,content-type,atproto-proxy,x-atproto-something,dpop";
        let request = stack
            .request(Method::OPTIONS, path)
            .header("origin", "https://lexicon.example")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", wanted);
        let answer = stack.send(request).await;
        assert!(answer.status.is_success(), "{answer:?}");
        assert_eq!(answer.headers["access-control-allow-origin"], "*");
        assert_eq!(answer.headers["access-control-max-age"], "86400");
        assert_eq!(answer.headers["access-control-allow-headers"], wanted);
        assert!(answer.headers["access-control-allow-methods"].to_str().unwrap().contains("POST"));
    }
}

async fn health_follows_the_core_service(on: Kind) {
    let mut stack = Stack::start(on).await;
    let health = stack.get("/xrpc/_health").await.ok();
    assert_eq!(health, json!({ "version": env!("CARGO_PKG_VERSION") }));
    assert_eq!(stack.send(stack.request(Method::HEAD, "/xrpc/_health")).await.status, 200);
    stack.stop_core().await;
    stack.until_ready(503).await;
    stack.get("/xrpc/_health").await.error(503, "NotEnoughResources");
    stack.get("/livez").await.ok();
    stack.create_secret("a").await.error(502, "UpstreamFailure");
    stack.start_core().await;
    stack.until_ready(200).await;
    stack.get("/xrpc/_health").await.ok();
    stack.create_secret("a").await.ok();
}

async fn did_document_names_the_services(on: Kind) {
    let stack = Stack::start(on).await;
    let document = stack.get("/.well-known/did.json").await.ok();
    assert_eq!(document["id"], SERVICE);
    let services = document["service"].as_array().unwrap();
    let ids: Vec<&str> = services.iter().map(|service| service["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["#wisp_place", "#streamplace"]);
    for service in services {
        assert_eq!(service["serviceEndpoint"], "https://hooks.example");
        assert!(service["type"].is_string());
    }
}

async fn own_service_ids(on: Kind) {
    let stack = Setup::on(on).gateway("--service-ids", "hooks").start().await;
    let document = stack.get("/.well-known/did.json").await.ok();
    assert_eq!(document["service"].as_array().unwrap().len(), 1);
    assert_eq!(document["service"][0]["id"], "#hooks");
}

async fn no_did_document_for_a_did_plc(on: Kind) {
    let did = "did:plc:service2222222222222222x";
    let stack = Setup::on(on).gateway("--service-did", did).start().await;
    stack.get("/.well-known/did.json").await.error(404, "NotFound");
    let token = stack.alice.token(&format!("{did}#streamplace"), CREATE_SECRET);
    stack.call_with(&token, CREATE_SECRET, &json!({ "name": "a" })).await.ok();
}

async fn rate_limit_by_did(on: Kind) {
    let stack = Setup::on(on).gateway("--rate-limit", "10").start().await;
    let first = stack.create_secret("one").await;
    first.ok();
    assert_eq!(limit_headers(&first), ("10".into(), "1".into()));
    let second = stack.create_secret("one").await;
    second.error(400, "AlreadyExists");
    assert_eq!(limit_headers(&second), ("10".into(), "0".into()));
    let third = stack.create_secret("three").await;
    third.error(429, "RateLimitExceeded");
    assert_eq!(limit_headers(&third), ("10".into(), "0".into()));
    let wait: u64 = third.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=30).contains(&wait), "{wait}");
    let bob = stack.newcomer("did:plc:bob22222222222222222222x", Key::k256());
    stack.call_as(&bob, CREATE_SECRET, &json!({ "name": "one" })).await.ok();
}

async fn no_rate_limit(on: Kind) {
    let stack = Setup::on(on).gateway("--rate-limit", "0").start().await;
    let answer = stack.create_secret("one").await;
    answer.ok();
    assert!(!answer.headers.contains_key("ratelimit-limit"));
}

async fn one_log_line_a_request(on: Kind) {
    let stack = Stack::start(on).await;
    let made = stack.create_secret("a").await;
    let refused = stack.create_secret("a").await;
    let unknown = stack.get("/xrpc/com.example.unheardof?secret=in-the-query").await;
    let line = one_line(&made);
    assert_eq!((&line["nsid"], &line["did"]), (&json!(CREATE_SECRET), &json!(stack.alice.did)));
    assert_eq!((&line["status"], &line["error"]), (&json!(200), &json!("-")));
    assert!(line["ms"].is_u64(), "{line}");
    let line = one_line(&refused);
    assert_eq!((&line["status"], &line["error"]), (&json!(400), &json!("AlreadyExists")));
    let line = one_line(&unknown);
    assert_eq!((&line["status"], &line["error"]), (&json!(501), &json!("MethodNotImplemented")));
    let everything = logs::text();
    assert!(!everything.contains("com.example.unheardof") && !everything.contains("in-the-query"));
}

async fn one_log_line_for_what_is_no_call(on: Kind) {
    let stack = Stack::start(on).await;
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

async fn query_string_of_a_procedure_is_ignored(on: Kind) {
    let stack = Stack::start(on).await;
    let token = stack.alice.token(SERVICE, CREATE_WEBHOOK);
    let request = stack.request(Method::POST, &format!("/xrpc/{CREATE_WEBHOOK}?name=x&name=y"));
    let message = stack.send(request.bearer_auth(token).json(&json!({}))).await.error(400, "InvalidRequest");
    assert!(message.contains("input."), "{message}");
}

fn limit_headers(answer: &Answer) -> (String, String) {
    let text = |name: &str| answer.headers[name].to_str().unwrap().to_owned();
    let reset: i64 = text("ratelimit-reset").parse().unwrap();
    assert!(reset >= crate::harness::identity::unix_seconds() - 1, "Unix seconds: {reset}");
    (text("ratelimit-limit"), text("ratelimit-remaining"))
}

fn one_line(answer: &Answer) -> serde_json::Value {
    let id = answer.headers["x-request-id"].to_str().unwrap();
    let mut lines = logs::access_lines(id);
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines.remove(0)
}
