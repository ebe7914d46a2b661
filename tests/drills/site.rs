//! The installation that is drilled: which host is for what, and how its processes are started.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use crate::balancer::Balancer;
use crate::harness::directory::{Directory, Reply};
use crate::harness::identity::{Identity, Key};
use crate::harness::postgres::Server;
use crate::harness::processes::{Service, Setup};
use crate::network::{Host, route};
use fakes::dns::Dns;

/// The name of the core-services, absolute.
const CORE_NAME: &str = "core.athook.test.";
const CORE_PORT: u16 = 50051;
const GATEWAY_PORT: u16 = 8080;
const DNS_PORT: u16 = 53;
const PLC_PORT: u16 = 2582;
const POSTGRES_PORT: u16 = 5432;

/// `--shutdown-delay` of all processes: twenty times what the balancer needs to notice.
const SHUTDOWN_DELAY: &str = "2s";
/// `--deadline` of the gateways, the default.
pub(crate) const DEADLINE: Duration = Duration::from_secs(8);
/// How much later an answer may be for want of processors.
pub(crate) const SLACK: Duration = Duration::from_secs(2);
/// The token that the services share.
pub(crate) const TOKEN: &str = "a-token-that-all-of-this-site-share";
/// No limit that a load could meet.
const NO_LIMIT: &str = "1000000";
/// People who create things.
const WRITERS: usize = 16;

/// What a gateway logs, with the address, when a core-service comes into its rotation and when it goes.
pub(crate) const IN: &str = "connected to the core-service";
pub(crate) const OUT: &str = "the core-service is out of the rotation";

/// All hosts, with Postgres, the PLC directory and the name server running on theirs.
pub(crate) struct Site {
    pub(crate) gateways: [Host; 2],
    pub(crate) cores: [Host; 3],
    pub(crate) database: Host,
    pub(crate) names: Host,
    pub(crate) postgres: Mutex<Server>,
    /// People who create things, and somebody who only looks.
    pub(crate) writers: Vec<Identity>,
    pub(crate) reader: Identity,
    dns: Dns,
    _directory: Directory,
    plc: Host,
    folder: tempfile::TempDir,
}

