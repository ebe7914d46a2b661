//! Listings of a stand-in network, over real sockets.

use std::time::Duration;

use egress::client::Egress;
use egress::policy::Policy;
use egress::resolver::Resolver;
use fakes::dns::Dns;
use fakes::network::{Fault, Network, tid};
use serde_json::json;

use super::*;
use crate::xrpc_host::RepoRefusal;

const DID: &str = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
const OTHER: &str = "did:plc:z72i7hdynmk6r22z27h6tvur";
const WH: &str = "place.wisp.v2.wh";
const LIST: &str = "/xrpc/com.atproto.repo.listRecords";
const AMPLE: Duration = Duration::from_secs(60);
const SMALL: Bounds = Bounds { pages: 2, ..MAX_WEBHOOK_RECORDS };

struct Site {
    host: Network,
    pds: XrpcHost,
    egress: Egress,
    _dns: Dns,
}

impl Site {
    async fn start() -> Self {
        let (host, dns) = (Network::start().await, Dns::start().await);
        host.add_account(DID, "alice.example.com");
        let policy = Policy::new(vec!["127.0.0.0/8".parse().unwrap()]);
        let egress = Egress::new(policy, Resolver::new(&[dns.address]).unwrap(), None).unwrap();
        let pds = XrpcHost::of_document(&host.url(), egress.policy()).unwrap();
        Self { host, pds, egress, _dns: dns }
    }

    fn put(&self, count: usize) -> Vec<String> {
        (0..count)
            .map(|number| self.host.put(DID, WH, &format!("{number:04}"), json!({ "n": number })))
            .collect()
    }

    fn records(&self, bounds: Bounds) -> Records<'_> {
        Records::of(&self.egress, &self.pds, &did(), WH, bounds)
    }

    async fn list(&self, bounds: Bounds) -> Result<Vec<Listed>, RepoError> {
        let mut records = self.records(bounds);
        let mut all = Vec::new();
        while let Some(page) = records.next_page().await? {
            all.extend(page);
        }
        Ok(all)
    }

    /// What the host answers for a page of records.
    async fn refused(&self, body: &str) -> RepoError {
        self.host.set_fault(LIST, Fault::Body(body.to_owned()));
        let mut records = self.records(SMALL);
        let error = records.next_page().await.unwrap_err();
        assert!(records.next_page().await.unwrap().is_none(), "it has ended");
        error
    }

    fn relay(&self) -> Relay {
        Relay::new(self.host.url().parse().unwrap(), &self.egress)
    }
}

fn did() -> Did {
    DID.parse().unwrap()
}

