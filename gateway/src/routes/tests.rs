//! Limits of calls and bodies, panics, HEAD and request ids, through the whole router.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::routing::any;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use clap::Parser as _;
use egress::policy::Policy;
use futures_util::future::poll_immediate;
use futures_util::stream;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, HOST, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::BodyExt as _;
use process::shutdown::Shutdown;
use process::traces::Tracer;
use prometheus_client::registry::Registry;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tower::ServiceExt as _;
use uuid::Uuid;

use super::{cors, layered, router};
use crate::auth::tests::{egress, metrics};
use crate::auth::{AuthSettings, Authenticator};
use crate::binding::fixture::methods;
use crate::config::RawArgs;
use crate::limits::RateLimit;
use crate::telemetry::RequestLog;
use crate::telemetry::lines::LineLimits;
use crate::telemetry::requests::RequestMetrics;
use crate::upstream::metrics::UpstreamMetrics;
use crate::upstream::{Upstream, UpstreamSettings};
use crate::xrpc::body::{ReadError, RequestBody};
use crate::xrpc::metrics::CallMetrics;
use crate::xrpc::{CallLimits, Xrpc};

const NSID: &str = "com.example.plant";
const PATH: &str = "/xrpc/com.example.plant";
const SERVICE: &str = "did:web:localhost%3A8080";

/// A gateway whose PLC directory accepts connections and never answers.
async fn gateway() -> (Router, TcpListener) {
    let directory = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plc_url = format!("http://{}", directory.local_addr().unwrap()).parse().unwrap();
    let registry = &mut Registry::default();
    let (_, config) = RawArgs::try_parse_from(["gateway"]).unwrap().check().unwrap();
    let document = r#"{"main": {"type": "procedure"}}"#;
    let proto = r#"
        service Garden { rpc Plant(None) returns (None) { option (xrpc.v1.method) = { nsid: "com.example.plant" }; } }
        message None {}
    "#;
    let auth = AuthSettings { audiences: vec![SERVICE.to_owned()], plc_url, did_documents: Vec::new() };
    let upstream = UpstreamSettings {
        url: "http://127.0.0.1:9".parse().unwrap(),
        token: None,
        tls: None,
        resolver: egress::resolver::Resolver::new(&["127.0.0.1:9".parse().unwrap()]).unwrap(),
        metrics: UpstreamMetrics::new(registry, std::iter::empty()),
    };
    let methods = methods(&[(NSID, document)], proto);
    let log = RequestLog {
        requests: RequestMetrics::new(registry, &methods),
        lines: LineLimits::new(registry),
        tracer: Tracer::off(),
    };
    let xrpc = Xrpc {
        methods,
        authenticator: Authenticator::new(
            auth,
            egress(Policy::new(Vec::new())),
            config.clock.clone(),
            metrics(),
        ),
        rate_limit: RateLimit::new(0, config.clock.clone()),
        upstream: Upstream::start(upstream).unwrap(),
        deadline: config.deadline,
        client_addresses: config.client_addresses.clone(),
        limits: CallLimits::default(),
        metrics: CallMetrics::new(registry),
    };
    let shutdown = Shutdown::new(Duration::ZERO, Duration::ZERO);
    (router(xrpc, None, &config, shutdown, log), directory)
}

