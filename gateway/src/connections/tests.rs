//! Clients that hold connections without using them, on real sockets and with a paused clock.

use std::future::pending;

use axum::Extension;
use axum::routing::get;
use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use process::held::STALL_LIMIT;
use prometheus_client::registry::Registry;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
const DRAIN_LIMIT: Duration = Duration::from_secs(5);

/// More than [`HEAD_TIME`], as by default.
const IDLE_TIME: Duration = Duration::from_secs(75);
/// What timers may be late.
const LATE: Duration = Duration::from_secs(1);

fn limits() -> Limits {
    Limits::new(MAX_CONNECTIONS, None, IDLE_TIME)
}

struct Server {
    address: std::net::SocketAddr,
    shutdown: Shutdown,
    serving: JoinHandle<()>,
}

impl Server {
    async fn start(limits: Limits) -> Self {
        Self::start_at("127.0.0.1:0", limits).await
    }

    async fn start_at(listen: &str, limits: Limits) -> Self {
        Self::start_on(TcpListener::bind(listen).await.unwrap(), limits)
    }

    fn start_on(listener: TcpListener, limits: Limits) -> Self {
        let slow = || async {
            sleep(4 * HEAD_TIME).await;
            "late"
        };
        let router = Router::new()
            .route("/", get(|| async { "hello" }))
            .route("/peer", get(|Extension(peer): Extension<PeerAddress>| async move { peer.0.to_string() }))
            .route("/slow", get(slow))
            .route("/hangs", get(pending::<()>))
            .route("/large", get(|| async { vec![0_u8; 64 * 1024 * 1024] }));
        let address = listener.local_addr().unwrap();
        let shutdown = Shutdown::new(Duration::ZERO, DRAIN_LIMIT);
        let metrics = ConnectionMetrics::new(&mut Registry::default());
        let serving = tokio::spawn(serve(listener, router, limits, shutdown.clone(), metrics));
        Self { address, shutdown, serving }
    }

    /// A client that has sent `bytes`.
    async fn client(&self, bytes: &[u8]) -> TcpStream {
        let mut client = TcpStream::connect(self.address).await.unwrap();
        client.write_all(bytes).await.unwrap();
        client
    }
}

async fn until_closed(mut client: TcpStream) -> String {
    let mut heard = Vec::new();
    // The connection may also end with a reset.
    let _ended = client.read_to_end(&mut heard).await;
    String::from_utf8(heard).unwrap()
}

#[tokio::test(start_paused = true)]
async fn client_that_sends_no_request_is_closed() {
    let server = Server::start(limits()).await;
    for bytes in [&b""[..], b"P", b"PRI", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r", b"GET / HT"] {
        let client = server.client(bytes).await;
        let started = Instant::now();
        assert_eq!(until_closed(client).await, "", "{bytes:?}");
        let took = started.elapsed();
        assert!(took >= HEAD_TIME && took <= HEAD_TIME + Duration::from_secs(1), "{bytes:?}: {took:?}");
    }
}

#[tokio::test]
async fn more_than_100_header_fields_are_refused() {
    let server = Server::start(limits()).await;
    for (fields, status) in [(100, "200 OK"), (101, "431 Request Header Fields Too Large")] {
        let others = "x: y\r\n".repeat(fields - 2);
        let request = format!("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{others}\r\n");
        let answer = until_closed(server.client(request.as_bytes()).await).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{fields}: {answer}");
    }
}

