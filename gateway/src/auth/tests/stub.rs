//! A stub of the PLC directory or of a did:web host, with a reply for each path, which counts requests.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::header::LOCATION;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use url::Url;

use crate::auth::identity::fetch::Limits;

/// How often a response yields, so that concurrent requests overlap.
const YIELDS: usize = 200;

pub(crate) struct Stub {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: AbortHandle,
}

struct Shared {
    /// By path; other paths are 404.
    replies: Mutex<HashMap<String, Reply>>,
    requests: AtomicUsize,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
    /// Gated replies wait for a permit; closing the semaphore lets them go.
    gate: Semaphore,
}

#[derive(Clone)]
pub(crate) enum Reply {
    /// 200 with this body.
    Body(String),
    /// 200 with this body, after [`Stub::open`].
    Gated(String),
    Status(u16),
    Redirect(String),
    /// No response.
    Hang,
}

impl Reply {
    /// Limits with a short timeout for a reply that never comes.
    pub(crate) fn limits(&self) -> Limits {
        match self {
            Self::Hang => Limits { time: Duration::from_millis(500), ..Limits::DEFAULT },
            Self::Body(_) | Self::Gated(_) | Self::Status(_) | Self::Redirect(_) => Limits::DEFAULT,
        }
    }
}

impl Stub {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            replies: Mutex::default(),
            requests: AtomicUsize::new(0),
            at_once: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
            gate: Semaphore::new(0),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared))).abort_handle();
        Self { address, shared, accepting }
    }

    pub(crate) fn url(&self) -> Url {
        format!("http://{}", self.address).parse().unwrap()
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Sets the reply for a path without its first slash.
    pub(crate) fn reply(&self, path: &str, reply: Reply) {
        self.shared.replies.lock().unwrap().insert(format!("/{path}"), reply);
    }

    pub(crate) fn serve(&self, path: &str, document: &Value) {
        self.reply(path, Reply::Body(document.to_string()));
    }

    /// The number of requests so far.
    pub(crate) fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// The most requests at the same time so far.
    pub(crate) fn most_at_once(&self) -> usize {
        self.shared.most_at_once.load(Ordering::Relaxed)
    }

    /// Releases all gated replies.
    pub(crate) fn open(&self) {
        self.shared.gate.close();
    }

    /// Stops listening: connections are refused from now on.
    pub(crate) async fn stop(&self) {
        self.accepting.abort();
        // The task owns the listener.
        while !self.accepting.is_finished() {
            tokio::task::yield_now().await;
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(|request| answer(Arc::clone(&shared), request));
            // A client may close its connection early.
            let _gone = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    shared.requests.fetch_add(1, Ordering::Relaxed);
    let at_once = shared.at_once.fetch_add(1, Ordering::Relaxed) + 1;
    shared.most_at_once.fetch_max(at_once, Ordering::Relaxed);
    for _ in 0..YIELDS {
        tokio::task::yield_now().await;
    }
    let reply = shared.replies.lock().unwrap().get(request.uri().path()).cloned();
    let response = match reply.unwrap_or(Reply::Status(404)) {
        Reply::Body(body) => Response::new(Full::from(body)),
        Reply::Gated(body) => {
            let _closed = shared.gate.acquire().await;
            Response::new(Full::from(body))
        }
        Reply::Status(status) => Response::builder().status(status).body(Full::from("{}")).unwrap(),
        Reply::Redirect(to) => {
            Response::builder().status(302).header(LOCATION, to).body(Full::default()).unwrap()
        }
        Reply::Hang => std::future::pending().await,
    };
    shared.at_once.fetch_sub(1, Ordering::Relaxed);
    Ok(response)
}
