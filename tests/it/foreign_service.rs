//! The unchanged gateway before a service that is not athook's: a method made up here, with its own lexicon
//! and `.proto`, through `--lexicons` and `--descriptors`; and how each gRPC status comes out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::Method;
use prost_reflect::{DescriptorPool, Value as Field};
use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::harness::answer::{error, invalid};
use crate::harness::gateway::Gateway;
use crate::harness::identity::{Identity, Key, SERVICE};
use crate::harness::rpc_stub::{Answers, RpcStub, decoded, descriptors, message};
use crate::harness::table::Table;

const PROTO: &str = r#"
syntax = "proto3";
package com.example;
import "google/protobuf/timestamp.proto";
import "xrpc/v1/annotations.proto";

service Garden {
  option (xrpc.v1.error_domain) = "garden.example";
  rpc Plant(PlantRequest) returns (PlantResponse) {
    option (xrpc.v1.method) = {
      nsid: "com.example.garden.plant"
      errors: { code: FAILED_PRECONDITION reason: "FROZEN" name: "GroundFrozen" }
      errors: { code: ALREADY_EXISTS name: "BedTaken" }
      errors: { code: UNAUTHENTICATED name: "AuthenticationRequired" }
      errors: { code: NOT_FOUND name: "NotFound" }
    };
  }
  rpc Look(LookRequest) returns (LookResponse) {
    option (xrpc.v1.method) = { nsid: "com.example.garden.look" };
  }
  rpc Clear(ClearRequest) returns (ClearResponse) {
    option (xrpc.v1.method) = { nsid: "com.example.garden.clear" };
  }
}
message PlantRequest {
  string gardener = 1 [(xrpc.v1.role) = CALLER];
  string bed = 2;
  optional int32 row_count = 3;
}
message PlantResponse { string bed = 1; int32 row_count = 2; google.protobuf.Timestamp planted_at = 3; }
message LookRequest {
  string gardener = 1 [(xrpc.v1.role) = CALLER];
  optional int64 limit = 2;
  repeated string tag = 3;
}
message LookResponse { repeated string beds = 1; optional int64 limit = 2; }
message ClearRequest { string gardener = 1 [(xrpc.v1.role) = CALLER]; string bed = 2; }
message ClearResponse {}
"#;

fn lexicons() -> [Value; 3] {
    let document = |id: &str, main: Value| json!({ "lexicon": 1, "id": id, "defs": { "main": main } });
    let body = |schema: Value| json!({ "encoding": "application/json", "schema": schema });
    [
        document(
            "com.example.garden.plant",
            json!({
                "type": "procedure",
                "input": body(json!({
                    "type": "object",
                    "required": ["bed"],
                    "properties": {
                        "bed": { "type": "string" },
                        "rowCount": { "type": "integer", "default": 3 },
                    },
                })),
                "output": body(json!({
                    "type": "object",
                    "required": ["bed", "rowCount", "plantedAt"],
                    "properties": {
                        "bed": { "type": "string" },
                        "rowCount": { "type": "integer" },
                        "plantedAt": { "type": "string", "format": "datetime" },
                    },
                })),
                "errors": [{ "name": "GroundFrozen" }, { "name": "BedTaken" }, { "name": "NotFound" }],
            }),
        ),
        document(
            "com.example.garden.look",
            json!({
                "type": "query",
                "parameters": {
                    "type": "params",
                    "properties": {
                        "limit": { "type": "integer", "default": 50 },
                        "tag": { "type": "array", "items": { "type": "string" } },
                    },
                },
                "output": body(json!({
                    "type": "object",
                    "required": ["beds"],
                    "properties": {
                        "beds": { "type": "array", "items": { "type": "string" } },
                        "limit": { "type": "integer" },
                    },
                })),
            }),
        ),
        document(
            "com.example.garden.clear",
            json!({
                "type": "procedure",
                "input": body(json!({
                    "type": "object",
                    "required": ["bed"],
                    "properties": { "bed": { "type": "string" } },
                })),
            }),
        ),
    ]
}

fn pool() -> DescriptorPool {
    DescriptorPool::decode(descriptors(PROTO).as_slice()).unwrap()
}

async fn start(answers: Arc<Answers>) -> (RpcStub, Gateway, Identity) {
    let stub = RpcStub::start(answers).await;
    let gateway = Gateway::before(stub.address).serving(&lexicons(), &descriptors(PROTO)).start().await;
    let caller = Identity::new("did:web:gardener.invalid", Key::k256());
    gateway.knows(&caller);
    (stub, gateway, caller)
}

