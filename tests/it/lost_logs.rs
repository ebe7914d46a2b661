//! Logs that can't be written: standard error is a pipe that nobody reads any more, or a file on a full disk.

use std::fs::OpenOptions;
use std::io::{ErrorKind, pipe};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread::yield_now;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::harness::program::athook;

const LIMIT: Duration = Duration::from_secs(60);

/// Places for a log that take nothing.
fn places() -> [Stdio; 2] {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    [writer.into(), OpenOptions::new().write(true).open("/dev/full").unwrap().into()]
}

/// An address that is free, below the ports that the operating system gives to others meanwhile.
fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(20_000);
    loop {
        let address = SocketAddr::from(([127, 0, 0, 1], NEXT.fetch_add(1, Ordering::Relaxed)));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// Waits until this address accepts connections, as long as the program runs.
fn listens(program: &mut Child, address: SocketAddr) {
    let started = Instant::now();
    while let Err(error) = TcpStream::connect(address) {
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert_eq!(program.try_wait().unwrap(), None, "it ended");
        assert!(started.elapsed() < LIMIT, "it does not listen");
        yield_now();
    }
}

fn get(address: SocketAddr, path: &str) -> String {
    let mut client = TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    std::io::Write::write_all(&mut client, request.as_bytes()).unwrap();
    std::io::read_to_string(client).unwrap()
}

/// A program that is killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serves_and_ends(mut command: Command, log: Stdio, listen: SocketAddr, metrics: SocketAddr) {
    command.args(["--metrics-listen", &metrics.to_string(), "--log", "debug", "--shutdown-delay", "0s"]);
    let mut running = Running(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
    let program = &mut running.0;
    listens(program, metrics);
    listens(program, listen);
    let text = get(metrics, "/metrics");
    let lost = text.lines().find_map(|line| line.strip_prefix("athook_log_lines_lost_total ")).unwrap();
    assert!(lost.parse::<u64>().unwrap() > 0, "{lost}");
    let id = program.id().to_string();
    assert!(Command::new("kill").args(["-s", "TERM", &id]).status().unwrap().success());
    assert_eq!(program.wait().unwrap().code(), Some(0));
}

#[test]
fn gateway_serves_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    for log in places() {
        let (listen, metrics) = (free_address(), free_address());
        let mut command = athook(folder.path());
        command.args(["gateway", "--core-url", "http://127.0.0.1:9", "--listen", &listen.to_string()]);
        serves_and_ends(command, log, listen, metrics);
    }
}

#[test]
fn core_service_serves_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("keys"), BASE64_STANDARD.encode([7; 32])).unwrap();
    for log in places() {
        let (listen, metrics) = (free_address(), free_address());
        let mut command = athook(folder.path());
        command.args(["core-service", "--seal-keys-file", "keys", "--listen", &listen.to_string()]);
        serves_and_ends(command, log, listen, metrics);
    }
}

#[test]
fn both_serve_and_end() {
    let folder = tempfile::tempdir().unwrap();
    for log in places() {
        let (listen, metrics) = (free_address(), free_address());
        let mut command = athook(folder.path());
        command.args(["dev", "--core-listen", "127.0.0.1:0", "--gateway-listen", &listen.to_string()]);
        serves_and_ends(command, log, listen, metrics);
    }
}

/// The exit code of a command whose errors nobody reads.
fn code(folder: &Path, arguments: &[&str], log: Stdio) -> Option<i32> {
    athook(folder).args(arguments).stdout(Stdio::null()).stderr(log).status().unwrap().code()
}

#[test]
fn commands_keep_their_exit_codes() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, expected) in [
        (&["--gateway-listen", "here"][..], 2),
        (&["gateway", "--deadline", "soon"], 2),
        (&["core-service", "--listen", "here"], 2),
        (&["core-service", "migrate", "--database-url", "sqlite://missing/athook.db"], 1),
        (&["publish", "--type", "chat", "--core-url", "here"], 2),
        (&["token", "--method", "com.example.a"], 0),
    ] {
        for log in places() {
            assert_eq!(code(folder.path(), arguments, log), Some(expected), "{arguments:?}");
        }
    }
}
