//! An HTTP/2 server that passes health checks and handles each call as a script says.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::vec::IntoIter;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, server};
use http::{HeaderMap, HeaderValue, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::PATIENCE;

/// How a call is handled.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    /// Send an empty message and OK.
    Answer,
    /// Send RST_STREAM.
    Reset(Reason),
    /// Send headers, then RST_STREAM in place of the message.
    HalfAnswer,
    /// Send a message of this many zero bytes and OK.
    Bytes(usize),
    /// Send OK without a message.
    NoMessage,
    /// Never respond.
    Hold,
}

/// The response to a health check: SERVING.
const SERVING: &[u8] = &[0, 0, 0, 0, 2, 8, 1];

/// A scripted server and the steps it has taken.
pub(super) struct Scripted {
    pub(super) port: u16,
    taken: UnboundedReceiver<Step>,
    goaway: Arc<Notify>,
    _serving: JoinSet<()>,
}

type Script = Arc<Mutex<IntoIter<Step>>>;

impl Scripted {
    /// Handles the calls on all connections by the steps of `script`, and later ones by [`Step::Answer`].
    pub(super) async fn start(ip: IpAddr, script: Vec<Step>) -> Self {
        Self::with_streams(ip, script, 100).await
    }

    /// Like [`start`](Self::start), with a limit of concurrent streams on each connection.
    pub(super) async fn with_streams(ip: IpAddr, script: Vec<Step>, streams: u32) -> Self {
        let listener = TcpListener::bind(SocketAddr::new(ip, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, taken) = unbounded_channel();
        let goaway = Arc::new(Notify::new());
        let requested = Arc::clone(&goaway);
        let script = Arc::new(Mutex::new(script.into_iter()));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                connections.spawn(serve(
                    tcp,
                    streams,
                    Arc::clone(&script),
                    sender.clone(),
                    Arc::clone(&requested),
                ));
            }
        });
        Self { port, taken, goaway, _serving: serving }
    }

    /// Waits until the next step is taken.
    pub(super) async fn step(&mut self) {
        timeout(PATIENCE, self.taken.recv())
            .await
            .expect("a step is taken in time")
            .expect("the server lives");
    }

    /// How many steps were taken since the last time this or [`step`](Self::step) was called.
    pub(super) fn taken(&mut self) -> usize {
        let mut count = 0;
        while self.taken.try_recv().is_ok() {
            count += 1;
        }
        count
    }

    /// Sends a graceful GOAWAY on all connections. Calls that are held stay open.
    pub(super) fn send_goaway(&self) {
        self.goaway.notify_waiters();
    }
}

async fn serve(
    tcp: TcpStream,
    streams: u32,
    script: Script,
    sender: UnboundedSender<Step>,
    goaway: Arc<Notify>,
) {
    let mut builder = server::Builder::new();
    let mut connection = builder.max_concurrent_streams(streams).handshake(tcp).await.unwrap();
    let mut held = Vec::new();
    loop {
        let (request, mut respond) = tokio::select! {
            accepted = connection.accept() => match accepted {
                Some(Ok(call)) => call,
                Some(Err(_)) | None => return,
            },
            () = goaway.notified() => {
                connection.graceful_shutdown();
                continue;
            }
        };
        if request.uri().path() == "/grpc.health.v1.Health/Check" {
            answer(&mut respond, Some(Bytes::from_static(SERVING)));
            continue;
        }
        let step = script.lock().unwrap().next().unwrap_or(Step::Answer);
        match step {
            Step::Answer => answer(&mut respond, Some(framed(0))),
            Step::Bytes(length) => answer(&mut respond, Some(framed(length))),
            Step::NoMessage => answer(&mut respond, None),
            Step::Reset(reason) => respond.send_reset(reason),
            Step::HalfAnswer => {
                let mut body = respond.send_response(headers(), false).unwrap();
                body.send_reset(Reason::INTERNAL_ERROR);
            }
            Step::Hold => held.push((request, respond)),
        }
        // The test may be over.
        let _ = sender.send(step);
    }
}

fn headers() -> Response<()> {
    Response::builder().header("content-type", "application/grpc").body(()).unwrap()
}

fn framed(length: usize) -> Bytes {
    let mut frame = vec![0];
    frame.extend(u32::try_from(length).unwrap().to_be_bytes());
    frame.resize(frame.len() + length, 0);
    frame.into()
}

fn answer(respond: &mut SendResponse<Bytes>, message: Option<Bytes>) {
    let mut body = respond.send_response(headers(), false).unwrap();
    if let Some(message) = message {
        body.send_data(message, false).unwrap();
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    body.send_trailers(trailers).unwrap();
}