#[tokio::test]
async fn all_records_of_several_pages() {
    let site = Site::start().await;
    assert!(site.list(SMALL).await.unwrap().is_empty());
    site.put(200);
    site.host.put(DID, "app.bsky.feed.post", "a", json!({}));
    let listed = site.list(SMALL).await.unwrap();
    assert_eq!(listed.len(), 200);
    for (number, record) in listed.iter().rev().enumerate() {
        assert_eq!(record.rkey, format!("{number:04}"));
        assert_eq!(record.record.get(), format!(r#"{{"n":{number}}}"#));
    }
}

#[tokio::test]
async fn one_record_too_many() {
    let site = Site::start().await;
    site.put(201);
    let error = site.list(SMALL).await.unwrap_err();
    assert!(matches!(error, RepoError::TooMuch), "{error:?}");
    let three = Bounds { pages: 3, ..MAX_MIRRORED_RECORDS };
    assert_eq!(site.list(three).await.unwrap().len(), 201);
    let few_bytes = Bounds { bytes: 20_000, ..three };
    let error = site.list(few_bytes).await.unwrap_err();
    assert!(matches!(error, RepoError::TooMuch), "{error:?}");
}

#[tokio::test]
async fn cursors_without_end() {
    let site = Site::start().await;
    site.put(1);
    site.host.set_fault(LIST, Fault::EndlessCursor);
    let error = site.list(SMALL).await.unwrap_err();
    assert!(matches!(error, RepoError::TooMuch), "{error:?}");
    assert_eq!(site.host.requests().len(), 3);
    site.host.set_fault(LIST, Fault::SameCursor);
    let error = site.list(SMALL).await.unwrap_err();
    assert!(matches!(error, RepoError::Cursor), "{error:?}");
    assert_eq!(site.host.requests().len(), 5);
    let long = json!({ "records": [], "cursor": "c".repeat(MAX_CURSOR_BYTES + 1) });
    assert!(matches!(site.refused(&long.to_string()).await, RepoError::Cursor));
}

#[tokio::test]
async fn page_that_is_too_large() {
    let site = Site::start().await;
    site.host.set_fault(LIST, Fault::Huge);
    let error = site.list(SMALL).await.unwrap_err();
    assert!(matches!(error, RepoError::Query(QueryError::Get(_))), "{error:?}");
}

#[tokio::test]
async fn records_of_somebody_else() {
    let site = Site::start().await;
    for uri in [
        format!("at://{OTHER}/{WH}/a"),
        format!("at://{DID}/app.bsky.feed.post/a"),
        format!("at://{DID}/{WH}/"),
        format!("at://{DID}/{WH}/a/b"),
        format!("at://{DID}/{WH}/."),
        format!("at://{DID}/{WH}/a b"),
        format!("at://{DID}/{WH}"),
        "a".to_owned(),
    ] {
        let good = json!({ "uri": format!("at://{DID}/{WH}/a"), "cid": "b", "value": {} });
        let bad = json!({ "uri": uri, "cid": "b", "value": {} });
        let page = json!({ "records": [good, bad], "cursor": "c" });
        assert!(matches!(site.refused(&page.to_string()).await, RepoError::Foreign), "{uri}");
    }
}

#[tokio::test]
async fn answers_that_are_none() {
    let site = Site::start().await;
    for body in ["", "[]", "{}", "<html>", r#"{"records":[{}]}"#, r#"{"records":[],"cursor":7}"#] {
        assert!(matches!(site.refused(body).await, RepoError::Malformed), "{body}");
    }
}

#[tokio::test]
async fn record_that_is_nested_deeply() {
    let site = Site::start().await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let body = format!(r#"{{"records":[{{"uri":"at://{DID}/{WH}/a","cid":"b","value":{deep}}}]}}"#);
    site.host.set_fault(LIST, Fault::Body(body));
    let listed = site.list(SMALL).await.unwrap();
    assert_eq!(listed[0].record.get(), deep);
}

#[tokio::test]
async fn host_that_takes_too_long() {
    let site = Site::start().await;
    site.put(101);
    site.host.set_fault(LIST, Fault::Slow(Duration::from_millis(200)));
    let short = Bounds { time: Duration::from_millis(300), ..SMALL };
    let mut records = site.records(short);
    assert_eq!(records.next_page().await.unwrap().unwrap().len(), 100);
    let error = records.next_page().await.unwrap_err();
    assert!(matches!(error, RepoError::TimedOut), "{error:?}");
}

#[tokio::test]
async fn revision() {
    let site = Site::start().await;
    site.put(1);
    let rev = latest_rev(&site.egress, &site.pds, &did()).await.unwrap();
    assert_eq!(rev.to_string(), site.host.rev(DID));
    let method = "/xrpc/com.atproto.sync.getLatestCommit";
    for body in [r#"{"rev":"not a tid"}"#, "{}", r#"{"rev":7}"#] {
        site.host.set_fault(method, Fault::Body(body.to_owned()));
        let error = latest_rev(&site.egress, &site.pds, &did()).await.unwrap_err();
        assert!(matches!(error, RepoError::Malformed), "{body}");
    }
}

#[tokio::test]
async fn repository_that_is_refused() {
    let site = Site::start().await;
    for (error, expected) in [
        ("RepoNotFound", RepoRefusal::NotFound),
        ("RepoDeactivated", RepoRefusal::Inactive),
        ("RepoTakendown", RepoRefusal::Inactive),
        ("RepoSuspended", RepoRefusal::Inactive),
        ("AuthMissing", RepoRefusal::Other),
    ] {
        site.host.refuse(DID, error);
        let of_listing = site.list(SMALL).await.unwrap_err();
        let of_rev = latest_rev(&site.egress, &site.pds, &did()).await.unwrap_err();
        for found in [of_listing, of_rev] {
            assert!(
                matches!(&found, RepoError::Query(QueryError::Refused(refusal, _)) if *refusal == expected),
                "{error}: {found:?}"
            );
        }
    }
}

#[tokio::test]
async fn repositories_of_a_relay() {
    let site = Site::start().await;
    let mut expected: Vec<String> = (0..2_001_u64).map(|number| format!("did:plc:{}", tid(number))).collect();
    expected.sort();
    for did in &expected {
        site.host.put(did, WH, "a", json!({}));
    }
    site.host.put("did:key:z", WH, "a", json!({}));
    site.host.put(OTHER, "app.bsky.feed.post", "a", json!({}));
    let relay = site.relay();
    let mut repos = relay.with_collection(WH, AMPLE);
    let mut all = Vec::new();
    while let Some(page) = repos.next_page().await.unwrap() {
        all.extend(page.iter().map(ToString::to_string));
    }
    assert_eq!(all, expected);
}

#[tokio::test]
async fn relay_that_fails() {
    let site = Site::start().await;
    site.host.put(DID, WH, "a", json!({}));
    let method = "/xrpc/com.atproto.sync.listReposByCollection";
    let relay = site.relay();
    for (fault, is_expected) in [
        (Fault::SameCursor, (|error| matches!(error, RepoError::Cursor)) as fn(&RepoError) -> bool),
        (Fault::EndlessCursor, |error| matches!(error, RepoError::TooMuch)),
        (Fault::Status(404), |error| matches!(error, RepoError::Query(QueryError::Refused(..)))),
        (Fault::Huge, |error| matches!(error, RepoError::Query(QueryError::Get(_)))),
        (Fault::Body("{}".to_owned()), |error| matches!(error, RepoError::Malformed)),
    ] {
        site.host.set_fault(method, fault.clone());
        let mut repos = relay.with_collection(WH, AMPLE);
        let error = loop {
            match repos.next_page().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("{fault:?}: it looks whole"),
                Err(error) => break error,
            }
        };
        assert!(is_expected(&error), "{fault:?}: {error:?}");
    }
}
