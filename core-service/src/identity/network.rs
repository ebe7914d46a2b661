//! One look-up over the network: the document of a DID, whether its handle is its own, and its avatar.
//!
//! Owns the URLs, the limits and what each answer means. Caching is the parent's.

use std::time::Duration;

use egress::client::{Answer, Egress};
use egress::error::GetError;
use egress::handle;
use egress::policy::Policy;
use http::StatusCode;
use process::exit::chain;
use serde::Deserialize;
use shrike::syntax::Handle;
use url::Url;

use super::document::{Document, MAX_DOCUMENT_BYTES};
use crate::domain::did::Did;
use crate::xrpc_host::{QueryError, RepoRefusal, XrpcHost};

const ACCEPT_DOCUMENT: &str = "application/did+ld+json, application/json";

/// How long fetching a DID document may take.
const DOCUMENT_LIMIT: Duration = Duration::from_secs(3);
/// How long fetching a profile may take.
const PROFILE_LIMIT: Duration = Duration::from_secs(3);
/// The answer with a profile, in bytes.
const MAX_PROFILE_BYTES: usize = 64 * 1024;
/// The longest CID, in bytes.
const MAX_CID_BYTES: usize = 100;

/// Why there is no document.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DocumentError {
    /// No did:plc, and no did:web of a host.
    #[error("the DID is not one that has a document")]
    Method,
    /// There is no whole answer.
    #[error("the document was not fetched")]
    Get(#[from] GetError),
    /// The status is not 200.
    #[error("the host of the document answered {0}")]
    Status(StatusCode),
    /// It is something else, or another DID's.
    #[error("the answer is not the document of this DID")]
    NotTheDocument,
}

/// Something that may be looked up again soon.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failed;

/// Asks hosts.
pub(super) struct Network {
    plc_url: Url,
    /// May reach any host, as the operator names it.
    to_directory: Egress,
    /// Has egress rules, as strangers name the hosts.
    pub(super) to_hosts: Egress,
    /// The port of hosts of handles: another one in tests.
    pub(super) handle_port: Option<u16>,
}

impl Network {
    pub(super) fn new(plc_url: Url, egress: Egress) -> Self {
        let to_directory = egress.with_policy(Policy::unrestricted());
        Self { plc_url, to_directory, to_hosts: egress, handle_port: None }
    }

    /// The document of a DID.
    pub(super) async fn document(&self, did: &Did) -> Result<Document, DocumentError> {
        let (egress, url) = if did.as_str().starts_with("did:plc:") {
            let mut url = self.plc_url.clone();
            if let Ok(mut segments) = url.path_segments_mut() {
                segments.pop_if_empty().push(did.as_str());
            }
            (&self.to_directory, url)
        } else {
            let is_local = self.to_hosts.policy().allows_loopback();
            (&self.to_hosts, web_document_url(did, is_local).ok_or(DocumentError::Method)?)
        };
        let Answer { status, body, date: _ } =
            egress.get(&url, ACCEPT_DOCUMENT, DOCUMENT_LIMIT, MAX_DOCUMENT_BYTES).await?;
        if status != StatusCode::OK {
            return Err(DocumentError::Status(status));
        }
        Document::parse(&body, did, self.to_hosts.policy()).ok_or(DocumentError::NotTheDocument)
    }

    /// Whether `handle` says that it is the DID's: by DNS, or else by HTTPS.
    pub(super) async fn is_handle_of(&self, handle: &Handle, did: &Did) -> Result<bool, Failed> {
        let named = handle::named_did(&self.to_hosts, handle.as_str(), self.handle_port).await;
        let named = named.map_err(|error| {
            process::once_a_second!(debug, %did, causes = chain(&error), "a handle was not verified");
            Failed
        })?;
        Ok(named.as_deref() == Some(did.as_str()))
    }

    /// The URL of the avatar of a DID at its PDS; `None` if it has none.
    pub(super) async fn avatar(&self, did: &Did, pds: &XrpcHost) -> Result<Option<Url>, Failed> {
        let parameters = [("repo", did.as_str()), ("collection", "app.bsky.actor.profile"), ("rkey", "self")];
        let method = "com.atproto.repo.getRecord";
        let body = match pds.get(&self.to_hosts, method, &parameters, PROFILE_LIMIT, MAX_PROFILE_BYTES).await
        {
            Ok(body) => body,
            Err(QueryError::Refused(RepoRefusal::NoRecord, _)) => return Ok(None),
            Err(error) => {
                process::once_a_second!(debug, %did, causes = chain(&error), "a profile was not fetched");
                return Err(Failed);
            }
        };
        Ok(avatar_cid(&body).map(|cid| blob_url(pds, did, &cid)))
    }
}

