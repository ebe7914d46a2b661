//! Names of accounts of a stand-in network, over real sockets.

use std::time::Duration;

use egress::client::Egress;
use egress::policy::Policy;
use egress::resolver::Resolver;
use fakes::dns::Dns;
use fakes::network::{Fault, Network as Host, document};
use process::clock::Clock;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::network::Network;
use super::{FAILED_MS, FRESH_MS, Identity, Names, WAIT_LIMIT};
use crate::domain::did::Did;

const DID: &str = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
const OTHER: &str = "did:plc:z72i7hdynmk6r22z27h6tvur";
const HANDLE: &str = "alice.example.com";
const PROFILE: &str = "app.bsky.actor.profile";

/// A directory with a PDS, a DNS server, and who asks them.
struct Site {
    host: Host,
    dns: Dns,
    clock: Clock,
    identity: Identity,
}

impl Site {
    async fn start() -> Self {
        Self::with(None).await
    }

    /// With a host of handles.
    async fn with(handles: Option<(&Host, &str)>) -> Self {
        let (host, dns) = (Host::start().await, Dns::start().await);
        dns.set(&format!("{HANDLE}."), &["127.0.0.1"]);
        let policy = Policy::new(vec!["127.0.0.0/8".parse().unwrap()]);
        let authority = handles.map(|(_, authority)| authority);
        let egress = Egress::new(policy, Resolver::new(&[dns.address]).unwrap(), authority).unwrap();
        let clock = Clock::manual(1_700_000_000_000);
        let plc_url = host.url().parse().unwrap();
        let identity = match handles {
            None => Identity::new(plc_url, egress, clock.clone()),
            Some((handles, _)) => {
                let mut network = Network::new(plc_url, egress);
                network.handle_port = Some(handles.port());
                Identity::asking(network, clock.clone())
            }
        };
        Self { host, dns, clock, identity }
    }

    /// With an account whose handle DNS confirms.
    async fn with_account() -> Self {
        let site = Self::start().await;
        site.host.add_account(DID, HANDLE);
        site.confirm(&[&[&format!("did={DID}")]]);
        site
    }

    fn confirm(&self, texts: &[&[&str]]) {
        self.dns.set_texts(&format!("_atproto.{HANDLE}."), texts);
    }

    async fn names(&self) -> Names {
        (*self.identity.names(&did()).await).clone()
    }

    async fn handle(&self) -> Option<String> {
        self.names().await.handle
    }

    fn avatar(&self) -> String {
        let blob = json!({ "$type": "blob", "ref": { "$link": "bafkrei2" } });
        self.host.put(DID, PROFILE, "self", json!({ "avatar": blob }));
        format!(
            "{}/xrpc/com.atproto.sync.getBlob?did=did%3Aplc%3Aewvi7nxzyoun6zhxrhs64oiz&cid=bafkrei2",
            self.host.url()
        )
    }

    fn lookups(&self) -> usize {
        self.host.requests().iter().filter(|path| path.starts_with("/did:")).count()
    }
}

fn did() -> Did {
    DID.parse().unwrap()
}

#[tokio::test]
async fn handle_and_avatar() {
    let site = Site::with_account().await;
    let avatar_url = site.avatar();
    let names = site.names().await;
    assert_eq!((names.handle.as_deref(), names.avatar_url.as_ref()), (Some(HANDLE), Some(&avatar_url)));
    let blob = names.blob_url(&did(), "bafkreithumb").unwrap();
    assert_eq!(blob, avatar_url.replace("bafkrei2", "bafkreithumb"));
    assert_eq!(names.blob_url(&did(), "a&b"), None);
}

#[tokio::test]
async fn account_without_a_profile() {
    let site = Site::with_account().await;
    let names = site.names().await;
    assert_eq!((names.handle.as_deref(), names.avatar_url), (Some(HANDLE), None));
    site.clock.advance(Duration::from_millis(FAILED_MS.unsigned_abs()));
    site.names().await;
    assert_eq!(site.lookups(), 1, "it is a definite answer");
}

#[tokio::test]
async fn forged_handle() {
    let site = Site::start().await;
    site.host.add_account(DID, HANDLE);
    let other = format!("did={OTHER}");
    let own = format!("did={DID}");
    for texts in [&[&[other.as_str()][..]][..], &[&[&other], &[&own]], &[&[&own], &[&own]]] {
        site.confirm(texts);
        assert_eq!(site.handle().await, None, "{texts:?}");
        site.identity.forget(&did());
    }
    site.confirm(&[&["v=spf1"], &["did=did:plc:", "ewvi7nxzyoun6zhxrhs64oiz"]]);
    assert_eq!(site.handle().await.as_deref(), Some(HANDLE));
}

#[tokio::test]
async fn handle_confirmed_over_https() {
    let (handles, authority) = Host::start_tls(&[HANDLE]).await;
    let site = Site::with(Some((&handles, &authority))).await;
    site.host.add_account(DID, HANDLE);
    for (body, expected) in [
        (DID, Some(HANDLE)),
        (&format!("  {DID}\r\n"), Some(HANDLE)),
        (OTHER, None),
        (&format!("{DID}\n{OTHER}"), None),
        ("", None),
        (&"x".repeat(5_000), None),
    ] {
        handles.set_handle(HANDLE, body);
        assert_eq!(site.handle().await.as_deref(), expected, "{body}");
        site.identity.forget(&did());
    }
    handles.set_handle(HANDLE, DID);
    handles.set_fault("/.well-known", Fault::Status(404));
    assert_eq!(site.handle().await, None);
    // DNS counts before HTTPS.
    site.identity.forget(&did());
    site.confirm(&[&[&format!("did={DID}")]]);
    assert_eq!(site.handle().await.as_deref(), Some(HANDLE));
}

