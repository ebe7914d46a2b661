//! The checker accepts right exchanges, and rejects a wrong request or answer of each kind.

use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};

use super::{Contract, Violation};
use crate::harness::answer::Answer;
use crate::harness::contract::exchange::SentRequest;

const PLANT: &str = "com.example.garden.plant";
const LOOK: &str = "com.example.garden.look";
const CLEAR: &str = "com.example.garden.clear";

fn contract() -> Contract {
    let schema = |schema: Value| json!({ "encoding": "application/json", "schema": schema });
    let bed = json!({
        "type": "object",
        "required": ["bed"],
        "properties": {
            "bed": { "type": "string", "maxLength": 5 },
            "rows": { "type": "integer", "minimum": 1 },
            "kind": { "type": "string", "enum": ["roses", "beans"] },
            "at": { "type": "string", "format": "datetime" },
        },
    });
    let parameters = json!({
        "type": "params",
        "required": ["bed"],
        "properties": {
            "bed": { "type": "string" },
            "limit": { "type": "integer", "maximum": 10 },
            "open": { "type": "boolean" },
            "tags": { "type": "array", "items": { "type": "string", "maxLength": 2 } },
        },
    });
    let bed_ref = json!({ "type": "ref", "ref": "com.example.garden.plant#bed" });
    let document =
        |id: &str, main: Value| json!({ "lexicon": 1, "id": id, "defs": { "main": main, "bed": bed } });
    let documents = [
        document(
            PLANT,
            json!({ "type": "procedure", "input": schema(bed_ref.clone()), "output": schema(bed_ref.clone()),
                "errors": [{ "name": "Frozen" }, { "name": "AuthenticationRequired" }, { "name": "NotFound" },
                    { "name": "Unauthorized" }] }),
        ),
        document(LOOK, json!({ "type": "query", "parameters": parameters, "output": schema(bed_ref) })),
        document(CLEAR, json!({ "type": "procedure", "input": schema(json!({ "type": "object" })) })),
    ];
    Contract::of(&documents).unwrap()
}

fn asked(verb: Method, path: &str, body: &str) -> SentRequest {
    let (path, query) =
        path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query.to_owned())));
    SentRequest { verb, path: path.to_owned(), query, body: Some(body.as_bytes().to_vec()) }
}

fn answer(status: u16, body: &str) -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert("access-control-allow-origin", "*".parse().unwrap());
    if !body.is_empty() {
        headers.insert("content-type", "application/json".parse().unwrap());
    }
    Answer { status: StatusCode::from_u16(status).unwrap(), headers, body: body.to_owned() }
}

fn planted(input: &str, output: &str) -> Result<(), Violation> {
    let asked = asked(Method::POST, &format!("/xrpc/{PLANT}"), input);
    contract().check(&asked, &answer(200, output))
}

fn failed(path: &str, status: u16, name: &str, message: &str) -> Result<(), Violation> {
    let mut answer = answer(status, &json!({ "error": name, "message": message }).to_string());
    answer.headers.insert("www-authenticate", "Bearer".parse().unwrap());
    contract().check(&asked(Method::POST, path, "{}"), &answer)
}

/// Asserts that the contract is broken, and that the text has these words.
fn breach(outcome: Result<(), Violation>, words: &str) {
    let breach = outcome.expect_err(words);
    assert!(breach.contains(words), "{words:?} is not in {breach:?}");
}

