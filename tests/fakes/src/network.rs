//! One host that is a PLC directory, a PDS, a relay, a host of did:web documents and one of handles, as far
//! as athook asks them. Tests say what it has, and in which ways it fails.

mod answers;
mod tls;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use data_encoding::Specification;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What the host does with the requests whose path begins with some text.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Takes the request and never answers.
    Hang,
    /// Answers this much later.
    Slow(Duration),
    /// Answers with this status and no body.
    Status(u16),
    /// Answers 200 with this body.
    Body(String),
    /// A body without end.
    Huge,
    /// Another cursor with every page, and one record on it.
    EndlessCursor,
    /// The same cursor with every page.
    SameCursor,
}

/// The host. It stops when dropped.
pub struct Network {
    address: SocketAddr,
    scheme: &'static str,
    state: Arc<Mutex<State>>,
    serving: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    /// DID documents by DID: did:plc's, and the one of did:web below the name of the host.
    documents: HashMap<String, Value>,
    /// By DID.
    repos: HashMap<String, Repo>,
    /// DIDs by handle.
    handles: HashMap<String, String>,
    faults: Vec<(String, Fault)>,
    /// Path and query of each request so far.
    requests: Vec<String>,
    /// What the next revision is made of.
    tick: u64,
}

#[derive(Default)]
struct Repo {
    rev: String,
    /// By collection and record key.
    records: BTreeMap<(String, String), Record>,
    /// `RepoDeactivated` and the like.
    refusal: Option<&'static str>,
}

struct Record {
    cid: String,
    value: Value,
}

impl Network {
    /// An empty host, over plain HTTP.
    pub async fn start() -> Self {
        let listener = listen().await;
        let (address, state) = (listener.local_addr().unwrap(), Arc::default());
        let router = answers::router(Arc::clone(&state));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, scheme: "http", state, serving }
    }

    /// An empty host, over TLS, with a certificate for `names`, and the PEM of the authority that signed it.
    pub async fn start_tls(names: &[&str]) -> (Self, String) {
        let listener = listen().await;
        let (address, state) = (listener.local_addr().unwrap(), Arc::default());
        let router = answers::router(Arc::clone(&state));
        let (listener, authority) = tls::listener(listener, names);
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (Self { address, scheme: "https", state, serving }, authority)
    }

    /// Where it is: for `--plc-url` and `--relay`, and as the endpoint of a PDS.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://localhost:{}", self.scheme, self.address.port())
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The document of a did:plc, or of a did:web below its host (`localhost:8080`), from now on.
    pub fn set_document(&self, key: &str, document: Value) {
        self.state().documents.insert(key.to_owned(), document);
    }

    /// An account with this handle, whose PDS is this host. The handle is not said to be the DID's: see
    /// [`set_handle`](Self::set_handle).
    pub fn add_account(&self, did: &str, handle: &str) {
        self.set_document(did, document(did, handle, &self.url()));
        let mut state = self.state();
        let rev = state.next_rev();
        state.repos.insert(did.to_owned(), Repo { rev, ..Repo::default() });
    }

    /// What `/.well-known/atproto-did` says on the host `handle`.
    pub fn set_handle(&self, handle: &str, body: &str) {
        self.state().handles.insert(handle.to_owned(), body.to_owned());
    }

    /// Writes a record and returns its CID.
    pub fn put(&self, did: &str, collection: &str, rkey: &str, value: Value) -> String {
        let mut state = self.state();
        let rev = state.next_rev();
        let cid = cid(&value.to_string());
        let repo = state.repos.entry(did.to_owned()).or_default();
        repo.rev = rev;
        repo.records.insert((collection.to_owned(), rkey.to_owned()), Record { cid: cid.clone(), value });
        cid
    }

    /// Deletes a record.
    pub fn delete(&self, did: &str, collection: &str, rkey: &str) {
        let mut state = self.state();
        let rev = state.next_rev();
        if let Some(repo) = state.repos.get_mut(did) {
            repo.rev = rev;
            repo.records.remove(&(collection.to_owned(), rkey.to_owned()));
        }
    }

    /// The revision of the repository. Empty: there is none.
    #[must_use]
    pub fn rev(&self, did: &str) -> String {
        self.state().repos.get(did).map(|repo| repo.rev.clone()).unwrap_or_default()
    }

    /// From now on the repository is refused with this error: `RepoNotFound`, `RepoDeactivated` …
    pub fn refuse(&self, did: &str, error: &'static str) {
        self.state().repos.entry(did.to_owned()).or_default().refusal = Some(error);
    }

    /// What happens to requests whose path begins with `path`, from now on. The last one that fits counts.
    pub fn set_fault(&self, path: &str, fault: Fault) {
        self.state().faults.push((path.to_owned(), fault));
    }

    /// Path and query of each request so far.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.state().requests.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl State {
    fn next_rev(&mut self) -> String {
        self.tick += 1;
        tid(self.tick)
    }
}

/// A DID document: the first name is `handle`, the PDS is at `pds`.
#[must_use]
pub fn document(did: &str, handle: &str, pds: &str) -> Value {
    json!({
        "@context": ["https://www.w3.org/ns/did/v1"],
        "id": did,
        "alsoKnownAs": [format!("at://{handle}")],
        "verificationMethod": [],
        "service": [{ "id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": pds }],
    })
}

/// A CID that looks like one of a record: the hash of `text`, which is not DAG-CBOR.
#[must_use]
pub fn cid(text: &str) -> String {
    let hash = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    let bytes = [&[0x01, 0x71, 0x12, 0x20], hash.as_ref()].concat();
    format!("b{}", data_encoding::BASE32_NOPAD.encode(&bytes).to_lowercase())
}

/// A TID: later numbers sort behind earlier ones.
#[must_use]
pub fn tid(number: u64) -> String {
    let mut specification = Specification::new();
    specification.symbols.push_str("234567abcdefghijklmnopqrstuvwxyz");
    let encoding = specification.encoding().unwrap();
    // 13 digits of 5 bits hold 65: one zero bit in front.
    let bits = u128::from(number) << 63;
    encoding.encode(&bits.to_be_bytes()[..10])[..13].to_owned()
}

async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}