#[tokio::test]
async fn handle_at_a_private_address() {
    let (handles, authority) = Host::start_tls(&[HANDLE]).await;
    handles.set_handle(HANDLE, DID);
    let site = Site::with(Some((&handles, &authority))).await;
    site.dns.set(&format!("{HANDLE}."), &["10.0.0.1"]);
    site.host.add_account(DID, HANDLE);
    assert_eq!(site.handle().await, None);
    assert!(handles.requests().is_empty());
    // Not even looked up.
    site.identity.forget(&did());
    site.host.add_account(DID, "alice.internal");
    let seen = site.dns.seen().len();
    assert_eq!(site.handle().await, None);
    assert_eq!(site.dns.seen().len(), seen);
}

#[tokio::test]
async fn names_are_cached() {
    let site = Site::with_account().await;
    let first = site.names().await;
    site.confirm(&[]);
    site.clock.advance(Duration::from_millis(FRESH_MS.unsigned_abs() - 1));
    assert_eq!(site.names().await, first);
    assert_eq!(site.lookups(), 1);
    site.clock.advance(Duration::from_millis(1));
    assert_eq!(site.handle().await, None);
    assert_eq!(site.lookups(), 2);
    // What failed is looked up again after a minute.
    site.confirm(&[&[&format!("did={DID}")]]);
    site.clock.advance(Duration::from_millis(FAILED_MS.unsigned_abs() - 1));
    assert_eq!(site.handle().await, None);
    site.clock.advance(Duration::from_millis(1));
    assert_eq!(site.names().await, first);
    assert_eq!(site.lookups(), 3);
}

#[tokio::test]
async fn directory_that_fails() {
    let site = Site::with_account().await;
    for fault in [
        Fault::Status(500),
        Fault::Status(404),
        Fault::Huge,
        Fault::Body("{}".to_owned()),
        Fault::Body(document(OTHER, HANDLE, "https://pds.example").to_string()),
    ] {
        site.host.set_fault("/did:", fault.clone());
        assert_eq!(site.names().await, Names::default(), "{fault:?}");
        site.identity.forget(&did());
    }
    assert_eq!(site.lookups(), 5);
}

#[tokio::test]
async fn one_lookup_for_many() {
    let site = Site::with_account().await;
    site.host.set_fault("/did:", Fault::Slow(Duration::from_millis(100)));
    let did = did();
    let names = futures_util::future::join_all((0..50).map(|_| site.identity.names(&did))).await;
    assert!(names.iter().all(|names| names.handle.as_deref() == Some(HANDLE)));
    assert_eq!(site.lookups(), 1);
}

#[tokio::test]
async fn forgotten_while_it_is_looked_up() {
    let site = Site::with_account().await;
    site.host.set_fault("/xrpc/com.atproto.repo.getRecord", Fault::Slow(Duration::from_millis(100)));
    let (identity, did) = (site.identity.clone(), did());
    let first = tokio::spawn(async move { identity.names(&did).await });
    while site.host.requests().len() < 2 {
        tokio::task::yield_now().await;
    }
    let did = self::did();
    site.identity.forget(&did);
    site.host.set_document(DID, document(DID, "other.example.com", &site.host.url()));
    assert_eq!(first.await.unwrap().handle.as_deref(), Some(HANDLE));
    assert_eq!(site.handle().await, None, "the old name is not cached");
}

/// A PDS that hangs costs a delivery two seconds at most, and once: the handle is shown without an avatar.
#[tokio::test]
async fn profile_that_hangs() {
    let site = Site::with_account().await;
    site.host.set_fault("/xrpc", Fault::Hang);
    let begun = Instant::now();
    let names = site.names().await;
    assert_eq!((names.handle.as_deref(), names.avatar_url), (Some(HANDLE), None));
    let waited = begun.elapsed();
    assert!(waited >= WAIT_LIMIT && waited < WAIT_LIMIT + Duration::from_millis(900), "{waited:?}");
    // The look-up goes on, but its two seconds are over.
    let begun = Instant::now();
    assert_eq!(site.handle().await.as_deref(), Some(HANDLE));
    assert!(begun.elapsed() < Duration::from_millis(500));
    assert_eq!(site.lookups(), 1);
}

#[tokio::test]
async fn document_of_a_did_web() {
    let site = Site::start().await;
    let did = format!("did:web:localhost%3A{}", site.host.port());
    let host = format!("localhost:{}", site.host.port());
    site.host.set_document(&host, document(&did, HANDLE, &site.host.url()));
    site.confirm(&[&[&format!("did={did}")]]);
    let did: Did = did.parse().unwrap();
    assert_eq!(site.identity.names(&did).await.handle.as_deref(), Some(HANDLE));
    assert!(site.identity.pds(&did).await.unwrap().is_some());
}

#[tokio::test]
async fn pds_that_may_not_be_reached() {
    let site = Site::start().await;
    for endpoint in ["https://10.0.0.1", "http://pds.example"] {
        site.host.set_document(DID, document(DID, HANDLE, endpoint));
        assert!(site.identity.pds(&did()).await.unwrap().is_none(), "{endpoint}");
    }
    let nobody: Value = json!({ "id": DID });
    site.host.set_document(DID, nobody);
    assert!(site.identity.pds(&did()).await.unwrap().is_none());
    site.host.set_fault("/did:", Fault::Status(404));
    assert!(site.identity.pds(&did()).await.is_err());
}