#[test]
fn inputs_and_outputs() {
    let good = r#"{"bed":"a","rows":1,"kind":"beans","at":"2026-01-02T03:04:05.678Z","more":null}"#;
    planted(good, good).unwrap();
    planted(r#"{"bed":"a","more":[{"bed":1e999,"c":-1e999}]}"#, good).unwrap();
    for (wrong, words) in [
        ("{}", "bed"),
        (r#"{"bed":7}"#, "bed"),
        (r#"{"bed":null}"#, "bed"),
        (r#"{"bed":"ééé"}"#, "too long"),
        (r#"{"bed":"a","rows":"1"}"#, "rows"),
        (r#"{"bed":"a","rows":0}"#, "rows"),
        (r#"{"bed":"a","rows":1.5}"#, "rows"),
        (r#"{"bed":"a","kind":"weeds"}"#, "kind"),
        (r#"{"bed":"a","at":"2026-01-02"}"#, "at"),
        ("[]", "expected object"),
    ] {
        breach(planted(wrong, good), words);
        breach(planted(good, wrong), words);
    }
    breach(planted(r#"{"bed":"a","rows":1e999}"#, good), "rows");
    breach(planted("{", good), "no JSON");
    breach(planted(good, "{"), "EOF");
    breach(planted(good, ""), "not application/json");
}

#[test]
fn parameters() {
    let look = |query: &str| {
        contract()
            .check(&asked(Method::GET, &format!("/xrpc/{LOOK}{query}"), ""), &answer(200, r#"{"bed":"a"}"#))
    };
    look("?bed=a+b&limit=10&open=true&tags=a&tags=b&other=1&other=2").unwrap();
    breach(look(""), "bed");
    breach(look("?bed=a&bed=b"), "given twice");
    breach(look("?bed=a&limit=11"), "limit");
    breach(look("?bed=a&limit=ten"), "not of its parameter's type");
    breach(look("?bed=a&open=1"), "not of its parameter's type");
    breach(look("?bed=a&tags=a&tags=long"), "tags");
}

#[test]
fn verbs_and_bodies() {
    let contract = contract();
    let clear = format!("/xrpc/{CLEAR}");
    let look = format!("/xrpc/{LOOK}?bed=a");
    contract.check(&asked(Method::POST, &clear, "{}"), &answer(200, "")).unwrap();
    breach(contract.check(&asked(Method::POST, &clear, "{}"), &answer(200, "{}")), "empty");
    breach(contract.check(&asked(Method::PUT, &clear, "{}"), &answer(200, "")), "PUT succeeded");
    breach(contract.check(&asked(Method::POST, &look, ""), &answer(200, r#"{"bed":"a"}"#)), "POST succeeded");
    breach(contract.check(&asked(Method::POST, &clear, "{}"), &answer(201, "")), "200");
    let mut head = answer(200, r#"{"bed":"a"}"#);
    breach(contract.check(&asked(Method::HEAD, &look, ""), &head), "empty");
    head.body.clear();
    contract.check(&asked(Method::HEAD, &look, ""), &head).unwrap();
    let unseen = SentRequest { body: None, ..asked(Method::POST, &clear, "") };
    breach(contract.check(&unseen, &answer(200, "")), "nobody kept");
}

#[test]
fn method_without_a_lexicon() {
    let path = "/xrpc/com.example.garden.dig";
    breach(contract().check(&asked(Method::POST, path, "{}"), &answer(200, "{}")), "without a lexicon");
    contract().check(&asked(Method::GET, "/xrpc/_health", ""), &answer(200, "{}")).unwrap();
}

#[test]
fn error_names() {
    let plant = format!("/xrpc/{PLANT}");
    for (status, name) in
        [(400, "Frozen"), (401, "AuthenticationRequired"), (400, "NotFound"), (413, "PayloadTooLarge")]
    {
        failed(&plant, status, name, "why").unwrap();
    }
    breach(failed(&plant, 409, "Frozen", "why"), "Frozen is 400");
    breach(failed(&plant, 404, "NotFound", "why"), "NotFound is 400");
    breach(failed(&plant, 400, "AuthenticationRequired", "why"), "is 401");
    breach(failed(&plant, 400, "Thawed", "why"), "not declared");
    breach(failed(&plant, 400, "Unauthorized", "why"), "never used");
    breach(failed(&format!("/xrpc/{CLEAR}"), 400, "Frozen", "why"), "not declared");
    breach(failed(&format!("/xrpc/{CLEAR}"), 404, "NotFound", "why"), "not declared");
    failed("/nothing", 404, "NotFound", "why").unwrap();
    breach(failed("/nothing", 400, "NotFound", "why"), "is 404");
    failed(&plant, 502, "UpstreamFailure", "a service that this one depends on does not answer").unwrap();
    breach(failed(&plant, 502, "UpstreamFailure", "10.0.0.5:50051: connection refused"), "one text");
    breach(failed(&plant, 500, "UpstreamFailure", "x"), "is 502");
}

#[test]
fn error_bodies() {
    let check = |body: &str| {
        contract().check(&asked(Method::POST, &format!("/xrpc/{PLANT}"), ""), &answer(400, body))
    };
    check(r#"{"error":"Frozen","message":""}"#).unwrap();
    for body in [
        r#"{"error":"Frozen"}"#,
        r#"{"message":"why"}"#,
        r#"{"error":"Frozen","message":null}"#,
        r#"{"error":"Frozen","message":"why","detail":1}"#,
    ] {
        breach(check(body), "two texts");
    }
    breach(check("Frozen"), "an object");
    breach(check(""), "application/json");
    breach(check(&format!(r#"{{"error":"Frozen","message":"{}"}}"#, "x".repeat(1024))), "bytes");
    let mut unchallenged = answer(401, r#"{"error":"AuthenticationRequired","message":"why"}"#);
    breach(contract().check(&asked(Method::POST, &format!("/xrpc/{PLANT}"), ""), &unchallenged), "challenge");
    unchallenged.headers.remove("access-control-allow-origin");
    breach(contract().check(&asked(Method::POST, "/", ""), &unchallenged), "CORS");
}

#[test]
fn exchanges_from_bytes() {
    let request =
        SentRequest::read(b"POST http://x/xrpc/a.b.c?q=1 HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}GET")
            .unwrap();
    assert_eq!((request.path.as_str(), request.query.as_deref()), ("/xrpc/a.b.c", Some("q=1")));
    assert_eq!(request.body.as_deref(), Some(&b"{}"[..]));
    assert!(SentRequest::read(b"GET / HTTP/1.1\r\n").is_none());
    let chunked =
        SentRequest::read(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")
            .unwrap();
    assert!(chunked.body.is_none());
    let answer = Answer::read(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 1\r\n\r\nx").unwrap();
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (401, "x"));
    assert!(Answer::read(b"nothing").is_none());
}
