//! What the site serves for programs, and the pages of a service that is not athook.

use std::process::Command;

use serde_json::{Value, json};

use super::{METADATA, get, start};
use crate::harness::packages;
use crate::harness::rpc_stub::descriptors;

const PROTO: &str = r#"
syntax = "proto3";
package com.example;
import "xrpc/v1/annotations.proto";
service Garden {
  rpc Look(LookRequest) returns (LookResponse) { option (xrpc.v1.method) = { nsid: "com.example.garden.look" }; }
}
message LookRequest { optional string bed = 1; }
message LookResponse { repeated string beds = 1; }
"#;
const HOSTILE: &str = "<script>alert(1)</script> \"onload=\"alert(2)";

fn garden() -> Value {
    let bed = json!({ "type": "string", "description": HOSTILE, "knownValues": [HOSTILE] });
    let beds = json!({ "type": "array", "items": { "type": "string" } });
    json!({ "lexicon": 1, "id": "com.example.garden.look", "defs": { "main": {
        "type": "query",
        "description": HOSTILE,
        "parameters": { "type": "params", "properties": { "bed": bed } },
        "output": { "encoding": "application/json", "schema": {
            "type": "object", "required": ["beds"], "properties": { "beds": beds },
        } },
        "errors": [{ "name": "<b>Frozen</b>", "description": HOSTILE }],
    } } })
}

#[tokio::test]
async fn foreign_service() {
    let document = garden();
    let (_stub, gateway) =
        start(|setup| setup.serving(std::slice::from_ref(&document), &descriptors(PROTO))).await;
    for path in ["/", "/docs/com.example.garden.look"] {
        let page = get(&gateway, path).await.text().await.unwrap();
        assert!(page.contains("com.example.garden.look"), "{page}");
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt; &quot;onload=&quot;alert(2)"), "{page}");
        assert!(
            !page.contains("<script>alert") && !page.contains("<b>") && !page.contains("/console"),
            "{page}"
        );
    }
    let lexicon = get(&gateway, "/lexicons/com.example.garden.look.json").await.text().await.unwrap();
    assert_eq!(lexicon, document.to_string());
    for path in ["/console", "/docs/place.wisp.v2.secret.create", "/lexicons/place.stream.server.defs.json"] {
        assert_eq!(get(&gateway, path).await.status(), 404, "{path}");
    }
    let config: Value = get(&gateway, "/site/config.json").await.json().await.unwrap();
    assert_eq!(config["methods"], json!([{ "nsid": "com.example.garden.look", "type": "query" }]));
    assert_eq!((&config["console"], &config["development"]), (&json!(false), &json!(false)));
}

#[tokio::test]
async fn lexicons_are_as_they_were_bound() {
    let (_stub, gateway) = start(|setup| setup).await;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/gateway/lexicons");
    let index = get(&gateway, "/").await.text().await.unwrap();
    let mut served = 0;
    for part in index.split("href=\"/lexicons/").skip(1) {
        let (id, _) = part.split_once(".json\"").unwrap();
        let answer = get(&gateway, &format!("/lexicons/{id}.json")).await.bytes().await.unwrap();
        let file = format!("{folder}/{}.json", id.replace('.', "/"));
        assert_eq!(answer, std::fs::read(&file).unwrap(), "{file}");
        served += 1;
    }
    assert!(served > 10, "{index}");
}

#[tokio::test]
async fn config_and_metadata() {
    let (_stub, gateway) = start(|setup| setup.flag("--public-url", "https://hooks.example")).await;
    let config: Value = get(&gateway, "/site/config.json").await.json().await.unwrap();
    let metadata: Value = get(&gateway, METADATA).await.json().await.unwrap();
    assert_eq!(config["console"], true);
    assert_eq!(config["service"]["url"], "https://hooks.example");
    assert_eq!(config["plcUrl"], "http://127.0.0.1:9");
    let scope = config["oauth"]["scope"].clone();
    assert_eq!(scope.as_str().unwrap().split(' ').count(), 1 + config["methods"].as_array().unwrap().len());
    assert_eq!(
        metadata,
        json!({
            "client_id": "https://hooks.example/oauth-client-metadata.json",
            "client_name": "athook",
            "client_uri": "https://hooks.example",
            "redirect_uris": ["https://hooks.example/"],
            "scope": scope,
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
            "application_type": "web",
            "dpop_bound_access_tokens": true,
        })
    );
}

/// By the validator of PyPI that others use.
#[tokio::test]
async fn openapi_is_valid() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    let (_stub, own) = start(|setup| setup).await;
    let (_stub, foreign) = start(|setup| setup.serving(&[garden()], &descriptors(PROTO))).await;
    for (name, gateway) in [("own", own), ("foreign", foreign)] {
        let file = folder.path().join(name).with_extension("json");
        std::fs::write(&file, get(&gateway, "/openapi.json").await.bytes().await.unwrap()).unwrap();
        files.push(file);
    }
    let validated = tokio::task::spawn_blocking(move || {
        let python = packages::python("tests/it/site/requirements.txt");
        Command::new(python).args(["-m", "openapi_spec_validator"]).args(files).output().unwrap()
    });
    let output = validated.await.unwrap();
    assert!(output.status.success(), "{output:?}");
}
