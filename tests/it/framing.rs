//! Requests that are refused for how they are framed, in both versions of HTTP.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::database::Kind;
use crate::harness::stack::Stack;

/// The answer to an HTTP/1.1 request with these headers and this body.
async fn answer(stack: &Stack, version: &str, headers: &str, body: &str) -> String {
    let mut client = TcpStream::connect(stack.gateway).await.unwrap();
    let request = format!(
        "POST /xrpc/place.wisp.v2.secret.create {version}\r\nconnection: close\r\n{headers}\r\n{body}"
    );
    client.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // The connection may also end with a reset.
    let _ended = client.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transfer_encodings() {
    let stack = Stack::start(Kind::Sqlite).await;
    let chunked = "2\r\n{}\r\n0\r\n\r\n";
    for encodings in [
        "transfer-encoding: chunked, chunked\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: gzip, chunked\r\n",
        "transfer-encoding: identity, chunked\r\n",
        "transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "transfer-encoding: gzip\r\n",
        "transfer-encoding: \r\n",
        "transfer-encoding: chunked,\r\n",
        "transfer-encoding: ,chunked\r\n",
        "transfer-encoding: xchunked\r\n",
        "transfer-encoding: \"chunked\"\r\n",
        "transfer-encoding: chunked;a=b\r\n",
    ] {
        let answer = answer(&stack, "HTTP/1.1", &format!("host: x\r\n{encodings}"), chunked).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{encodings}: {answer}");
        assert!(answer.contains("connection: close\r\n"), "{encodings}: {answer}");
        assert_eq!(answer.matches("HTTP/1.").count(), 1, "{encodings}: {answer}");
    }
    let answer_10 = answer(&stack, "HTTP/1.0", "transfer-encoding: chunked\r\n", chunked).await;
    assert!(answer_10.starts_with("HTTP/1.1 400 ") || answer_10.starts_with("HTTP/1.0 400 "), "{answer_10}");
    for encoding in ["transfer-encoding: chunked\r\n", "Transfer-Encoding:  Chunked \r\n"] {
        let answer = answer(&stack, "HTTP/1.1", &format!("host: x\r\n{encoding}"), chunked).await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{encoding}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts() {
    let stack = Stack::start(Kind::Sqlite).await;
    let (none, several) = ("no Host header", "more than one Host header");
    let malformed = "Host: must be a host, perhaps with a port";
    for (version, hosts, refused) in [
        ("HTTP/1.1", "host: x\r\n", None),
        ("HTTP/1.1", "host: x:8080\r\n", None),
        ("HTTP/1.1", "host:\r\n", None),
        ("HTTP/1.0", "", None),
        ("HTTP/1.1", "", Some(none)),
        ("HTTP/1.1", "host: x\r\nhost: x\r\n", Some(several)),
        ("HTTP/1.1", "host: x\r\na: b\r\nHost: y\r\n", Some(several)),
        ("HTTP/1.1", "host: x y\r\n", Some(malformed)),
        ("HTTP/1.1", "host: user@x\r\n", Some(malformed)),
        ("HTTP/1.0", "host: x/y\r\n", Some(malformed)),
    ] {
        let answer = answer(&stack, version, &format!("{hosts}content-length: 2\r\n"), "{}").await;
        let status = if refused.is_some() { " 400 " } else { " 401 " };
        assert_eq!(&answer[8..13], status, "{version} {hosts}: {answer}");
        if let Some(message) = refused {
            let body = format!("{{\"error\":\"InvalidRequest\",\"message\":\"{message}\"}}");
            assert!(answer.ends_with(&body), "{version} {hosts}: {answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_100_header_fields_over_http2() {
    let stack = Stack::start(Kind::Sqlite).await;
    let stream = TcpStream::connect(stack.gateway).await.unwrap();
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for (fields, status) in [(100, 200), (101, 431), (500, 431)] {
        for name in ["x", "cookie"] {
            let mut request = Request::get(format!("http://{}/livez", stack.gateway));
            for _ in 0..fields {
                request = request.header(name, "y");
            }
            let answer = sender.send_request(request.body(Full::<Bytes>::default()).unwrap()).await.unwrap();
            assert_eq!(answer.status(), status, "{fields}");
            if status == 431 {
                assert_eq!(answer.headers()["content-type"], "application/json");
                assert!(answer.headers().contains_key("x-request-id"));
                let body = answer.into_body().collect().await.unwrap().to_bytes();
                assert_eq!(body, "{\"error\":\"InvalidRequest\",\"message\":\"over 100 header fields\"}");
            }
        }
    }
}
