//! Floods of HTTP/2 requests that the client resets at once ("rapid reset", CVE-2023-44487): the server
//! closes the connection, and other clients' calls go on.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::database::Kind;
use crate::harness::http2::{
    END_HEADERS, GOAWAY, HEADERS, PREFACE, RST_STREAM, SETTINGS, frame, frames, post,
};
use crate::harness::stack::Stack;

/// Requests of one flood, each with its reset.
const REQUESTS: u32 = 20_000;
/// Floods, one after the other.
const FLOODS: usize = 5;
/// Calls of another client during one flood.
const CALLS: usize = 10;
/// How long one flood may take to be ended.
const LIMIT: Duration = Duration::from_secs(30);

// RFC 9113, section 7.
const CANCEL: u32 = 0x8;
const ENHANCE_YOUR_CALM: u32 = 0xb;

/// Opens streams and resets each at once, on one connection, until the server ends it. Returns the reason of
/// its GOAWAY.
async fn flood(server: SocketAddr, path: &str) -> Option<u32> {
    let stream = TcpStream::connect(server).await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    let mut bytes = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    let head = post(path);
    for number in 0..REQUESTS {
        let stream = 2 * number + 1;
        bytes.extend(frame(HEADERS, END_HEADERS, stream, &head));
        bytes.extend(frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes()));
    }
    let writer = tokio::spawn(async move {
        // It fails once the server closes the connection.
        let _ = writing.write_all(&bytes).await;
        writing
    });
    let mut heard = Vec::new();
    let mut piece = [0; 4096];
    // The server may reset the connection or close it regularly.
    while let Ok(length @ 1..) = reading.read(&mut piece).await {
        heard.extend_from_slice(&piece[..length]);
    }
    drop(writer.await.unwrap());
    reason(&heard)
}

/// The reason in the last GOAWAY among the frames in `bytes`.
fn reason(bytes: &[u8]) -> Option<u32> {
    let frames = frames(bytes);
    let (_, _, _, payload) = frames.iter().rfind(|(kind, _, _, _)| *kind == GOAWAY)?;
    Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()))
}

/// Floods `server` while secrets are created through the gateway.
async fn floods_end(stack: &Stack, server: SocketAddr, path: &str) {
    for number in 0..FLOODS {
        let flooding = tokio::time::timeout(LIMIT, flood(server, path));
        let calling = async {
            for call in 0..CALLS {
                stack.create_secret(&format!("n{number}-{call}")).await.ok();
            }
        };
        let (reason, ()) = tokio::join!(flooding, calling);
        assert_eq!(reason.expect("the server ends it in time"), Some(ENHANCE_YOUR_CALM));
    }
    stack.create_secret("afterwards").await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resets_at_the_gateway() {
    let stack = Stack::start(Kind::Sqlite).await;
    floods_end(&stack, stack.gateway, "/xrpc/place.wisp.v2.secret.create").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resets_at_the_core_service() {
    let stack = Stack::start(Kind::Sqlite).await;
    floods_end(&stack, stack.core, "/athook.v1.SecretService/CreateSecret").await;
}

#[test]
fn reasons_are_read_from_frames() {
    let settings = frame(SETTINGS, 0, 0, &[]);
    let goaway = frame(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0xb, b'x']);
    assert_eq!(reason(&[settings.clone(), goaway].concat()), Some(ENHANCE_YOUR_CALM));
    assert_eq!(reason(&settings), None);
}
