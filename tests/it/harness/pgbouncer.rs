//! PgBouncer in front of a Postgres database, in transaction mode. It is stopped when this process ends,
//! however it ends.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::packages;
use crate::harness::postgres::as_unprivileged;

/// $1: the folder with the configuration. A word a line: restart.
const SCRIPT: &str = r#"
    folder=$1
    export PATH="$folder/usr/sbin:$PATH:/usr/sbin" LD_LIBRARY_PATH="$folder/usr/lib/$(uname -m)-linux-gnu"
    begin() { pgbouncer -q "$folder/pgbouncer.ini" </dev/null 2>>"$folder/log" & pooler=$!; }
    end() { kill -TERM "$pooler"; wait "$pooler"; }
    begin
    while read -r word; do
        case $word in
            restart) end; begin ;;
        esac
    done
    end
    rm -rf "$folder"
"#;
/// The packages of it and of the libraries that a machine may not have.
const PACKAGES: &str = "tests/it/harness/pgbouncer.packages";
/// How long it may take to listen.
const LIMIT: Duration = Duration::from_secs(20);

/// A running PgBouncer.
pub(crate) struct PgBouncer {
    pub(crate) address: SocketAddr,
    leash: Child,
}

impl PgBouncer {
    /// One before the database `name` at `server`, with so many sessions.
    pub(crate) fn start(server: SocketAddr, name: &str, sessions: u32) -> Self {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let folder = tempfile::Builder::new().prefix("athook-pgbouncer-").tempdir().unwrap().keep();
        if !is_installed() {
            // Where its user can read it.
            let program = packages::debian(PACKAGES).join("usr");
            assert!(Command::new("cp").arg("-r").args([&program, &folder]).status().unwrap().success());
        }
        let (host, port) = (server.ip(), server.port());
        let settings = format!(
            "[databases]\n{name} = host={host} port={port} dbname={name} user=athook\n[pgbouncer]\nlisten_addr = \
             {}\nlisten_port = {}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\ndefault_pool_size \
             = {sessions}\n",
            address.ip(),
            address.port()
        );
        std::fs::write(folder.join("pgbouncer.ini"), settings).unwrap();
        let mut command = as_unprivileged(&folder);
        command.args(["sh", "-c", SCRIPT, "sh"]).arg(&folder);
        let leash = command.stdin(Stdio::piped()).spawn().expect("sh, and runuser when root, are there");
        let started = Instant::now();
        while TcpStream::connect(address).is_err() {
            let log = || std::fs::read_to_string(folder.join("log")).unwrap_or_default();
            assert!(started.elapsed() < LIMIT, "PgBouncer does not start: {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { address, leash }
    }

    /// Ends it at once, with all connections, and starts it again.
    pub(crate) fn restart(&mut self) {
        writeln!(self.leash.stdin.as_mut().expect("piped"), "restart").expect("the script reads");
    }
}

fn is_installed() -> bool {
    let looked =
        Command::new("sh").args(["-c", "PATH=$PATH:/usr/sbin command -v pgbouncer >/dev/null"]).status();
    looked.expect("sh is there").success()
}
