//! POSTs of deliveries, over connections that are kept and reused for each origin.
//!
//! Owns an attempt: one request, its answer's first bytes, its deadline, and the one retry on a new
//! connection when a kept one turns out dead. Connections are kept by hyper-util's pool, which has HTTP/1.1
//! and HTTP/2 (where ALPN offers it); what the pool does not know, the age of a connection and its bounds, is
//! in `connector` and `socket`. A kept connection leads to an address that was checked when it was opened, so
//! a name that changes later can't turn it inward.
//!
//! Uses no proxy, no cookies and no Alt-Svc, follows no redirects and decompresses nothing. Does not own what
//! is sent, what an answer means, or when to try again.

mod connector;
mod failure;
mod socket;

use std::fmt;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper_util::client::legacy::Client;
use tokio::time::{Instant, timeout_at};
use url::{Position, Url};

use crate::client::Egress;
use crate::client::deliveries::connector::Connector;
use crate::client::deliveries::socket::Used;
use crate::error::{AttemptFailure, BoxError};

/// How much of an answer's body is read, in bytes. Then the connection (HTTP/2: the stream) is dropped.
pub const MAX_ANSWER: usize = 16 * 1024;

/// How many connections a [`Deliverer`] may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// TCP and TLS handshakes in flight; more wait, as long as their attempt may take. As many as there are
    /// attempts at once, so that hosts which never finish a handshake hold up nobody else.
    pub handshakes: usize,
    /// Connections that are kept for later requests. Above it, new ones are closed after one request.
    pub kept: usize,
}

/// Sends deliveries.
pub struct Deliverer {
    /// Keeps its connections.
    pooled: Client<Connector, Full<Bytes>>,
    /// A new connection for each request.
    single_use: Client<Connector, Full<Bytes>>,
}

impl fmt::Debug for Deliverer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deliverer").finish_non_exhaustive()
    }
}

/// What became of an attempt.
#[derive(Debug)]
pub enum Attempted {
    /// The head of an answer arrived, and its body's end or its first [`MAX_ANSWER`] bytes.
    Answered(Answered),
    /// Anything else.
    Failed(AttemptFailure),
}

/// An answer of any status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The status. Redirects are not followed.
    pub status: StatusCode,
    /// The header fields.
    pub headers: HeaderMap,
    /// At most [`MAX_ANSWER`] bytes of the body, as received.
    pub body: Bytes,
    /// Whether that is the whole body.
    pub ended: bool,
}

/// An attempt without an answer.
struct Unanswered {
    failure: AttemptFailure,
    /// A kept connection failed before any byte of the answer: a new one may do better.
    stale: bool,
}

impl Deliverer {
    /// A client with the policy, the resolver and the root certificates of `egress`.
    #[must_use]
    pub fn new(egress: &Egress, limits: ConnectionLimits) -> Self {
        let connector = Connector::new(egress, limits);
        Self { pooled: connector::pooled(connector.clone()), single_use: connector::single_use(connector) }
    }

    /// Sends one POST and reads the answer, all before `deadline`. Adds `host` and `content-length` to
    /// `headers`; a user name or password in the URL is not sent.
    ///
    /// A failure of a reused connection before any byte of the answer is followed by one more try at once, on
    /// a new connection and before the same deadline. So a receiver may get the request twice, as it may in
    /// any case.
    pub async fn post(&self, url: &Url, headers: HeaderMap, body: Bytes, deadline: Instant) -> Attempted {
        let uri = match target(url) {
            Ok(uri) => uri,
            Err(error) => return Attempted::Failed(AttemptFailure::Refused(error.into())),
        };
        let request = || {
            let mut request = Request::new(Full::new(body.clone()));
            *request.method_mut() = Method::POST;
            *request.uri_mut() = uri.clone();
            *request.headers_mut() = headers.clone();
            request
        };
        let mut result = attempt(&self.pooled, request(), deadline).await;
        if let Err(Unanswered { stale: true, failure: _ }) = result {
            result = attempt(&self.single_use, request(), deadline).await;
        }
        match result {
            Ok(answered) => Attempted::Answered(answered),
            Err(Unanswered { failure, stale: _ }) => Attempted::Failed(failure),
        }
    }
}

/// The URL as hyper takes it, without user name, password and fragment.
fn target(url: &Url) -> Result<Uri, http::Error> {
    Uri::builder()
        .scheme(url.scheme())
        .authority(&url[Position::BeforeHost..Position::AfterPort])
        .path_and_query(&url[Position::BeforePath..Position::AfterQuery])
        .build()
}

async fn attempt(
    client: &Client<Connector, Full<Bytes>>,
    mut request: Request<Full<Bytes>>,
    deadline: Instant,
) -> Result<Answered, Unanswered> {
    let mut used = Used::by(&mut request);
    let mut head_arrived = false;
    let exchange = async {
        let head = used.follow(client.request(request)).await?;
        head_arrived = true;
        Ok::<_, BoxError>(read(head).await?)
    };
    let outcome = timeout_at(deadline, exchange).await;
    match outcome {
        Ok(Ok(answered)) => {
            used.retire_if_old();
            Ok(answered)
        }
        Ok(Err(error)) => {
            used.retire();
            let stale = !head_arrived && (failure::is_of_the_pool(&*error) || used.was_stale(&*error));
            let unproven = !head_arrived && used.should_have_proven_itself();
            Err(Unanswered { failure: failure::of(error, unproven), stale })
        }
        Err(_) => {
            used.retire();
            Err(Unanswered { failure: AttemptFailure::Timeout(None), stale: false })
        }
    }
}

/// Reads the end of the body or its first [`MAX_ANSWER`] bytes.
async fn read(response: Response<Incoming>) -> Result<Answered, hyper::Error> {
    let (head, mut incoming) = response.into_parts();
    let mut body = BytesMut::new();
    let mut ended = incoming.is_end_stream();
    while !ended && body.len() < MAX_ANSWER {
        let Some(frame) = incoming.frame().await else {
            ended = true;
            break;
        };
        let Ok(data) = frame?.into_data() else { continue };
        let room = MAX_ANSWER - body.len();
        body.extend_from_slice(&data[..data.len().min(room)]);
        ended = data.len() <= room && incoming.is_end_stream();
    }
    Ok(Answered { status: head.status, headers: head.headers, body: body.freeze(), ended })
}
