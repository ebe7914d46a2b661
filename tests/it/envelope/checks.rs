//! Which check comes first, what the deadline covers, and HEAD.

use http::Method;
use serde_json::json;

use super::SECRET_PATH;
use crate::harness::database::Kind;
use crate::harness::directory::Says;
use crate::harness::identity::{Identity, Key};
use crate::harness::on_both;
use crate::harness::stack::{Answer, CREATE_SECRET, SERVICE, Setup, Stack};

/// A request that breaks every rule, as far as it is not mended.
struct Broken {
    verb: Method,
    path: &'static str,
    signed: bool,
    media_type: &'static str,
    body: String,
}

impl Broken {
    async fn send(&self, stack: &Stack) -> Answer {
        let Self { verb, path, signed, media_type, body } = self;
        let request =
            stack.request(verb.clone(), path).header("content-type", *media_type).body(body.clone());
        let token = stack.alice.token(SERVICE, CREATE_SECRET);
        stack.send(if *signed { request.bearer_auth(token) } else { request }).await
    }
}

on_both! {
    checks_in_their_order, deadline_covers_authentication, head_works_where_get_does
}

async fn checks_in_their_order(on: Kind) {
    let stack = Stack::start(on).await;
    let mut request = Broken {
        verb: Method::PUT,
        path: "/xrpc/com.example.nothing",
        signed: false,
        media_type: "text/plain",
        body: "{".repeat(65_537),
    };
    request.send(&stack).await.error(501, "MethodNotImplemented");
    request.path = SECRET_PATH;
    let answer = request.send(&stack).await;
    answer.error(400, "InvalidRequest");
    assert_eq!(answer.headers["allow"], "POST");
    request.verb = Method::POST;
    request.send(&stack).await.error(401, "AuthenticationRequired");
    request.signed = true;
    let message = request.send(&stack).await.error(400, "InvalidRequest");
    assert!(message.contains("Content-Type"), "{message}");
    request.media_type = "application/json";
    request.send(&stack).await.error(413, "PayloadTooLarge");
    for (body, words) in [
        ("{", "JSON"),
        (r#"{"name":"a b","token":1}"#, "input.token: expected a string"),
        (r#"{"name":"a b","token":"short"}"#, "input.name"),
    ] {
        body.clone_into(&mut request.body);
        let message = request.send(&stack).await.error(400, "InvalidRequest");
        assert!(message.contains(words), "{words:?} is not in {message:?}");
    }
    request.body = r#"{"name":"a"}"#.to_owned();
    request.send(&stack).await.ok();
}

async fn deadline_covers_authentication(on: Kind) {
    let stack = Setup::on(on).gateway("--deadline", "1s").start().await;
    let carol = Identity::new("did:plc:carol2222222222222222222", Key::k256());
    stack.directory.says(&carol.did, Says::Nothing);
    let asked = std::time::Instant::now();
    stack.call_as(&carol, CREATE_SECRET, &json!({ "name": "a" })).await.error(504, "UpstreamTimeout");
    assert!(asked.elapsed().as_secs() >= 1, "{:?}", asked.elapsed());
}

async fn head_works_where_get_does(on: Kind) {
    let stack = Stack::start(on).await;
    for path in [
        "/xrpc/_health",
        "/.well-known/did.json",
        "/livez",
        "/readyz",
        "/elsewhere",
        "/xrpc/com.example.nothing",
    ] {
        let (head, get) = (stack.send(stack.request(Method::HEAD, path)).await, stack.get(path).await);
        assert_eq!((head.status, head.body.as_str()), (get.status, ""), "{path}");
        for name in ["content-type", "content-length"] {
            assert_eq!(head.headers.get(name), get.headers.get(name), "{path}: {name}");
        }
    }
}
