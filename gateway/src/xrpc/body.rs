//! The body of a request: what type and size it may have, and what happens to one that nobody reads.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, EXPECT};
use http_body::Body as _;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::time::Instant;

use crate::error_name::ErrorName;
use crate::xrpc::error::XrpcError;

/// The largest body, in bytes (METHODS.md "body").
const MAX_BODY_BYTES: usize = 64 * 1024;
/// How much of an unread body is dropped before an early answer, in bytes. Many clients see a broken pipe in place of
/// an answer that comes while they still send (METHODS.md "body").
const MAX_DROPPED_BYTES: usize = 4 * 1024 * 1024;
/// How long an early answer waits for the client to finish sending.
const MAX_DROP_TIME: Duration = Duration::from_secs(2);

/// Checks that the body is plain `application/json`.
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

/// A body that a client is sending.
pub(crate) struct Arriving {
    body: Body,
    /// The client waits for `100 Continue`, which hyper sends when the body is first asked for.
    waits: bool,
}

impl Arriving {
    /// The body of a request with these headers.
    pub(crate) fn new(body: Body, headers: &HeaderMap) -> Self {
        let waits =
            headers.get(EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
        Self { body, waits }
    }

    /// Reads the whole body, [`MAX_BODY_BYTES`] at most.
    pub(crate) async fn read(&mut self, deadline: Instant) -> Result<Bytes, XrpcError> {
        // The length that the client announced, if it did.
        if self.body.size_hint().lower() > MAX_BODY_BYTES as u64 {
            return Err(too_large());
        }
        self.waits = false;
        let reading = Limited::new(&mut self.body, MAX_BODY_BYTES).collect();
        match tokio::time::timeout_at(deadline, reading).await {
            Ok(Ok(whole)) => Ok(whole.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
            Ok(Err(_)) => Err(XrpcError::new(ErrorName::InvalidRequest, "the body broke off")),
            Err(_) => {
                Err(XrpcError::new(ErrorName::InvalidRequest, "the body did not arrive within the deadline"))
            }
        }
    }

    /// Reads and drops what the client still sends, within limits.
    pub(crate) async fn drop_rest(&mut self, deadline: Instant) {
        if self.waits {
            return;
        }
        let until = (Instant::now() + MAX_DROP_TIME).min(deadline.max(Instant::now()));
        let dropping = async {
            let mut dropped = 0;
            while let Some(Ok(frame)) = self.body.frame().await {
                dropped += frame.data_ref().map_or(0, Bytes::len);
                if dropped > MAX_DROPPED_BYTES {
                    break;
                }
            }
        };
        if tokio::time::timeout_at(until, dropping).await.is_err() {
            tracing::debug!("a client was still sending when it was answered");
        }
    }
}

fn too_large() -> XrpcError {
    XrpcError::new(ErrorName::PayloadTooLarge, "the body is over 65536 bytes")
}
