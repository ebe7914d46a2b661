//! The client: one task for each connection, which sends the next call when the previous one is answered.
//!
//! It shares the machine with what it measures, so it does as little as HTTP/1.1 with keep-alive allows: one
//! write, one read, and httparse for the head. It expects a Content-Length in every response.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use process::exit::Failure;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::calls::Calls;
use crate::sample::CallResults;

/// The largest response, head and body, in bytes.
const MAX_ANSWER_BYTES: usize = 16 * 1024;
/// The most header fields in a response.
const MAX_HEADERS: usize = 32;

/// Sends each token that will be used repeatedly once, so that the gateway has verified it.
pub(crate) async fn send_repeated_tokens(gateway: SocketAddr, calls: &Calls) -> Result<(), Failure> {
    let mut connection = Connection::open(gateway).await?;
    for request in calls.for_each_repeated_token() {
        connection.call(&request).await?;
    }
    Ok(())
}

/// Makes calls on `connections` connections for `length`, or until no calls are left.
///
/// # Errors
///
/// A connection can't be opened. A failed call is no error here: it is counted.
pub(crate) async fn run(
    gateway: SocketAddr,
    connections: usize,
    calls: Calls,
    length: Duration,
) -> Result<CallResults, Failure> {
    let calls = Arc::new(calls);
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(Connection::open(gateway).await?);
    }
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for connection in open {
        tasks.spawn(drive(connection, Arc::clone(&calls), started + length));
    }
    Ok(CallResults::sum(tasks.join_all().await, started))
}

async fn drive(mut connection: Connection, calls: Arc<Calls>, until: Instant) -> CallResults {
    let mut results = CallResults::default();
    let mut request = Vec::new();
    loop {
        let sent = Instant::now();
        if sent >= until || !calls.next(&mut request) {
            return results;
        }
        match connection.call(&request).await {
            Ok(()) => results.add_success(sent.elapsed()),
            Err(error) => {
                results.add_error(error.to_string());
                if matches!(error, CallError::Broken(_)) {
                    return results;
                }
            }
        }
    }
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
enum CallError {
    /// The connection can't be used any more.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// A response other than 200.
    #[error("{status} {body}")]
    Status { status: u16, body: String },
}

impl From<std::io::Error> for CallError {
    fn from(error: std::io::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Connection {
    async fn open(gateway: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(gateway).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, answer: vec![0; MAX_ANSWER_BYTES] })
    }

    /// Sends a request and reads its response to the end.
    async fn call(&mut self, request: &[u8]) -> Result<(), CallError> {
        self.stream.write_all(request).await?;
        let mut filled = 0;
        loop {
            let read = self.stream.read(&mut self.answer[filled..]).await?;
            if read == 0 {
                return Err(CallError::Broken("the response ends early, or is too long".to_owned()));
            }
            filled += read;
            let answer = &self.answer[..filled];
            let Some(Head { status, bytes, body_bytes }) = Head::parse(answer)? else { continue };
            if filled < bytes + body_bytes {
                continue;
            }
            if status != 200 {
                let body = String::from_utf8_lossy(&answer[bytes..]).into_owned();
                return Err(CallError::Status { status, body });
            }
            return Ok(());
        }
    }
}

/// The head of a response.
struct Head {
    status: u16,
    /// The length of the head itself.
    bytes: usize,
    body_bytes: usize,
}

impl Head {
    /// `None`: the head is not complete yet.
    fn parse(answer: &[u8]) -> Result<Option<Self>, CallError> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut head = httparse::Response::new(&mut headers);
        let parsed = head.parse(answer).map_err(|error| CallError::Broken(error.to_string()))?;
        let httparse::Status::Complete(bytes) = parsed else { return Ok(None) };
        let length = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
        let length = length.and_then(|header| std::str::from_utf8(header.value).ok()?.parse().ok());
        let body_bytes = length.ok_or_else(|| CallError::Broken("no Content-Length".to_owned()))?;
        Ok(Some(Self { status: head.code.unwrap_or_default(), bytes, body_bytes }))
    }
}
