//! The processes of a run: started on a free port, awaited until they are ready, ended when dropped.
//!
//! CONTRIBUTING.md says how the two peers are installed.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use process::exit::Failure;
use rustix::process::{Pid, Signal};
use tokio::runtime::Runtime;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// The audience of the tokens.
pub(crate) const SERVICE: &str = "did:web:hooks.example";
/// The repository.
const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// Envoy's configuration, with placeholders for two ports and the file of descriptors.
const ENVOY_CONFIGURATION: &str = include_str!("../peers/envoy/envoy.yaml.in");

/// How long a process may take to be ready.
const READY_LIMIT: Duration = Duration::from_secs(20);
/// How long a process may take to end; then it is killed.
const END_LIMIT: Duration = Duration::from_secs(10);
/// How often a process is polled.
const ASK_EVERY: Duration = Duration::from_millis(2);
/// The largest limit of secrets and webhooks that the settings allow: one account creates thousands.
const NO_LIMIT: &str = "1000000";
/// A core-service that stores as many secrets and webhooks of an account as are created.
pub(crate) const UNLIMITED: [&str; 4] = ["--max-secrets", NO_LIMIT, "--max-webhooks", NO_LIMIT];

/// What all processes of a run share.
pub(crate) struct Programs {
    /// The folder of the callers' DID documents.
    documents: PathBuf,
    /// For the files of the processes.
    folder: PathBuf,
    seal_keys: PathBuf,
    /// For the health checks.
    runtime: Runtime,
}

/// A running process.
pub(crate) struct Program {
    child: Child,
    address: SocketAddr,
    ready_after: Duration,
}

impl Drop for Program {
    /// Asks the process to end, and kills it after [`END_LIMIT`]. A program built by `cargo pgo` writes its
    /// profile when it ends.
    fn drop(&mut self) {
        if self.runs() {
            let _ = rustix::process::kill_process(Pid::from_child(&self.child), Signal::TERM);
        }
        let asked = Instant::now();
        while self.runs() && asked.elapsed() < END_LIMIT {
            std::thread::sleep(ASK_EVERY);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Programs {
    /// Writes the files that the processes need into `folder`.
    pub(crate) fn new(documents: &Path, folder: &Path) -> Result<Self, Failure> {
        let seal_keys = folder.join("keys");
        std::fs::write(&seal_keys, "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n")?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let [documents, folder] = [documents, folder].map(Path::to_owned);
        Ok(Self { documents, folder, seal_keys, runtime })
    }

    /// Starts `athook gateway` with the core-service at `core`.
    pub(crate) fn gateway(&self, athook: &Path, core: SocketAddr) -> Result<Program, Failure> {
        let address = free_address()?;
        let mut command = quiet(athook);
        command.args(["gateway", "--listen", &address.to_string(), "--core-url", &format!("http://{core}")]);
        command.args(["--service-did", SERVICE, "--rate-limit", "0"]);
        command.arg("--did-documents").arg(&self.documents);
        Program::start(command, address, || gateway_is_ready(address))
    }

    /// Starts `athook core-service` on a database, with these arguments besides.
    pub(crate) fn core_service(
        &self,
        athook: &Path,
        database_url: &str,
        more: &[&str],
    ) -> Result<Program, Failure> {
        let address = free_address()?;
        let mut command = quiet(athook);
        command.args(["core-service", "--listen", &address.to_string(), "--database-url", database_url]);
        command.args(["--probe", "off"]).args(more);
        command.arg("--seal-keys-file").arg(&self.seal_keys);
        Program::start(command, address, || self.runtime.block_on(core_is_ready(address)))
    }

    /// Starts this program as the core-service that answers at once.
    pub(crate) fn stub(&self) -> Result<Program, Failure> {
        let address = free_address()?;
        let mut command = bare(&std::env::current_exe()?);
        command.args(["--answer-at-once", &address.to_string()]);
        Program::start(command, address, || self.runtime.block_on(core_is_ready(address)))
    }

    /// Starts Envoy's transcoder with the core-service at `core`. It has one worker, as the gateway has one
    /// thread.
    pub(crate) fn envoy(&self, envoy: &Path, core: SocketAddr) -> Result<Program, Failure> {
        let address = free_address()?;
        let descriptors = self.folder.join("descriptors.pb");
        std::fs::write(&descriptors, proto::DESCRIPTORS)?;
        let configuration = ENVOY_CONFIGURATION
            .replace("@LISTEN_PORT@", &address.port().to_string())
            .replace("@UPSTREAM_PORT@", &core.port().to_string())
            .replace("@DESCRIPTORS@", &descriptors.display().to_string());
        let file = self.folder.join("envoy.yaml");
        std::fs::write(&file, configuration)?;
        let mut command = bare(envoy);
        command.args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]);
        command.arg("--config-path").arg(file);
        Program::start(command, address, || gateway_is_ready(address))
    }

    /// Starts the Node server installed in the folder `node`, on an SQLite file.
    pub(crate) fn node(&self, node: &Path, file: &Path) -> Result<Program, Failure> {
        let address = free_address()?;
        let mut command = bare(Path::new("node"));
        command.arg(node.join("server.js")).args(["--listen", &address.to_string()]);
        command.arg("--database").arg(file).arg("--did-documents").arg(&self.documents);
        command.arg("--lexicons").arg(Path::new(ROOT).join("gateway/lexicons"));
        command.args(["--service-did", SERVICE, "--limit", NO_LIMIT]);
        Program::start(command, address, || gateway_is_ready(address))
    }
}

/// Migrates a database to the schema of this `athook`.
pub(crate) fn migrate(athook: &Path, database_url: &str) -> Result<(), Failure> {
    let mut command = quiet(athook);
    command.args(["core-service", "migrate", "--database-url", database_url]).stderr(Stdio::piped());
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("the migration failed: {}", String::from_utf8_lossy(&output.stderr)).into())
}

