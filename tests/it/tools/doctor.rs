//! `athook doctor`: a healthy `athook dev`, and what is wrong elsewhere.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use fakes::dns::Dns;
use fakes::jetstream::{Jetstream, Wire};
use serde_json::json;

use super::tool;
use crate::harness::directory::{Directory, Reply};
use crate::harness::program::{Program, athook};

/// Addresses that were free a moment ago, and that no other test gets: they take those of 127.0.0.1.
fn free_addresses() -> [String; 2] {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.55.66.78:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().to_string())
}

/// The surroundings of `athook`, and the settings that lead to them.
struct Surroundings {
    settings: Vec<String>,
    directory: Directory,
    dns: Dns,
}

async fn surroundings() -> Surroundings {
    let [gateway, core] = free_addresses();
    let directory = Directory::start().await;
    directory.set("_health", Reply::Document(json!({ "version": "fake" })));
    let dns = Dns::start().await;
    let settings = [
        ("--gateway-listen", gateway),
        ("--core-listen", core),
        ("--plc-url", directory.url().to_owned()),
        ("--dns-servers", dns.address.to_string()),
    ];
    let settings = settings.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect();
    Surroundings { settings, directory, dns }
}

impl Surroundings {
    /// Exit code and lines. Flags that are `further` win over those before.
    fn doctor(&self, folder: &Path, further: &[&str]) -> (i32, Vec<String>) {
        let mut settings: Vec<&str> = self.settings.iter().map(String::as_str).collect();
        for pair in further.chunks(2) {
            match settings.iter().position(|word| *word == pair[0]) {
                Some(at) => settings[at + 1] = pair[1],
                None => settings.extend(pair),
            }
        }
        let (code, text) = tool(folder, &[&["doctor"], &settings[..]].concat());
        (code, text.lines().map(str::to_owned).collect())
    }

