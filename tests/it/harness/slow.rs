//! Receivers that take their time: over plain HTTP, on one port of all loopback addresses, so that a test has
//! as many origins as it wants.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long a test waits for requests.
const LIMIT: Duration = Duration::from_secs(60);
/// What is written at once of a body without end.
const CHUNK: usize = 64 * 1024;

/// What a receiver does with a request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Manner {
    /// A head, then a byte a second.
    Drips,
    /// A head with this status, then as much as the client takes.
    NeverEnds(u16),
    /// A head with this status, but not before the test releases it.
    Waits(u16),
}

/// Receivers of one manner. They stop when dropped.
pub(crate) struct Slow {
    port: u16,
    shared: Arc<Shared>,
    _serving: JoinSet<()>,
}

struct Shared {
    manner: Manner,
    /// Whole requests so far.
    arrived: watch::Sender<usize>,
    /// Of these, how many have no connection any more.
    closed: watch::Sender<usize>,
    released: watch::Sender<bool>,
    bytes_sent: AtomicUsize,
}

impl Slow {
    pub(crate) async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            manner,
            arrived: watch::Sender::new(0),
            closed: watch::Sender::new(0),
            released: watch::Sender::new(false),
            bytes_sent: AtomicUsize::new(0),
        });
        let mut serving = JoinSet::new();
        serving.spawn(accept(listener, Arc::clone(&shared)));
        Self { port, shared, _serving: serving }
    }

    /// A URL at an origin of its own for each number.
    pub(crate) fn url_of_origin(&self, number: usize) -> String {
        format!("http://127.1.{}.{}:{}/{number}", number / 250, number % 250 + 1, self.port)
    }

    /// A URL at the same origin for each number.
    pub(crate) fn url(&self, number: usize) -> String {
        format!("http://127.0.0.1:{}/{number}", self.port)
    }

    /// Waits until so many requests have arrived in all.
    pub(crate) async fn arrived(&self, requests: usize) {
        reaches(&self.shared.arrived, requests).await;
    }

    /// Waits until so many requests have arrived whose connections are closed.
    pub(crate) async fn closed(&self, requests: usize) {
        reaches(&self.shared.closed, requests).await;
    }

    pub(crate) fn arrived_so_far(&self) -> usize {
        *self.shared.arrived.borrow()
    }

    pub(crate) fn closed_so_far(&self) -> usize {
        *self.shared.closed.borrow()
    }

    /// Bytes of bodies so far.
    pub(crate) fn bytes_sent(&self) -> usize {
        self.shared.bytes_sent.load(Ordering::SeqCst)
    }

    /// Lets those answer that wait, now and later.
    pub(crate) fn release(&self) {
        self.shared.released.send_replace(true);
    }
}

async fn reaches(count: &watch::Sender<usize>, least: usize) {
    let mut count = count.subscribe();
    let reached = tokio::time::timeout(LIMIT, count.wait_for(|count| *count >= least)).await.is_ok();
    assert!(reached, "{} of {least} in time", *count.borrow());
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut serving = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        serving.spawn(serve(stream, Arc::clone(&shared)));
        while serving.try_join_next().is_some() {}
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    if !reads_request(&mut stream).await {
        return;
    }
    shared.arrived.send_modify(|count| *count += 1);
    let (mut reading, mut writing) = stream.split();
    let mut byte = [0];
    tokio::select! {
        _ = answer(&mut writing, &shared) => {}
        _ = reading.read(&mut byte) => {}
    }
    drop(stream);
    shared.closed.send_modify(|count| *count += 1);
}

/// Whether a whole request came.
async fn reads_request(stream: &mut TcpStream) -> bool {
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request).to_ascii_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return true;
            }
        }
        if !matches!(stream.read_buf(&mut request).await, Ok(1..)) {
            return false;
        }
    }
}

async fn answer(stream: &mut (impl AsyncWrite + Unpin), shared: &Shared) -> std::io::Result<()> {
    let head = |status, length: &str| format!("HTTP/1.1 {status} -\r\n{length}connection: close\r\n\r\n");
    match shared.manner {
        Manner::Drips => {
            stream.write_all(head(200, "content-length: 1000000\r\n").as_bytes()).await?;
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                stream.write_all(b"x").await?;
            }
        }
        Manner::NeverEnds(status) => {
            stream.write_all(head(status, "").as_bytes()).await?;
            loop {
                let written = stream.write(&[b'x'; CHUNK]).await?;
                shared.bytes_sent.fetch_add(written, Ordering::SeqCst);
            }
        }
        Manner::Waits(status) => {
            let _ = shared.released.subscribe().wait_for(|released| *released).await;
            stream.write_all(head(status, "").as_bytes()).await
        }
    }
}
