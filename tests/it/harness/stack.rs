//! Both services on a database of their own, and a client.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Parser as _;
use core_service::config::{RawCoreArgs, RawListen};
use process::clock::Clock;
use process::settings::{Problems, RawShared, Shared};
use process::shutdown::Shutdown;
use process::telemetry::Watch;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::answer::Answer;
use crate::harness::contract::Contract;
use crate::harness::contract::exchange::SentRequest;
use crate::harness::database::{Database, Kind};
use crate::harness::directory::{Directory, Reply};
use crate::harness::identity::{Identity, Key};
use crate::harness::logs;
use crate::harness::receiver::Authority;

pub(crate) const CREATE_SECRET: &str = "place.wisp.v2.secret.create";
pub(crate) const LIST_SECRETS: &str = "place.wisp.v2.secret.list";
pub(crate) const ROTATE_SECRET: &str = "place.wisp.v2.secret.rotate";
pub(crate) const DELETE_SECRET: &str = "place.wisp.v2.secret.delete";
pub(crate) const CREATE_WEBHOOK: &str = "place.stream.server.createWebhook";
pub(crate) const GET_WEBHOOK: &str = "place.stream.server.getWebhook";
pub(crate) const LIST_WEBHOOKS: &str = "place.stream.server.listWebhooks";
pub(crate) const UPDATE_WEBHOOK: &str = "place.stream.server.updateWebhook";
pub(crate) const DELETE_WEBHOOK: &str = "place.stream.server.deleteWebhook";
pub(crate) const LIST_DELIVERIES: &str = "internal.athook.webhook.listDeliveries";
pub(crate) const GET_DELIVERY: &str = "internal.athook.webhook.getDelivery";
pub(crate) const REDELIVER: &str = "internal.athook.webhook.redeliver";
pub(crate) const REDELIVER_FAILED: &str = "internal.athook.webhook.redeliverFailed";
pub(crate) const SEND_TEST: &str = "internal.athook.webhook.sendTest";
pub(crate) const LIST_RECORDS: &str = "internal.athook.record.list";
/// The DID of a second caller, for [`Stack::newcomer`].
pub(crate) const BOB: &str = "did:plc:bob22222222222222222222x";
/// The service DID that stacks run under.
pub(crate) const SERVICE: &str = "did:web:hooks.example";

/// The settings of a stack that is not started yet.
pub(crate) struct Setup {
    kind: Kind,
    core: Vec<String>,
    gateway: Vec<String>,
    own_server: bool,
    folder: tempfile::TempDir,
}

/// A running stack. It stops when dropped.
pub(crate) struct Stack {
    pub(crate) database: Database,
    pub(crate) directory: Directory,
    /// A caller whom the directory knows.
    pub(crate) alice: Identity,
    pub(crate) gateway: SocketAddr,
    pub(crate) core: SocketAddr,
    pub(crate) gateway_watch: Watch,
    pub(crate) core_watch: Watch,
    client: reqwest::Client,
    core_flags: Vec<String>,
    core_shutdown: Shutdown,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    _folder: tempfile::TempDir,
}

/// The flags of the core-service, for one that runs in the test's process.
#[derive(clap::Parser)]
struct CoreArgs {
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: String,
    #[command(flatten)]
    core: RawCoreArgs,
    #[command(flatten)]
    shared: RawShared,
}

impl CoreArgs {
    fn check(self) -> (core_service::config::Config, Shared) {
        let Self { listen, core, shared } = self;
        let mut problems = Problems::new();
        let shared = Shared::check(shared, &mut problems);
        let listen = RawListen { flag: "--listen", text: &listen, protection: "--core-token-file" };
        let config = core_service::config::Config::check(core, listen, &shared, &mut problems);
        (problems.finish(config).unwrap(), shared)
    }
}

