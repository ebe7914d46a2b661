//! A gateway alone, in front of any gRPC server.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use clap::Parser as _;
use process::shutdown::Shutdown;
use process::telemetry::Watch;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::harness::answer::Answer;
use crate::harness::contract::Contract;
use crate::harness::identity::{Identity, SERVICE};
use crate::harness::logs;
use crate::harness::stack::read_under;

/// The settings of a gateway that is not started yet.
pub(crate) struct Setup {
    flags: Vec<String>,
    /// The contract of lexicons that are not the built-in ones.
    contract: Option<Contract>,
    folder: tempfile::TempDir,
}

/// A running gateway. It stops when dropped.
pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    client: reqwest::Client,
    contract: Option<Contract>,
    folder: tempfile::TempDir,
    serving: tokio::task::JoinHandle<()>,
}

impl Gateway {
    /// A gateway in front of the gRPC server at `core`.
    pub(crate) fn before(core: SocketAddr) -> Setup {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| {
            std::fs::create_dir(folder.path().join(name)).unwrap();
            folder.path().join(name).display().to_string()
        };
        let core = format!("http://{core}");
        let flags = [
            "gateway",
            "--core-url",
            &core,
            "--service-did",
            SERVICE,
            "--plc-url",
            "http://127.0.0.1:9",
            "--did-documents",
            &path("documents"),
        ]
        .map(str::to_owned)
        .to_vec();
        Setup { flags, contract: None, folder }
    }

    /// Puts the document of `identity` into the gateway's folder.
    pub(crate) fn knows(&self, identity: &Identity) {
        let file =
            self.folder.path().join("documents").join(format!("{}.json", identity.did.replace(':', "_")));
        std::fs::write(file, identity.document().to_string()).unwrap();
    }

    /// Calls a procedure.
    pub(crate) async fn call(&self, caller: &Identity, nsid: &str, input: &Value) -> Answer {
        let url = format!("http://{}/xrpc/{nsid}", self.address);
        self.send(self.client.post(url).bearer_auth(caller.token(SERVICE, nsid)).json(input)).await
    }

    /// Calls a query, with a query string that begins with `?`.
    pub(crate) async fn query(&self, caller: &Identity, nsid: &str, query: &str) -> Answer {
        let url = format!("http://{}/xrpc/{nsid}{query}", self.address);
        self.send(self.client.get(url).bearer_auth(caller.token(SERVICE, nsid))).await
    }

    /// Any request to `path`.
    pub(crate) fn request(&self, verb: http::Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(verb, format!("http://{}{path}", self.address))
    }

    /// Sends a request and reads the answer.
    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        read_under(self.contract.as_ref().unwrap_or_else(|| Contract::of_athook()), request).await
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Setup {
    /// With these lexicons and descriptors instead of the built-in ones.
    pub(crate) fn serving(mut self, lexicons: &[Value], descriptors: &[u8]) -> Self {
        self.contract = Some(Contract::of(lexicons).unwrap());
        let folder = self.folder.path().join("lexicons");
        for document in lexicons {
            let path = folder.join(document["id"].as_str().unwrap().replace('.', "/")).with_extension("json");
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, document.to_string()).unwrap();
        }
        let file = self.folder.path().join("descriptors.bin");
        std::fs::write(&file, descriptors).unwrap();
        self.flag("--lexicons", &text(&folder)).flag("--descriptors", &text(&file))
    }

    /// With a flag.
    pub(crate) fn flag(mut self, flag: &str, value: &str) -> Self {
        self.flags.extend([flag.to_owned(), value.to_owned()]);
        self
    }

    /// Starts it, without waiting for the gRPC server.
    pub(crate) async fn start(self) -> Gateway {
        let Self { flags, contract, folder } = self;
        logs::keep();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (_, config) = gateway::config::RawArgs::try_parse_from(&flags).unwrap().check().unwrap();
        let shutdown = Shutdown::new(Duration::ZERO, Duration::from_secs(5));
        let mut watch = Watch::start(&config.shared, &config.clock).unwrap();
        let telemetry = watch.telemetry("athook-gateway").unwrap();
        let serving = tokio::spawn(async move {
            gateway::serve(config, listener, shutdown, telemetry).await.unwrap();
        });
        Gateway { address, client: reqwest::Client::new(), contract, folder, serving }
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
