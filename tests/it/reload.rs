//! Certificates, keys and tokens that are replaced while both services run.

use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tonic::Code;
use tonic::transport::Endpoint;

use crate::core_token::call;
use crate::harness::database::{Database, Kind};
use crate::harness::identity::{Identity, Key, SERVICE};
use crate::harness::processes::{Service, Setup};
use crate::harness::program::dev;
use crate::harness::receiver::Authority;
use crate::harness::stack::{CREATE_SECRET, LIST_SECRETS, read};

/// What both services log.
const READ_AGAIN: &str = "the files of certificates and tokens were read again";
/// `--rate-limit`: more calls than a test makes.
const CALLS: &str = "1000000";
/// How long a test waits for what comes soon.
const LIMIT: Duration = Duration::from_secs(30);
const CREATE_SECRET_RPC: &str = "/athook.v1.SecretService/CreateSecret";

/// The certificates of both services, in the folder that the link `data` points to, as Kubernetes mounts
/// them.
struct Mounted(tempfile::TempDir);

impl Mounted {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join("data").join(name).display().to_string()
    }

    /// Makes certificates that this authority signed, under this name, and points the link at them. Returns
    /// the core-service's.
    fn show(&self, version: &str, authority: &Authority) -> CertificateDer<'static> {
        let folder = self.0.path().join(version);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("ca"), &authority.pem).unwrap();
        let [core, _gateway] = ["core", "gateway"].map(|service| {
            let (certificate, key) = authority.issue(&["127.0.0.1"]);
            std::fs::write(folder.join(format!("{service}-cert")), certificate.pem()).unwrap();
            std::fs::write(folder.join(format!("{service}-key")), key.serialize_pem()).unwrap();
            certificate.der().clone()
        });
        symlink(version, self.0.path().join("next")).unwrap();
        std::fs::rename(self.0.path().join("next"), self.0.path().join("data")).unwrap();
        core
    }

    fn core_service(&self, database: &Database) -> Setup {
        Service::core_service(&database.url())
            .flag("--tls-cert", &self.path("core-cert"))
            .flag("--tls-key", &self.path("core-key"))
            .flag("--tls-client-ca", &self.path("ca"))
    }

    fn gateway(&self, core: SocketAddr, documents: &Path) -> Setup {
        Service::gateway_of(&format!("https://{core}"), "http://127.0.0.1:9")
            .flag("--did-documents", &documents.display().to_string())
            .flag("--core-ca", &self.path("ca"))
            .flag("--core-cert", &self.path("gateway-cert"))
            .flag("--core-key", &self.path("gateway-key"))
            .flag("--rate-limit", CALLS)
    }

    /// The certificate that the core-service shows to a client with the gateway's. `None`: the handshake
    /// fails.
    async fn shown(&self, core: SocketAddr) -> Option<CertificateDer<'static>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.path("ca")).unwrap()).unwrap();
        let client = ClientConfig::builder_with_provider(Arc::new(
            tokio_rustls::rustls::crypto::ring::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(
            vec![CertificateDer::from_pem_file(self.path("gateway-cert")).unwrap()],
            PrivateKeyDer::from_pem_file(self.path("gateway-key")).unwrap(),
        )
        .unwrap();
        let stream = TcpStream::connect(core).await.unwrap();
        let name = ServerName::from(core.ip());
        let stream = TlsConnector::from(Arc::new(client)).connect(name, stream).await.ok()?;
        Some(stream.get_ref().1.peer_certificates()?[0].clone())
    }
}

/// A caller through a gateway.
#[derive(Clone)]
struct Caller {
    gateway: SocketAddr,
    alice: Arc<Identity>,
    client: reqwest::Client,
}

