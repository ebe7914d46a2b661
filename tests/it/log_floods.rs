//! Strangers who try to flood the log: what they send makes fewer bytes of log than it has itself, and nobody
//! waits for the writing.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::harness::database::{Database, Kind};
use crate::harness::http2::{ACK, HEAD_BYTES, PING, PREFACE, SETTINGS, frame, frames};
use crate::harness::processes::Service;

/// Frames of one flood, 17 bytes each. Each PING ACK was a line of 200 bytes.
const FRAMES: usize = 100_000;
/// Bytes that a flood may add to the log.
const MAX_LOG_BYTES: usize = 64 * 1024;
/// How long a flood may take, and a call beside it.
const LIMIT: Duration = Duration::from_secs(60);
/// Log lines in a second of requests without a caller.
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
    const REQUESTS: usize = 2000;
    let gateway = Service::gateway_of("http://127.0.0.1:9", "http://127.0.0.1:9").start().await;
    let started = Instant::now();
    let mut client = TcpStream::connect(gateway.address).await.unwrap();
    let (mut reading, mut writing) = client.split();
    let requests = b"GET /x HTTP/1.1\r\nhost: x\r\n\r\n".repeat(REQUESTS);
    let last = b"GET /x HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let mut answers = Vec::new();
    let exchange = async {
        let writing = async {
            writing.write_all(&requests).await.unwrap();
            writing.write_all(last).await.unwrap();
        };
        tokio::join!(writing, reading.read_to_end(&mut answers)).1.unwrap();
    };
    timeout(LIMIT, exchange).await.expect("all are answered");
    let answered = String::from_utf8(answers).unwrap().matches("HTTP/1.1 404 ").count();
    assert_eq!(answered, REQUESTS + 1);
    let seconds = started.elapsed().as_secs() + 2;
    let lines = gateway.log().matches("gateway::access").count() as u64;
    assert!(lines > 0 && lines <= seconds * LINES_A_SECOND, "{lines} lines in {seconds} s");
    // The next one says how many lines are missing.
    tokio::time::sleep(Duration::from_secs(1)).await;
    reqwest::get(format!("http://{}/x", gateway.address)).await.unwrap();
    let mut gateway = gateway;
    gateway.logged("too fast to log").await;
}