impl Setup {
    /// The defaults of the tests: loopback may be reached, and the CA of the receivers is trusted.
    pub(crate) fn on(kind: Kind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), &Authority::shared().pem).unwrap();
        std::fs::write(folder.path().join("keys"), "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n").unwrap();
        Self { kind, core: Vec::new(), gateway: Vec::new(), own_server: false, folder }
    }

    /// With a flag of the core-service.
    pub(crate) fn core(mut self, flag: &str, value: &str) -> Self {
        self.core.extend([flag.to_owned(), value.to_owned()]);
        self
    }

    /// With a flag of the gateway.
    pub(crate) fn gateway(mut self, flag: &str, value: &str) -> Self {
        self.gateway.extend([flag.to_owned(), value.to_owned()]);
        self
    }

    /// On a Postgres server that the test may stop.
    pub(crate) fn on_its_own_server(mut self) -> Self {
        self.own_server = true;
        self
    }

    /// Starts both services and waits until the pair is ready.
    pub(crate) async fn start(self) -> Stack {
        self.start_and_wait(true).await
    }

    /// Starts both services without waiting: they may never connect to each other.
    pub(crate) async fn start_unready(self) -> Stack {
        self.start_and_wait(false).await
    }

    async fn start_and_wait(self, ready: bool) -> Stack {
        let Self { kind, core, gateway, own_server, folder } = self;
        logs::keep();
        let database = Database::create(kind, own_server).await;
        let directory = Directory::start().await;
        let alice = Identity::new("did:plc:alice2222222222222222222", Key::k256());
        directory.set(&alice.did, Reply::Document(alice.document()));

        let file = |name: &str| folder.path().join(name).display().to_string();
        let (keys, ca) = (file("keys"), file("ca.pem"));
        let url = database.url();
        let mut core_flags: Vec<String> =
            ["core-service", "--database-url", &url, "--seal-keys-file", &keys, "--extra-ca", &ca]
                .map(str::to_owned)
                .to_vec();
        if !core.iter().any(|flag| flag == "--allow-private-ranges") {
            core_flags.extend(["--allow-private-ranges".to_owned(), "127.0.0.0/8".to_owned()]);
        }
        core_flags.extend(core);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let core_address = listener.local_addr().unwrap();
        let (core_shutdown, core_watch, core_task) = start_core(&core_flags, listener);

        let scheme = if core_flags.iter().any(|flag| flag == "--tls-cert") { "https" } else { "http" };
        let core_url = format!("{scheme}://{core_address}");
        let public_url = "https://hooks.example";
        let mut gateway_flags =
            ["gateway", "--core-url", &core_url, "--public-url", public_url, "--extra-ca", &ca]
                .map(str::to_owned)
                .to_vec();
        if !gateway.iter().any(|flag| flag == "--plc-url") {
            gateway_flags.extend(["--plc-url".to_owned(), directory.url().to_owned()]);
        }
        gateway_flags.extend(gateway);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gateway_address = listener.local_addr().unwrap();
        let (_, config) = gateway::config::RawArgs::try_parse_from(&gateway_flags).unwrap().check().unwrap();
        let shutdown = Shutdown::new(Duration::ZERO, Duration::from_secs(5));
        let mut gateway_watch = Watch::start(&config.shared, &config.clock).unwrap();
        let telemetry = gateway_watch.telemetry("athook-gateway").unwrap();
        let gateway_task =
            tokio::spawn(async move { gateway::serve(config, listener, shutdown, telemetry).await.unwrap() });

        let stack = Stack {
            database,
            directory,
            alice,
            gateway: gateway_address,
            core: core_address,
            client: reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap(),
            gateway_watch,
            core_watch,
            core_flags,
            core_shutdown,
            tasks: vec![core_task, gateway_task],
            _folder: folder,
        };
        if ready {
            stack.until_ready(200).await;
        }
        stack
    }
}

fn start_core(flags: &[String], listener: TcpListener) -> (Shutdown, Watch, tokio::task::JoinHandle<()>) {
    let (config, shared) = CoreArgs::try_parse_from(flags).unwrap().check();
    let mut watch = Watch::start(&shared, &Clock::system()).unwrap();
    let telemetry = watch.telemetry("athook-core-service").unwrap();
    let shutdown = Shutdown::new(Duration::ZERO, Duration::from_secs(5));
    let stopping = shutdown.clone();
    let task = tokio::spawn(async move {
        core_service::serve(config, listener, None, stopping, telemetry).await.unwrap();
    });
    (shutdown, watch, task)
}

impl Stack {
    /// A stack with the defaults.
    pub(crate) async fn start(kind: Kind) -> Self {
        Setup::on(kind).start().await
    }

    /// Asks `/readyz` until it answers with `status`.
    pub(crate) async fn until_ready(&self, status: u16) {
        let asking = async {
            while self.get("/readyz").await.status.as_u16() != status {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), asking).await.expect("the pair gets there in 20 s");
    }

    /// Stops the core-service and waits until it is gone.
    pub(crate) async fn stop_core(&mut self) {
        self.core_shutdown.begin();
        self.tasks.remove(0).await.unwrap();
    }

    /// Starts the core-service again, on the same address and database.
    pub(crate) async fn start_core(&mut self) {
        let listener = TcpListener::bind(self.core).await.unwrap();
        let (shutdown, watch, task) = start_core(&self.core_flags, listener);
        (self.core_shutdown, self.core_watch) = (shutdown, watch);
        self.tasks.insert(0, task);
    }

    /// The flags of the core-service, for a command that takes the same settings.
    pub(crate) fn core_flags(&self) -> Vec<&str> {
        self.core_flags.iter().skip(1).map(String::as_str).collect()
    }

    /// A new caller whom the directory knows.
    pub(crate) fn newcomer(&self, did: &str, key: Key) -> Identity {
        let newcomer = Identity::new(did, key);
        self.directory.set(did, Reply::Document(newcomer.document()));
        newcomer
    }

