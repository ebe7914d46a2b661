//! The id of the HTTP request that a call belongs to, as the gateway sends it. It is used in logs only.
//!
//! What the engine does belongs to no request; the id of the delivery stands there instead.
//!
//! A task-local holds it while the call is served, so that only code that logs deals with it.

use std::fmt;
use std::sync::Arc;

use tonic::metadata::MetadataMap;
use uuid::Uuid;

/// The metadata key of the id.
const KEY: &str = "x-request-id";
/// The longest id that is accepted, in bytes.
const MAX_BYTES: usize = 64;
/// Logged when a call has no id, or an invalid one.
const NONE: &str = "-";

tokio::task_local! {
    static CURRENT: RequestId;
}

/// The id of a request: at most 64 bytes of visible ASCII, or `-`; or of a delivery.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct RequestId(Arc<str>);

impl RequestId {
    /// The id in a call's metadata.
    pub(crate) fn of(metadata: &MetadataMap) -> Self {
        let sent = metadata.get(KEY).and_then(|value| value.to_str().ok());
        let is_valid =
            |id: &&str| !id.is_empty() && id.len() <= MAX_BYTES && id.bytes().all(|b| b.is_ascii_graphic());
        Self(sent.filter(is_valid).unwrap_or(NONE).into())
    }

    /// In place of it, for what the engine writes of a delivery.
    pub(crate) fn of_delivery(delivery: Uuid) -> Self {
        Self(format!("delivery {delivery}").into())
    }

    /// Runs `call` with this id as the current one.
    pub(crate) async fn scope<T>(self, call: impl Future<Output = T>) -> T {
        CURRENT.scope(self, call).await
    }

    /// The id of the request that is being served.
    pub(crate) fn current() -> Self {
        CURRENT.try_with(Clone::clone).unwrap_or_else(|_| Self(NONE.into()))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Like [`Display`](fmt::Display), in quotes.
impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(id: &str) -> String {
        let mut metadata = MetadataMap::new();
        metadata.insert(KEY, id.parse().unwrap());
        RequestId::of(&metadata).to_string()
    }

    #[test]
    fn ids_that_are_accepted() {
        let longest = "a".repeat(MAX_BYTES);
        for (id, taken) in [
            ("3f-1", "3f-1"),
            (longest.as_str(), longest.as_str()),
            (&format!("{longest}a"), NONE),
            ("", NONE),
            ("a b", NONE),
        ] {
            assert_eq!(sent(id), taken, "{id:?}");
        }
        assert_eq!(RequestId::of(&MetadataMap::new()).to_string(), NONE);
    }

    #[tokio::test]
    async fn current_is_that_of_the_call() {
        let mut metadata = MetadataMap::new();
        metadata.insert(KEY, "one".parse().unwrap());
        let current = RequestId::of(&metadata).scope(async { RequestId::current().to_string() });
        assert_eq!(current.await, "one");
        assert_eq!(RequestId::current().to_string(), NONE);
    }
}