impl Caller {
    /// Writes the caller's DID document to the folder, and waits until the gateway is ready.
    async fn of(gateway: SocketAddr, documents: &Path) -> Self {
        let alice = Identity::new("did:plc:alice2222222222222222222", Key::k256());
        std::fs::write(documents.join("alice.json"), alice.document().to_string()).unwrap();
        let caller = Self { gateway, alice: Arc::new(alice), client: reqwest::Client::new() };
        caller.until_ready().await;
        caller
    }

    async fn until_ready(&self) {
        let url = format!("http://{}/readyz", self.gateway);
        let asking = async { while read(self.client.get(&url)).await.status != 200 {} };
        tokio::time::timeout(LIMIT, asking).await.expect("it gets ready in time");
    }

    async fn create(&self, name: &str) {
        let url = format!("http://{}/xrpc/{CREATE_SECRET}", self.gateway);
        let token = self.alice.token(SERVICE, CREATE_SECRET);
        read(self.client.post(&url).bearer_auth(token).json(&json!({ "name": name }))).await.ok();
    }

    /// Calls all the time while `done` is waited for, and asserts that no call fails.
    async fn without_a_lost_call<T>(&self, done: impl Future<Output = T>) -> T {
        let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let calling = tokio::spawn({
            let (caller, stop, calls) = (self.clone(), Arc::clone(&stop), Arc::clone(&calls));
            async move {
                let url = format!("http://{}/xrpc/{LIST_SECRETS}", caller.gateway);
                let token = caller.alice.token(SERVICE, LIST_SECRETS);
                while !stop.load(Ordering::Relaxed) {
                    read(caller.client.get(&url).bearer_auth(&token)).await.ok();
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let result = done.await;
        // Some more calls with what there is now.
        let until = calls.load(Ordering::Relaxed) + 5;
        while calls.load(Ordering::Relaxed) < until && !calling.is_finished() {
            tokio::task::yield_now().await;
        }
        stop.store(true, Ordering::Relaxed);
        calling.await.unwrap();
        result
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates() {
    let database = Database::create(Kind::Sqlite, false).await;
    let (mounted, documents) = (Mounted::new(), tempfile::tempdir().unwrap());
    let (old, new) = (Authority::new(), Authority::new());
    let first = mounted.show("first", &old);
    let mut core = mounted.core_service(&database).start().await;
    let mut gateway = mounted.gateway(core.address, documents.path()).start().await;
    let caller = Caller::of(gateway.address, documents.path()).await;
    assert_eq!(mounted.shown(core.address).await.as_ref(), Some(&first));
    let changed = caller.without_a_lost_call(async {
        let second = mounted.show("second", &new);
        core.logged(READ_AGAIN).await;
        gateway.logged(READ_AGAIN).await;
        second
    });
    let second = changed.await;
    assert_ne!(first, second);
    assert_eq!(mounted.shown(core.address).await.as_ref(), Some(&second));

    // The gateway's next connection shows the new certificate, and trusts the new authority alone.
    let address = core.address;
    assert!(core.terminate().await.0.success());
    let mut core = mounted.core_service(&database).at(address).start().await;
    caller.until_ready().await;
    caller.create("a").await;

    // What can't be used changes nothing, and is told once.
    std::fs::write(mounted.path("core-key"), "no key").unwrap();
    let told = core.logged("what was in them before stays in use").await;
    assert!(told[0].contains("--tls-cert: the key is no PEM of that kind"), "{told:?}");
    assert_eq!(mounted.shown(core.address).await, Some(second));
    caller.create("b").await;
    assert!(gateway.terminate().await.0.success());
    let (ended, log) = core.terminate().await;
    assert!(ended.success());
    assert_eq!(log.matches("what was in them before stays in use").count(), 1, "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_a_hangup() {
    let database = Database::create(Kind::Sqlite, false).await;
    let documents = tempfile::tempdir().unwrap();
    let mut core = Service::core_service(&database.url()).start().await;
    let mut gateway =
        Service::gateway(core.address, documents.path()).flag("--rate-limit", CALLS).start().await;
    let caller = Caller::of(gateway.address, documents.path()).await;
    // Nothing has changed, so they read for the signal alone.
    let asked = caller.without_a_lost_call(async {
        for service in [&mut core, &mut gateway] {
            for times in 1..=3 {
                service.signal("HUP");
                service.logged_times(times, &[READ_AGAIN]).await;
            }
        }
    });
    asked.await;
    assert!(gateway.terminate().await.0.success());
    assert!(core.terminate().await.0.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shared_tokens() {
    const OLD: &str = "the-old-token-of-the-tests";
    const NEW: &str = "the-new-token-of-the-tests";
    let database = Database::create(Kind::Sqlite, false).await;
    let (folder, documents) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = |service: &str| folder.path().join(service);
    let write = |service: &str, tokens: &[&str]| {
        std::fs::write(file("next"), tokens.join("\n")).unwrap();
        std::fs::rename(file("next"), file(service)).unwrap();
    };
    let path = |service: &str| file(service).display().to_string();
    write("core", &[OLD]);
    write("gateway", &[OLD]);
    let core = Service::core_service(&database.url()).flag("--core-token-file", &path("core"));
    let mut core = core.start().await;
    let gateway = Service::gateway(core.address, documents.path());
    let mut gateway =
        gateway.flag("--core-token-file", &path("gateway")).flag("--rate-limit", CALLS).start().await;
    let caller = Caller::of(gateway.address, documents.path()).await;
    let address = core.address;
    let rotated = caller.without_a_lost_call(async {
        write("core", &[OLD, NEW]);
        core.logged_times(1, &[READ_AGAIN]).await;
        write("gateway", &[NEW, OLD]);
        gateway.logged_times(1, &[READ_AGAIN]).await;
        write("core", &[NEW]);
        core.logged_times(2, &[READ_AGAIN]).await;
    });
    rotated.await;
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    assert_eq!(call(&channel, CREATE_SECRET_RPC, Some(OLD)).await, Code::Unauthenticated);
    // An empty message has no caller, so the call fails after the token was accepted.
    assert_eq!(call(&channel, CREATE_SECRET_RPC, Some(NEW)).await, Code::InvalidArgument);
}

/// One file that can't be used keeps no other from being read, and a pipe, which may have no writer, hangs
/// nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_can_not_be_used() {
    const OLD: &str = "the-old-token-of-the-tests";
    const NEW: &str = "the-new-token-of-the-tests";
    let database = Database::create(Kind::Sqlite, false).await;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("token"), OLD).unwrap();
    std::fs::write(path("publishers"), "chat a-token-of-a-publisher").unwrap();
    let core = Service::core_service(&database.url())
        .flag("--core-token-file", &path("token"))
        .flag("--publisher-tokens-file", &path("publishers"));
    let mut core = core.start().await;
    let channel = Endpoint::from_shared(format!("http://{}", core.address)).unwrap().connect().await.unwrap();
    std::fs::write(path("publishers"), "chat").unwrap();
    core.logged("--publisher-tokens-file: line 1: must be a name and a token").await;
    std::fs::write(path("token"), NEW).unwrap();
    let accepted =
        async { while call(&channel, CREATE_SECRET_RPC, Some(NEW)).await == Code::Unauthenticated {} };
    tokio::time::timeout(LIMIT, accepted).await.expect("the token is read in time");
    assert_eq!(call(&channel, CREATE_SECRET_RPC, Some(OLD)).await, Code::Unauthenticated);

    std::fs::remove_file(path("token")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(path("token")).status().unwrap().success());
    core.logged("nothing is read again until it is one").await;
    core.signal("HUP");
    assert_eq!(call(&channel, CREATE_SECRET_RPC, Some(NEW)).await, Code::InvalidArgument);
    assert!(core.terminate().await.0.success());
}

/// Its terminal has gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn developers_installation_ends_at_a_hangup() {
    let folder = tempfile::tempdir().unwrap();
    assert!(dev(folder.path()).await.end("HUP").success());
}
