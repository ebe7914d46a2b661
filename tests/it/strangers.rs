//! Strangers who keep the gateway waiting, for keys or for bodies, and who invent DIDs: callers whose key is
//! known and whose body is there notice nothing, and callers from elsewhere get their keys looked up.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::Request;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::harness::database::Kind;
use crate::harness::identity::{Identity, Key};
use crate::harness::stack::{CREATE_SECRET, LIST_SECRETS, SERVICE, Setup, Stack};

/// Calls of the caller who must notice nothing.
const CALLS: usize = 100;
/// Strangers' calls that wait for a look-up: more than there were places for all calls.
const LOOKUPS: usize = 1_200;
/// How many of them wait for the same one.
const CALLS_OF_LOOKUP: usize = 20;
/// Callers whose bodies never arrive, and the calls of each.
const SLOW_CALLERS: usize = 3;
const SLOW_CALLS: usize = 590;
/// HTTP/2 requests on one connection.
const STREAMS: usize = 50;
/// Invented did:plcs that are looked up at once.
const INVENTIONS_AT_ONCE: usize = 32;
/// How long a stranger waits who was refused: together they ask much more often than is allowed.
const PAUSE: Duration = Duration::from_millis(200);
/// The longest wait.
const PATIENCE: Duration = Duration::from_secs(60);

/// `--deadline`: time for all that a test run does beside it.
const DEADLINE: &str = "60s";

type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>;

/// A call of an attack.
struct Call {
    token: String,
    nsid: &'static str,
    /// A part of a body whose rest never arrives.
    has_slow_body: bool,
}

impl Call {
    async fn over_http1(&self, stack: &Stack) -> TcpStream {
        let Self { token, nsid, has_slow_body } = self;
        let (verb, rest) = if *has_slow_body {
            ("POST", "content-type: application/json\r\ncontent-length: 12\r\n\r\n{")
        } else {
            ("GET", "\r\n")
        };
        let bytes =
            format!("{verb} /xrpc/{nsid} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n{rest}");
        let mut stream = TcpStream::connect(stack.gateway).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        stream
    }

    fn over_http2(&self, stack: &Stack) -> Request<Body> {
        let Self { token, nsid, has_slow_body } = self;
        let request = Request::builder()
            .uri(format!("http://{}/xrpc/{nsid}", stack.gateway))
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json");
        if *has_slow_body {
            let body = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>());
            request.method("POST").body(body.boxed_unsync()).unwrap()
        } else {
            request.body(Full::default().boxed_unsync()).unwrap()
        }
    }
}

/// Sends all calls over HTTP/1.1, each on a connection of its own, which stays open until dropped.
async fn send_over_http1(stack: &Stack, calls: &[Call]) -> Vec<TcpStream> {
    let mut connections = Vec::new();
    for call in calls {
        connections.push(call.over_http1(stack).await);
    }
    connections
}

/// Sends all calls over HTTP/2 and waits for no answer.
async fn send_over_http2(stack: &Stack, calls: &[Call]) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for calls in calls.chunks(STREAMS) {
        let stream = TcpStream::connect(stack.gateway).await.unwrap();
        let (mut sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tasks.spawn(async move { drop(connection.await) });
        for call in calls {
            sender.ready().await.unwrap();
            let answer = sender.send_request(call.over_http2(stack));
            tasks.spawn(async move { drop(answer.await) });
        }
    }
    tasks
}

/// A pair whose DNS server never answers, and alice's key is known.
async fn pair_without_dns() -> (Stack, UdpSocket) {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let dns = silent.local_addr().unwrap().to_string();
    let setup = Setup::on(Kind::Sqlite).gateway("--deadline", DEADLINE);
    let stack = setup.gateway("--dns-servers", &dns).start().await;
    stack.create_secret("known").await.ok();
    (stack, silent)
}

/// Calls of callers who have invented their did:webs.
fn invented_did_webs(calls: usize) -> Vec<Call> {
    let mut stranger = Identity::new("", Key::k256());
    (0..calls)
        .map(|number| {
            stranger.did = format!("did:web:h{}.never.example", number / CALLS_OF_LOOKUP);
            let token = stranger.forged_token(SERVICE, LIST_SECRETS);
            Call { token, nsid: LIST_SECRETS, has_slow_body: false }
        })
        .collect()
}

/// Calls whose bodies never arrive, of callers whose keys are known.
async fn bodies_that_never_arrive(stack: &Stack) -> Vec<Call> {
    let mut calls = Vec::new();
    for number in 0..SLOW_CALLERS {
        let caller = stack.newcomer(&format!("did:plc:slow{number}222222222222222222x"), Key::k256());
        stack.query_as(&caller, LIST_SECRETS, &[]).await.ok();
        let token = caller.token(SERVICE, CREATE_SECRET);
        calls.extend((0..SLOW_CALLS).map(|_| Call {
            token: token.clone(),
            nsid: CREATE_SECRET,
            has_slow_body: true,
        }));
    }
    calls
}

