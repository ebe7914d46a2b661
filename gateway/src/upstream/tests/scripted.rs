//! A server that speaks HTTP/2 by hand: it is alive by its health checks, and does to each call what the
//! script says.

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

/// What happens to a call.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    /// An empty message and OK.
    Answer,
    /// RST_STREAM.
    Reset(Reason),
    /// Headers, and RST_STREAM in place of the message.
    HalfAnswer,
    /// A message of this many zero bytes, and OK.
    Bytes(usize),
    /// OK without a message.
    NoMessage,
    /// Nothing, for good.
    Hold,
}

/// A health check's answer: SERVING.
const SERVING: &[u8] = &[0, 0, 0, 0, 2, 8, 1];

/// A scripted server and the steps it has taken.
pub(super) struct Scripted {
    pub(super) port: u16,
    taken: UnboundedReceiver<Step>,
    goodbye: Arc<Notify>,
    _serving: JoinSet<()>,
}

type Script = Arc<Mutex<IntoIter<Step>>>;

impl Scripted {
    /// Takes one step of the script for each call, on whichever connection. Calls after the last are answered.
    pub(super) async fn start(ip: IpAddr, script: Vec<Step>) -> Self {
        Self::with_streams(ip, script, 100).await
    }

    /// Like [`start`](Self::start), with a limit of streams at once on a connection.
    pub(super) async fn with_streams(ip: IpAddr, script: Vec<Step>, streams: u32) -> Self {
        let listener = TcpListener::bind(SocketAddr::new(ip, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tell, taken) = unbounded_channel();
        let goodbye = Arc::new(Notify::new());
        let noted = Arc::clone(&goodbye);
        let script = Arc::new(Mutex::new(script.into_iter()));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                connections.spawn(serve(tcp, streams, Arc::clone(&script), tell.clone(), Arc::clone(&noted)));
            }
        });
        Self { port, taken, goodbye, _serving: serving }
    }

    /// Waits for the next step that is taken.
    pub(super) async fn step(&mut self) {
        timeout(PATIENCE, self.taken.recv())
            .await
            .expect("a step is taken in time")
            .expect("the server lives");
    }

    /// The steps taken since it was last asked.
    pub(super) fn taken(&mut self) -> usize {
        let mut count = 0;
        while self.taken.try_recv().is_ok() {
            count += 1;
        }
        count
    }

    /// Says GOAWAY on the connections there are, gracefully: what is held stays so.
    pub(super) fn say_goodbye(&self) {
        self.goodbye.notify_waiters();
    }
}

async fn serve(
    tcp: TcpStream,
    streams: u32,
    script: Script,
    tell: UnboundedSender<Step>,
    goodbye: Arc<Notify>,
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
            () = goodbye.notified() => {
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
        let _ = tell.send(step);
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