#[tokio::test]
async fn procedure_is_served() {
    let pool = pool();
    let (_stub, gateway, caller) = start(Arc::new(move |path, bytes, metadata| {
        assert_eq!(path, "/com.example.Garden/Plant");
        assert!(metadata.contains_key("grpc-timeout") && metadata.contains_key("x-request-id"));
        let request = decoded(&pool, "com.example.PlantRequest", bytes);
        let get = |name: &str| request.get_field_by_name(name).unwrap().into_owned();
        assert_eq!(get("gardener"), Field::String("did:web:gardener.invalid".into()));
        let time = pool.get_message_by_name("google.protobuf.Timestamp").unwrap();
        let mut planted = prost_reflect::DynamicMessage::new(time);
        planted.set_field_by_name("seconds", Field::I64(1_700_000_000));
        planted.set_field_by_name("nanos", Field::I32(7_000_000));
        let fields = HashMap::from([
            ("bed", get("bed")),
            ("row_count", get("row_count")),
            ("planted_at", Field::Message(planted)),
        ]);
        Ok(message(&pool, "com.example.PlantResponse", &fields))
    }))
    .await;
    let nsid = "com.example.garden.plant";
    let planted = gateway.call(&caller, nsid, &json!({ "bed": "roses" })).await.ok();
    assert_eq!(planted, json!({ "bed": "roses", "rowCount": 3, "plantedAt": "2023-11-14T22:13:20.007Z" }));
    let planted = gateway.call(&caller, nsid, &json!({ "bed": "roses", "rowCount": 0 })).await.ok();
    assert_eq!(planted["rowCount"], 0, "0 is not absent");
    for (input, message) in [
        (
            json!({ "bed": "roses", "rowCount": 1.5 }),
            "rowCount: expected an integer without fraction or exponent",
        ),
        (json!({ "bed": "roses", "rowCount": 3_000_000_000_u32 }), "rowCount: the integer is out of range"),
        (json!({ "rowCount": 1 }), "bed: required"),
    ] {
        gateway.call(&caller, nsid, &input).await.invalid(&format!("input.{message}"));
    }
}

#[tokio::test]
async fn query_is_served() {
    let pool = pool();
    let (_stub, gateway, caller) = start(Arc::new(move |_, bytes, _| {
        let request = decoded(&pool, "com.example.LookRequest", bytes);
        let get = |name: &str| request.get_field_by_name(name).unwrap().into_owned();
        let fields = HashMap::from([("beds", get("tag")), ("limit", get("limit"))]);
        Ok(message(&pool, "com.example.LookResponse", &fields))
    }))
    .await;
    let nsid = "com.example.garden.look";
    assert_eq!(gateway.query(&caller, nsid, "").await.ok(), json!({ "beds": [], "limit": 50 }));
    let empty = gateway.query(&caller, nsid, "?limit=&tag=&limit").await.ok();
    assert_eq!(empty, json!({ "beds": [], "limit": 50 }));
    let looked = gateway.query(&caller, nsid, "?tag=a+b&tag=%C3%A9&limit=0&unknown=1&unknown=2").await.ok();
    assert_eq!(looked, json!({ "beds": ["a b", "é"], "limit": 0 }));
    let mut table = Table::default();
    for (query, message) in [
        ("?limit=1&limit=2", "params.limit: given twice"),
        ("?limit=one", "params.limit: expected an integer"),
        ("?limit=1.0", "params.limit: expected an integer without fraction or exponent"),
        ("?tag=%00", "params.tag: contains U+0000"),
        ("?tag=%ff", "the query string is not valid UTF-8"),
    ] {
        table.check(query, gateway.query(&caller, nsid, query).await.whole(), invalid(message));
    }
    table.finish();
    gateway.call(&caller, nsid, &json!({})).await.invalid("a query: call it with GET");
}

/// Serves `com.example.garden.look` with the caller as its one bed.
fn beds_of_the_caller(pool: DescriptorPool) -> Arc<Answers> {
    Arc::new(move |_, bytes, _| {
        let request = decoded(&pool, "com.example.LookRequest", bytes);
        let beds = Field::List(vec![request.get_field_by_name("gardener").unwrap().into_owned()]);
        Ok(message(&pool, "com.example.LookResponse", &HashMap::from([("beds", beds)])))
    })
}

