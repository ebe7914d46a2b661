//! One HTTP/2 connection to the core-service, and a call on it.
//!
//! Tells apart what the core-service answered, what it provably never processed, and what got lost between.

use std::error::Error;
use std::iter::successors;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::{Buf as _, BufMut as _, Bytes};
use http::uri::PathAndQuery;
use http::{HeaderMap, Uri};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use process::traces::TRACEPARENT;
use prost::Message as _;
use proto::MAX_ANSWER_BYTES;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Request, Status};
use tonic_health::pb::HealthCheckResponse;
use tonic_health::pb::health_check_response::ServingStatus;
use tower::service_fn;

/// The standard health check.
const HEALTH_CHECK: PathAndQuery = PathAndQuery::from_static("/grpc.health.v1.Health/Check");

/// A connection on which calls have waited for this long, while none was answered, is called only for want of another.
pub(super) const STALL: Duration = Duration::from_secs(1);

/// Metadata that says which request of a client a call belongs to.
const REQUEST_ID: &str = "x-request-id";

/// What a call comes from, sent along.
#[derive(Debug, Clone, Copy)]
pub(super) struct ForRequest<'a> {
    pub(super) request_id: &'a str,
    /// The span of the call, when it is traced.
    pub(super) traceparent: Option<&'a str>,
}

/// Why a call has no good answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// The core-service said so itself.
    Answered(Status),
    /// The core-service provably did not begin to process the call.
    NotProcessed(String),
    /// There is no whole answer. The call may have been processed.
    Broken(String),
    /// There was no answer by the deadline. The call may have been processed.
    Late,
}

