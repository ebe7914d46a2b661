//! The site: the headers of its paths, what browsers keep, what is refused, and that it can be off.

mod documents;
mod handles;

use std::sync::Arc;

use http::header::{
    ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_REQUEST_METHOD, CACHE_CONTROL,
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, ORIGIN,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, Method, StatusCode};
use serde_json::json;
use tonic::Status;

use crate::harness::gateway::{Gateway, Setup};
use crate::harness::logs;
use crate::harness::rpc_stub::RpcStub;

/// Every path but that of the metadata, with its media type.
const PATHS: [(&str, &str); 9] = [
    ("/", "text/html; charset=utf-8"),
    ("/docs/place.wisp.v2.secret.create", "text/html; charset=utf-8"),
    ("/console", "text/html; charset=utf-8"),
    ("/lexicons/place.stream.server.defs.json", "application/json"),
    ("/openapi.json", "application/json"),
    ("/site/config.json", "application/json"),
    ("/assets/page.js", "text/javascript; charset=utf-8"),
    ("/assets/site.css", "text/css; charset=utf-8"),
    ("/assets/icon.svg", "image/svg+xml"),
];
const METADATA: &str = "/oauth-client-metadata.json";

/// A gateway before nothing, and what keeps it.
async fn start(prepare: impl FnOnce(Setup) -> Setup) -> (RpcStub, Gateway) {
    let stub = RpcStub::start(Arc::new(|_, _, _| Err(Status::unimplemented("")))).await;
    let gateway = prepare(Gateway::before(stub.address)).start().await;
    (stub, gateway)
}

async fn get(gateway: &Gateway, path: &str) -> reqwest::Response {
    gateway.request(Method::GET, path).send().await.unwrap()
}

fn header<'a>(headers: &'a HeaderMap, name: &http::HeaderName) -> &'a str {
    headers.get(name).unwrap_or_else(|| panic!("no {name}: {headers:?}")).to_str().unwrap()
}

#[tokio::test]
async fn every_path_has_the_policy() {
    for (url, loopback) in
        [("http://localhost:8080", " http://127.0.0.1:* http://localhost:*"), ("https://hooks.example", "")]
    {
        let (_stub, gateway) = start(|setup| setup.flag("--public-url", url)).await;
        let policy = format!(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self' \
             https:{loopback}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
             require-trusted-types-for 'script'; trusted-types 'none'"
        );
        let refused = [
            ("/docs/com.example.nothing", StatusCode::NOT_FOUND),
            ("/assets/nothing.js", StatusCode::NOT_FOUND),
        ];
        let found = PATHS.map(|(path, _)| (path, StatusCode::OK));
        let resolve = ("/site/resolve-handle", StatusCode::BAD_REQUEST);
        let metadata = if loopback.is_empty() { StatusCode::OK } else { StatusCode::NOT_FOUND };
        for (path, status) in found.into_iter().chain(refused).chain([resolve, (METADATA, metadata)]) {
            let answer = get(&gateway, path).await;
            let headers = answer.headers();
            assert_eq!(answer.status(), status, "{path}");
            assert_eq!(header(headers, &CONTENT_SECURITY_POLICY), policy, "{path}");
            assert_eq!(header(headers, &REFERRER_POLICY), "no-referrer", "{path}");
            assert_eq!(header(headers, &X_CONTENT_TYPE_OPTIONS), "nosniff", "{path}");
            assert_eq!(headers.get("cross-origin-opener-policy").unwrap(), "same-origin", "{path}");
        }
        for (path, media_type) in PATHS {
            assert_eq!(header(get(&gateway, path).await.headers(), &CONTENT_TYPE), media_type, "{path}");
        }
    }
}

#[tokio::test]
async fn no_other_origin_reads_it() {
    let (_stub, gateway) = start(|setup| setup).await;
    let asked = |verb: Method, path: &str| {
        let request = gateway.request(verb, path).header(ORIGIN, "https://elsewhere.example");
        request.header(ACCESS_CONTROL_REQUEST_METHOD, "GET").send()
    };
    for (path, _) in PATHS {
        let answer = asked(Method::GET, path).await.unwrap();
        assert!(!answer.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN), "{path}");
        let preflight = asked(Method::OPTIONS, path).await.unwrap();
        assert_eq!(preflight.status(), StatusCode::BAD_REQUEST, "{path}");
        assert!(!preflight.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN), "{path}");
    }
    for path in ["/xrpc/place.wisp.v2.secret.list", "/xrpc/_health", "/.well-known/did.json", "/elsewhere"] {
        for verb in [Method::GET, Method::OPTIONS] {
            let answer = asked(verb, path).await.unwrap();
            assert_eq!(header(answer.headers(), &ACCESS_CONTROL_ALLOW_ORIGIN), "*", "{path}");
        }
    }
}

