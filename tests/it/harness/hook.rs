//! A receiver of deliveries: keeps what it gets, and answers as the test says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::HeaderMap;
use http_body_util::BodyExt as _;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// How long a test waits for a delivery.
const LIMIT: Duration = Duration::from_secs(60);

/// A request that came.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Received {
    /// The value of a header field.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name} in {:?}", self.headers)).to_str().unwrap()
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// A receiver on loopback over plain HTTP. It stops when dropped.
pub(crate) struct Hook {
    pub(crate) address: SocketAddr,
    received: mpsc::UnboundedReceiver<Received>,
    serving: tokio::task::JoinHandle<()>,
}

impl Hook {
    /// One that answers every request with 204.
    pub(crate) async fn start() -> Self {
        Self::answering(|_, _| http::StatusCode::NO_CONTENT.into_response()).await
    }

    /// One that answers the request of this number, from 0, in this way.
    pub(crate) async fn answering(
        answer: impl Fn(usize, &Received) -> Response + Send + Sync + 'static,
    ) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), answer)
    }

    /// The same on a listener.
    pub(crate) fn on(
        listener: TcpListener,
        answer: impl Fn(usize, &Received) -> Response + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let (sender, received) = mpsc::unbounded_channel();
        let number = std::sync::atomic::AtomicUsize::new(0);
        let shared = Arc::new((sender, number, answer));
        let router = Router::new().fallback(move |request: Request| {
            let shared = Arc::clone(&shared);
            async move {
                let (sender, number, answer) = &*shared;
                let (head, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let received = Received { path: head.uri.to_string(), headers: head.headers, body };
                let answer = answer(number.fetch_add(1, std::sync::atomic::Ordering::SeqCst), &received);
                let _ = sender.send(received);
                answer
            }
        });
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, received, serving }
    }

    /// A URL of it.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The next request.
    pub(crate) async fn next(&mut self) -> Received {
        tokio::time::timeout(LIMIT, self.received.recv()).await.expect("a delivery in time").unwrap()
    }

    /// A request that has come already.
    pub(crate) fn waiting(&mut self) -> Option<Received> {
        self.received.try_recv().ok()
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