#[tokio::test]
async fn head_of_a_query() {
    let (_stub, gateway, caller) = start(beds_of_the_caller(pool())).await;
    let nsid = "com.example.garden.look";
    let head = |query: &str, token: &str| {
        gateway.request(Method::HEAD, &format!("/xrpc/{nsid}{query}")).bearer_auth(token)
    };
    let get = gateway.query(&caller, nsid, "").await;
    let answer = gateway.send(head("", &caller.token(SERVICE, nsid))).await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, ""));
    assert_eq!(answer.headers["content-length"], get.body.len().to_string());
    for (query, token, status) in
        [("?limit=x", caller.token(SERVICE, nsid), 400), ("", "none".to_owned(), 401)]
    {
        let answer = gateway.send(head(query, &token)).await;
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (status, ""));
    }
}

#[tokio::test]
async fn query_cannot_name_another_caller() {
    let (_stub, gateway, caller) = start(beds_of_the_caller(pool())).await;
    let looked = gateway.query(&caller, "com.example.garden.look", "?gardener=did:web:other.invalid").await;
    assert_eq!(looked.ok(), json!({ "beds": [caller.did] }));
}

#[tokio::test]
async fn body_of_a_query_is_ignored() {
    let (_stub, gateway, caller) = start(beds_of_the_caller(pool())).await;
    let nsid = "com.example.garden.look";
    let request =
        gateway.request(Method::GET, &format!("/xrpc/{nsid}")).bearer_auth(caller.token(SERVICE, nsid));
    gateway.send(request.header("content-type", "text/plain").body("{")).await.ok();
}

#[tokio::test]
async fn method_without_output_has_an_empty_body() {
    let (_stub, gateway, caller) = start(Arc::new(|_, _, _| Ok(Bytes::new()))).await;
    let answer = gateway.call(&caller, "com.example.garden.clear", &json!({ "bed": "roses" })).await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, ""));
}

#[tokio::test]
async fn answer_that_does_not_fit_is_ours() {
    let (_stub, gateway, caller) = start(Arc::new(|_, _, _| Ok(Bytes::new()))).await;
    let answer = gateway.call(&caller, "com.example.garden.plant", &json!({ "bed": "roses" })).await;
    answer.error(500, "InternalServerError");
    let (_stub, gateway, caller) = start(Arc::new(|_, _, _| Ok(Bytes::from_static(b"\xff\xff")))).await;
    let answer = gateway.call(&caller, "com.example.garden.plant", &json!({ "bed": "roses" })).await;
    answer.error(500, "InternalServerError");
}