#[tokio::test]
async fn known_content_is_not_sent_again() {
    let (_stub, gateway) = start(|setup| setup).await;
    for (path, _) in PATHS.into_iter().filter(|(path, _)| *path != "/site/config.json") {
        let plain = get(&gateway, path).await;
        let etag = header(plain.headers(), &ETAG).to_owned();
        assert_eq!(header(plain.headers(), &CACHE_CONTROL), "no-cache");
        assert!(!plain.headers().contains_key(CONTENT_ENCODING));
        let content = plain.bytes().await.unwrap();

        let request = gateway.request(Method::GET, path).header(ACCEPT_ENCODING, "gzip, br");
        let zipped = request.send().await.unwrap();
        assert_eq!(header(zipped.headers(), &CONTENT_ENCODING), "gzip", "{path}");
        assert_eq!(header(zipped.headers(), &http::header::VARY), "accept-encoding", "{path}");
        let zipped_etag = header(zipped.headers(), &ETAG).to_owned();
        assert_ne!(zipped_etag, etag);
        assert_eq!(unzipped(&zipped.bytes().await.unwrap()), content, "{path}");

        // Each for the representation that it names.
        for (etag, encoding) in [(etag, "identity"), (zipped_etag, "gzip")] {
            let request = gateway.request(Method::GET, path).header(IF_NONE_MATCH, etag);
            let request = request.header(ACCEPT_ENCODING, encoding);
            let known = request.send().await.unwrap();
            assert_eq!(known.status(), StatusCode::NOT_MODIFIED, "{path}");
            assert!(
                known.headers().contains_key(CONTENT_SECURITY_POLICY) && known.headers().contains_key(ETAG)
            );
            assert_eq!(known.bytes().await.unwrap(), "", "{path}");
        }
    }
    let config = get(&gateway, "/site/config.json").await;
    assert_eq!(header(config.headers(), &CACHE_CONTROL), "no-store");
}

fn unzipped(zipped: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(zipped), &mut content).unwrap();
    content
}

#[tokio::test]
async fn verbs() {
    let (_stub, gateway) = start(|setup| setup).await;
    for (path, _) in PATHS {
        let length = get(&gateway, path).await.headers()[CONTENT_LENGTH].clone();
        let head = gateway.request(Method::HEAD, path).send().await.unwrap();
        assert_eq!((head.status(), &head.headers()[CONTENT_LENGTH]), (StatusCode::OK, &length), "{path}");
        assert_eq!(head.bytes().await.unwrap(), "");

        let post = gateway.request(Method::POST, path).body("x").send().await.unwrap();
        assert_eq!(post.status(), StatusCode::BAD_REQUEST, "{path}");
        assert_eq!(post.headers()["allow"], "GET, HEAD");
        let id = post.headers()["x-request-id"].to_str().unwrap().to_owned();
        assert_eq!(
            post.text().await.unwrap(),
            json!({ "error": "InvalidRequest", "message": "call it with GET" }).to_string()
        );
        assert_eq!(logs::access_lines(&id)[0]["route"], "site", "{path}");
    }
}

#[tokio::test]
async fn off() {
    let (_stub, gateway) = start(|setup| setup.flag("--site", "off")).await;
    let elsewhere = get(&gateway, "/elsewhere").await.text().await.unwrap();
    for path in
        PATHS.map(|(path, _)| path).into_iter().chain([METADATA, "/site/resolve-handle?handle=a.example"])
    {
        let answer = get(&gateway, path).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
        assert_eq!(header(answer.headers(), &ACCESS_CONTROL_ALLOW_ORIGIN), "*");
        assert!(!answer.headers().contains_key(CONTENT_SECURITY_POLICY));
        assert_eq!(answer.text().await.unwrap(), elsewhere, "{path}");
    }
}
