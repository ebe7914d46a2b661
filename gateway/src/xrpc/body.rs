//! Request bodies: media type, size limit, and what is done with a body that nobody reads.

pub(crate) mod arriving;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::future::poll_immediate;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, EXPECT};
use http_body::Body as _;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use process::once_a_second;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use self::arriving::ArrivingBodies;
use crate::error_name::ErrorName;
use crate::xrpc::error::XrpcError;

/// The largest body, in bytes (`docs/methods.md`).
const MAX_BODY_BYTES: usize = 64 * 1024;
/// Header fields of a request, and fields of its trailers: hyper's limit of header fields in HTTP/1.1, for
/// both versions.
pub(crate) const MAX_HEADER_FIELDS: usize = 100;
/// How much of an unread body is discarded before an early response, in bytes. Many clients report a broken
/// pipe instead of a response that arrives while they still send.
const MAX_DISCARDED_BYTES: usize = 4 * 1024 * 1024;
/// How long an early response waits for the client to finish sending.
const MAX_DISCARD_TIME: Duration = Duration::from_secs(2);

/// Unread bodies that are discarded at once. Further early responses do not wait for their clients.
const MAX_DISCARDS: usize = 256;

/// One permit for each body that is being discarded, in the whole process.
static DISCARDS: Semaphore = Semaphore::const_new(MAX_DISCARDS);

/// Checks that the body is `application/json` without a content encoding.
pub(crate) fn check_type(headers: &HeaderMap) -> Result<(), XrpcError> {
    if headers.contains_key(CONTENT_ENCODING) {
        return Err(XrpcError::new(ErrorName::InvalidRequest, "Content-Encoding: not taken here"));
    }
    let mut types = headers.get_all(CONTENT_TYPE).into_iter();
    let essence = match (types.next(), types.next()) {
        (Some(value), None) => value.to_str().ok().and_then(|value| value.split(';').next()),
        _ => None,
    };
    if essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json")) {
        return Ok(());
    }
    Err(XrpcError::new(ErrorName::InvalidRequest, "Content-Type: must be application/json"))
}

/// Why there is no body.
pub(crate) enum ReadError {
    /// The client's fault.
    Refused(XrpcError),
    /// It was still arriving when its place was given up.
    GivenUp,
}

impl From<XrpcError> for ReadError {
    fn from(error: XrpcError) -> Self {
        Self::Refused(error)
    }
}

/// The body of a request, not yet read.
pub(crate) struct RequestBody {
    body: Body,
    /// The client waits for `100 Continue` before it sends; hyper sends that when the body is first polled.
    awaits_continue: bool,
}

impl RequestBody {
    /// The body of a request with these headers.
    pub(crate) fn new(body: Body, headers: &HeaderMap) -> Self {
        let awaits_continue =
            headers.get(EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
        Self { body, awaits_continue }
    }

    /// Reads the whole body of a call of `did`. One that has not arrived yet takes a place in `arriving`.
    ///
    /// # Errors
    ///
    /// It is larger than [`MAX_BODY_BYTES`], incomplete, or late, or its place was given up.
    pub(crate) async fn read(
        &mut self,
        deadline: Instant,
        did: &str,
        arriving: &Arc<ArrivingBodies>,
    ) -> Result<Bytes, ReadError> {
        // From Content-Length: refused without asking the client to send.
        if self.body.size_hint().lower() > MAX_BODY_BYTES as u64 {
            return Err(too_large().into());
        }
        self.awaits_continue = false;
        let mut reading = pin!(Limited::new(&mut self.body, MAX_BODY_BYTES).collect());
        let read = match poll_immediate(&mut reading).await {
            Some(read) => read,
            None => {
                let mut place = arriving.take(did);
                tokio::select! {
                    biased;
                    read = tokio::time::timeout_at(deadline, reading) => read.map_err(|_| late())?,
                    () = place.given_up() => return Err(ReadError::GivenUp),
                }
            }
        };
        match read {
            Ok(whole) if whole.trailers().is_some_and(|trailers| trailers.len() > MAX_HEADER_FIELDS) => {
                Err(XrpcError::new(ErrorName::InvalidRequest, "over 100 trailer fields").into())
            }
            Ok(whole) => Ok(whole.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(too_large().into()),
            Err(_) => Err(XrpcError::new(ErrorName::InvalidRequest, "the body broke off").into()),
        }
    }

    /// Reads and discards what the client still sends, up to [`MAX_DISCARDED_BYTES`], [`MAX_DISCARD_TIME`]
    /// and the deadline. While [`MAX_DISCARDS`] others do so, only what has arrived.
    pub(crate) async fn discard(&mut self, deadline: Instant) {
        if self.awaits_continue || self.body.is_end_stream() {
            return;
        }
        let until = (Instant::now() + MAX_DISCARD_TIME).min(deadline.max(Instant::now()));
        let discarding = async {
            let mut discarded = 0;
            while let Some(Ok(frame)) = self.body.frame().await {
                discarded += frame.data_ref().map_or(0, Bytes::len);
                if discarded > MAX_DISCARDED_BYTES {
                    break;
                }
            }
        };
        let Ok(_permit) = DISCARDS.try_acquire() else {
            let _arrived = poll_immediate(pin!(discarding)).await;
            return;
        };
        if tokio::time::timeout_at(until, discarding).await.is_err() {
            once_a_second!(debug, "a client was still sending when it was answered");
        }
    }
}

fn late() -> XrpcError {
    XrpcError::new(ErrorName::InvalidRequest, "the body did not arrive within the deadline")
}

fn too_large() -> XrpcError {
    XrpcError::new(ErrorName::PayloadTooLarge, "the body is over 65536 bytes")
}