/// Why there is no HTTP response.
#[derive(Debug, thiserror::Error)]
enum NoResponse {
    #[error("the connection was given up before the call was sent")]
    GivenUp,
    #[error("the connection takes no more calls")]
    NotSent(#[source] hyper::Error),
    #[error("no response")]
    Lost(#[source] hyper::Error),
}

/// A connection, and how many calls are on it.
pub(super) struct Connection {
    address: SocketAddr,
    /// `None` once given up. No call keeps a clone while it waits for its response: the connection ends when the last
    /// sender is dropped, and only then is a call reported as not sent that was queued while the connection ended.
    sender: ArcSwapOption<SendRequest<Body>>,
    /// Cancelled once the connection takes no more calls.
    over: CancellationToken,
    origin: Uri,
    authorization: Option<MetadataValue<Ascii>>,
    in_flight: AtomicUsize,
    opened: Instant,
    /// Since when calls wait and none is answered, in milliseconds since `opened`.
    unanswered_since_ms: AtomicU64,
    suspicion: Notify,
}

impl Connection {
    pub(super) fn new(
        address: SocketAddr,
        sender: SendRequest<Body>,
        over: CancellationToken,
        origin: Uri,
        authorization: Option<MetadataValue<Ascii>>,
    ) -> Self {
        Self {
            address,
            sender: ArcSwapOption::from_pointee(sender),
            over,
            origin,
            authorization,
            in_flight: AtomicUsize::new(0),
            opened: Instant::now(),
            unanswered_since_ms: AtomicU64::new(0),
            suspicion: Notify::new(),
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Calls that wait for an answer.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Whether calls wait here at `now`, and none was answered for [`STALL`]: the peer may be cut off, and keepalive not
    /// have noticed yet. A burst of calls would otherwise reach it as soon as all the others are as busy.
    pub(super) fn is_stalled(&self, now: Instant) -> bool {
        let since = self.opened + Duration::from_millis(self.unanswered_since_ms.load(Ordering::Relaxed));
        self.in_flight() > 0 && now.saturating_duration_since(since) > STALL
    }

    fn waits_from(&self, now: Instant) {
        let since_ms = now.saturating_duration_since(self.opened).as_millis();
        self.unanswered_since_ms.store(since_ms.try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Whether calls can be made. It may be over by the time one is made.
    pub(super) fn is_open(&self) -> bool {
        !self.over.is_cancelled()
    }

    /// Takes no more calls. Those in flight go on, and then the connection ends.
    pub(super) fn give_up(&self) {
        self.sender.store(None);
        self.over.cancel();
    }

    /// Waits until it takes no more calls.
    pub(super) async fn ended(&self) {
        self.over.cancelled().await;
    }

    /// Waits until a call has met its deadline on this connection.
    pub(super) async fn suspected(&self) {
        self.suspicion.notified().await;
    }

    /// Whether the peer answers anything at all by `deadline`.
    pub(super) async fn answers(&self, deadline: Instant) -> bool {
        matches!(self.is_serving(deadline).await, Ok(_) | Err(Failure::Answered(_)))
    }

    /// Whether the peer says that it is SERVING.
    pub(super) async fn is_serving(&self, deadline: Instant) -> Result<bool, Failure> {
        // A HealthCheckRequest with an empty service name is an empty message.
        let answer = self.unary(&HEALTH_CHECK, Bytes::new(), deadline, None).await?;
        let answer =
            HealthCheckResponse::decode(answer).map_err(|error| Failure::Broken(error.to_string()))?;
        Ok(answer.status() == ServingStatus::Serving)
    }

    /// Sends one message and waits for one, until `deadline`.
    pub(super) async fn unary(
        &self,
        path: &PathAndQuery,
        message: Bytes,
        deadline: Instant,
        sent_for: Option<ForRequest<'_>>,
    ) -> Result<Bytes, Failure> {
        let now = Instant::now();
        let left = deadline.saturating_duration_since(now);
        if left.is_zero() {
            return Err(Failure::Late);
        }
        let mut request = Request::new(message);
        request.set_timeout(left);
        let metadata = request.metadata_mut();
        if let Some(authorization) = &self.authorization {
            metadata.insert("authorization", authorization.clone());
        }
        if let Some(ForRequest { request_id, traceparent }) = sent_for {
            let sent = [(REQUEST_ID, Some(request_id)), (TRACEPARENT, traceparent)];
            for (key, value) in sent {
                if let Some(value) = value.and_then(|value| value.parse().ok()) {
                    metadata.insert(key, value);
                }
            }
        }
        if self.in_flight() == 0 {
            self.waits_from(now);
        }
        let _counted = Counted::new(&self.in_flight);
        match timeout_at(deadline, self.send(path, request)).await {
            Ok(answered) => {
                if matches!(answered, Ok(_) | Err(Failure::Answered(_))) {
                    self.waits_from(Instant::now());
                }
                answered
            }
            Err(_elapsed) => {
                self.suspicion.notify_one();
                Err(Failure::Late)
            }
        }
    }

    async fn send(&self, path: &PathAndQuery, request: Request<Bytes>) -> Result<Bytes, Failure> {
        // tonic turns every failure into a status. It is the peer's own only if the peer sent one.
        let has_status = Arc::new(AtomicBool::new(false));
        let service = service_fn(|request: http::Request<Body>| {
            let has_status = Arc::clone(&has_status);
            async move {
                let response = self.respond(request).await?;
                note_status(&has_status, response.headers());
                Ok::<_, NoResponse>(response.map(|body| {
                    body.map_frame(move |frame| {
                        if let Some(trailers) = frame.trailers_ref() {
                            note_status(&has_status, trailers);
                        }
                        frame
                    })
                }))
            }
        });
        let answered = Grpc::with_origin(service, self.origin.clone())
            .max_decoding_message_size(MAX_ANSWER_BYTES)
            .unary(request, path.clone(), BytesCodec)
            .await;
        match answered {
            Ok(answer) => Ok(answer.into_inner()),
            Err(status) if has_status.load(Ordering::Relaxed) => Err(Failure::Answered(status)),
            Err(status) if is_not_processed(&status) => Err(Failure::NotProcessed(detail(&status))),
            Err(status) => Err(Failure::Broken(detail(&status))),
        }
    }

    /// Sends an HTTP request and waits for the head of its response.
    async fn respond(&self, request: http::Request<Body>) -> Result<http::Response<Incoming>, NoResponse> {
        let sent = self.sender.load().as_deref().map(|sender| sender.clone().try_send_request(request));
        sent.ok_or(NoResponse::GivenUp)?.await.map_err(|failure| {
            // hyper returns a request that it never took. If the connection ends while the request waits because the
            // peer allows no more streams, hyper reports a user error instead: its own task is gone.
            if failure.message().is_none() && !failure.error().is_user() {
                return NoResponse::Lost(failure.into_error());
            }
            // The connection's task may not have noticed yet, and the retry would come back here at once.
            self.over.cancel();
            NoResponse::NotSent(failure.into_error())
        })
    }
}

fn note_status(has_status: &AtomicBool, headers: &HeaderMap) {
    if headers.contains_key(Status::GRPC_STATUS) {
        has_status.store(true, Ordering::Relaxed);
    }
}

/// Whether the core-service can't have processed the call (RFC 9113, sections 6.8 and 8.7).
fn is_not_processed(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|error| {
        let never_sent = matches!(error.downcast_ref(), Some(NoResponse::GivenUp | NoResponse::NotSent(_)));
        // The peer refused the stream, or said goodbye to all streams from an earlier one on.
        let refused = error.downcast_ref().is_some_and(|error: &h2::Error| {
            let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
            error.is_remote() && (refused || error.is_go_away())
        });
        never_sent || refused
    })
}

/// What happened, for the log: the causes, or tonic's own words.
fn detail(status: &Status) -> String {
    let told: Vec<_> = causes(status).skip(1).map(ToString::to_string).collect();
    if told.is_empty() {
        return status.message().to_owned();
    }
    told.join(": ")
}

/// The error and its sources.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    successors(Some(error), |&error| error.source())
}

/// Counts a call from here to its drop.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Messages as they are on the wire.
struct BytesCodec;

impl Codec for BytesCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }
}

impl Decoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
