//! A client that sends any bytes and checks whatever comes back.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use super::generator::Malformed;
use crate::harness::answer::Answer as AnyAnswer;
use crate::harness::contract::Contract;
use crate::harness::contract::exchange::SentRequest;

/// How long any one request may take: some wait for their deadline.
const LIMIT: Duration = Duration::from_secs(60);
/// The longest body of an error, in bytes.
const MAX_BODY_BYTES: usize = 1024;

/// A client that keeps its connection as long as the server does.
pub(super) struct Client {
    server: SocketAddr,
    connection: Option<BufReader<TcpStream>>,
}

/// An answer, with the names of its headers in lower case.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Client {
    pub(super) fn of(server: SocketAddr) -> Self {
        Self { server, connection: None }
    }

    /// Sends a request and checks what comes back. Returns how many errors that was.
    pub(super) async fn send(&mut self, request: &Malformed) -> usize {
        let shown = || String::from_utf8_lossy(&request.bytes[..request.bytes.len().min(2000)]).into_owned();
        let exchange = async {
            let answers = if request.unframed {
                self.send_and_close(request).await
            } else {
                self.send_on(request).await
            };
            answers.iter().map(|answer| answer.check(request, &shown)).sum()
        };
        tokio::time::timeout(LIMIT, exchange).await.unwrap_or_else(|_| panic!("no answer to {}", shown()))
    }

    /// On the open connection, which is kept unless the server closes it.
    async fn send_on(&mut self, request: &Malformed) -> Vec<Answer> {
        // The server may have closed the connection meanwhile; then a new one is tried.
        for _ in 0..2 {
            let mut connection = match self.connection.take() {
                Some(connection) => connection,
                None => BufReader::new(TcpStream::connect(self.server).await.unwrap()),
            };
            // A server that answers early may close before all is sent.
            let _ = connection.write_all(&request.bytes).await;
            if let Some(answer) = Answer::read(&mut connection, request.head_only).await {
                if !answer.header("connection").contains("close") {
                    self.connection = Some(connection);
                }
                return vec![answer];
            }
        }
        panic!("no answer to {}", String::from_utf8_lossy(&request.bytes[..request.bytes.len().min(2000)]));
    }

    /// On a new connection, read to the end: there may be several answers, or none.
    async fn send_and_close(&self, request: &Malformed) -> Vec<Answer> {
        let mut connection = BufReader::new(TcpStream::connect(self.server).await.unwrap());
        let _ = connection.write_all(&request.bytes).await;
        let _ = connection.shutdown().await;
        let mut answers = Vec::new();
        while let Some(answer) = Answer::read(&mut connection, request.head_only).await {
            answers.push(answer);
        }
        answers
    }
}

impl Answer {
    /// The next answer; `None` if the connection ends before it.
    async fn read(connection: &mut BufReader<TcpStream>, head_only: bool) -> Option<Self> {
        let mut line = String::new();
        if connection.read_line(&mut line).await.unwrap_or(0) == 0 {
            return None;
        }
        let status = line.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse().ok());
        let status = status.unwrap_or_else(|| panic!("not a status line: {line:?}"));
        let mut headers = Vec::new();
        loop {
            line.clear();
            connection.read_line(&mut line).await.unwrap();
            if line == "\r\n" {
                break;
            }
            let (name, value) = line.trim_end().split_once(':').unwrap();
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut answer = Self { status, headers, body: Vec::new() };
        assert_eq!(answer.header("transfer-encoding"), "", "{answer:?}");
        if !head_only {
            let length = answer.header("content-length").parse().unwrap_or(0);
            answer.body.resize(length, 0);
            connection.read_exact(&mut answer.body).await.unwrap();
        }
        // "100 Continue" comes before the answer.
        if status == 100 { Box::pin(Self::read(connection, head_only)).await } else { Some(answer) }
    }

    fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(present, _)| present == name).map_or("", |(_, value)| value)
    }

    /// Whether the HTTP parser refused the bytes, before they were a request.
    fn is_by_the_parser(&self) -> bool {
        let bare = self.header("x-request-id").is_empty() && self.body.is_empty();
        bare && [400, 414, 431].contains(&self.status)
    }

    fn whole(&self) -> AnyAnswer {
        let field = |(name, value): &(String, String)| Some((name.parse().ok()?, value.parse().ok()?));
        AnyAnswer {
            status: self.status.try_into().unwrap(),
            headers: self.headers.iter().filter_map(field).collect(),
            body: String::from_utf8_lossy(&self.body).into_owned(),
        }
    }

    /// Asserts what holds for every answer. Returns 1 for an error and 0 for a success.
    fn check(&self, request: &Malformed, shown: &impl Fn() -> String) -> usize {
        let shown = || format!("{self:?}\n{}\n{}", String::from_utf8_lossy(&self.body), shown());
        if let Some(asked) = SentRequest::read(&request.bytes).filter(|_| !request.unframed)
            && !self.is_by_the_parser()
        {
            Contract::of_athook()
                .check(&asked, &self.whole())
                .unwrap_or_else(|breach| panic!("{breach}: {}", shown()));
        }
        if self.status < 400 {
            assert!(self.status == 200 || self.status == 204, "{}", shown());
            return 0;
        }
        assert!(self.body.len() <= MAX_BODY_BYTES, "{}", shown());
        assert!(self.status < 500 || self.status == 501, "{}", shown());
        if self.is_by_the_parser() {
            assert!(self.header("connection").contains("close"), "{}", shown());
            return 1;
        }
        assert_eq!(self.header("content-type"), "application/json", "{}", shown());
        if !request.head_only {
            let body: Value = serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{}", shown()));
            let fields: Vec<&String> = body.as_object().unwrap().keys().collect();
            assert_eq!(fields, ["error", "message"], "{}", shown());
            assert!(body["message"].is_string(), "{}", shown());
            assert_eq!(self.status == 501, body["error"] == "MethodNotImplemented", "{}", shown());
        }
        1
    }
}