/// A caller whose key is known and whose body is there always finds a place.
async fn alice_notices_nothing(stack: &Stack) {
    for number in 0..CALLS {
        let calling = async {
            if number % 2 == 0 {
                stack.call(CREATE_SECRET, &json!({ "name": format!("n{number}") })).await.ok();
            } else {
                stack.query(LIST_SECRETS, &[]).await.ok();
            }
        };
        timeout(PATIENCE, calling).await.expect("an answer in time");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn look_ups_without_an_answer_over_http1() {
    let (stack, _dns) = pair_without_dns().await;
    let _connections = send_over_http1(&stack, &invented_did_webs(LOOKUPS)).await;
    alice_notices_nothing(&stack).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn look_ups_without_an_answer_over_http2() {
    let (stack, _dns) = pair_without_dns().await;
    let _requests = send_over_http2(&stack, &invented_did_webs(LOOKUPS)).await;
    alice_notices_nothing(&stack).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_never_arrive_over_http1() {
    let (stack, _dns) = pair_without_dns().await;
    let calls = bodies_that_never_arrive(&stack).await;
    let _connections = send_over_http1(&stack, &calls).await;
    alice_notices_nothing(&stack).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_never_arrive_over_http2() {
    let (stack, _dns) = pair_without_dns().await;
    let calls = bodies_that_never_arrive(&stack).await;
    let _requests = send_over_http2(&stack, &calls).await;
    alice_notices_nothing(&stack).await;
}

/// Who waits too much is told to come back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_over_the_limits_of_waiting() {
    let (stack, _dns) = pair_without_dns().await;
    let stranger = Identity::new("did:web:nobody.never.example", Key::k256());
    let mut calls = JoinSet::new();
    // 128 from one client address.
    for _ in 0..136 {
        let token = stranger.token(SERVICE, LIST_SECRETS);
        let request = stack.request(http::Method::GET, &format!("/xrpc/{LIST_SECRETS}"));
        calls.spawn(crate::harness::stack::read(request.bearer_auth(token)));
    }
    let answers = calls.join_all().await;
    let (busy, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 503);
    assert_eq!((busy.len(), refused.len()), (8, 128));
    for answer in busy {
        answer.error(503, "NotEnoughResources");
        assert_eq!(answer.header("retry-after"), "1");
    }
    for answer in refused {
        answer.error(401, "AuthenticationRequired");
    }
}

/// Invents did:plcs from one address until it is refused, and goes on until it is dropped.
async fn invent(stack: &Stack, client: reqwest::Client, header: Option<&'static str>) -> JoinSet<()> {
    const REFUSED: u32 = 50;
    let refused = Arc::new(Semaphore::new(0));
    let mut inventing = JoinSet::new();
    for task in 0..INVENTIONS_AT_ONCE {
        let (client, refused) = (client.clone(), Arc::clone(&refused));
        let url = format!("http://{}/xrpc/{LIST_SECRETS}", stack.gateway);
        inventing.spawn(async move {
            let mut stranger = Identity::new("", Key::k256());
            for number in 0.. {
                stranger.did = format!("did:plc:invented{task}x{number}");
                let token = stranger.forged_token(SERVICE, LIST_SECRETS);
                let mut request = client.get(&url).bearer_auth(token);
                if let Some(address) = header {
                    request = request.header("x-forwarded-for", address);
                }
                let status = request.send().await.unwrap().status();
                if status != 401 {
                    assert_eq!(status, 503);
                    refused.add_permits(1);
                    sleep(PAUSE).await;
                }
            }
        });
    }
    timeout(PATIENCE, refused.acquire_many(REFUSED))
        .await
        .expect("the limit is reached in time")
        .unwrap()
        .forget();
    inventing
}

/// Callers without a cached key.
async fn newcomers_get_in(stack: &Stack, header: Option<&'static str>) {
    for number in 0..20 {
        let caller = stack.newcomer(&format!("did:plc:newcomer{number}2222222222222x"), Key::k256());
        let mut request = stack
            .request(http::Method::GET, &format!("/xrpc/{LIST_SECRETS}"))
            .bearer_auth(caller.token(SERVICE, LIST_SECRETS));
        if let Some(address) = header {
            request = request.header("x-forwarded-for", address);
        }
        timeout(PATIENCE, stack.send(request)).await.expect("an answer in time").ok();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inventions_of_one_address() {
    let stack = Setup::on(Kind::Sqlite).gateway("--deadline", DEADLINE).start().await;
    let elsewhere: IpAddr = "127.0.0.2".parse().unwrap();
    let client = reqwest::Client::builder().local_address(elsewhere).build().unwrap();
    let _inventing = invent(&stack, client, Some("198.51.100.1")).await;
    // Without trusted proxies the header says nothing.
    newcomers_get_in(&stack, Some("198.51.100.1")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inventions_of_one_address_behind_a_proxy() {
    let stack = Setup::on(Kind::Sqlite)
        .gateway("--trusted-proxies", "127.0.0.0/8,::1")
        .gateway("--client-address-header", "X-Forwarded-For")
        .gateway("--deadline", DEADLINE)
        .start()
        .await;
    let _inventing = invent(&stack, reqwest::Client::new(), Some("203.0.113.9, 198.51.100.1")).await;
    newcomers_get_in(&stack, Some("198.51.100.1, 203.0.113.9")).await;
}
