//! Strangers who do all that they can at once, while a caller whose key is known and whose bodies are whole
//! goes on: nearly all of her calls succeed, about as fast as before, and the gateway's memory stays within
//! what its pod has.

mod attack;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout};

use self::attack::Attack;
use crate::harness::directory::{Directory, Reply};
use crate::harness::identity::{Identity, Key, SERVICE};
use crate::harness::processes::{KEY, Service};
use crate::harness::receiver::{Authority, Receiver};
use crate::namespaces::alone;

const CREATE_SECRET: &str = "place.wisp.v2.secret.create";
const LIST_SECRETS: &str = "place.wisp.v2.secret.list";
const CREATE_WEBHOOK: &str = "place.stream.server.createWebhook";

/// Calls of alice before the attack, and at least as many during it.
const CALLS: usize = 100;
/// How long she calls at least while she is under attack, and how long until all of it has arrived.
const TIME: Duration = Duration::from_secs(20);
const LONGEST_TIME: Duration = Duration::from_secs(60);
/// One call in so many creates a webhook, whose URL is tried: as many as one DID may have tried in a minute,
/// and some are left.
const WEBHOOK_EVERY: usize = 40;
const WEBHOOKS: usize = 25;
/// One call in so many is the first of a connection.
const CONNECTION_EVERY: usize = 4;
/// How many of her calls succeed under attack, in hundredths.
const SUCCESSES: usize = 97;
/// What the pod of a gateway has (`deploy/kubernetes/base/gateway.yaml`), and that of a core-service.
const MEMORY_MIB: u64 = 512;
/// No limit that alice could meet.
const NO_LIMIT: &str = "1000000";
/// How long one of her calls may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where alice calls from, and strangers who have an address of their own.
const ALICE: Ipv4Addr = Ipv4Addr::LOCALHOST;
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Everybody comes from one address, which may have all connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_behind_the_same_proxy() {
    let _turn = alone();
    let pair = Pair::start(Some("0")).await;
    pair.withstands(ALICE, false).await;
}

/// Strangers take all connections that one address may have.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_with_an_address_of_their_own() {
    let _turn = alone();
    let pair = Pair::start(None).await;
    pair.withstands(ELSEWHERE, true).await;
}

/// Both services, alice, and what surrounds them. The name server never answers.
struct Pair {
    gateway: Service,
    core: Service,
    alice: Identity,
    receiver: Receiver,
    directory: Directory,
    _silent: UdpSocket,
    _folder: tempfile::TempDir,
}

impl Pair {
    async fn start(connections_per_address: Option<&str>) -> Self {
        attack::raise_limit_of_files();
        let folder = tempfile::tempdir().unwrap();
        let authority = folder.path().join("ca.pem");
        std::fs::write(&authority, &Authority::shared().pem).unwrap();
        let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let dns = silent.local_addr().unwrap().to_string();
        let directory = Directory::start().await;
        let alice = Identity::new("did:plc:alice2222222222222222222", Key::k256());
        directory.set(&alice.did, Reply::Document(alice.document()));
        let database = format!("sqlite://{}?mode=rwc", folder.path().join("athook.db").display());
        let core = Service::core_service_that_tries(&database, &[KEY], "connect")
            .flag("--dns-servers", &dns)
            .flag("--allow-private-ranges", "127.0.0.0/8")
            .flag("--extra-ca", &authority.display().to_string())
            .flag("--max-secrets", NO_LIMIT)
            .flag("--max-webhooks", NO_LIMIT)
            .start()
            .await;
        let mut gateway = Service::gateway_of(&format!("http://{}", core.address), directory.url())
            .flag("--dns-servers", &dns)
            // Strangers have as many DIDs as they like.
            .flag("--rate-limit", "0");
        if let Some(limit) = connections_per_address {
            gateway = gateway.flag("--connections-per-address", limit);
        }
        let mut gateway = gateway.start().await;
        gateway.logged("connected to the core-service").await;
        Self {
            gateway,
            core,
            alice,
            receiver: Receiver::start("hooks.test").await,
            directory,
            _silent: silent,
            _folder: folder,
        }
    }

