//! Clients that are slow or disconnect, and calls that fail: other clients notice nothing, and the log has
//! one line.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::block_in_place;
use tokio::time::{Instant, timeout};
use tonic::{Code, Status};

use crate::harness::gateway::Gateway;
use crate::harness::identity::{Identity, Key, SERVICE};
use crate::harness::logs;
use crate::harness::rpc_stub::RpcStub;
use crate::harness::stack::CREATE_SECRET;

/// The longest wait.
const PATIENCE: Duration = Duration::from_secs(20);

/// A gateway, and a caller whom it knows, with a DID of the test's own.
async fn gateway(stub: &RpcStub, test: &str, deadline: &str) -> (Gateway, Identity) {
    let gateway = Gateway::before(stub.address).flag("--deadline", deadline).start().await;
    let caller = Identity::new(format!("did:web:{test}.invalid"), Key::k256());
    gateway.knows(&caller);
    (gateway, caller)
}

async fn refusing() -> RpcStub {
    RpcStub::start(Arc::new(|_, _, _| Err(Status::new(Code::FailedPrecondition, "no")))).await
}

/// A stub that signals each call, and answers once the sender that is returned is dropped.
async fn hanging() -> (RpcStub, Receiver<()>, SyncSender<()>) {
    let (come, arrived) = sync_channel(16);
    let (release, held) = sync_channel::<()>(0);
    let held = Mutex::new(held);
    let stub = RpcStub::start(Arc::new(move |_, _, _| {
        come.send(()).unwrap();
        let _dropped = block_in_place(|| held.lock().unwrap().recv());
        Err(Status::new(Code::FailedPrecondition, "no"))
    }));
    (stub.await, arrived, release)
}

fn head(caller: &Identity, length: usize) -> Vec<u8> {
    let token = caller.token(SERVICE, CREATE_SECRET);
    format!(
        "POST /xrpc/{CREATE_SECRET} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    )
    .into_bytes()
}

async fn client(gateway: &Gateway, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

/// The access lines of calls by `did`, once there is one.
async fn lines_of(did: &str) -> Vec<Value> {
    let looking = async {
        loop {
            let lines = logs::lines(|line| line.contains("gateway::access") && line.contains(did));
            if !lines.is_empty() {
                return lines;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, looking).await.expect("a line comes")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn body_that_does_not_come() {
    let stub = refusing().await;
    let (gateway, caller) = gateway(&stub, "body-that-does-not-come", "1s").await;
    let started = Instant::now();
    let mut slow = client(&gateway, &[&head(&caller, 12)[..], b"{"].concat()).await;
    let mut answer = [0; 4096];
    let length = timeout(PATIENCE, slow.read(&mut answer)).await.unwrap().unwrap();
    let answer = String::from_utf8_lossy(&answer[..length]);
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("InvalidRequest"), "{answer}");
    assert!(started.elapsed() >= Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_hold_nobody_up() {
    let stub = refusing().await;
    let (gateway, caller) = gateway(&stub, "slow-clients-hold-nobody-up", "8s").await;
    let slow_body = [&head(&caller, 12)[..], b"{"].concat();
    let mut slow = Vec::new();
    for bytes in [b"".as_slice(), b"PRI * HTTP/2.0\r\n", b"POST /xr", &slow_body] {
        for _ in 0..50 {
            slow.push(client(&gateway, bytes).await);
        }
    }
    let input = json!({ "name": "a" });
    let calling = gateway.call(&caller, CREATE_SECRET, &input);
    timeout(Duration::from_secs(4), calling).await.expect("at once").error(400, "InvalidRequest");
    drop(slow);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn call_whose_client_goes_away_is_logged() {
    let (stub, mut arrived, release) = hanging().await;
    let (gateway, http1) = gateway(&stub, "call-whose-http1-client-goes-away", "20s").await;
    let body = br#"{"name":"a"}"#;
    let leaving = client(&gateway, &[&head(&http1, body.len())[..], body].concat()).await;
    arrived = wait_for(arrived).await;
    drop(leaving);
    assert_gone(&lines_of(&http1.did).await);

    let http2 = Identity::new("did:web:call-whose-http2-client-goes-away.invalid", Key::k256());
    gateway.knows(&http2);
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::post(format!("http://{}/xrpc/{CREATE_SECRET}", gateway.address))
        .header("authorization", format!("Bearer {}", http2.token(SERVICE, CREATE_SECRET)))
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from_static(body)))
        .unwrap();
    let calling = tokio::spawn(sender.send_request(request));
    wait_for(arrived).await;
    calling.abort();
    assert_gone(&lines_of(&http2.did).await);
    // Only the one request was reset; the connection stays open.
    assert!(!connection.is_finished() && !sender.is_closed());
    drop(release);
}

async fn wait_for(arrived: Receiver<()>) -> Receiver<()> {
    let waiting = tokio::task::spawn_blocking(move || {
        arrived.recv_timeout(PATIENCE).unwrap();
        arrived
    });
    waiting.await.unwrap()
}

fn assert_gone(lines: &[Value]) {
    assert_eq!(lines.len(), 1, "{lines:?}");
    let line = &lines[0];
    assert_eq!((&line["status"], &line["error"]), (&json!(499), &json!("ClientGone")), "{line}");
    assert_eq!(line["nsid"], CREATE_SECRET);
    assert!(line["ms"].is_u64() && line["request_id"].is_string(), "{line}");
}

/// The warning about a call of `caller` that ends with `status`. It is repeated until there is one, since the
/// log has at most one a second.
async fn warning(gateway: &Gateway, caller: &Identity, status: u16) -> Value {
    let calling = async {
        loop {
            let answer = gateway.call(caller, CREATE_SECRET, &json!({ "name": "a" })).await;
            let mut lines = warnings(answer.headers["x-request-id"].to_str().unwrap());
            assert!(lines.len() <= 1, "{lines:?}");
            if let Some(line) = lines.pop() {
                assert_eq!(answer.status, status);
                return line;
            }
        }
    };
    timeout(PATIENCE, calling).await.expect("one is logged")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn late_call_is_told_once() {
    let (stub, _arrived, release) = hanging().await;
    let (gateway, caller) = gateway(&stub, "late-call", "1s").await;
    assert_eq!(warning(&gateway, &caller, 504).await["level"], "WARN");
    drop(release);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unreachable_core_service_is_told_once_with_its_cause() {
    let stub = refusing().await;
    let (gateway, caller) = gateway(&stub, "unreachable-core-service", "8s").await;
    drop(stub);
    let line = warning(&gateway, &caller, 502).await;
    assert!(!line["causes"].as_str().unwrap().is_empty(), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn core_service_that_refuses_the_gateway_is_told_once() {
    let stub =
        RpcStub::start(Arc::new(|_, _, _| Err(Status::new(Code::Unauthenticated, "wrong token")))).await;
    let (gateway, caller) = gateway(&stub, "core-service-that-refuses", "8s").await;
    let line = warning(&gateway, &caller, 502).await;
    assert_eq!(
        (&line["level"], &line["message"].as_str().unwrap().contains("check the token")),
        (&json!("ERROR"), &true)
    );
}

/// The log lines of a request at `WARN` and above.
fn warnings(request_id: &str) -> Vec<Value> {
    let lines = logs::lines(|line| line.contains(request_id));
    lines.into_iter().filter(|line| line["level"] == "WARN" || line["level"] == "ERROR").collect()
}