    fn setting(&self, flag: &str) -> &str {
        let at = self.settings.iter().position(|word| word == flag).unwrap();
        &self.settings[at + 1]
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_is_well() {
    let folder = tempfile::tempdir().unwrap();
    let around = surroundings().await;
    let (gateway, core) = (around.setting("--gateway-listen"), around.setting("--core-listen"));
    let (plc, dns) = (around.directory.url(), around.dns.address);
    let port = gateway.parse::<SocketAddr>().unwrap().port();
    let lines = |development: &str, keys: &str, database: &str, gateway: &str, core: &str| {
        vec![
            format!("ok    settings        fit{development}"),
            format!("ok    seal keys       athook.keys {keys} (--seal-keys-file)"),
            format!("ok    database        SQLite file athook.db {database} (--database-url)"),
            format!("ok    gateway         {gateway} (--gateway-listen)"),
            format!("ok    core-service    {core} (--core-listen)"),
            format!("ok    DNS             {dns}: an answer for plc.directory (--dns-servers)"),
            format!("ok    PLC directory   {plc} answers (--plc-url, --extra-ca)"),
            "ok    clock           fits that of the PLC directory".to_owned(),
            "ok    outgoing https  not tried: the PLC directory is not on https (--plc-url)".to_owned(),
            format!(
                "ok    public URL      http://localhost:{port}: for this machine alone; no PDS finds \
                 did:web:localhost%3A{port} (--public-url, --service-did)"
            ),
            format!("ok    site            pages for people at http://localhost:{port}/ (--site)"),
        ]
    };
    let made = "is made at the first start";
    let (free_gateway, free_core) =
        (format!("{gateway} is free: it does not run"), format!("{core} is free: it does not run"));
    let keys = "is not there: the first start with a new database makes it";
    let before = lines("", keys, made, &free_gateway, &free_core);
    assert_eq!(around.doctor(folder.path(), &[]), (0, before));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);

    let mut dev = Program::start(athook(folder.path()).arg("dev").args(&around.settings));
    dev.printed("athook token").await;
    let while_it_runs = lines(
        "; an `athook dev` runs in this folder",
        "is there",
        "has the schema of this release",
        &format!("one runs at {gateway}"),
        &format!("it serves at http://{core}/, at 1 of 1 addresses"),
    );
    assert_eq!(around.doctor(folder.path(), &[]), (0, while_it_runs));
    assert!(dev.end("TERM").success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_work() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("text.db"), "this is no database, but a text of some length\n").unwrap();
    let around = surroundings().await;
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let closed_plc = format!("http://{closed}");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = silent.local_addr().unwrap().to_string();
    let nothing_there = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for (settings, expected) in [
        (
            ["--database-url", "sqlite://text.db"],
            "FAIL  database        the database can't be used: SQLite file text.db: (code: 26) file is not a \
             database (--database-url, --seal-keys-file)",
        ),
        (
            ["--database-url", "sqlite://missing.db"],
            "FAIL  database        the database can't be used: SQLite file missing.db: (code: 14) unable to \
             open database file; is it there, and may this user write it and its folder? With ?mode=rwc it \
             is made (--database-url, --seal-keys-file)",
        ),
        (
            ["--database-url", "postgres://guarded:letmein@127.0.0.1:1/d"],
            "FAIL  database        the database can't be used: Postgres 127.0.0.1:1/d: ",
        ),
        (
            ["--plc-url", &closed_plc],
            &format!(
                "FAIL  PLC directory   {closed_plc}: no connection was made: the address can't be reached: \
                 the TCP connection failed: Connection refused (os error 111) (--plc-url, --extra-ca)"
            ),
        ),
        (
            ["--gateway-listen", &taken],
            &format!(
                "FAIL  gateway         --gateway-listen {taken}: Address already in use (os error 98); \
                 another program listens there, perhaps another athook (--gateway-listen)"
            ),
        ),
        (["--core-listen", &taken], &format!("FAIL  core-service    --core-listen {taken}: ")),
        (["--dns-servers", &nothing_there], &format!("FAIL  DNS             {nothing_there}: ")),
        (
            ["--public-url", "https://hooks.example"],
            "FAIL  public URL      https://hooks.example/.well-known/did.json: ",
        ),
        (["--rate-limit", "many"], "FAIL  settings        --rate-limit: \"many\": a whole number"),
        (
            ["--seal-keys-file", "none"],
            "FAIL  settings        --seal-keys-file: none: No such file or directory (os error 2)",
        ),
    ] {
        let (code, lines) = around.doctor(folder.path(), &settings);
        let failed: Vec<_> = lines.iter().filter(|line| line.starts_with("FAIL")).collect();
        assert!(code == 1 && failed.len() == 1 && failed[0].starts_with(expected), "{expected}\n{lines:#?}");
        assert_eq!(lines.last().unwrap(), "error: one thing has to be changed");
        assert!(!lines.concat().contains("letmein"), "{lines:#?}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_do_not_fit_and_files_that_others_read() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let around = surroundings().await;
    let mut dev = Program::start(athook(folder.path()).arg("dev").args(&around.settings));
    dev.printed("athook token").await;
    assert!(dev.end("TERM").success());
    let keys = folder.path().join("athook.keys");
    std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(0o644)).unwrap();
    let (code, lines) = around.doctor(folder.path(), &[]);
    let warning = "warn  files           others can read or write athook.keys: chmod 600 athook.keys";
    assert!(code == 0 && lines.iter().any(|line| line == warning), "{lines:#?}");
    std::fs::remove_file(&keys).unwrap();
    let (code, lines) = around.doctor(folder.path(), &[]);
    let failure = "FAIL  database        the index key can't be used: SQLite file athook.db: the file of seal \
                   keys that this database was made with is not there (--database-url, --seal-keys-file)";
    assert!(code == 1 && lines.iter().any(|line| line == failure), "{lines:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_public_network() {
    let folder = tempfile::tempdir().unwrap();
    let around = surroundings().await;
    let relay = around.directory.url().to_owned();
    let host = Jetstream::start().await;
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (first, second) = (host.url(Wire::V2), format!("ws://{closed}/subscribe"));
    let hosts = format!("{first},{second}");
    let settings = ["--intake", "on", "--jetstream", &hosts, "--relay", &relay];
    let (code, lines) = around.doctor(folder.path(), &settings);
    assert_eq!(code, 1);
    for expected in [
        format!("ok    Jetstream       {first} sends events (--jetstream)"),
        format!(
            "FAIL  Jetstream       {second}: no connection: the address can't be reached: the TCP connection \
             failed: Connection refused (os error 111) (--jetstream, --extra-ca)"
        ),
        format!("warn  relay           {relay} answers, but with 404 to a question for its health (--relay)"),
    ] {
        assert!(lines.contains(&expected), "{expected}\n{lines:#?}");
    }
}
