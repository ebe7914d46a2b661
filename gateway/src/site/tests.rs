//! The pages and documents of made-up methods, whose lexicons say hostile things.

mod openapi;

use axum::Router;
use axum::body::Body;
use clap::Parser as _;
use egress::policy::Policy;
use http::header::CONTENT_SECURITY_POLICY;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;

use super::client::Service;
use super::documents::{Described, described, documents};
use super::{CONFIG_PATH, Site, example};
use crate::auth::tests::egress;
use crate::binding::fixture::{descriptors, lexicons};
use crate::binding::{Methods, bind};
use crate::config::{Config, RawArgs};
use crate::lexicon::Lexicons;

const SCRIPT: &str = "<script>alert(1)</script>";
const ATTRIBUTE: &str = r#"\"onload=\"alert(2)"#;

/// A query, a procedure that refers to another document, one without an input, and a document that nothing
/// refers to.
fn garden() -> (Lexicons, Methods) {
    let plant = format!(
        r##"{{
        "main": {{
            "type": "procedure",
            "description": "{SCRIPT}",
            "input": {{ "encoding": "application/json", "schema": {{
                "type": "object",
                "required": ["bed", "when", "rows"],
                "properties": {{
                    "bed": {{ "type": "string", "minLength": 8, "maxLength": 20, "description": "{ATTRIBUTE}" }},
                    "when": {{ "type": "string", "format": "datetime" }},
                    "kind": {{ "type": "string", "enum": ["rose", "{SCRIPT}"], "default": "rose" }},
                    "mood": {{ "type": "string", "knownValues": ["calm"], "maxGraphemes": 10 }},
                    "rows": {{ "type": "array", "minLength": 2, "maxLength": 5,
                        "items": {{ "type": "ref", "ref": "com.example.defs#row" }} }},
                    "place": {{ "type": "object", "required": ["x"], "properties": {{
                        "x": {{ "type": "integer", "minimum": -5, "maximum": 5 }} }} }}
                }}
            }} }},
            "errors": [{{ "name": "Frozen", "description": "{SCRIPT}" }}, {{ "name": "AuthenticationRequired" }}]
        }}
    }}"##
    );
    let defs = r##"{ "row": { "type": "object", "description": "A row", "required": ["plant", "below"],
        "properties": {
            "plant": { "type": "string", "default": "it's" },
            "below": { "type": "array", "items": { "type": "ref", "ref": "#row" } }
        } } }"##;
    let look = r#"{ "main": {
        "type": "query",
        "parameters": { "type": "params", "required": ["tag", "limit"], "properties": {
            "tag": { "type": "array", "items": { "type": "string" } },
            "limit": { "type": "integer", "minimum": 3 },
            "wet": { "type": "boolean", "default": false } } },
        "output": { "encoding": "application/json", "schema": { "type": "ref", "ref": "com.example.defs#row" } }
    } }"#;
    let proto = r#"
        service Garden {
            rpc Plant(PlantRequest) returns (None) { option (xrpc.v1.method) = { nsid: "com.example.garden.plant" }; }
            rpc Look(LookRequest) returns (Row) { option (xrpc.v1.method) = { nsid: "com.example.garden.look" }; }
            rpc Rest(None) returns (None) { option (xrpc.v1.method) = { nsid: "com.example.shed.rest" }; }
        }
        message PlantRequest {
            string bed = 1; string when = 2; optional string kind = 3; optional string mood = 4; repeated Row rows = 5;
            optional Place place = 6;
        }
        message Place { int32 x = 1; }
        message Row { string plant = 1; repeated Row below = 2; }
        message LookRequest { repeated string tag = 1; int32 limit = 2; optional bool wet = 3; }
        message None {}
    "#;
    let lexicons = lexicons(&[
        ("com.example.garden.plant", &plant),
        ("com.example.garden.look", look),
        ("com.example.shed.rest", r#"{ "main": { "type": "procedure" } }"#),
        ("com.example.defs", defs),
        ("com.example.unused", r#"{ "row": { "type": "string" } }"#),
    ]);
    let methods = bind(&lexicons, &descriptors(proto)).unwrap_or_else(|drift| panic!("{drift}"));
    (lexicons, methods)
}

fn config(flags: &[&str]) -> Config {
    let arguments = ["gateway"].iter().chain(flags);
    RawArgs::try_parse_from(arguments).unwrap().check().unwrap().1
}

fn method<'a, 'b>(methods: &'b [Described<'a>], nsid: &str) -> &'b Described<'a> {
    methods.iter().find(|method| method.nsid() == nsid).unwrap()
}

