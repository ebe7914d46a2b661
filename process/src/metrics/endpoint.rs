//! The endpoint that Prometheus scrapes: `GET /metrics` on its own port, and nothing else.
//!
//! The operator decides who can reach that port. Nothing on it is secret, and the public port does not serve
//! it. Each connection has one request and a time limit, so that no client can occupy the endpoint.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CONTENT_TYPE, VARY};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::metrics::{Metrics, plain};
use crate::once_a_second;

const PATH: &str = "/metrics";
/// Open connections; further ones wait in the operating system's queue.
const MAX_CONNECTIONS: usize = 16;
/// How long a client may take to send the head of its request.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// How long a connection may last. Prometheus gives up after 10 s by default.
const CONNECTION_TIME: Duration = Duration::from_secs(15);
/// The largest request head, in bytes.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// The pause after a failed `accept`.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The running endpoint. It serves until it is dropped, also while the services of the process shut down.
#[derive(Debug)]
pub struct Endpoint(#[expect(dead_code, reason = "held for its drop")] AbortOnDropHandle<()>);

impl Endpoint {
    /// Serves `metrics` on `listener`. Must be called within a Tokio runtime.
    #[must_use]
    pub fn start(listener: TcpListener, metrics: Metrics) -> Self {
        Self(AbortOnDropHandle::new(tokio::spawn(serve(listener, metrics))))
    }
}

async fn serve(listener: TcpListener, metrics: Metrics) {
    let metrics = Arc::new(metrics);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(drive(stream, Arc::clone(&metrics)));
                }
                Err(error) => {
                    once_a_second!(warn, %error, "can't accept a connection for metrics");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_ended) = connections.join_next() => {}
        }
    }
}

async fn drive(stream: TcpStream, metrics: Arc<Metrics>) {
    let service = service_fn(move |request| {
        let response = answer(&request, &metrics);
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(MAX_HEAD_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(CONNECTION_TIME, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => once_a_second!(debug, %error, "a connection for metrics ended early"),
        Err(_elapsed) => once_a_second!(debug, "a connection for metrics took too long"),
    }
}

fn answer(request: &Request<Incoming>, metrics: &Metrics) -> Response<Full<Bytes>> {
    let get = request.method() == Method::GET || request.method() == Method::HEAD;
    match (request.uri().path() == PATH, get) {
        (true, true) => {
            let accept = request.headers().get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
            let (format, text) = if plain::is_preferred(&accept.collect::<Vec<_>>().join(",")) {
                (plain::PLAIN, plain::of_open_metrics(&metrics.text()))
            } else {
                (plain::OPEN_METRICS, metrics.text())
            };
            let mut response = Response::new(Full::from(text));
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(format));
            headers.insert(VARY, HeaderValue::from_static("accept"));
            response
        }
        (true, false) => {
            let mut response = empty(StatusCode::METHOD_NOT_ALLOWED);
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            response
        }
        (false, _) => empty(StatusCode::NOT_FOUND),
    }
}

fn empty(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::clock::Clock;

    async fn start() -> (Endpoint, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (Endpoint::start(listener, Metrics::new(&Clock::manual(0))), address)
    }

    /// Sends `bytes` on a new connection and returns everything that is received.
    async fn sent(address: SocketAddr, bytes: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn metrics_and_nothing_else() {
        let (_endpoint, address) = start().await;
        let answer = sent(address, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        assert!(answer.contains("content-type: application/openmetrics-text; version=1.0.0"), "{answer}");
        assert!(answer.contains("athook_build_info") && answer.ends_with("# EOF\n"), "{answer}");
        for (request, status) in
            [("GET /", 404), ("GET /metrics/", 404), ("GET /livez", 404), ("POST /metrics", 405)]
        {
            let answer = sent(address, &format!("{request} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
            assert!(answer.ends_with("\r\n\r\n"), "no body: {answer}");
        }
    }

    #[tokio::test]
    async fn silent_clients_do_not_block_the_endpoint() {
        let (_endpoint, address) = start().await;
        let mut silent = Vec::new();
        for _ in 0..MAX_CONNECTIONS {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let answer = sent(address, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
        // The silent clients occupy all connections until HEAD_TIME has passed.
        tokio::time::pause();
        assert!(answer.await.starts_with("HTTP/1.1 200 OK"));
        for mut stream in silent {
            assert_eq!(stream.read(&mut [0; 1024]).await.unwrap_or(0), 0);
        }
    }
}
