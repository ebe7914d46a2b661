//! Whole answers, byte for byte, to requests that need neither a token nor the core-service: wrong verbs,
//! HEAD, unknown and odd paths, preflights. The date and the request id are masked, and the order of the
//! header lines does not count.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::gateway::Gateway;

const PROCEDURE: &str = "/xrpc/place.wisp.v2.secret.create";
const QUERY: &str = "/xrpc/place.stream.server.listWebhooks";

const VARY: &str = "vary: access-control-request-headers\r\n";
const ANY_ORIGIN: &str = "access-control-allow-origin: *\r\n";
const EXPOSED: &str = "access-control-expose-headers: retry-after,www-authenticate,x-request-id,ratelimit-limit,\
                       ratelimit-remaining,ratelimit-reset,ratelimit-policy\r\n";

const NO_TOKEN: &str = "a service-auth token is needed: Authorization: Bearer <JWT>";
const NO_METHOD: (u16, &str, &str) = (501, "MethodNotImplemented", "no such method here");
const NOT_READY: (u16, &str, &str) = (503, "NotEnoughResources", "too busy or not ready; try again later");
const NO_NSID: (u16, &str, &str) = (400, "InvalidRequest", "the path after /xrpc/ is not an NSID");
const NOTHING: (u16, &str, &str) = (404, "NotFound", "nothing is here; methods are below /xrpc/");
const DID_DOCUMENT: &str = r##"{"@context":["https://www.w3.org/ns/did/v1"],"id":"did:web:garden.example","service":[{"id":"#wisp_place","serviceEndpoint":"http://localhost:8080","type":"WispPlace"},{"id":"#streamplace","serviceEndpoint":"http://localhost:8080","type":"Streamplace"}]}"##;

/// A gateway whose core-service does not answer.
async fn gateway() -> Gateway {
    Gateway::before("127.0.0.1:9".parse().unwrap()).start().await
}

/// Sends a request with these header lines and returns all that comes back, the date and the request id
/// masked.
async fn answer(gateway: &Gateway, verb: &str, target: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let request = format!("{verb} {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let masked = |line: &str| {
        let (name, _) = line.split_once(": ").unwrap_or((line, ""));
        if ["date", "x-request-id"].contains(&name) { format!("{name}: *") } else { line.to_owned() }
    };
    in_order(&format!("{}\r\n\r\n{body}", head.split("\r\n").map(masked).collect::<Vec<_>>().join("\r\n")))
}

/// An answer with its header lines sorted.
fn in_order(answer: &str) -> String {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<&str> = head.split("\r\n").collect();
    lines[1..].sort_unstable();
    format!("{}\r\n\r\n{body}", lines.join("\r\n"))
}

/// The header line that each answer below `/xrpc/` has.
fn caching(target: &str) -> &'static str {
    let path = target.strip_prefix("http://x").unwrap_or(target);
    if path.starts_with("/xrpc/") { "cache-control: no-store\r\n" } else { "" }
}

/// The JSON answer to `verb`; `own` are the header lines that come first after the type.
fn json(verb: &str, status: u16, own: &str, json: &str) -> String {
    let reason = http::StatusCode::from_u16(status).unwrap().canonical_reason().unwrap();
    let body = if verb == "HEAD" { "" } else { json };
    in_order(&format!(
        "HTTP/1.1 {status} {reason}\r\ncontent-type: application/json\r\n{own}{VARY}{ANY_ORIGIN}{EXPOSED}\
         x-request-id: *\r\ncontent-length: {}\r\nconnection: close\r\ndate: *\r\n\r\n{body}",
        json.len()
    ))
}

fn error(verb: &str, (status, name, message): (u16, &str, &str), own: &str) -> String {
    json(verb, status, own, &serde_json::json!({ "error": name, "message": message }).to_string())
}

