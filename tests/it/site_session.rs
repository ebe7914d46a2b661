//! The link in the banner of `athook dev`: what a page gets for its code, and who gets nothing.

use std::path::Path;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HOST, ORIGIN};
use serde_json::{Value, json};

use crate::harness::program::{Program, athook, dev};
use crate::harness::stack::{LIST_SECRETS, read};

const SESSION: &str = "/site/development/session";
const TOKEN: &str = "/site/development/token";

/// What the link says.
struct Link {
    origin: String,
    code: String,
}

impl Link {
    async fn of(dev: &mut Program) -> Self {
        let banner = dev.printed("More tokens").await;
        let link = banner.lines().find(|line| line.contains("/console#code=")).unwrap();
        let (origin, code) = link.split_once("/console#code=").unwrap();
        assert!(origin.starts_with("http://127.0.0.1:"), "{link}");
        assert!(code.len() >= 32 && code.bytes().all(|byte| byte.is_ascii_hexdigit()), "{link}");
        Self { origin: origin.to_owned(), code: code.to_owned() }
    }

    fn post(&self, path: &str, body: &Value) -> reqwest::RequestBuilder {
        let request = reqwest::Client::new().post(format!("{}{path}", self.origin));
        request.header(CONTENT_TYPE, "application/json").body(body.to_string())
    }

    fn exchange(&self) -> reqwest::RequestBuilder {
        self.post(SESSION, &json!({ "code": self.code })).header(ORIGIN, &self.origin)
    }
}

async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let headers = response.headers();
    assert_eq!(headers["cache-control"], "no-store");
    assert_eq!(headers["referrer-policy"], "no-referrer");
    assert!(!headers.contains_key("access-control-allow-origin"));
    (response.status().as_u16(), response.json().await.unwrap())
}

/// Status and error name.
async fn refused(request: reqwest::RequestBuilder) -> (u16, String) {
    let (status, body) = answer(request).await;
    assert!(body["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
    (status, body["error"].as_str().unwrap().to_owned())
}

async fn started(folder: &Path) -> (Program, Link) {
    let mut dev = dev(folder).await;
    let link = Link::of(&mut dev).await;
    (dev, link)
}

#[tokio::test]
async fn link_works_once() {
    let folder = tempfile::tempdir().unwrap();
    let (dev, link) = started(folder.path()).await;
    let wrong = link.post(SESSION, &json!({ "code": "0".repeat(64) }));
    assert_eq!(refused(wrong).await, (403, "InvalidCode".to_owned()));
    let (status, body) = answer(link.exchange()).await;
    assert_eq!((status, &body["did"]), (200, &json!("did:web:developer.athook.invalid")));
    assert_eq!(refused(link.exchange()).await, (403, "InvalidCode".to_owned()));

    let session = format!("Bearer {}", body["session"].as_str().unwrap());
    let token = |lxm: &str| link.post(TOKEN, &json!({ "lxm": lxm })).header(AUTHORIZATION, &session);
    let (status, body) = answer(token(LIST_SECRETS)).await;
    assert_eq!(status, 200, "{body}");
    assert!(body["expiresAt"].as_str().unwrap().ends_with('Z'), "{body}");
    let signed = body["token"].as_str().unwrap();
    let call = |nsid: &str| {
        let url = format!("{}/xrpc/{nsid}", link.origin);
        reqwest::Client::new().get(url).bearer_auth(signed)
    };
    assert_eq!(read(call(LIST_SECRETS)).await.ok(), json!({ "secrets": [] }));
    assert_eq!(call("place.stream.server.listWebhooks").send().await.unwrap().status(), 401);

    for nsid in ["com.example.nothing", "", "place.wisp.v2.secret", "place.wisp.v2.secret.List"] {
        assert_eq!(refused(token(nsid)).await, (400, "InvalidRequest".to_owned()), "{nsid}");
    }
    for stranger in [None, Some("Bearer "), Some("Bearer 00"), Some(&*format!("Bearer {}", link.code))] {
        let mut request = link.post(TOKEN, &json!({ "lxm": LIST_SECRETS }));
        if let Some(stranger) = stranger {
            request = request.header(AUTHORIZATION, stranger);
        }
        assert_eq!(refused(request).await, (401, "AuthenticationRequired".to_owned()), "{stranger:?}");
    }
    assert!(dev.end("TERM").success());
}

#[tokio::test]
async fn strangers_get_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (dev, link) = started(folder.path()).await;
    let exchange = || link.post(SESSION, &json!({ "code": link.code }));
    let forbidden = (403, "Forbidden".to_owned());
    // A name that leads to 127.0.0.1, in the browser's eyes the page's own.
    let port = link.origin.rsplit(':').next().unwrap();
    let rebound = format!("rebound.example:{port}");
    let request = exchange().header(HOST, &rebound).header(ORIGIN, format!("http://{rebound}"));
    assert_eq!(refused(request).await, forbidden);
    for origin in ["https://evil.example", "http://127.0.0.1:1", "null"] {
        assert_eq!(refused(exchange().header(ORIGIN, origin)).await, forbidden, "{origin}");
    }
    // What a form of another page can send.
    let form = exchange().header(ORIGIN, &link.origin);
    let form = form.build().map(|mut request| {
        request.headers_mut().insert(CONTENT_TYPE, "text/plain".parse().unwrap());
        request
    });
    let response = reqwest::Client::new().execute(form.unwrap()).await.unwrap();
    assert_eq!(response.status(), 400);
    let got = reqwest::Client::new().get(format!("{}{SESSION}", link.origin));
    assert_eq!(refused(got).await, (400, "InvalidRequest".to_owned()));
    let large = link.post(SESSION, &json!({ "code": "x".repeat(5_000) }));
    assert_eq!(refused(large).await, (413, "PayloadTooLarge".to_owned()));
    // None of these used the code up.
    assert_eq!(answer(link.exchange()).await.0, 200);
    assert!(dev.end("TERM").success());
}

#[tokio::test]
async fn no_link_without_a_site_or_development() {
    let listen = ["--gateway-listen", "127.0.0.1:0", "--core-listen", "127.0.0.1:0"];
    for (arguments, last) in [(&["dev", "--site", "off"][..], "More tokens"), (&[], "has moved")] {
        let folder = tempfile::tempdir().unwrap();
        let mut running = Program::start(athook(folder.path()).args(arguments).args(listen));
        let banner = running.printed(last).await;
        assert!(!banner.contains("code="), "{banner}");
        let origin = banner.split_whitespace().find(|word| word.starts_with("http://")).unwrap();
        for path in [SESSION, TOKEN] {
            let response = reqwest::Client::new().post(format!("{origin}{path}")).send().await.unwrap();
            assert_eq!(response.status(), 404, "{arguments:?} {path}");
        }
        assert!(running.end("TERM").success());
    }
}
