//! One HTTP/2 connection to the core-service, and calls on it.
//!
//! A failed call is one of three things: a status that the core-service sent; a call that it provably never
//! processed, which is safe to retry; or a response that broke off, after which nobody knows.

use std::error::Error;
use std::iter::successors;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
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

use super::tls::Credentials;

/// The standard gRPC health check.
const HEALTH_CHECK: PathAndQuery = PathAndQuery::from_static("/grpc.health.v1.Health/Check");

/// A connection with calls in flight and no response for this long gets calls only if there is no other.
pub(super) const STALL: Duration = Duration::from_secs(1);

/// The metadata key of the client's request id.
const REQUEST_ID: &str = "x-request-id";

/// Metadata of a call.
#[derive(Debug, Clone, Copy)]
pub(super) struct CallMetadata<'a> {
    pub(super) request_id: &'a str,
    /// The span of the call, if it is traced.
    pub(super) traceparent: Option<&'a str>,
}

/// Why a call failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The core-service responded with this status.
    Answered(Status),
    /// The core-service provably did not start to process the call.
    NotProcessed(String),
    /// The response is missing or incomplete. The call may have been processed.
    Broken(String),
    /// There was no response by the deadline. The call may have been processed.
    Late,
}

/// Why there is no HTTP response.
#[derive(Debug, thiserror::Error)]
enum NoResponse {
    #[error("the connection was given up before the call was sent")]
    Closed,
    #[error("the connection takes no more calls")]
    NotSent(#[source] hyper::Error),
    #[error("no response")]
    Lost(#[source] hyper::Error),
}

/// A connection and the state of its calls.
pub(super) struct Connection {
    address: SocketAddr,
    /// `None` once closed. No call keeps a clone while it waits for its response: the connection ends when
    /// the last sender is dropped, and a call that was queued while the connection ended fails only then.
    sender: ArcSwapOption<SendRequest<Body>>,
    /// Cancelled when the connection takes no more calls.
    ended: CancellationToken,
    origin: Uri,
    credentials: Arc<ArcSwap<Credentials>>,
    in_flight: AtomicUsize,
    opened: Instant,
    /// When the last response arrived, or the first call was sent on the idle connection; in milliseconds
    /// since `opened`.
    last_response_ms: AtomicU64,
    /// Notified when a call misses its deadline.
    deadline_missed: Notify,
}

impl Connection {
    pub(super) fn new(
        address: SocketAddr,
        sender: SendRequest<Body>,
        ended: CancellationToken,
        origin: Uri,
        credentials: Arc<ArcSwap<Credentials>>,
    ) -> Self {
        Self {
            address,
            sender: ArcSwapOption::from_pointee(sender),
            ended,
            origin,
            credentials,
            in_flight: AtomicUsize::new(0),
            opened: Instant::now(),
            last_response_ms: AtomicU64::new(0),
            deadline_missed: Notify::new(),
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many calls wait for a response.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Whether calls are in flight and there was no response for [`STALL`]. The peer may be cut off, which
    /// pings detect only later. A burst of calls would otherwise spread to it once the others are equally
    /// busy.
    pub(super) fn is_stalled(&self, now: Instant) -> bool {
        let last_response =
            self.opened + Duration::from_millis(self.last_response_ms.load(Ordering::Relaxed));
        self.in_flight() > 0 && now.saturating_duration_since(last_response) > STALL
    }

    fn set_last_response(&self, now: Instant) {
        let ms = now.saturating_duration_since(self.opened).as_millis();
        self.last_response_ms.store(ms.try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Whether it takes calls. It may end before the next call is sent.
    pub(super) fn is_open(&self) -> bool {
        !self.ended.is_cancelled()
    }

    /// Takes no more calls. Those in flight finish, and then the connection ends.
    pub(super) fn close(&self) {
        self.sender.store(None);
        self.ended.cancel();
    }

    /// Waits until it takes no more calls.
    pub(super) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Waits until a call misses its deadline on this connection.
    pub(super) async fn deadline_missed(&self) {
        self.deadline_missed.notified().await;
    }

    /// Whether the peer responds to a health check by `deadline`, in whatever way.
    pub(super) async fn is_alive(&self, deadline: Instant) -> bool {
        matches!(self.is_serving(deadline).await, Ok(_) | Err(Failure::Answered(_)))
    }

    /// Whether the peer reports SERVING.
    pub(super) async fn is_serving(&self, deadline: Instant) -> Result<bool, Failure> {
        // A HealthCheckRequest with an empty service name is an empty message.
        let response = self.unary(&HEALTH_CHECK, Bytes::new(), deadline, None).await?;
        let response =
            HealthCheckResponse::decode(response).map_err(|error| Failure::Broken(error.to_string()))?;
        Ok(response.status() == ServingStatus::Serving)
    }

    /// Sends a message and waits for the response message until `deadline`.
    pub(super) async fn unary(
        &self,
        path: &PathAndQuery,
        message: Bytes,
        deadline: Instant,
        call_metadata: Option<CallMetadata<'_>>,
    ) -> Result<Bytes, Failure> {
        let now = Instant::now();
        let left = deadline.saturating_duration_since(now);
        if left.is_zero() {
            return Err(Failure::Late);
        }
        let mut request = Request::new(message);
        // In whole milliseconds: most calls then send the same text, which HPACK sends as an index.
        request.set_timeout(Duration::from_millis(left.as_millis().try_into().unwrap_or(u64::MAX)));
        let metadata = request.metadata_mut();
        if let Some(authorization) = &self.credentials.load().authorization {
            metadata.insert("authorization", authorization.clone());
        }
        if let Some(CallMetadata { request_id, traceparent }) = call_metadata {
            for (key, value) in [(REQUEST_ID, Some(request_id)), (TRACEPARENT, traceparent)] {
                let value: Option<MetadataValue<Ascii>> = value.and_then(|value| value.parse().ok());
                if let Some(mut value) = value {
                    // No other call sends this value: HPACK must not add it to its table, or each call
                    // evicts what all calls share.
                    value.set_sensitive(true);
                    metadata.insert(key, value);
                }
            }
        }
        if self.in_flight() == 0 {
            self.set_last_response(now);
        }
        let _in_flight = InFlight::new(&self.in_flight);
        match timeout_at(deadline, self.send(path, request)).await {
            Ok(result) => {
                if matches!(result, Ok(_) | Err(Failure::Answered(_))) {
                    self.set_last_response(Instant::now());
                }
                result
            }
            Err(_elapsed) => {
                self.deadline_missed.notify_one();
                Err(Failure::Late)
            }
        }
    }

    async fn send(&self, path: &PathAndQuery, request: Request<Bytes>) -> Result<Bytes, Failure> {
        // tonic turns every failure into a status. This says whether the peer sent one itself.
        let has_status = Arc::new(AtomicBool::new(false));
        let service = service_fn(|request: http::Request<Body>| {
            let has_status = Arc::clone(&has_status);
            async move {
                let response = self.send_http(request).await?;
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
        let result = Grpc::with_origin(service, self.origin.clone())
            .max_decoding_message_size(MAX_ANSWER_BYTES)
            .unary(request, path.clone(), BytesCodec)
            .await;
        match result {
            Ok(response) => Ok(response.into_inner()),
            Err(status) if has_status.load(Ordering::Relaxed) => Err(Failure::Answered(status)),
            Err(status) if is_not_processed(&status) => Err(Failure::NotProcessed(detail(&status))),
            Err(status) => Err(Failure::Broken(detail(&status))),
        }
    }

    /// Sends an HTTP request and waits for the head of its response.
    async fn send_http(&self, request: http::Request<Body>) -> Result<http::Response<Incoming>, NoResponse> {
        let sent = self.sender.load().as_deref().map(|sender| sender.clone().try_send_request(request));
        sent.ok_or(NoResponse::Closed)?.await.map_err(|failure| {
            // hyper hands a request back that it never sent. If the connection ends while the request waits
            // for the peer to allow another stream, hyper reports a user error instead.
            if failure.message().is_none() && !failure.error().is_user() {
                return NoResponse::Lost(failure.into_error());
            }
            // The connection's task may not have noticed the end yet, and the retry would come back here.
            self.ended.cancel();
            NoResponse::NotSent(failure.into_error())
        })
    }
}

fn note_status(has_status: &AtomicBool, headers: &HeaderMap) {
    if headers.contains_key(Status::GRPC_STATUS) {
        has_status.store(true, Ordering::Relaxed);
    }
}

/// Whether the core-service provably did not process the call (RFC 9113, sections 6.8 and 8.7).
fn is_not_processed(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|error| {
        let never_sent = matches!(error.downcast_ref(), Some(NoResponse::Closed | NoResponse::NotSent(_)));
        // The peer refused the stream, or its GOAWAY names an earlier one as the last that it processes.
        let refused = error.downcast_ref().is_some_and(|error: &h2::Error| {
            let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
            error.is_remote() && (refused || error.is_go_away())
        });
        never_sent || refused
    })
}

/// What happened, for the log: the chain of causes, or tonic's message if there is none.
fn detail(status: &Status) -> String {
    let causes: Vec<_> = causes(status).skip(1).map(ToString::to_string).collect();
    if causes.is_empty() { status.message().to_owned() } else { causes.join(": ") }
}

/// The error and its sources.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    successors(Some(error), |&error| error.source())
}

/// Counts a call as in flight until it is dropped.
struct InFlight<'a>(&'a AtomicUsize);

impl<'a> InFlight<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Passes encoded messages through.
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