impl Site {
    /// The site without a gateway and without a core-service. The name of the core-services has no address
    /// yet.
    pub(crate) fn new() -> Self {
        route();
        let (database, plc, names) = (Host::new(31), Host::new(41), Host::new(51));
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("core.token"), TOKEN).unwrap();
        let postgres = postgres(&database, folder.path());
        let listener = plc.within(|| TcpListener::bind((plc.ip(), PLC_PORT)).unwrap());
        listener.set_nonblocking(true).unwrap();
        let directory = Directory::on(tokio::net::TcpListener::from_std(listener).unwrap());
        let socket = names.within(|| UdpSocket::bind((names.ip(), DNS_PORT)).unwrap());
        socket.set_nonblocking(true).unwrap();
        let dns = Dns::on(tokio::net::UdpSocket::from_std(socket).unwrap());
        let somebody = |letter: char| {
            let caller = Identity::new(format!("did:plc:{}", letter.to_string().repeat(24)), Key::k256());
            directory.set(&caller.did, Reply::Document(caller.document()));
            caller
        };
        Self {
            gateways: [11, 12].map(Host::new),
            cores: [21, 22, 23].map(Host::new),
            database,
            names,
            postgres: Mutex::new(postgres),
            writers: ('a'..).take(WRITERS).map(somebody).collect(),
            reader: somebody('z'),
            dns,
            _directory: directory,
            plc,
            folder,
        }
    }

    /// From now on the name of the core-services stands for these addresses.
    pub(crate) fn name_lists(&self, addresses: &[Ipv4Addr]) {
        let addresses: Vec<String> = addresses.iter().map(Ipv4Addr::to_string).collect();
        self.dns.set(CORE_NAME, &addresses.iter().map(String::as_str).collect::<Vec<_>>());
    }

    /// Starts a core-service on each of its hosts, and a gateway on each of its own, under a name that lists
    /// them all, and waits until every gateway has all of them.
    pub(crate) async fn all(&self) -> (Vec<Service>, Vec<Service>) {
        let mut cores = Vec::new();
        for host in &self.cores {
            cores.push(self.core_service(host).await);
        }
        self.name_lists(&self.cores.each_ref().map(Host::ip));
        let mut gateways = Vec::new();
        for host in &self.gateways {
            let mut gateway = self.gateway(host).await;
            gateway.logged_times(self.cores.len(), &[IN]).await;
            gateways.push(gateway);
        }
        (gateways, cores)
    }

    /// Starts a core-service on `host` and waits until it serves.
    pub(crate) async fn core_service(&self, host: &Host) -> Service {
        let setup = self.core_setup();
        host.within(|| setup.begin()).served().await
    }

    /// The same, run by this command.
    pub(crate) async fn core_service_under(&self, host: &Host, command: &[&str]) -> Service {
        let setup = self.core_setup().under(command);
        host.within(|| setup.begin()).served().await
    }

    /// The same, which tries deliveries again soon, and never gives up within a drill.
    pub(crate) async fn delivering(&self, host: &Host) -> Service {
        let setup = self
            .core_setup()
            .flag("--delivery-timeout", "2s")
            .flag("--retry-schedule", &["200ms"; 60].join(","));
        host.within(|| setup.begin()).served().await
    }

    fn core_setup(&self) -> Setup {
        Service::core_service(&self.database_url())
            .flag("--allow-http", "true")
            .flag("--allow-private-ranges", "10.77.0.0/24")
            .flag("--max-secrets", NO_LIMIT)
            .flag("--max-webhooks", NO_LIMIT)
            .flag("--core-token-file", &self.file("core.token"))
            .flag("--shutdown-delay", SHUTDOWN_DELAY)
            .at(SocketAddr::from((Ipv4Addr::UNSPECIFIED, CORE_PORT)))
    }

    /// Where internal services call the core-services.
    pub(crate) fn core_addresses(&self) -> Vec<SocketAddr> {
        self.cores.iter().map(|host| SocketAddr::from((host.ip(), CORE_PORT))).collect()
    }

    /// Starts a gateway on `host` and waits until it listens.
    pub(crate) async fn gateway(&self, host: &Host) -> Service {
        let core = format!("http://{}:{CORE_PORT}", CORE_NAME.trim_end_matches('.'));
        let setup = Service::gateway_of(&core, &format!("http://{}:{PLC_PORT}", self.plc.ip()))
            .flag("--rate-limit", "0")
            // Clients record the answers themselves.
            .flag("--log", "info,gateway::access=off")
            .flag("--core-token-file", &self.file("core.token"))
            .flag("--dns-servers", &format!("{}:{DNS_PORT}", self.names.ip()))
            .flag("--shutdown-delay", SHUTDOWN_DELAY)
            .at(SocketAddr::from((Ipv4Addr::UNSPECIFIED, GATEWAY_PORT)));
        host.within(|| setup.begin()).served().await
    }

    /// What clients call: the gateways, as far as they are ready.
    pub(crate) fn balancer(&self) -> Balancer {
        let origins = self.gateways.each_ref().map(|host| format!("http://{}:{GATEWAY_PORT}", host.ip()));
        Balancer::before(&origins)
    }

    pub(crate) fn database_url(&self) -> String {
        self.postgres.lock().unwrap().url("postgres")
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }
}

/// Postgres on `host`. It refuses to be root, so it is a user of one more namespace; and it has process ids
/// of its own there, so that all its processes can be frozen.
fn postgres(host: &Host, folder: &Path) -> Server {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-user=1000", "--map-group=1000", "--pid", "--fork", "--kill-child", "--"]);
    let address = SocketAddr::from((host.ip(), POSTGRES_PORT));
    host.within(|| Server::start_under(command, folder, address, "on")).expect("Postgres starts")
}