/// An HTTP status and an error name.
type Outcome = (u16, &'static str);

/// The code, and what comes out for it: bare or with a foreign domain's reason, and with the service's own
/// reason.
const CODES: [(Code, Outcome, Outcome); 16] = [
    (Code::Cancelled, (504, "UpstreamTimeout"), (504, "UpstreamTimeout")),
    (Code::Unknown, (500, "InternalServerError"), (500, "InternalServerError")),
    (Code::InvalidArgument, (400, "InvalidRequest"), (400, "InvalidRequest")),
    (Code::DeadlineExceeded, (504, "UpstreamTimeout"), (504, "UpstreamTimeout")),
    (Code::NotFound, (400, "NotFound"), (400, "NotFound")),
    (Code::AlreadyExists, (400, "BedTaken"), (400, "BedTaken")),
    (Code::PermissionDenied, (502, "UpstreamFailure"), (403, "Forbidden")),
    (Code::ResourceExhausted, (429, "RateLimitExceeded"), (429, "RateLimitExceeded")),
    (Code::FailedPrecondition, (400, "InvalidRequest"), (400, "GroundFrozen")),
    (Code::Aborted, (500, "InternalServerError"), (500, "InternalServerError")),
    (Code::OutOfRange, (400, "InvalidRequest"), (400, "InvalidRequest")),
    (Code::Unimplemented, (501, "MethodNotImplemented"), (501, "MethodNotImplemented")),
    (Code::Internal, (500, "InternalServerError"), (500, "InternalServerError")),
    (Code::Unavailable, (502, "UpstreamFailure"), (502, "UpstreamFailure")),
    (Code::DataLoss, (500, "InternalServerError"), (500, "InternalServerError")),
    (Code::Unauthenticated, (502, "UpstreamFailure"), (401, "AuthenticationRequired")),
];

/// A detail that no client may see with a 5xx.
const DETAIL: &str = "row 7 of 10.0.0.5";

fn status(code: Code, domain: &str, reason: &str) -> Status {
    match domain {
        "" => Status::new(code, DETAIL),
        _ => Status::with_error_details(code, DETAIL, ErrorDetails::with_error_info(reason, domain, [])),
    }
}

#[tokio::test]
async fn every_code() {
    let mut cases = Vec::new();
    for (code, bare, with_reason) in CODES {
        cases.push((status(code, "", ""), bare));
        cases.push((status(code, "elsewhere.example", "FROZEN"), bare));
        cases.push((status(code, "garden.example", "FROZEN"), with_reason));
    }
    // Reasons that all methods share go before a row with the code alone.
    for code in [Code::ResourceExhausted, Code::AlreadyExists] {
        cases.push((status(code, "garden.example", "RATE_LIMITED"), (429, "RateLimitExceeded")));
        cases.push((status(code, "garden.example", "OVERLOADED"), (503, "NotEnoughResources")));
    }
    let refused = status(Code::Unauthenticated, "garden.example", "SHARED_TOKEN_REQUIRED");
    cases.push((refused, (502, "UpstreamFailure")));
    let answered = Arc::new(Mutex::new(Status::unknown("")));
    let failing = Arc::clone(&answered);
    let (_stub, gateway, caller) = start(Arc::new(move |_, _, _| Err(failing.lock().unwrap().clone()))).await;
    let mut table = Table::default();
    for (status, (expected, name)) in cases {
        let case = format!("{:?} {:?}", status.code(), status.get_error_details().error_info());
        *answered.lock().unwrap() = status;
        let answer = gateway.call(&caller, "com.example.garden.plant", &json!({ "bed": "roses" })).await;
        // That a 5xx has its one fixed text is checked for every answer.
        let message = if expected < 500 { DETAIL.to_owned() } else { answer.message() };
        table.check(case, answer.whole(), error(expected, name, &message));
    }
    table.finish();
}

#[tokio::test]
async fn broken_fields_have_the_paths_of_the_lexicon() {
    let answered = Arc::new(Mutex::new(Status::unknown("")));
    let failing = Arc::clone(&answered);
    let (_stub, gateway, caller) = start(Arc::new(move |_, _, _| Err(failing.lock().unwrap().clone()))).await;
    let mut table = Table::default();
    for (fields, message) in [
        (&[("row_count", "must be odd")][..], "input.rowCount: must be odd"),
        (
            &[("bed", "is taken"), ("row_count", "must be odd")],
            "input.bed: is taken; input.rowCount: must be odd",
        ),
        // Not of the client's making, or unknown: the message as it is.
        (&[("gardener", "is no DID")], DETAIL),
        (&[("bed", "is taken"), ("spade", "is lost")], DETAIL),
    ] {
        let mut details = ErrorDetails::new();
        for (field, rule) in fields {
            details.add_bad_request_violation(*field, *rule);
        }
        *answered.lock().unwrap() = Status::with_error_details(Code::InvalidArgument, DETAIL, details);
        let answer = gateway.call(&caller, "com.example.garden.plant", &json!({ "bed": "roses" })).await;
        table.check(format!("{fields:?}"), answer.whole(), invalid(message));
    }
    table.finish();
}

#[tokio::test]
async fn drift_stops_the_start_and_lists_all() {
    let folder = tempfile::tempdir().unwrap();
    let [mut plant, look, mut clear] = lexicons();
    plant["defs"]["main"]["input"]["schema"]["properties"]["shade"] = json!({ "type": "string" });
    plant["defs"]["main"]["errors"] = json!([{ "name": "GroundFrozen" }]);
    clear["id"] = json!("com.example.garden.raze");
    for (number, document) in [plant, look, clear].iter().enumerate() {
        std::fs::write(folder.path().join(format!("{number}.json")), document.to_string()).unwrap();
    }
    let file = folder.path().join("descriptors.bin");
    std::fs::write(&file, descriptors(PROTO)).unwrap();
    let error = gateway::bound(Some(folder.path()), Some(&file)).expect_err("drift");
    let problems = process::exit::chain(&error);
    for words in ["shade", "BedTaken", "com.example.garden.raze", "com.example.garden.clear"] {
        assert!(problems.contains(words), "{words} is not in {problems}");
    }
}