#[tokio::test]
async fn request_has_the_address_of_its_peer() {
    for listen in ["127.0.0.1:0", "[::]:0"] {
        let mut server = Server::start_at(listen, limits()).await;
        server.address.set_ip([127, 0, 0, 1].into());
        let request = b"GET /peer HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        let answer = until_closed(server.client(request).await).await;
        assert!(answer.ends_with("\r\n\r\n127.0.0.1"), "{listen}: {answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn preface_without_frames_is_closed() {
    let server = Server::start(limits()).await;
    let mut client = server.client(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    let started = Instant::now();
    let mut heard = Vec::new();
    let _ended = client.read_to_end(&mut heard).await;
    assert!(started.elapsed() <= 2 * HEAD_TIME + Duration::from_secs(1), "{:?}", started.elapsed());
}

/// Reads an answer of `GET /`.
async fn hello(client: &mut TcpStream) {
    let mut answer = Vec::new();
    while !answer.ends_with(b"hello") {
        answer.push(client.read_u8().await.unwrap());
    }
}

#[tokio::test]
async fn idle_http1_connection_is_kept_for_its_time() {
    let (head_time, idle_time) = (Duration::from_millis(300), Duration::from_millis(1_500));
    let server = Server::start(Limits { head_time, idle_time, ..limits() }).await;
    let mut client = server.client(GET).await;
    hello(&mut client).await;
    sleep(2 * head_time).await;
    client.write_all(GET).await.unwrap();
    let started = Instant::now();
    hello(&mut client).await;
    assert_eq!(until_closed(client).await, "");
    assert!(started.elapsed() >= idle_time, "{:?}", started.elapsed());
}

#[tokio::test]
async fn head_has_its_time_from_its_first_byte() {
    let (head_time, idle_time) = (Duration::from_millis(500), Duration::from_secs(20));
    let server = Server::start(Limits { head_time, idle_time, ..limits() }).await;
    let mut client = server.client(GET).await;
    hello(&mut client).await;
    sleep(2 * head_time).await;
    client.write_all(&GET[..9]).await.unwrap();
    let started = Instant::now();
    assert_eq!(until_closed(client).await, "");
    let took = started.elapsed();
    assert!(took >= head_time - Duration::from_millis(50) && took < idle_time / 2, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn idle_http2_connection_is_closed_although_it_answers_pings() {
    let server = Server::start(limits()).await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let started = Instant::now();
    let request = Request::get("http://x/").body(Empty::<Bytes>::new()).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), 200);
    connection.await.unwrap().expect("a graceful end");
    let took = started.elapsed();
    assert!(took >= IDLE_TIME && took <= IDLE_TIME + LATE, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn request_that_takes_long_is_not_cut_off() {
    let server = Server::start(limits()).await;
    let client = server.client(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(until_closed(client).await.ends_with("late"));
}

#[tokio::test(start_paused = true)]
async fn client_that_reads_no_response_is_closed() {
    let server = Server::start(Limits { connections: 1, ..limits() }).await;
    let _unread = server.client(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let started = Instant::now();
    let waiting = server.client(GET).await;
    assert!(until_closed(waiting).await.ends_with("hello"));
    assert!(started.elapsed() >= STALL_LIMIT, "too early: {:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn connection_over_the_limit_waits() {
    let server = Server::start(Limits { connections: 1, ..limits() }).await;
    let mut first = server.client(GET).await;
    let mut byte = [0];
    first.read_exact(&mut byte).await.unwrap();
    let mut second = server.client(GET).await;
    let heard = timeout(Duration::from_secs(1), second.read_exact(&mut byte)).await;
    assert!(heard.is_err(), "the limit is reached");
    drop(first);
    assert!(until_closed(second).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test(start_paused = true)]
async fn connection_over_the_limit_of_its_address_is_closed() {
    let server = Server::start(Limits { for_each_address: 1, ..limits() }).await;
    let mut first = server.client(GET).await;
    first.read_exact(&mut [0]).await.unwrap();
    let started = Instant::now();
    let over = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(until_closed(over).await, "");
    assert_eq!(started.elapsed(), Duration::ZERO);
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other_address = socket.connect(server.address).await.unwrap();
    other_address.write_all(GET).await.unwrap();
    other_address.read_exact(&mut [0]).await.unwrap();
    drop(first);
    let again = async {
        while !until_closed(server.client(GET).await).await.starts_with("HTTP/1.1 200 ") {
            tokio::task::yield_now().await;
        }
    };
    timeout(2 * IDLE_TIME, again).await.expect("its place is free");
}

#[test]
fn limit_of_an_address() {
    for (connections, setting, limit) in
        [(8192, None, 4096), (1, None, 1), (8192, Some(0), usize::MAX), (8192, Some(7), 7)]
    {
        assert_eq!(Limits::new(connections, setting, IDLE_TIME).for_each_address, limit);
    }
}

#[tokio::test(start_paused = true)]
async fn full_server_stops() {
    let server = Server::start(Limits { connections: 1, ..limits() }).await;
    let mut first = server.client(GET).await;
    first.read_exact(&mut [0]).await.unwrap();
    let _second = server.client(GET).await;
    let started = Instant::now();
    server.shutdown.begin();
    server.serving.await.unwrap();
    assert!(started.elapsed() < DRAIN_LIMIT, "nothing was in flight: {:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn drain_limit_cuts_off_what_hangs() {
    let server = Server::start(limits()).await;
    let hanging = server.client(b"GET /hangs HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let answered = server.client(GET).await;
    answered.readable().await.unwrap();
    let started = Instant::now();
    server.shutdown.begin();
    server.serving.await.unwrap();
    assert_eq!(started.elapsed().as_secs(), DRAIN_LIMIT.as_secs());
    assert_eq!(until_closed(hanging).await, "");
}

/// A connection with one request is served long before all that a stranger has sent on another.
#[tokio::test]
async fn connections_take_turns() {
    const FRAMES: usize = 10_000;
    // HTTP/2 frames by hand (RFC 9113, section 6.5): an empty SETTINGS and its ACK.
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const ACK: [u8; 9] = [0, 0, 0, 4, 1, 0, 0, 0, 0];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut stranger = TcpStream::connect(address).await.unwrap();
    stranger.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    stranger.write_all(&SETTINGS.repeat(FRAMES)).await.unwrap();
    let mut alice = TcpStream::connect(address).await.unwrap();
    alice.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let _server = Server::start_on(listener, limits());
    assert!(until_closed(alice).await.ends_with("hello"));
    let mut answers = vec![0; FRAMES * ACK.len()];
    let length = stranger.try_read(&mut answers).unwrap_or_default();
    let before = answers[..length].windows(ACK.len()).filter(|answer| *answer == ACK).count();
    assert!(before < FRAMES / 2, "{before} frames were looked at before her request");
}
