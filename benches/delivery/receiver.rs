//! The receiver: a thread that answers every request with 204 and notes when it came, or never answers.
//!
//! It shares the machine with what is measured, so it does as little as HTTP/1.1 allows. Each of its ports is
//! an origin of its own. A request is known by the number with which its text begins ([`text`]).

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use process::exit::Failure;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::authority::Authority;

/// The largest request, head and body, in bytes.
const MAX_REQUEST_BYTES: usize = 16 * 1024;
/// The most header fields of a request.
const MAX_HEADERS: usize = 32;
/// What stands before the number in a body.
const BEFORE_NUMBER: &[u8] = br#""text":""#;
const ANSWER: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

/// The text of the message with this number.
pub(crate) fn text(number: u32) -> String {
    format!("{number:010} says hello to everybody who is watching, and asks when the next stream will be")
}

/// A request that came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    pub(crate) number: u32,
    pub(crate) at: Instant,
}

/// A receiver, for as long as the program runs.
#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) addresses: Arc<[SocketAddr]>,
    behaviour: Behaviour,
    arrived: Arc<Arrived>,
}

/// How a receiver behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Behaviour {
    pub(crate) tls: bool,
    /// It takes connections and requests, and never answers.
    pub(crate) hangs: bool,
}

#[derive(Default)]
struct Arrived {
    count: AtomicUsize,
    arrivals: Mutex<Vec<Arrival>>,
}

impl Receiver {
    /// Listens on so many ports of loopback.
    pub(crate) fn start(ports: usize, behaviour: Behaviour) -> Result<Self, Failure> {
        let mut listeners = Vec::new();
        for _ in 0..ports {
            let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
            listener.set_nonblocking(true)?;
            listeners.push(listener);
        }
        let addresses = listeners.iter().map(std::net::TcpListener::local_addr).collect::<Result<_, _>>()?;
        let arrived = Arc::<Arrived>::default();
        let receiver = Self { addresses, behaviour, arrived: Arc::clone(&arrived) };
        let tls = behaviour.tls.then(|| Arc::new(Authority::shared().server(&["127.0.0.1"])));
        let serving = Arc::new(Serving { tls: tls.map(TlsAcceptor::from), behaviour, arrived });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::spawn(move || {
            runtime.block_on(async {
                for listener in listeners {
                    let listener = TcpListener::from_std(listener).expect("it does not block");
                    tokio::spawn(accept(listener, Arc::clone(&serving)));
                }
                std::future::pending::<()>().await;
            });
        });
        Ok(receiver)
    }

    /// The beginning of the URLs at each of its ports.
    pub(crate) fn origins(&self) -> impl Iterator<Item = String> + Clone {
        let scheme = if self.behaviour.tls { "https" } else { "http" };
        self.addresses.iter().map(move |address| format!("{scheme}://{address}"))
    }

    /// How many requests have come since the last [`take`](Self::take).
    pub(crate) fn count(&self) -> usize {
        self.arrived.count.load(Ordering::Acquire)
    }

    /// Takes the requests that have come.
    pub(crate) fn take(&self) -> Vec<Arrival> {
        let mut arrivals = self.arrived.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        self.arrived.count.store(0, Ordering::Release);
        std::mem::take(&mut arrivals)
    }
}

impl Arrived {
    fn note(&self, arrival: Arrival) {
        let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        arrivals.push(arrival);
        self.count.store(arrivals.len(), Ordering::Release);
    }
}

/// What the connections of a receiver share.
struct Serving {
    tls: Option<TlsAcceptor>,
    behaviour: Behaviour,
    arrived: Arc<Arrived>,
}

async fn accept(listener: TcpListener, serving: Arc<Serving>) {
    while let Ok((stream, _)) = listener.accept().await {
        let serving = Arc::clone(&serving);
        tokio::spawn(async move {
            if let Err(error) = serve(stream, &serving).await {
                eprintln!("the receiver: {error}");
            }
        });
    }
}

async fn serve(stream: TcpStream, serving: &Serving) -> Result<(), Failure> {
    stream.set_nodelay(true)?;
    match &serving.tls {
        None => answer(stream, serving).await,
        Some(tls) => answer(tls.accept(stream).await?, serving).await,
    }
}

/// Answers the requests of one connection.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, serving: &Serving) -> Result<(), Failure> {
    let mut request = vec![0; MAX_REQUEST_BYTES];
    let mut filled = 0;
    loop {
        // A program that was killed closes nothing.
        let Ok(read) = stream.read(&mut request[filled..]).await else { return Ok(()) };
        if read == 0 {
            return Ok(());
        }
        if serving.behaviour.hangs {
            continue;
        }
        filled += read;
        while let Some(bytes) = complete(&request[..filled])? {
            let number = number(&request[..bytes]).ok_or("a body without a number")?;
            serving.arrived.note(Arrival { number, at: Instant::now() });
            stream.write_all(ANSWER).await?;
            stream.flush().await?;
            request.copy_within(bytes..filled, 0);
            filled -= bytes;
        }
    }
}

/// The length of the first request, if all of it is there.
fn complete(request: &[u8]) -> Result<Option<usize>, Failure> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut head = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(bytes) = head.parse(request)? else { return Ok(None) };
    let length = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = length.ok_or("a request without Content-Length")?;
    let bytes = bytes + std::str::from_utf8(length.value)?.parse::<usize>()?;
    Ok((request.len() >= bytes).then_some(bytes))
}

/// The number in the text of a request.
fn number(request: &[u8]) -> Option<u32> {
    let at = request.windows(BEFORE_NUMBER.len()).rposition(|window| window == BEFORE_NUMBER)?;
    let digits = request.get(at + BEFORE_NUMBER.len()..)?.get(..10)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}
