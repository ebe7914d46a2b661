//! `/site/resolve-handle`: the DID that a handle names, for pages, as a browser can't ask DNS.
//!
//! Owns the cache, that there is one look-up of a handle at a time, and how often and how much somebody may
//! ask. Whether the DID's document claims the handle, the page checks when it signs the person in.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use egress::client::Egress;
use egress::handle;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use http::header::CACHE_CONTROL;
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};
use process::clock::Clock;
use process::exit::chain;
use quick_cache::sync::Cache;
use serde_json::json;
use shrike::syntax::{Did, Handle};
use url::form_urlencoded;

use crate::client_address::{ClientAddress, ClientAddresses};
use crate::error_name::ErrorName;
use crate::get_only::get_only;
use crate::places::Places;
use crate::telemetry::route::Route;
use crate::xrpc;
use crate::xrpc::error::XrpcError;

/// Its path.
pub(super) const PATH: &str = "/site/resolve-handle";

/// Requests of a client address in a minute.
const MAX_A_MINUTE: u32 = 30;
/// Look-ups at once.
const MAX_LOOKUPS: usize = 64;
/// … of one client address.
const MAX_LOOKUPS_OF_ADDRESS: usize = 4;
/// The most handles whose answers are cached.
const MAX_CACHED: usize = 10_000;
/// How long a DID is cached, in milliseconds.
const FRESH_MS: i64 = 5 * 60_000;
/// How long it is cached that there is none, in milliseconds.
const FAILED_MS: i64 = 60_000;
/// Full buckets are removed once in this many requests.
const CLEAN_UP_EVERY: u64 = 1_024;
/// `Retry-After` where there is no place for a look-up.
const RETRY_WHEN_BUSY: Duration = Duration::from_secs(1);

/// Looks handles up.
pub(super) struct Handles {
    egress: Egress,
    clock: Clock,
    addresses: ClientAddresses,
    cache: Cache<String, Answer>,
    lookups: Arc<Places<ClientAddress>>,
    buckets: DefaultKeyedRateLimiter<ClientAddress>,
    requests: AtomicU64,
}

#[derive(Clone)]
struct Answer {
    did: Option<String>,
    since_ms: i64,
}

impl Answer {
    /// If the clock went backwards, it is expired.
    fn is_fresh(&self, now_ms: i64) -> bool {
        let lifetime = if self.did.is_some() { FRESH_MS } else { FAILED_MS };
        (self.since_ms..self.since_ms + lifetime).contains(&now_ms)
    }
}

/// Handles [`PATH`].
pub(super) async fn serve(State(handles): State<Arc<Handles>>, request: Request) -> Response<Body> {
    let (head, body) = request.into_parts();
    let resolving = {
        let head = head.clone();
        async move {
            let mut response = match handles.resolve(&head).await {
                Ok(did) => xrpc::json(StatusCode::OK, json!({ "did": did }).to_string().into()),
                Err(error) => error.into_response(),
            };
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
    };
    get_only(Route::Site, Request::from_parts(head, body), resolving).await
}

impl Handles {
    /// Asks under the rules of `egress`. Requests count for whom `addresses` tells.
    pub(super) fn new(egress: Egress, addresses: ClientAddresses, clock: Clock) -> Self {
        let a_minute = NonZeroU32::new(MAX_A_MINUTE).unwrap_or(NonZeroU32::MIN);
        Self {
            egress,
            clock,
            addresses,
            cache: Cache::new(MAX_CACHED),
            lookups: Places::new(MAX_LOOKUPS, MAX_LOOKUPS_OF_ADDRESS),
            buckets: RateLimiter::keyed(Quota::per_minute(a_minute)),
            requests: AtomicU64::new(0),
        }
    }

    async fn resolve(&self, head: &Parts) -> Result<String, XrpcError> {
        let client = self.addresses.of_request(head);
        self.count(client)?;
        let handle = handle_in(head.uri.query().unwrap_or_default())?;
        let did = self.look_up(handle, client).await?;
        let not_found = "the handle names no DID, by DNS or by https, or its host does not answer";
        did.ok_or_else(|| XrpcError::handle_not_found(not_found))
    }

    /// Takes one request from the client's bucket.
    fn count(&self, client: ClientAddress) -> Result<(), XrpcError> {
        if self.requests.fetch_add(1, Ordering::Relaxed) % CLEAN_UP_EVERY == CLEAN_UP_EVERY - 1 {
            self.buckets.retain_recent();
            self.buckets.shrink_to_fit();
        }
        self.buckets.check_key(&client).map_err(|refused| {
            let wait = refused.wait_time_from(DefaultClock::default().now());
            let message = "too many look-ups of handles; Retry-After says when to come back";
            XrpcError::new(ErrorName::RateLimitExceeded, message).retry_after(wait)
        })
    }

    /// From the cache or the network.
    async fn look_up(&self, handle: String, client: ClientAddress) -> Result<Option<String>, XrpcError> {
        let now_ms = self.clock.unix_ms();
        self.cache.remove_if(&handle, |answer| !answer.is_fresh(now_ms));
        let asking = async {
            let _place = self.lookups.take(client).ok_or_else(|| {
                XrpcError::fixed(ErrorName::NotEnoughResources).retry_after(RETRY_WHEN_BUSY)
            })?;
            let named = handle::named_did(&self.egress, &handle, None).await.unwrap_or_else(|error| {
                process::once_a_second!(debug, causes = chain(&error), "a handle was not looked up");
                None
            });
            let did = named.filter(|did| did.parse::<Did>().is_ok());
            Ok(Answer { did, since_ms: self.clock.unix_ms() })
        };
        self.cache.get_or_insert_async(&handle, asking).await.map(|answer| answer.did)
    }
}

/// The parameter `handle`, in lower case.
fn handle_in(query: &str) -> Result<String, XrpcError> {
    let refuse = |message: &str| XrpcError::new(ErrorName::InvalidRequest, message);
    let mut handles = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "handle");
    let Some((_, handle)) = handles.next() else { return Err(refuse("handle: is required")) };
    if handles.next().is_some() {
        return Err(refuse("handle: is given more than once"));
    }
    let handle = handle.to_ascii_lowercase();
    match handle.parse::<Handle>() {
        Ok(_) => Ok(handle),
        Err(_) => Err(refuse("handle: expected a handle, such as alice.example.com")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_in_queries() {
        let handle = |query: &str| handle_in(query).ok();
        assert_eq!(handle("handle=Alice.Example.com").as_deref(), Some("alice.example.com"));
        assert_eq!(handle("a=b&handle=a%2Dc.example&c").as_deref(), Some("a-c.example"));
        for query in [
            "",
            "handle",
            "handle=",
            "handle=localhost",
            "handle=127.0.0.1",
            "handle=did:plc:a",
            "handle=@alice.example",
            "handle=a.example/x",
            "handle=a.example%00",
            "handle=a.example&handle=a.example",
        ] {
            assert_eq!(handle(query), None, "{query}");
        }
    }
}
