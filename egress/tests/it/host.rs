//! A web server on loopback that keeps its connections, over HTTP/1.1 or HTTP/2, and answers as a test says.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, Request, Response, Version};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_rustls::TlsAcceptor;

/// What a host does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// A whole answer: status, header fields, body.
    Whole(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// Never answers.
    Hang,
    /// A head, and then this many bytes, one at a time.
    Drip(Duration, u32),
    /// A head, and then a body without end.
    Endless,
    /// The connection is reset without an answer.
    Reset,
}

impl Reply {
    /// 200 with a short body.
    pub(crate) fn ok() -> Self {
        Self::Whole(200, Vec::new(), b"fine".to_vec())
    }
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Arrived {
    /// The number of its connection, from 1.
    pub(crate) connection: usize,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Runs until it is dropped.
pub(crate) struct Host {
    pub(crate) port: u16,
    shared: Arc<Shared>,
    _task: JoinSet<()>,
}

type Script = Box<dyn Fn(&Arrived) -> Reply + Send + Sync>;

struct Shared {
    script: Mutex<Script>,
    arrived: Mutex<Vec<Arrived>>,
    opened: AtomicUsize,
    open: AtomicUsize,
    goodbye: watch::Sender<()>,
    bytes_sent: AtomicUsize,
}

impl Host {
    /// Serves plain HTTP.
    pub(crate) async fn http(script: impl Fn(&Arrived) -> Reply + Send + Sync + 'static) -> Self {
        Self::start(None, script).await
    }

    pub(crate) async fn https(
        tls: TlsAcceptor,
        script: impl Fn(&Arrived) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::start(Some(tls), script).await
    }

    async fn start(
        tls: Option<TlsAcceptor>,
        script: impl Fn(&Arrived) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            script: Mutex::new(Box::new(script)),
            arrived: Mutex::new(Vec::new()),
            opened: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            goodbye: watch::Sender::new(()),
            bytes_sent: AtomicUsize::new(0),
        });
        let mut task = JoinSet::new();
        task.spawn(accept(listener, tls, Arc::clone(&shared)));
        Self { port, shared, _task: task }
    }

    /// Answers differently from now on.
    pub(crate) fn now(&self, script: impl Fn(&Arrived) -> Reply + Send + Sync + 'static) {
        *self.shared.script.lock().unwrap() = Box::new(script);
    }

    /// How many connections were opened so far.
    pub(crate) fn connections(&self) -> usize {
        self.shared.opened.load(Ordering::SeqCst)
    }

    /// How many connections are open.
    pub(crate) fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// The requests so far.
    pub(crate) fn arrived(&self) -> Vec<Arrived> {
        self.shared.arrived.lock().unwrap().clone()
    }

    /// The bytes of endless bodies so far.
    pub(crate) fn bytes_sent(&self) -> usize {
        self.shared.bytes_sent.load(Ordering::SeqCst)
    }

    /// Ends all connections with good manners: HTTP/2 by GOAWAY.
    pub(crate) fn say_goodbye(&self) {
        self.shared.goodbye.send_replace(());
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let number = shared.opened.fetch_add(1, Ordering::SeqCst) + 1;
        let (tls, shared) = (tls.clone(), Arc::clone(&shared));
        connections.spawn(async move {
            shared.open.fetch_add(1, Ordering::SeqCst);
            // Dropped with unread or unsent data it is reset.
            stream.set_zero_linger().unwrap();
            stream.set_nodelay(true).unwrap();
            serve_either(stream, tls, number, &shared).await;
            shared.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

async fn serve_either(stream: TcpStream, tls: Option<TlsAcceptor>, number: usize, shared: &Arc<Shared>) {
    match tls {
        None => serve(stream, number, shared).await,
        // A client that goes away is what some tests are about.
        Some(tls) => {
            if let Ok(stream) = tls.accept(stream).await {
                serve(stream, number, shared).await;
            }
        }
    }
}

async fn serve<S>(stream: S, number: usize, shared: &Arc<Shared>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let reset = Arc::new(Notify::new());
    let service = service_fn(|request| answer(request, number, Arc::clone(shared), Arc::clone(&reset)));
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().max_buf_size(1 << 20);
    builder.http2().max_header_list_size(1 << 20);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let mut goodbye = shared.goodbye.subscribe();
    loop {
        tokio::select! {
            _ = &mut connection => return,
            () = reset.notified() => return,
            Ok(()) = goodbye.changed() => connection.as_mut().graceful_shutdown(),
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    connection: usize,
    shared: Arc<Shared>,
    reset: Arc<Notify>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let arrived = Arrived { connection, version: head.version, headers: head.headers, body };
    let reply = (shared.script.lock().unwrap())(&arrived);
    shared.arrived.lock().unwrap().push(arrived);
    match reply {
        Reply::Whole(status, fields, body) => {
            let mut response = Response::builder().status(status);
            for (name, value) in fields {
                response = response.header(name, value);
            }
            let body = if body.is_empty() { Empty::new().boxed() } else { Full::from(body).boxed() };
            Ok(response.body(body).unwrap())
        }
        Reply::Hang => std::future::pending().await,
        Reply::Reset => {
            reset.notify_one();
            std::future::pending().await
        }
        Reply::Drip(every, bytes) => {
            let start = Instant::now();
            let drops = stream::iter(0..bytes).then(move |number| async move {
                sleep_until(start + every * number).await;
                Ok(Frame::data(Bytes::from_static(b".")))
            });
            Ok(Response::new(BoxBody::new(StreamBody::new(drops))))
        }
        Reply::Endless => {
            let flood = stream::repeat_with(move || {
                shared.bytes_sent.fetch_add(4096, Ordering::SeqCst);
                Ok(Frame::data(Bytes::from_static(&[b'x'; 4096])))
            });
            Ok(Response::new(BoxBody::new(StreamBody::new(flood))))
        }
    }
}