    /// Calls a procedure as `caller`.
    pub(crate) async fn call_as(&self, caller: &Identity, nsid: &str, input: &Value) -> Answer {
        self.call_with(&caller.token(SERVICE, nsid), nsid, input).await
    }

    /// Calls a procedure as alice.
    pub(crate) async fn call(&self, nsid: &str, input: &Value) -> Answer {
        self.call_as(&self.alice, nsid, input).await
    }

    /// Calls a procedure with this token.
    pub(crate) async fn call_with(&self, token: &str, nsid: &str, input: &Value) -> Answer {
        let request = self.post(nsid).bearer_auth(token).json(input);
        self.send(request).await
    }

    /// Calls a procedure as alice with exactly this body.
    pub(crate) async fn call_raw(&self, nsid: &str, body: impl Into<reqwest::Body>) -> Answer {
        let token = self.alice.token(SERVICE, nsid);
        let request =
            self.post(nsid).bearer_auth(token).header("content-type", "application/json").body(body);
        self.send(request).await
    }

    /// Calls a query as `caller`.
    pub(crate) async fn query_as(&self, caller: &Identity, nsid: &str, params: &[(&str, &str)]) -> Answer {
        let address = format!("http://{}/xrpc/{nsid}", self.gateway);
        let url = reqwest::Url::parse_with_params(&address, params).unwrap();
        self.send(self.client.get(url).bearer_auth(caller.token(SERVICE, nsid))).await
    }

    /// Calls a query as alice.
    pub(crate) async fn query(&self, nsid: &str, params: &[(&str, &str)]) -> Answer {
        self.query_as(&self.alice, nsid, params).await
    }

    /// Creates a secret as alice; only its name is given.
    pub(crate) async fn create_secret(&self, name: &str) -> Answer {
        self.call(CREATE_SECRET, &json!({ "name": name })).await
    }

    /// The secrets that are listed for alice.
    pub(crate) async fn secrets(&self) -> Vec<Value> {
        let mut answer = self.query(LIST_SECRETS, &[]).await.ok();
        serde_json::from_value(answer["secrets"].take()).unwrap()
    }

    /// A POST to a method, without a token or a body.
    pub(crate) fn post(&self, nsid: &str) -> reqwest::RequestBuilder {
        self.request(http::Method::POST, &format!("/xrpc/{nsid}"))
    }

    /// Any request.
    pub(crate) fn request(&self, verb: http::Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(verb, format!("http://{}{path}", self.gateway))
    }

    /// A GET without a token.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request(http::Method::GET, path)).await
    }

    /// Calls a procedure as alice with a body in two chunks, without a `Content-Length`.
    pub(crate) async fn call_in_chunks(&self, nsid: &str, body: &str) -> Answer {
        let (first, second) = body.split_at(body.len() / 2);
        let chunks = [first, second].map(|chunk| Ok::<_, std::io::Error>(chunk.to_owned()));
        let stream = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
        let token = self.alice.token(SERVICE, nsid);
        let request = self.post(nsid).bearer_auth(token).header("content-type", "application/json");
        let mut asked = SentRequest::of(&request.try_clone().expect("no body yet").build().unwrap());
        asked.body = Some(body.as_bytes().to_vec());
        let answer = answer_to(request.body(stream)).await;
        Contract::of_athook().assert_kept(&asked, &answer);
        answer
    }

    /// Writes these bytes to the gateway, reads only then, and returns all that comes back.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.gateway).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let asked = SentRequest::read(bytes).expect("a request");
        Contract::of_athook().assert_kept(&asked, &Answer::read(&answer).expect("an answer"));
        String::from_utf8(answer).unwrap()
    }

    /// Writes these bytes to the gateway and returns the head of what comes back.
    pub(crate) async fn raw_head(&self, bytes: &[u8]) -> String {
        let mut stream = BufReader::new(TcpStream::connect(self.gateway).await.unwrap());
        stream.write_all(bytes).await.unwrap();
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") && stream.read_line(&mut head).await.unwrap() > 0 {}
        head
    }

    /// Sends a request and reads the answer.
    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        read(request).await
    }
}

/// Sends a request to a gateway with the built-in lexicons and reads the answer.
pub(crate) async fn read(request: reqwest::RequestBuilder) -> Answer {
    read_under(Contract::of_athook(), request).await
}

/// Sends a request, reads the answer and checks both against `contract`. All answers of tests come through
/// here, except those that tests read from their own sockets.
pub(crate) async fn read_under(contract: &Contract, request: reqwest::RequestBuilder) -> Answer {
    let (client, request) = request.build_split();
    let request = request.unwrap();
    let asked = SentRequest::of(&request);
    let answer = answer_to(reqwest::RequestBuilder::from_parts(client, request)).await;
    contract.assert_kept(&asked, &answer);
    answer
}

async fn answer_to(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    Answer { status, headers, body: response.text().await.unwrap() }
}

impl Drop for Stack {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}