/// A token with good claims, whose signature cannot be checked before the key is looked up.
fn token() -> String {
    let now = process::clock::Clock::system().unix_seconds();
    let claims =
        json!({ "iss": "did:plc:abc", "aud": SERVICE, "iat": now, "exp": now + 60, "lxm": NSID }).to_string();
    let parts = [br#"{"alg":"ES256K"}"#.as_slice(), claims.as_bytes(), &[1; 64]];
    parts.map(|part| URL_SAFE_NO_PAD.encode(part)).join(".")
}

fn call(token: Option<&str>, body: Body) -> Request {
    let mut request = Request::post(PATH).header(HOST, "x");
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    request.body(body).unwrap()
}

async fn answer(gateway: &Router, mut request: Request) -> Response<Body> {
    request.headers_mut().insert(HOST, HeaderValue::from_static("x"));
    timeout(Duration::from_secs(20), gateway.clone().oneshot(request)).await.expect("in time").unwrap()
}

/// The places of calls that wait for look-ups from one client address.
#[tokio::test]
async fn call_over_the_limit_is_refused_at_once() {
    let (gateway, directory) = gateway().await;
    let mut waiting = JoinSet::new();
    for _ in 0..128 {
        waiting.spawn(gateway.clone().oneshot(call(Some(&token()), Body::empty())));
    }
    let _asked = directory.accept().await.unwrap();

    let started = Instant::now();
    let refused = answer(&gateway, call(Some(&token()), Body::empty())).await;
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    assert_eq!((refused.status().as_u16(), &refused.headers()[RETRY_AFTER]), (503, &"1".parse().unwrap()));
    let body: serde_json::Value =
        serde_json::from_slice(&refused.into_body().collect().await.unwrap().to_bytes()).unwrap();
    assert_eq!(body["error"], "NotEnoughResources");

    // The limit holds only for calls that wait.
    for (path, status) in [("/livez", 200), ("/.well-known/did.json", 200), ("/xrpc/com.example.no", 501)] {
        let request = Request::get(path).body(Body::empty()).unwrap();
        assert_eq!(answer(&gateway, request).await.status(), status, "{path}");
    }
    assert_eq!(answer(&gateway, Request::get(PATH).body(Body::empty()).unwrap()).await.status(), 400);
    assert_eq!(answer(&gateway, call(None, Body::empty())).await.status(), 401);

    // A client that goes away releases its place.
    waiting.shutdown().await;
    let waits = poll_immediate(pin!(gateway.oneshot(call(Some(&token()), Body::empty())))).await;
    assert!(waits.is_none(), "{waits:?}");
}

#[tokio::test]
async fn request_that_panics_is_answered() {
    async fn panics() -> StatusCode {
        panic!("this test panics on purpose")
    }
    let requests = RequestMetrics::new(&mut Registry::default(), &methods(&[], ""));
    let log =
        RequestLog { requests, lines: LineLimits::new(&mut Registry::default()), tracer: Tracer::off() };
    let gateway = layered(Router::new().route("/livez", any(panics)), Some(cors()), &Arc::new(log));

    let answer = answer(&gateway, Request::get("/livez").body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status().as_u16(), 500);
    for header in ["x-request-id", "access-control-allow-origin"] {
        assert!(answer.headers().contains_key(header), "{header}");
    }
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&body).unwrap()["error"], "InternalServerError");
}

#[tokio::test]
async fn request_id_is_a_new_uuid_whatever_the_client_sends() {
    let (gateway, _directory) = gateway().await;
    let sent = Uuid::nil();
    let mut seen = vec![sent];
    for path in ["/livez", "/xrpc/com.example.no", "/nothing"] {
        let request =
            Request::get(path).header("x-request-id", sent.to_string()).body(Body::empty()).unwrap();
        let answer = answer(&gateway, request).await;
        let ids: Vec<_> = answer.headers().get_all("x-request-id").iter().collect();
        assert_eq!(ids.len(), 1, "{path}");
        let id: Uuid = ids[0].to_str().unwrap().parse().unwrap();
        assert!(!seen.contains(&id), "{path}: {id}");
        seen.push(id);
    }
}

#[tokio::test]
async fn head_is_answered_without_the_body() {
    let (gateway, _directory) = gateway().await;
    for path in ["/xrpc/com.example.no", "/livez", "/nothing"] {
        let ask = async |verb| {
            let request = Request::builder().method(verb).uri(path).body(Body::empty()).unwrap();
            let (head, body) = answer(&gateway, request).await.into_parts();
            (head, body.collect().await.unwrap().to_bytes())
        };
        let ((get, body), (head, nothing)) = (ask("GET").await, ask("HEAD").await);
        assert_eq!((get.status, body.is_empty(), nothing.len()), (head.status, false, 0), "{path}");
        assert_eq!(head.headers[CONTENT_LENGTH], body.len().to_string(), "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn refused_call_keeps_no_place_while_its_body_comes() {
    let (gateway, _directory) = gateway().await;
    let started = Instant::now();
    let slow = answer(&gateway, call(None, drip()));
    let quick = async {
        // By now the slow call has been refused and waits for the body.
        sleep(Duration::from_millis(500)).await;
        let refused = answer(&gateway, call(None, Body::empty())).await;
        (refused.status(), started.elapsed())
    };
    let (slow, (quick, after)) = tokio::join!(slow, quick);
    assert_eq!((slow.status().as_u16(), quick.as_u16()), (401, 401));
    assert_eq!((started.elapsed().as_secs(), after.as_secs()), (2, 0));
}

/// A byte a second, without end.
fn drip() -> Body {
    Body::from_stream(stream::unfold((), |()| async {
        sleep(Duration::from_secs(1)).await;
        Some((Ok::<_, Infallible>(Bytes::from_static(b" ")), ()))
    }))
}

#[tokio::test(start_paused = true)]
async fn body_of_a_byte_a_second_ends_at_the_deadline() {
    let started = Instant::now();
    let mut body = RequestBody::new(drip(), &http::HeaderMap::new());
    let reading = body.read(started + Duration::from_secs(8), "did:plc:abc", &Arc::default()).await;
    let Err(ReadError::Refused(error)) = reading else { panic!("refused for being late") };
    assert_eq!(started.elapsed().as_secs(), 8);
    assert_eq!(error.into_response().status(), 400);
    body.discard(started + Duration::from_secs(8)).await;
    assert_eq!(started.elapsed().as_secs(), 8, "the deadline holds for discarding too");
}
