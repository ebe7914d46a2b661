//! Codes, sessions, and who is answered.

use std::net::IpAddr;

use gateway::client_address::PeerAddress;
use http::header::{CONTENT_TYPE, HOST, ORIGIN};
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use tempfile::TempDir;

use super::*;

const HERE: &str = "127.0.0.1:8080";

struct Fixture {
    site: Arc<SiteSession>,
    code: String,
    clock: Clock,
    method: String,
    _folder: TempDir,
}

fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::manual(1_800_000_000_000);
    let methods = gateway::bound(None, None).unwrap();
    let method = methods.iter().next().unwrap().nsid().to_owned();
    let site = SiteSession::new(methods, "did:web:a".to_owned(), clock.clone());
    let code = site.offer(Developer::open(folder.path()).unwrap()).unwrap();
    Fixture { site, code, clock, method, _folder: folder }
}

/// A request that is answered, unless a test changes it.
fn request(body: &Value) -> Request {
    let mut request = Request::post("/site/development/session")
        .header(HOST, HERE)
        .header(ORIGIN, format!("http://{HERE}"))
        .header(CONTENT_TYPE, "application/json")
        .body(Body::from(body.to_string()))
        .unwrap();
    request.extensions_mut().insert(PeerAddress(IpAddr::from([127, 0, 0, 1])));
    request
}

impl Fixture {
    async fn session(&self, request: Request) -> (StatusCode, Value) {
        let response = session(State(Arc::clone(&self.site)), request).await;
        let (head, body) = response.into_parts();
        assert_eq!(head.headers["cache-control"], "no-store");
        assert_eq!(head.headers["content-type"], "application/json");
        let body = body.collect().await.unwrap().to_bytes();
        (head.status, serde_json::from_slice(&body).unwrap())
    }

    /// Status and error of a request that is not answered; the code still works afterwards.
    async fn refused(&self, request: Request) -> (u16, String) {
        let (status, body) = self.session(request).await;
        assert!(matches!(&*self.site.stage(), Stage::Offered { .. }));
        (status.as_u16(), body["error"].as_str().unwrap().to_owned())
    }
}

#[tokio::test]
async fn a_code_works_once() {
    let fixture = fixture();
    assert_eq!(fixture.code.len(), 2 * RANDOM_BYTES);
    let wrong = request(&json!({ "code": "0".repeat(64) }));
    assert_eq!(fixture.refused(wrong).await, (403, "InvalidCode".to_owned()));
    let right = json!({ "code": fixture.code });
    let (status, body) = fixture.session(request(&right)).await;
    assert_eq!((status.as_u16(), &body["did"]), (200, &json!(developer::DID)));
    let session = body["session"].as_str().unwrap();
    assert_ne!(session, fixture.code);

    let (token, expires) = fixture.site.token(Some(session), &fixture.method).unwrap();
    assert_eq!((token.split('.').count(), expires), (3, 1_800_003_600));
    for given in [None, Some(""), Some(fixture.code.as_str())] {
        assert!(fixture.site.token(given, &fixture.method).is_err(), "{given:?}");
    }
    assert!(fixture.site.token(Some(session), "com.example.nothing").is_err());

    let (status, again) = fixture.session(request(&right)).await;
    assert_eq!((status.as_u16(), &again["error"]), (403, &json!("InvalidCode")));
    fixture.site.token(Some(session), &fixture.method).unwrap();
}

#[tokio::test]
async fn a_code_expires() {
    for (moved, works) in [(CODE_LIFETIME - Duration::from_millis(1), true), (CODE_LIFETIME, false)] {
        let fixture = fixture();
        fixture.clock.advance(moved);
        assert_eq!(fixture.site.exchange(&fixture.code).is_ok(), works, "{moved:?}");
    }
}

#[test]
fn nothing_works_before_the_link_is_shown() {
    let site = SiteSession::new(gateway::bound(None, None).unwrap(), String::new(), Clock::system());
    assert!(site.exchange("").is_err());
    assert!(site.token(Some(""), "a").is_err());
}

#[tokio::test]
async fn strangers_are_refused() {
    let fixture = fixture();
    let body = json!({ "code": fixture.code });
    let forbidden = (403, "Forbidden".to_owned());
    for peer in [Some([192, 0, 2, 1]), None] {
        let mut far = request(&body);
        far.extensions_mut().clear();
        if let Some(peer) = peer {
            far.extensions_mut().insert(PeerAddress(IpAddr::from(peer)));
        }
        assert_eq!(fixture.refused(far).await, forbidden, "{peer:?}");
    }
    for host in
        ["hooks.example", "hooks.example:8080", "127.0.0.1.example", "a@127.0.0.1:8080", "0.0.0.0:8080", ""]
    {
        let mut rebound = request(&body);
        rebound.headers_mut().insert(HOST, host.parse().unwrap());
        rebound.headers_mut().insert(ORIGIN, format!("http://{host}").parse().unwrap());
        assert_eq!(fixture.refused(rebound).await, forbidden, "{host}");
    }
    let mut two = request(&body);
    two.headers_mut().append(HOST, "hooks.example".parse().unwrap());
    assert_eq!(fixture.refused(two).await, forbidden);
    let mut none = request(&body);
    none.headers_mut().remove(HOST);
    assert_eq!(fixture.refused(none).await, forbidden);
    for origin in [
        "null",
        "https://127.0.0.1:8080",
        "http://127.0.0.1:8081",
        "http://localhost:8080",
        "http://evil.example",
    ] {
        let mut foreign = request(&body);
        foreign.headers_mut().insert(ORIGIN, origin.parse().unwrap());
        assert_eq!(fixture.refused(foreign).await, forbidden, "{origin}");
        let mut two = request(&body);
        two.headers_mut().append(ORIGIN, origin.parse().unwrap());
        assert_eq!(fixture.refused(two).await, forbidden, "{origin}");
    }
    assert_eq!(fixture.session(request(&body)).await.0, StatusCode::OK);
}

#[tokio::test]
async fn own_pages_are_answered() {
    for host in ["127.0.0.1:8080", "localhost:8080", "[::1]:8080", "127.0.0.1"] {
        for with_origin in [true, false] {
            let fixture = fixture();
            let mut own = request(&json!({ "code": fixture.code }));
            own.headers_mut().insert(HOST, host.parse().unwrap());
            own.headers_mut().remove(ORIGIN);
            if with_origin {
                own.headers_mut().insert(ORIGIN, format!("http://{host}").parse().unwrap());
            }
            assert_eq!(fixture.session(own).await.0, StatusCode::OK, "{host}");
        }
    }
}

#[tokio::test]
async fn what_is_no_request_for_it() {
    let fixture = fixture();
    let body = json!({ "code": fixture.code });
    let invalid = (400, "InvalidRequest".to_owned());
    let mut got = request(&body);
    *got.method_mut() = Method::GET;
    assert_eq!(fixture.refused(got).await, invalid);
    for media_type in ["text/plain", "", "application/x-www-form-urlencoded"] {
        let mut other = request(&body);
        other.headers_mut().insert(CONTENT_TYPE, media_type.parse().unwrap());
        assert_eq!(fixture.refused(other).await, invalid, "{media_type}");
    }
    for body in [json!([]), json!({}), json!({ "code": 7 })] {
        assert_eq!(fixture.refused(request(&body)).await, invalid, "{body}");
    }
    let large = request(&json!({ "code": "x".repeat(5_000) }));
    assert_eq!(fixture.refused(large).await, (413, "PayloadTooLarge".to_owned()));
}
