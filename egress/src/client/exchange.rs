//! One HTTP/1.1 request and its response over an open connection.

use std::convert::Infallible;
use std::future::pending;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, CONNECTION, DATE, HOST, USER_AGENT};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use url::{Position, Url};

use crate::client::Answer;
use crate::client::connect::Stream;
use crate::error::GetError;

const USER_AGENT_VALUE: &str = concat!("athook/", env!("CARGO_PKG_VERSION"));

/// The largest response head, in bytes.
pub(super) const MAX_HEAD: usize = 16 * 1024;

/// The most header fields in a response.
pub(super) const MAX_HEADERS: usize = 100;

/// A GET request for the URL. A user name or password in the URL is not sent.
pub(super) fn get(url: &Url, accept: &str) -> Result<Request<Full<Bytes>>, http::Error> {
    Request::get(&url[Position::BeforePath..Position::AfterQuery])
        .header(HOST, &url[Position::BeforeHost..Position::AfterPort])
        .header(USER_AGENT, USER_AGENT_VALUE)
        .header(ACCEPT, accept)
        .header(CONNECTION, "close")
        .body(Full::default())
}

/// Sends the request, reads the response and drops the connection. Has no time limit of its own.
pub(super) async fn run(
    stream: Stream,
    request: Request<Full<Bytes>>,
    max_body: usize,
) -> Result<Answer, GetError> {
    let (mut sender, connection) = http1::Builder::new()
        .max_header_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(GetError::Http)?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(GetError::Http)?;
        read(response, max_body).await
    };
    // An error of the connection reaches the exchange too, so the result here adds nothing.
    let driver = async {
        _ = connection.await;
        pending::<Infallible>().await
    };
    tokio::select! {
        answer = exchange => answer,
        never = driver => match never {},
    }
}

async fn read(response: Response<Incoming>, max_body: usize) -> Result<Answer, GetError> {
    let (head, mut incoming) = response.into_parts();
    let announced = incoming.size_hint().lower();
    if usize::try_from(announced).map_or(true, |announced| announced > max_body) {
        return Err(GetError::TooLarge(max_body));
    }
    let mut body = BytesMut::new();
    while let Some(frame) = incoming.frame().await {
        let Ok(data) = frame.map_err(GetError::Http)?.into_data() else {
            continue;
        };
        if data.len() > max_body - body.len() {
            return Err(GetError::TooLarge(max_body));
        }
        body.extend_from_slice(&data);
    }
    Ok(Answer { status: head.status, body: body.freeze(), date: head.headers.get(DATE).cloned() })
}
