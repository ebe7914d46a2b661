//! Floods of HTTP/2 requests that the client resets at once ("rapid reset", CVE-2023-44487): the server
//! closes the connection, and other clients' calls go on.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::database::Kind;
use crate::harness::stack::Stack;

/// Requests of one flood, each with its reset.
const REQUESTS: u32 = 20_000;
/// Floods, one after the other.
const FLOODS: usize = 5;
/// Calls of another client during one flood.
const CALLS: usize = 10;
/// How long one flood may take to be ended.
const LIMIT: Duration = Duration::from_secs(30);

// RFC 9113, sections 3.4, 6 and 7.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 0x1;
const RST_STREAM: u8 = 0x3;
const SETTINGS: u8 = 0x4;
const GOAWAY: u8 = 0x7;
const END_HEADERS: u8 = 0x4;
const CANCEL: u32 = 0x8;
const ENHANCE_YOUR_CALM: u32 = 0xb;
/// The length of a frame's head, in bytes.
const HEAD_BYTES: usize = 9;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A POST to `path`, as HPACK writes it without tables of its own (RFC 7541, appendix A and section 6.2.2).
fn head(path: &str) -> Vec<u8> {
    let literal =
        |name: u8, value: &str| [&[name, u8::try_from(value.len()).unwrap()], value.as_bytes()].concat();
    let (method_post, scheme_http) = ([0x83], [0x86]);
    let (path, authority) = (literal(0x04, path), literal(0x01, "x"));
    [&method_post[..], &scheme_http, &path, &authority].concat()
}

/// Opens streams and resets each at once, on one connection, until the server ends it. Returns the reason of
/// its GOAWAY.
async fn flood(server: SocketAddr, path: &str) -> Option<u32> {
    let stream = TcpStream::connect(server).await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    let mut bytes = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    let head = head(path);
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
fn reason(mut bytes: &[u8]) -> Option<u32> {
    let mut found = None;
    while let Some((head, rest)) = bytes.split_at_checked(HEAD_BYTES) {
        let length = usize::try_from(u32::from_be_bytes([0, head[0], head[1], head[2]])).unwrap();
        let Some((payload, rest)) = rest.split_at_checked(length) else { break };
        if head[3] == GOAWAY {
            found = Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        }
        bytes = rest;
    }
    found
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
