//! Which check comes first, and what the deadline covers.

use http::Method;
use serde_json::json;

use super::SECRET_PATH;
use crate::harness::answer::Answer;
use crate::harness::database::Kind;
use crate::harness::directory::Reply;
use crate::harness::identity::{Identity, Key};
use crate::harness::stack::{CREATE_SECRET, SERVICE, Setup, Stack};

const RECORD_KEY: &str = "input.name: must be a record key: 1 to 512 bytes of A-Z a-z 0-9 . _ ~ : - \
                          and neither \".\" nor \"..\"";

/// A request that breaks every rule at first; the test mends one after another.
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

#[tokio::test]
async fn checks_in_their_order() {
    let stack = Stack::start(Kind::Sqlite).await;
    let mut request = Broken {
        verb: Method::PUT,
        path: "/xrpc/com.example.nothing",
        signed: false,
        media_type: "text/plain",
        body: "{".repeat(65_537),
    };
    request.send(&stack).await.error(501, "MethodNotImplemented");
    request.path = SECRET_PATH;
    request.send(&stack).await.invalid("a procedure: call it with POST");
    request.verb = Method::POST;
    request.send(&stack).await.error(401, "AuthenticationRequired");
    request.signed = true;
    request.send(&stack).await.invalid("Content-Type: must be application/json");
    request.media_type = "application/json";
    request.send(&stack).await.error(413, "PayloadTooLarge");
    for (body, message) in [
        ("{", "the body is not valid JSON: EOF while parsing an object at line 1 column 1"),
        (r#"{"name":"a b","token":1}"#, "input.token: expected a string"),
        (r#"{"name":"a b","token":"short"}"#, RECORD_KEY),
    ] {
        body.clone_into(&mut request.body);
        request.send(&stack).await.invalid(message);
    }
    request.body = r#"{"name":"a"}"#.to_owned();
    request.send(&stack).await.ok();
}

#[tokio::test]
async fn deadline_covers_authentication() {
    let stack = Setup::on(Kind::Sqlite).gateway("--deadline", "1s").start().await;
    let carol = Identity::new("did:plc:carol2222222222222222222", Key::k256());
    stack.directory.set(&carol.did, Reply::Nothing);
    let asked = std::time::Instant::now();
    stack.call_as(&carol, CREATE_SECRET, &json!({ "name": "a" })).await.error(504, "UpstreamTimeout");
    assert!(asked.elapsed().as_secs() >= 1, "{:?}", asked.elapsed());
}