async fn page(path: &str) -> String {
    let (lexicons, methods) = garden();
    let site = Site::new(&config(&[]), &lexicons, &methods, egress(Policy::new(Vec::new())));
    let stored = site.stored.get(path).unwrap_or_else(|| panic!("no {path}"));
    let body = stored.answer(&HeaderMap::new()).into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

#[tokio::test]
async fn hostile_words_stay_text() {
    for path in ["/", "/docs/com.example.garden.plant"] {
        let page = page(path).await;
        assert!(!page.contains(SCRIPT), "{page}");
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{page}");
        assert!(!page.contains("\"onload"), "{page}");
    }
}

#[tokio::test]
async fn page_of_a_procedure() {
    let page = page("/docs/com.example.garden.plant").await;
    for part in [
        "<h1>com.example.garden.plant</h1>",
        "<code>POST /xrpc/com.example.garden.plant</code>",
        "<code>bed</code> <span class=\"required\">required</span>",
        "<li>8 to 20 bytes</li>",
        "<span class=\"type\">string</span> (datetime)",
        "<li>default &quot;rose&quot;</li>",
        "<li>such as calm</li>",
        "<li>at most 10 graphemes</li>",
        "<li>2 to 5 elements</li>",
        "<code>place.x</code> <span class=\"required\">required</span>",
        "<li>-5 to 5</li>",
        "<a class=\"type\" href=\"#com.example.defs_row\">row</a>",
        "<h3 id=\"com.example.defs_row\">com.example.defs#row</h3><p>A row</p>",
        "<code>Frozen</code></th><td>400</td>",
        "<code>AuthenticationRequired</code></th><td>401</td>",
        "<code>did:web:localhost%3A8080</code> or <code>did:web:localhost%3A8080#wisp_place</code>",
        "data-nsid=\"com.example.garden.plant\" data-type=\"procedure\"></section>",
        "<title>com.example.garden.plant · localhost:8080</title>",
    ] {
        assert!(page.contains(part), "no {part} in {page}");
    }
    assert!(!page.contains("<h2>Output</h2>") && !page.contains("/console"), "{page}");
}

#[tokio::test]
async fn index_has_families() {
    let page = page("/").await;
    for part in [
        "<h2>com.example.garden</h2>",
        "<h2>com.example.shed</h2>",
        "<a href=\"/docs/com.example.shed.rest\">",
        "<code>atproto-proxy: did:web:localhost%3A8080#streamplace</code>",
    ] {
        assert!(page.contains(part), "no {part} in {page}");
    }
}

#[tokio::test]
async fn routes_of_a_development_process() {
    let (lexicons, methods) = garden();
    let mut config = config(&[]);
    let path = "/site/development/session";
    config.site_routes = Some(Router::new().route(path, axum::routing::any(async || "session")));
    let site = Site::new(&config, &lexicons, &methods, egress(Policy::new(Vec::new())));
    assert!(site.config.contains("\"development\":true"), "{}", site.config);
    let router = site.router(|router| router);
    for path in [path, CONFIG_PATH] {
        let answer = router.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(answer.headers().contains_key(CONTENT_SECURITY_POLICY), "{answer:?}");
    }
}

#[test]
fn documents_that_are_used() {
    let (lexicons, methods) = garden();
    let described = described(&lexicons, &methods);
    let ids: Vec<_> = documents(&lexicons, &described).iter().map(|document| document.id.as_str()).collect();
    assert_eq!(
        ids,
        ["com.example.defs", "com.example.garden.look", "com.example.garden.plant", "com.example.shed.rest"]
    );
}

#[test]
fn commands() {
    let (lexicons, methods) = garden();
    let described = described(&lexicons, &methods);
    let curl = |nsid: &str| example::curl(method(&described, nsid), "https://hooks.example");
    assert_eq!(
        curl("com.example.garden.look"),
        "curl 'https://hooks.example/xrpc/com.example.garden.look?limit=3&tag=text' \\\n  -H \"Authorization: \
         Bearer $TOKEN\""
    );
    assert_eq!(
        curl("com.example.shed.rest"),
        "curl 'https://hooks.example/xrpc/com.example.shed.rest' \\\n  -H \"Authorization: Bearer $TOKEN\" \\\n  \
         -X POST"
    );
    let plant = curl("com.example.garden.plant");
    assert!(plant.contains(r"it'\''s"), "{plant}");
    let body = example::input(method(&described, "com.example.garden.plant")).unwrap();
    assert_eq!((&body["bed"], body["rows"].as_array().unwrap().len()), (&Value::from("textxxxx"), 2));
    assert_eq!(body.get("kind"), None);
}

#[test]
fn sign_in() {
    let (lexicons, methods) = garden();
    let described = described(&lexicons, &methods);
    let config_at = |flags: &[&str]| Service::new(&config(flags)).config(&described, false, false);
    let metadata_at = |flags: &[&str]| Service::new(&config(flags)).metadata(&described);

    let public = config_at(&["--public-url", "https://hooks.example"]);
    let scope = "atproto rpc:com.example.garden.look?aud=did:web:hooks.example%23wisp_place \
                 rpc:com.example.garden.plant?aud=did:web:hooks.example%23wisp_place \
                 rpc:com.example.shed.rest?aud=did:web:hooks.example%23wisp_place";
    assert_eq!(public["audience"], "did:web:hooks.example#wisp_place");
    assert_eq!(
        public["oauth"],
        serde_json::json!({
            "clientId": "https://hooks.example/oauth-client-metadata.json",
            "redirectUri": "https://hooks.example/",
            "scope": scope,
            "loopback": false,
        })
    );
    let metadata = metadata_at(&["--public-url", "https://hooks.example"]).unwrap();
    assert_eq!(metadata["client_id"], public["oauth"]["clientId"]);
    assert_eq!(metadata["redirect_uris"], serde_json::json!(["https://hooks.example/"]));
    assert_eq!(metadata["scope"], scope);

    for (url, redirect) in [
        ("http://localhost:8080", "http://127.0.0.1:8080/"),
        ("http://127.0.0.2:8080", "http://127.0.0.2:8080/"),
        ("http://[::1]:8080", "http://[::1]:8080/"),
    ] {
        let flags = ["--public-url", url, "--service-did", "did:plc:ewvi7nxzyoun6zhxrhs64oiz"];
        let local = config_at(&flags);
        assert_eq!(local["oauth"]["redirectUri"], redirect);
        assert_eq!(local["oauth"]["loopback"], true);
        assert_eq!(local["audience"], "did:plc:ewvi7nxzyoun6zhxrhs64oiz");
        let client_id: url::Url = local["oauth"]["clientId"].as_str().unwrap().parse().unwrap();
        let query: Vec<_> = client_id.query_pairs().into_owned().collect();
        assert_eq!(query[0], ("redirect_uri".to_owned(), redirect.to_owned()));
        assert_eq!(query[1].1, local["oauth"]["scope"]);
        assert!(query[1].1.contains(" rpc:com.example.shed.rest?aud=*"), "{query:?}");
        assert_eq!(metadata_at(&flags), None);
    }

    let plain = ["--public-url", "http://hooks.example"];
    assert_eq!(config_at(&plain)["oauth"], Value::Null);
    assert_eq!(metadata_at(&plain), None);
}
