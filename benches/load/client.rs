//! The client: one task a connection, which sends a call when the one before is answered.
//!
//! It shares the machine with what it measures, so it does as little as HTTP/1.1 with keep-alive allows: one write, one
//! read, the head parsed by httparse. It knows the length of an answer from Content-Length alone.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use process::exit::Failure;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::calls::Calls;
use crate::report::{Cost, Sample};

/// The longest answer, head and body, in bytes.
const MAX_ANSWER_BYTES: usize = 16 * 1024;
/// Header fields in an answer.
const MAX_HEADERS: usize = 32;

/// What came of the calls of one measurement.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Of answered calls, in microseconds.
    latencies_us: Vec<u32>,
    pub(crate) errors: u64,
    /// What the first failed call got.
    pub(crate) first_error: Option<String>,
    /// From the first call to the last answer.
    took: Duration,
}

impl Tally {
    /// Calls that were answered well, or not.
    pub(crate) fn calls(&self) -> u64 {
        self.latencies_us.len() as u64 + self.errors
    }

    pub(crate) fn answered(&mut self, after: Duration) {
        self.latencies_us.push(u32::try_from(after.as_micros()).unwrap_or(u32::MAX));
    }

    pub(crate) fn failed(&mut self, text: String) {
        self.errors += 1;
        self.first_error.get_or_insert(text);
    }

    /// The tallies of all tasks of a measurement that began at `started`.
    pub(crate) fn sum(tallies: Vec<Self>, started: Instant) -> Self {
        let mut sum = Self { took: started.elapsed(), ..Self::default() };
        for Self { latencies_us, errors, first_error, took: _ } in tallies {
            sum.latencies_us.extend(latencies_us);
            sum.errors += errors;
            sum.first_error = sum.first_error.or(first_error);
        }
        sum.latencies_us.sort_unstable();
        sum
    }

    /// The figures of a whole measurement.
    pub(crate) fn sample(&self, cost: Option<Cost>) -> Sample {
        let percentile = |share: usize| {
            let at = (self.latencies_us.len() * share / 100).min(self.latencies_us.len().saturating_sub(1));
            f64::from(self.latencies_us.get(at).copied().unwrap_or_default()) / 1_000.0
        };
        let count = u32::try_from(self.latencies_us.len()).unwrap_or(u32::MAX);
        Sample {
            rate: f64::from(count) / self.took.as_secs_f64(),
            p50_ms: percentile(50),
            p99_ms: percentile(99),
            errors: self.errors,
            cost,
        }
    }
}

/// Shows the gateway each token that will come again.
pub(crate) async fn see_tokens(gateway: SocketAddr, calls: &Calls) -> Result<(), Failure> {
    let mut connection = Connection::open(gateway).await?;
    for request in calls.first_sights() {
        connection.call(&request).await?;
    }
    Ok(())
}

/// Makes calls on `connections` connections for `length`, or until the calls are used up.
///
/// # Errors
///
/// A connection can't be opened. Calls that fail are counted, not errors.
pub(crate) async fn run(
    gateway: SocketAddr,
    connections: usize,
    calls: Calls,
    length: Duration,
) -> Result<Tally, Failure> {
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
    Ok(Tally::sum(tasks.join_all().await, started))
}

async fn drive(mut connection: Connection, calls: Arc<Calls>, until: Instant) -> Tally {
    let mut tally = Tally::default();
    let mut request = Vec::new();
    loop {
        let sent = Instant::now();
        if sent >= until || !calls.next(&mut request) {
            return tally;
        }
        match connection.call(&request).await {
            Ok(()) => tally.answered(sent.elapsed()),
            Err(error) => {
                tally.failed(error.to_string());
                if matches!(error, CallError::Broken(_)) {
                    return tally;
                }
            }
        }
    }
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
enum CallError {
    /// The connection is of no more use.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// An answer other than 200.
    #[error("{status} {body}")]
    Refused { status: u16, body: String },
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

    /// Sends a request and reads its answer to the end.
    async fn call(&mut self, request: &[u8]) -> Result<(), CallError> {
        self.stream.write_all(request).await?;
        let mut filled = 0;
        loop {
            let read = self.stream.read(&mut self.answer[filled..]).await?;
            if read == 0 {
                return Err(CallError::Broken("the answer ends early, or is too long".to_owned()));
            }
            filled += read;
            let answer = &self.answer[..filled];
            let Some(Head { status, bytes, body_bytes }) = Head::parse(answer)? else { continue };
            if filled < bytes + body_bytes {
                continue;
            }
            if status != 200 {
                let body = String::from_utf8_lossy(&answer[bytes..]).into_owned();
                return Err(CallError::Refused { status, body });
            }
            return Ok(());
        }
    }
}

/// The head of an answer.
struct Head {
    status: u16,
    /// How long it is itself.
    bytes: usize,
    body_bytes: usize,
}

impl Head {
    /// `None`: more is to come.
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