#[tokio::test]
async fn internal_paths() {
    let gateway = gateway().await;
    for verb in ["GET", "HEAD"] {
        for target in ["/livez", "/livez?x=y", "http://x/livez"] {
            let alive = json(verb, 200, "", r#"{"status":"alive"}"#);
            assert_eq!(answer(&gateway, verb, target, "").await, alive, "{verb} {target}");
        }
        let document = json(verb, 200, "", DID_DOCUMENT);
        assert_eq!(answer(&gateway, verb, "/.well-known/did.json", "").await, document, "{verb}");
        for target in ["/readyz", "/xrpc/_health"] {
            let not_ready = error(verb, NOT_READY, caching(target));
            assert_eq!(answer(&gateway, verb, target, "").await, not_ready, "{verb} {target}");
        }
    }
    for verb in ["POST", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND"] {
        for target in ["/livez", "/readyz", "/xrpc/_health", "/.well-known/did.json"] {
            let own = format!("allow: GET, HEAD\r\n{}", caching(target));
            let wrong = error(verb, (400, "InvalidRequest", "call it with GET"), &own);
            assert_eq!(answer(&gateway, verb, target, "").await, wrong, "{verb} {target}");
        }
    }
}

#[tokio::test]
async fn verbs_of_methods() {
    let gateway = gateway().await;
    for verb in ["GET", "HEAD", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND"] {
        let wrong = error(
            verb,
            (400, "InvalidRequest", "a procedure: call it with POST"),
            "allow: POST\r\ncache-control: no-store\r\n",
        );
        for target in [PROCEDURE.to_owned(), format!("{PROCEDURE}?x=y"), format!("http://x{PROCEDURE}")] {
            assert_eq!(answer(&gateway, verb, &target, "").await, wrong, "{verb} {target}");
        }
    }
    for verb in ["POST", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND"] {
        let wrong = error(
            verb,
            (400, "InvalidRequest", "a query: call it with GET"),
            "allow: GET, HEAD\r\ncache-control: no-store\r\n",
        );
        assert_eq!(answer(&gateway, verb, QUERY, "").await, wrong, "{verb}");
    }
    let challenge =
        format!("www-authenticate: Bearer error_description=\"{NO_TOKEN}\"\r\ncache-control: no-store\r\n");
    for (verb, target) in [("GET", QUERY), ("HEAD", QUERY), ("POST", PROCEDURE)] {
        let refused = error(verb, (401, "AuthenticationRequired", NO_TOKEN), &challenge);
        assert_eq!(answer(&gateway, verb, target, "").await, refused, "{verb}");
    }
}

#[tokio::test]
async fn paths_that_are_no_method() {
    // The site has `/`.
    let gateway = Gateway::before("127.0.0.1:9".parse().unwrap()).flag("--site", "off").start().await;
    for verb in ["GET", "HEAD", "POST", "PUT", "PROPFIND"] {
        for (target, expected) in [
            ("/xrpc/com.example.nothing", NO_METHOD),
            ("/xrpc/place.wisp.v2.secret.Create", NO_METHOD),
            ("/xrpc/", NO_NSID),
            ("/xrpc/?x=y", NO_NSID),
            ("/xrpc/a/b", NO_NSID),
            ("/xrpc//place.wisp.v2.secret.create", NO_NSID),
            ("/xrpc/place.wisp.v2.secret.create/", NO_NSID),
            ("/xrpc/place%2Ewisp.v2.secret.create", NO_NSID),
            ("/xrpc/place.wisp.v2.secret.create%20", NO_NSID),
            ("/xrpc/%FF", NO_NSID),
            ("/xrpc/%", NO_NSID),
            ("/xrpc/{*rest}", NO_NSID),
            ("/xrpc/../livez", NO_NSID),
            ("/xrpc/_health/", NO_NSID),
            ("/xrpc/_healthy", NO_NSID),
            ("/xrpc/%5Fhealth", NO_NSID),
            ("/", NOTHING),
            ("*", NOTHING),
            ("http://x", NOTHING),
            ("/xrpc", NOTHING),
            ("/XRPC/place.wisp.v2.secret.create", NOTHING),
            ("//xrpc/place.wisp.v2.secret.create", NOTHING),
            ("/xrpc%2Fplace.wisp.v2.secret.create", NOTHING),
            ("/livez/", NOTHING),
            ("//livez", NOTHING),
            ("/%6Civez", NOTHING),
            ("/.well-known/", NOTHING),
        ] {
            let expected = error(verb, expected, caching(target));
            assert_eq!(answer(&gateway, verb, target, "").await, expected, "{verb} {target}");
        }
    }
    assert_eq!(answer(&gateway, "CONNECT", "x:80", "").await, error("CONNECT", NOTHING, ""));
}

#[tokio::test]
async fn preflights() {
    let gateway = gateway().await;
    let targets = [
        PROCEDURE,
        QUERY,
        "/livez",
        "/.well-known/did.json",
        "/xrpc/com.example.nothing",
        "/xrpc/",
        "/x",
        "*",
    ];
    for target in targets {
        for (asked, mirrored) in [
            ("", ""),
            ("origin: https://x.example\r\naccess-control-request-method: POST\r\n", ""),
            (
                "origin: https://x.example\r\naccess-control-request-headers: authorization,dpop\r\n",
                "access-control-allow-headers: authorization,dpop\r\n",
            ),
        ] {
            let expected = in_order(&format!(
                "HTTP/1.1 200 OK\r\n{VARY}{ANY_ORIGIN}access-control-allow-methods: GET,HEAD,POST\r\n{mirrored}\
                 access-control-max-age: 86400\r\nx-request-id: *\r\ncontent-length: 0\r\nconnection: close\r\n\
                 {}date: *\r\n\r\n",
                caching(target)
            ));
            assert_eq!(answer(&gateway, "OPTIONS", target, asked).await, expected, "{target} {asked}");
        }
    }
}

#[tokio::test]
async fn head_over_http2() {
    let gateway = gateway().await;
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut ask = async |verb: &str, path: &str| {
        let uri = format!("http://{}{path}", gateway.address);
        let request = Request::builder().method(verb).uri(uri).body(Empty::<Bytes>::new()).unwrap();
        whole(sender.send_request(request).await.unwrap()).await
    };
    for path in [
        QUERY,
        "/livez",
        "/.well-known/did.json",
        "/readyz",
        "/xrpc/com.example.nothing",
        "/xrpc/",
        "/nothing",
    ] {
        let ((head, nothing), (get, body)) = (ask("HEAD", path).await, ask("GET", path).await);
        assert_eq!((head, nothing.len()), (get, 0), "{path}");
        assert!(!body.is_empty(), "{path}");
    }
    let (head, body) = ask("HEAD", PROCEDURE).await;
    assert!(head.starts_with("400 Bad Request"), "{head}");
    assert!(head.contains("\nallow: POST\n") && head.contains("\ncontent-length: 69\n"), "{head}");
    assert!(body.is_empty());
}

/// The head of an answer, the date and the request id masked and the header lines sorted, and its body.
async fn whole(response: Response<Incoming>) -> (String, Bytes) {
    let (head, body) = response.into_parts();
    let line = |(name, value): (&HeaderName, &HeaderValue)| {
        let masked = ["date", "x-request-id"].contains(&name.as_str());
        format!("{name}: {}\n", if masked { "*" } else { value.to_str().unwrap() })
    };
    let mut lines: Vec<String> = head.headers.iter().map(line).collect();
    lines.sort_unstable();
    (format!("{}\n{}", head.status, lines.concat()), body.collect().await.unwrap().to_bytes())
}
