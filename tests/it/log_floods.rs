//! Strangers who try to flood the log: what they send makes fewer bytes of log than it has itself, and nobody
//! waits for the writing.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::harness::database::{Database, Kind};
use crate::harness::http2::{ACK, HEAD_BYTES, PING, PREFACE, SETTINGS, frame, frames};
use crate::harness::identity::{Identity, Key, SERVICE};
use crate::harness::processes::Service;
use crate::harness::stack::LIST_SECRETS;

/// Frames of one flood, 17 bytes each. Each PING ACK was a line of 200 bytes.
const FRAMES: usize = 100_000;
/// Bytes that a flood may add to the log.
const MAX_LOG_BYTES: usize = 64 * 1024;
/// How long a flood may take, and a call beside it.
const LIMIT: Duration = Duration::from_secs(60);
/// Log lines in a second of requests without a caller, and of failed ones of callers.
const LINES_A_SECOND: u64 = 100;

/// Sends PINGs with these flags, and waits until the server has read all of them: an answer to a last PING
/// comes, or the connection ends.
async fn flood(server: SocketAddr, flags: u8) {
    let stream = TcpStream::connect(server).await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    let last = frame(PING, 0, 0, b"the last");
    let pings = frame(PING, flags, 0, b"not last").repeat(FRAMES);
    let bytes = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &pings, &last].concat();
    let writer = tokio::spawn(async move {
        let _ = writing.write_all(&bytes).await;
        writing
    });
    let mut heard = Vec::new();
    while reading.read_buf(&mut heard).await.is_ok_and(|length| length > 0) {
        let whole = frames(&heard);
        if whole.iter().any(|(kind, flags, _, data)| (*kind, *flags, *data) == (PING, ACK, b"the last")) {
            break;
        }
        let length: usize = whole.iter().map(|(_, _, _, payload)| HEAD_BYTES + payload.len()).sum();
        heard.drain(..length);
    }
    drop(writer.await.unwrap());
}

async fn floods_add_little(service: &Service) {
    let before = service.log().len();
    for flags in [0, ACK] {
        timeout(LIMIT, flood(service.address, flags)).await.expect("the server reads on");
    }
    let added = service.log().len() - before;
    assert!(added <= MAX_LOG_BYTES, "{added} bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pings_at_the_gateway() {
    for level in ["info", "debug"] {
        let gateway = Service::gateway_of("http://127.0.0.1:9", "http://127.0.0.1:9");
        let gateway = gateway.flag("--log", level).start().await;
        let calling = async {
            for _ in 0..10 {
                let alive = reqwest::get(format!("http://{}/livez", gateway.address)).await.unwrap();
                assert_eq!(alive.status(), 200);
            }
        };
        let ((), called) = tokio::join!(floods_add_little(&gateway), timeout(LIMIT / 4, calling));
        called.expect("others are served meanwhile");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pings_at_the_core_service() {
    let database = Database::create(Kind::Sqlite, false).await;
    let core = Service::core_service(&database.url()).start().await;
    floods_add_little(&core).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_without_a_caller() {
    let gateway = Service::gateway_of("http://127.0.0.1:9", "http://127.0.0.1:9").start().await;
    failures_add_few_lines(gateway, "GET /x HTTP/1.1\r\nhost: x\r\n", 404).await;
}

/// One DID is enough: its calls above the rate limit cost it nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_calls_of_a_caller() {
    let folder = tempfile::tempdir().unwrap();
    let stranger = Identity::new("did:plc:stranger222222222222222x", Key::k256());
    std::fs::write(folder.path().join("stranger.json"), stranger.document().to_string()).unwrap();
    let gateway = Service::gateway("127.0.0.1:9".parse().unwrap(), folder.path());
    let gateway = gateway.flag("--rate-limit", "1").start().await;
    let token = stranger.token(SERVICE, LIST_SECRETS);
    let head = format!("GET /xrpc/{LIST_SECRETS} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n");
    let only = reqwest::Client::new().get(format!("http://{}/xrpc/{LIST_SECRETS}", gateway.address));
    assert_eq!(only.bearer_auth(token).send().await.unwrap().status(), 502);
    failures_add_few_lines(gateway, &head, 429).await;
}

/// Sends this head many times, which is answered with this status.
async fn failures_add_few_lines(mut gateway: Service, head: &str, status: u16) {
    const REQUESTS: usize = 2000;
    let started = Instant::now();
    let mut client = TcpStream::connect(gateway.address).await.unwrap();
    let (mut reading, mut writing) = client.split();
    let requests = format!("{head}\r\n").repeat(REQUESTS) + head + "connection: close\r\n\r\n";
    let mut answers = Vec::new();
    let exchange =
        async { tokio::join!(writing.write_all(requests.as_bytes()), reading.read_to_end(&mut answers)) };
    let (written, read) = timeout(LIMIT, exchange).await.expect("all are answered");
    assert!(written.is_ok() && read.is_ok(), "{written:?}, {read:?}");
    let answered = String::from_utf8(answers).unwrap().matches(&format!("HTTP/1.1 {status} ")).count();
    assert_eq!(answered, REQUESTS + 1);
    let seconds = started.elapsed().as_secs() + 2;
    let lines = gateway.log().matches("gateway::access").count() as u64;
    assert!(lines > 0 && lines <= seconds * LINES_A_SECOND, "{lines} lines in {seconds} s");
    // The next one says how many lines are missing.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut client = TcpStream::connect(gateway.address).await.unwrap();
    client.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    gateway.logged("too fast to log").await;
}