/// An `athook` that logs no requests.
fn quiet(athook: &Path) -> Command {
    let mut command = bare(athook);
    command.env("LOG", "warn");
    command
}

impl Program {
    /// Starts a program, and waits until it is ready.
    pub(crate) fn start(
        mut command: Command,
        address: SocketAddr,
        mut is_ready: impl FnMut() -> bool,
    ) -> Result<Self, Failure> {
        let started = Instant::now();
        let mut program = Self { child: command.spawn()?, address, ready_after: Duration::ZERO };
        while !is_ready() {
            if let Some(status) = program.child.try_wait()? {
                return Err(format!("{command:?} ended: {status}").into());
            }
            if started.elapsed() > READY_LIMIT {
                return Err(format!("{command:?} is not ready after {READY_LIMIT:?}").into());
            }
            std::thread::sleep(ASK_EVERY);
        }
        program.ready_after = started.elapsed();
        Ok(program)
    }

    /// Whether the process still runs, so that its process id is its own.
    fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The address on which it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// From its start to its first successful health check.
    pub(crate) fn ready_after(&self) -> Duration {
        self.ready_after
    }
}

/// A command without this process's environment, which could hold settings.
pub(crate) fn bare(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// A free port on loopback.
pub(crate) fn free_address() -> Result<SocketAddr, Failure> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Whether `/xrpc/_health` answers 200: the gateway serves and reaches its core-service.
pub(crate) fn gateway_is_ready(address: SocketAddr) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(b"GET /xrpc/_health HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok::<_, std::io::Error>(answer.starts_with("HTTP/1.1 200 "))
    };
    ask().unwrap_or(false)
}

/// Whether the gRPC health service answers SERVING.
async fn core_is_ready(address: SocketAddr) -> bool {
    let Ok(endpoint) = Endpoint::new(format!("http://{address}")) else { return false };
    let Ok(channel) = endpoint.connect().await else { return false };
    let answer = HealthClient::new(channel).check(HealthCheckRequest::default()).await;
    answer.is_ok_and(|answer| answer.get_ref().status() == ServingStatus::Serving)
}
