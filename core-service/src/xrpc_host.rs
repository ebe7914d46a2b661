//! Hosts that answer XRPC queries: the PDS of an account, and the relay that the operator names.
//!
//! Owns what an address of such a host may be, the URL of a query, and its errors. Nothing is asked but
//! public queries, without a login.

use std::time::Duration;

use bytes::Bytes;
use egress::client::{Answer, Egress};
use egress::error::GetError;
use egress::policy::Policy;
use http::StatusCode;
use serde::Deserialize;
use url::{Host, Url};

/// What queries accept.
const ACCEPT: &str = "application/json";
/// The longest address of a host, in bytes.
const MAX_ENDPOINT_BYTES: usize = 1024;

/// The address of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct XrpcHost(Url);

impl XrpcHost {
    /// The PDS that a DID document names: an https URL, or one of http on this machine where the egress rules
    /// allow loopback. `None`: it is no such URL.
    pub(crate) fn of_document(endpoint: &str, policy: &Policy) -> Option<Self> {
        if endpoint.len() > MAX_ENDPOINT_BYTES {
            return None;
        }
        let url = Url::parse(endpoint).ok()?;
        let is_local = match url.host()? {
            Host::Domain(name) => name == "localhost",
            Host::Ipv4(address) => address.is_loopback(),
            Host::Ipv6(address) => address.is_loopback(),
        };
        let scheme_fits = url.scheme() == "https" || url.scheme() == "http" && is_local;
        let has_extras = !url.username().is_empty() || url.password().is_some() || url.query().is_some();
        (scheme_fits && !has_extras && policy.check_url(&url).is_ok()).then_some(Self(url))
    }

    /// A host that the operator names.
    pub(crate) fn of_operator(url: Url) -> Self {
        Self(url)
    }

    /// The URL of the query `nsid`.
    pub(crate) fn query(&self, nsid: &str, parameters: &[(&str, &str)]) -> Url {
        let mut url = self.0.clone();
        url.set_fragment(None);
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("xrpc").push(nsid);
        }
        url.query_pairs_mut().clear().extend_pairs(parameters);
        url
    }

    /// Sends the query and returns the body of its answer, of at most `max_body` bytes, within `limit`.
    ///
    /// # Errors
    ///
    /// There is no whole answer, or its status is not 200.
    pub(crate) async fn get(
        &self,
        egress: &Egress,
        nsid: &str,
        parameters: &[(&str, &str)],
        limit: Duration,
        max_body: usize,
    ) -> Result<Bytes, QueryError> {
        let url = self.query(nsid, parameters);
        let Answer { status, body, date: _ } = egress.get(&url, ACCEPT, limit, max_body).await?;
        if status == StatusCode::OK {
            return Ok(body);
        }
        #[derive(Deserialize)]
        struct Refusal {
            error: String,
        }
        let error = serde_json::from_slice(&body).ok().map(|Refusal { error }| error);
        Err(QueryError::Refused(RepoRefusal::of(error.as_deref()), status))
    }
}

/// A query without an answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QueryError {
    /// There is no whole answer.
    #[error("the host did not answer")]
    Get(#[from] GetError),
    /// The status is not 200.
    #[error("the host answered {1}: {0:?}")]
    Refused(RepoRefusal, StatusCode),
}

/// What the error name of a refusal says about a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RepoRefusal {
    /// The host does not have it.
    NotFound,
    /// Its account is deactivated, suspended or taken down.
    Inactive,
    /// It has no such record.
    NoRecord,
    /// Something else.
    Other,
}

impl RepoRefusal {
    fn of(error: Option<&str>) -> Self {
        match error {
            Some("RepoNotFound") => Self::NotFound,
            Some("RepoDeactivated" | "RepoSuspended" | "RepoTakendown") => Self::Inactive,
            Some("RecordNotFound") => Self::NoRecord,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use egress::policy::Policy;

    use super::XrpcHost;

    #[test]
    fn endpoints_of_documents() {
        let guarded = Policy::new(Vec::new());
        let loopback = Policy::new(vec!["127.0.0.0/8".parse().unwrap()]);
        for (endpoint, by_guarded, by_loopback) in [
            ("https://pds.example", true, true),
            ("https://pds.example:8443/", true, true),
            ("http://pds.example", false, false),
            ("http://localhost:2583", false, true),
            ("http://127.0.0.1:2583", false, true),
            ("https://127.0.0.1", false, true),
            ("https://10.0.0.1", false, false),
            ("https://pds.internal", false, false),
            ("https://pds.example:22", false, false),
            ("https://user@pds.example", false, false),
            ("https://pds.example/?a", false, false),
            ("ftp://pds.example", false, false),
            ("pds.example", false, false),
            ("", false, false),
        ] {
            assert_eq!(XrpcHost::of_document(endpoint, &guarded).is_some(), by_guarded, "{endpoint}");
            assert_eq!(XrpcHost::of_document(endpoint, &loopback).is_some(), by_loopback, "{endpoint}");
        }
        let long = format!("https://{}.example/{}", "a".repeat(60), "a".repeat(1024));
        assert_eq!(XrpcHost::of_document(&long, &guarded), None);
    }

    #[test]
    fn urls_of_queries() {
        let url = |base: &str| {
            let host = XrpcHost::of_operator(base.parse().unwrap());
            host.query("a.b.c", &[("did", "did:web:a%3A1"), ("q", "a b&")]).to_string()
        };
        let expected = "xrpc/a.b.c?did=did%3Aweb%3Aa%253A1&q=a+b%26";
        assert_eq!(url("https://pds.example"), format!("https://pds.example/{expected}"));
        assert_eq!(url("https://pds.example/"), format!("https://pds.example/{expected}"));
        assert_eq!(url("http://relay.example/below/#x"), format!("http://relay.example/below/{expected}"));
    }
}
