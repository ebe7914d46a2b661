//! Clients that take none of their answers, and clients whose requests don't end: what they make a process
//! hold in memory is bounded, whoever they are and however many connections they have.

use std::net::SocketAddr;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::harness::database::{Database, Kind};
use crate::harness::http2::{
    END_HEADERS, END_STREAM, HEAD_BYTES, HEADERS, frame, frames, get, post, preface_with_window_zero,
};
use crate::harness::processes::Service;

/// Connections of one attack at the gateway. Without a bound they took 769 MiB.
const GATEWAY_CONNECTIONS: usize = 2000;
/// Connections of one attack at the core-service, which takes no more. Without a bound, 1,412 MiB.
const CORE_CONNECTIONS: usize = 500;
/// Requests on each connection: as many as the gateway takes at once.
const REQUESTS: u32 = 100;
/// Resident memory that a process may reach: well below what its pod has (`deploy/kubernetes`: 512 MiB).
const MAX_MEMORY_MIB: u64 = 350;
/// How long the client of one connection waits for all answers: some requests have none.
const GRACE: Duration = Duration::from_secs(15);

/// Lets this process open enough sockets.
fn raise_limit_of_files() {
    let Rlimit { current: _, maximum } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}

/// Opens the connections, sends `bytes` on each, and keeps all of them until each has [`REQUESTS`] answers,
/// is closed, or waited for [`GRACE`]. Bodies are never taken.
async fn attack(server: SocketAddr, connections: usize, bytes: Vec<u8>) {
    raise_limit_of_files();
    let mut clients = JoinSet::new();
    for _ in 0..connections {
        let bytes = bytes.clone();
        clients.spawn(async move {
            let mut client = TcpStream::connect(server).await.unwrap();
            // It fails if the server closes the connection.
            let _ = client.write_all(&bytes).await;
            let _answered = timeout(GRACE, answers(&mut client)).await;
            client
        });
    }
    drop(clients.join_all().await);
}

/// `content-type: application/grpc`, by its index in the static table (RFC 7541, section 6.2.2).
const CONTENT_TYPE_GRPC: &[u8] = b"\x0f\x10\x10application/grpc";

/// Reads until each request has the head of its answer, or the connection ends.
async fn answers(client: &mut TcpStream) -> std::io::Result<()> {
    let (mut heads, mut heard) = (0, Vec::new());
    while heads < REQUESTS && client.read_buf(&mut heard).await? > 0 {
        let whole: Vec<_> = frames(&heard);
        let length: usize = whole.iter().map(|(_, _, _, payload)| HEAD_BYTES + payload.len()).sum();
        heads += u32::try_from(whole.iter().filter(|(kind, _, _, _)| *kind == HEADERS).count()).unwrap();
        heard.drain(..length);
    }
    Ok(())
}

fn requests(head: &[u8], flags: u8) -> Vec<u8> {
    let streams = (0..REQUESTS).flat_map(|number| frame(HEADERS, END_HEADERS | flags, 2 * number + 1, head));
    [preface_with_window_zero(), streams.collect()].concat()
}

async fn gateway() -> Service {
    let gateway = Service::gateway_of("http://127.0.0.1:9", "http://127.0.0.1:9");
    gateway.flag("--connections-per-address", "0").start().await
}

async fn bounded(service: &Service, connections: usize, bytes: Vec<u8>) {
    attack(service.address, connections, bytes).await;
    let peak = service.peak_memory_mib();
    assert!(peak <= MAX_MEMORY_MIB, "{peak} MiB");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_at_the_gateway() {
    let gateway = gateway().await;
    bounded(&gateway, GATEWAY_CONNECTIONS, requests(&get("/xrpc/place.wisp.v2.secret.list"), END_STREAM))
        .await;
    let alive = reqwest::get(format!("http://{}/livez", gateway.address)).await.unwrap();
    assert_eq!(alive.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_never_come_at_the_gateway() {
    let gateway = gateway().await;
    bounded(&gateway, GATEWAY_CONNECTIONS, requests(&post("/xrpc/place.wisp.v2.secret.create"), 0)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_calls_without_a_message_at_the_core_service() {
    let database = Database::create(Kind::Sqlite, false).await;
    let core = Service::core_service(&database.url()).start().await;
    let head = [post("/grpc.health.v1.Health/Check"), CONTENT_TYPE_GRPC.to_vec()].concat();
    bounded(&core, CORE_CONNECTIONS, requests(&head, 0)).await;
}