    /// Asserts that alice's calls succeed while strangers at `address` attack; if `idle`, they take all
    /// connections that are left, too.
    async fn withstands(&self, address: Ipv4Addr, idle: bool) {
        let before = self.calls(0, || true).await;
        assert_eq!(before.successes(), before.calls(), "{:?}", before.failures);
        let attack = Attack::prepare(&self.directory, self.gateway.address, address).await;
        let log_before = self.gateway.log().len();
        let under_attack = attack.start(idle);
        let (began, answers) = (Instant::now(), Arc::clone(&attack.answers));
        let arrived = || answers.is_whole(idle) || began.elapsed() >= LONGEST_TIME;
        let during = self.calls(before.calls(), || began.elapsed() >= TIME && arrived()).await;
        drop(under_attack);
        let after = self.calls(before.calls() + during.calls(), || true).await;

        let memory = [&self.gateway, &self.core].map(Service::peak_memory_mib);
        println!("{} of {} calls succeeded; not: {:?}", during.successes(), during.calls(), during.failures);
        println!(
            "median {:.1?}, before {:.1?}: {:.1} times as much; slowest {:.1?}",
            during.median(),
            before.median(),
            during.median().as_secs_f64() / before.median().as_secs_f64(),
            during.times.last().unwrap(),
        );
        println!("gateway {} MiB, core-service {} MiB at most", memory[0], memory[1]);
        println!("{} KiB of log", (self.gateway.log().len() - log_before) / 1024);
        println!("answers to strangers, by status (0: closed): {answers}");
        assert!(during.successes() * 100 >= during.calls() * SUCCESSES, "{:?}", during.failures);
        assert!(memory.iter().all(|mib| *mib < MEMORY_MIB), "{memory:?}");
        assert!(answers.is_whole(idle), "{answers}");
        assert_eq!(after.successes(), after.calls(), "{:?}", after.failures);
    }

    /// Calls as alice, one after the other, at least [`CALLS`] times and until it is `enough`. `first` is the
    /// number of the first call.
    async fn calls(&self, first: usize, enough: impl Fn() -> bool) -> Calls {
        let client =
            || reqwest::Client::builder().no_proxy().local_address(Some(ALICE.into())).build().unwrap();
        let kept = client();
        let mut calls = Calls { times: Vec::new(), failures: Vec::new() };
        while calls.calls() < CALLS || !enough() {
            let number = first + calls.calls();
            let client = if number.is_multiple_of(CONNECTION_EVERY) { client() } else { kept.clone() };
            let (nsid, input) = if number.is_multiple_of(WEBHOOK_EVERY) && number / WEBHOOK_EVERY < WEBHOOKS {
                let url = self.receiver.url(&format!("/{number}"));
                (CREATE_WEBHOOK, Some(json!({ "url": url, "events": ["chat"] })))
            } else if number.is_multiple_of(2) {
                (CREATE_SECRET, Some(json!({ "name": format!("n{number}") })))
            } else {
                (LIST_SECRETS, None)
            };
            let url = format!("http://{}/xrpc/{nsid}", self.gateway.address);
            let request = match input {
                Some(input) => client.post(url).json(&input),
                None => client.get(url),
            };
            let request = request.bearer_auth(self.alice.token(SERVICE, nsid));
            let began = Instant::now();
            let answering = async {
                let response = request.send().await?;
                let status = response.status();
                Ok::<_, reqwest::Error>((status, response.text().await?))
            };
            let failure = match timeout(PATIENCE, answering).await {
                Ok(Ok((status, _))) if status == 200 => None,
                Ok(Ok((status, body))) => Some(format!("{nsid}: {status} {body}")),
                Ok(Err(error)) => Some(format!("{nsid}: {error:?}")),
                Err(_) => Some(format!("{nsid}: no answer")),
            };
            calls.times.push(began.elapsed());
            calls.failures.extend(failure);
        }
        calls.times.sort();
        calls
    }
}

/// What became of alice's calls.
struct Calls {
    /// How long each took, the shortest first.
    times: Vec<Duration>,
    failures: Vec<String>,
}

impl Calls {
    fn calls(&self) -> usize {
        self.times.len()
    }

    fn successes(&self) -> usize {
        self.calls() - self.failures.len()
    }

    fn median(&self) -> Duration {
        self.times[self.calls() / 2]
    }
}
