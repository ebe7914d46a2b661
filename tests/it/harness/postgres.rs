//! One Postgres server for a test run, started on first use and gone with the process.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// A running server under a script. When this process ends, however it ends, the script reads the end of its
/// standard input, stops the server and removes its folder.
pub(crate) struct Server {
    address: SocketAddr,
    leash: Child,
}

/// $1: the folder of initdb and postgres, $2: the folder for the data, $3 and $4: the address and port, $5:
/// whether commits wait for the disk. Then a word a line: stop, crash, start; freeze and thaw all processes
/// that it may signal. With the variable PRIMARY, an address and port, it is a standby of that server.
const SCRIPT: &str = r#"
    begin() {
        "$programs/postgres" -D "$folder/data" -p "$port" -c listen_addresses="$address" -c unix_socket_directories= \
            -c fsync="$fsync" -c max_connections=400 -c shared_buffers=64MB -c max_wal_size=512MB </dev/null &
        server=$!
    }
    end() { kill -INT "$server"; wait "$server"; }
    # Stopped first, so that it starts no process that is not on the list.
    crash() { kill -STOP "$server"; kill -KILL $(pgrep -P "$server") "$server"; wait "$server"; }
    # Again where it ends: its port, or the memory of its killed processes, may still be in use for a moment.
    begin_again() {
        begin
        until "$programs/pg_isready" -q -h "$address" -p "$port" -U athook -d postgres; do
            kill -0 "$server" 2>/dev/null || begin
            sleep 0.1
        done
    }
    programs=$1 folder=$2 address=$3 port=$4 fsync=$5
    make() {
        if [ "${PRIMARY-}" ]; then
            "$programs/pg_basebackup" -D "$folder/data" -R -X stream -c fast --no-sync -d "postgres://athook@$PRIMARY/postgres"
            return
        fi
        "$programs/initdb" -D "$folder/data" -U athook --auth=trust -E UTF8 --locale=C --no-sync &&
            echo "host all all all trust" >>"$folder/data/pg_hba.conf"
    }
    make >"$folder/log" 2>&1 || { cat "$folder/log" >&2; exit 1; }
    begin
    while read -r word; do
        case $word in
            stop) end ;;
            crash) crash ;;
            start) begin_again ;;
            freeze) kill -s STOP -- -1 ;;
            thaw) kill -s CONT -- -1 ;;
        esac
    done
    end
    rm -rf "$folder"
"#;

/// How often a start is tried: another process may take the port that was found free.
const TRIES: usize = 5;

impl Server {
    /// The server of this test run.
    pub(crate) fn shared() -> &'static Self {
        static SERVER: OnceLock<Server> = OnceLock::new();
        SERVER.get_or_init(|| {
            let started = (0..TRIES).find_map(|_| Self::start("off"));
            started.expect("Postgres does not start; its words are above")
        })
    }

    /// The URL of a database of this server.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://athook@{}/{database}", self.address)
    }

    /// Stops the server, and keeps its data.
    pub(crate) fn pause(&mut self) {
        self.say("stop");
    }

    /// Kills all its processes at once, and keeps its data.
    pub(crate) fn crash(&mut self) {
        self.say("crash");
    }

    /// Starts it again.
    pub(crate) fn resume(&mut self) {
        self.say("start");
    }

    /// Sends a command word to the script. `freeze` and `thaw` signal every process that they may, so they
    /// are only for servers that were started in a PID namespace of their own.
    pub(crate) fn say(&mut self, word: &str) {
        let words = self.leash.stdin.as_mut().expect("piped");
        writeln!(words, "{word}").expect("the script reads");
    }

    /// A server of its own, for a test that stops it. `fsync` is `off` for tests: nothing of theirs outlives
    /// the machine.
    pub(crate) fn start(fsync: &str) -> Option<Self> {
        Self::start_with(fsync, None)
    }

    /// A standby that follows this server.
    pub(crate) fn standby(&self) -> Self {
        let started = (0..TRIES).find_map(|_| Self::start_with("off", Some(self.address)));
        started.expect("the standby starts; its words are above")
    }

    /// Its address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    fn start_with(fsync: &str, primary: Option<SocketAddr>) -> Option<Self> {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let folder = tempfile::Builder::new().prefix("athook-postgres-").tempdir().unwrap().keep();
        let mut command = as_unprivileged(&folder);
        if let Some(primary) = primary {
            command.env("PRIMARY", primary.to_string());
        }
        Self::start_under(command, &folder, address, fsync)
    }

    /// A server at `address` with its data in `folder`, started by `command`, which must not be root for it.
    pub(crate) fn start_under(
        mut command: Command,
        folder: &Path,
        address: SocketAddr,
        fsync: &str,
    ) -> Option<Self> {
        let programs = programs().expect(
            "the tests need PostgreSQL's programs (initdb, postgres); on Debian: apt-get install postgresql",
        );
        let (ip, port) = (address.ip().to_string(), address.port().to_string());
        command.args(["sh", "-c", SCRIPT, "sh"]).arg(programs).arg(folder).args([&ip, &port, fsync]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("sh, and runuser when root, are there");
        let mut words = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while words.read_line(&mut line).unwrap() > 0 {
            if line.contains("ready to accept connections") || line.contains("ready to accept read-only") {
                std::thread::spawn(move || std::io::copy(&mut words, &mut std::io::sink()));
                return Some(Self { address, leash: child });
            }
            eprint!("{line}");
            line.clear();
        }
        child.wait().expect("the script has ended");
        None
    }
}

/// Postgres refuses to run as root: then it runs as the user `postgres`, which owns the folder.
pub(crate) fn as_unprivileged(folder: &Path) -> Command {
    let root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    let mut command = Command::new("env");
    if root {
        let owned = Command::new("chown").arg("postgres").arg(folder).status().unwrap();
        assert!(owned.success(), "the user postgres is missing; install PostgreSQL");
        command = Command::new("runuser");
        command.args(["-u", "postgres", "--", "env"]);
    }
    command.current_dir(folder);
    command
}

/// The folder of the server's programs: the newest of Debian's, else that of the PATH. `None`: they are not
/// here.
pub(crate) fn programs() -> Option<PathBuf> {
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|entries| entries.flatten().map(|entry| entry.path().join("bin")).collect())
        .unwrap_or_default();
    versions.retain(|folder| folder.join("initdb").exists());
    versions.sort();
    versions.pop().or_else(|| {
        let found = Command::new("sh").args(["-c", "dirname \"$(command -v initdb)\""]).output().unwrap();
        let folder = PathBuf::from(String::from_utf8(found.stdout).unwrap().trim());
        folder.join("initdb").exists().then_some(folder)
    })
}