/// Where a PDS has a blob.
pub(super) fn blob_url(pds: &XrpcHost, did: &Did, cid: &str) -> Url {
    pds.query("com.atproto.sync.getBlob", &[("did", did.as_str()), ("cid", cid)])
}

/// Whether the text could be a CID.
pub(super) fn is_cid(text: &str) -> bool {
    (1..=MAX_CID_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// The URL of the document of a did:web, which atproto allows no path; `None` if it is none. `localhost` is
/// asked over plain HTTP, where loopback is allowed.
fn web_document_url(did: &Did, allows_loopback: bool) -> Option<Url> {
    let identifier = did.as_str().strip_prefix("did:web:")?;
    let (host, port) = match identifier.split_once('%') {
        None => (identifier, String::new()),
        Some((host, encoded)) => {
            let digits = encoded.strip_prefix("3A").or_else(|| encoded.strip_prefix("3a"))?;
            let port: u16 = digits.parse().ok().filter(|_| !digits.starts_with(['0', '+']))?;
            (host, format!(":{port}"))
        }
    };
    let fits =
        |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !host.split('.').all(fits) {
        return None;
    }
    let is_local = host.eq_ignore_ascii_case("localhost");
    if is_local && !allows_loopback {
        return None;
    }
    let scheme = if is_local { "http" } else { "https" };
    Url::parse(&format!("{scheme}://{host}{port}/.well-known/did.json")).ok()
}

/// The CID of the avatar in the answer of `getRecord`.
fn avatar_cid(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Answer {
        value: Profile,
    }
    #[derive(Deserialize)]
    struct Profile {
        avatar: Option<Blob>,
    }
    #[derive(Deserialize)]
    struct Blob {
        r#ref: Link,
    }
    #[derive(Deserialize)]
    struct Link {
        #[serde(rename = "$link")]
        link: String,
    }
    let answer: Answer = serde_json::from_slice(body).ok()?;
    answer.value.avatar.map(|blob| blob.r#ref.link).filter(|cid| is_cid(cid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_of_did_web() {
        let url = |did: &str, loopback| web_document_url(&did.parse().unwrap(), loopback).map(String::from);
        for (did, expected) in [
            ("did:web:example.com", "https://example.com/.well-known/did.json"),
            ("did:web:example.com%3A8443", "https://example.com:8443/.well-known/did.json"),
            ("did:web:localhost%3a8080", "http://localhost:8080/.well-known/did.json"),
        ] {
            assert_eq!(url(did, true).as_deref(), Some(expected));
        }
        assert_eq!(url("did:web:localhost%3A8080", false), None);
        for did in [
            "did:web:example.com:alice",
            "did:web:example.com%2Fa",
            "did:web:example.com%3A080",
            "did:web:example.com%3A65536",
            "did:web:example..com",
            "did:web:example.com.",
            "did:web:a_b.example",
            "did:key:zQ3shZc2QzApp2oymGvQbzP8eKheVshBHbU4ZYjeXqwSKEn6N",
        ] {
            assert_eq!(url(did, true), None, "{did}");
        }
    }

    #[test]
    fn avatars_of_profiles() {
        let cid = |json: &str| avatar_cid(json.as_bytes());
        let blob =
            |link: &str| format!(r#"{{"value":{{"avatar":{{"$type":"blob","ref":{{"$link":"{link}"}}}}}}}}"#);
        assert_eq!(cid(&blob("bafkrei2")).as_deref(), Some("bafkrei2"));
        for json in [
            r#"{"value":{}}"#,
            r#"{"value":{"avatar":null}}"#,
            r#"{"value":{"avatar":{"cid":"old","mimeType":"image/png"}}}"#,
            "{}",
            "",
        ] {
            assert_eq!(cid(json), None, "{json}");
        }
        for link in ["", "a/../b", "a&did=b", &"a".repeat(101)] {
            assert_eq!(cid(&blob(link)), None, "{link}");
        }
    }
}
