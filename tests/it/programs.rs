//! The binary as an operator runs it: both services in one process or each alone, the line of the banner,
//! wrong settings, and shutdown.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use serde_json::json;

use crate::harness::database::{Database, Kind};
use crate::harness::on_both;
use crate::harness::stack::read;

/// The `athook` binary, without this process's environment: a variable could be a setting.
fn athook(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_athook"));
    command.env_clear().env("PATH", "/usr/bin:/bin").current_dir(folder).stdin(Stdio::null());
    command
}

/// A process that is killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    /// Sends SIGTERM and waits for the end.
    fn terminate(mut self) -> std::process::ExitStatus {
        let sent = Command::new("kill").arg(self.0.id().to_string()).status().unwrap();
        assert!(sent.success());
        self.0.wait().unwrap()
    }
}

/// Starts `athook` on free ports and reads its banner.
fn start(folder: &Path, database: &str) -> (Running, String) {
    let mut child = athook(folder)
        .args(["--gateway-listen", "127.0.0.1:0", "--core-listen", "127.0.0.1:0", "--database-url", database])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = child.stdout.take().unwrap();
    (Running(child), banner(output))
}

fn banner(output: ChildStdout) -> String {
    let mut banner = String::new();
    let mut lines = BufReader::new(output);
    while !banner.contains("athook token") {
        assert!(lines.read_line(&mut banner).unwrap() > 0, "the banner ends early: {banner}");
    }
    banner
}

fn line_to_paste(banner: &str) -> &str {
    banner.lines().find(|line| line.starts_with("curl ")).expect("a curl line")
}

/// Runs the line as a user would, who tries again when the answer is 502: a database may take longer to open
/// than the gateway waits for the core-service.
fn paste(line: &str) -> serde_json::Value {
    let command = format!("{line} --silent --show-error --retry 5");
    let output = Command::new("sh").args(["-c", &command]).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn ends(command: &mut Command) -> (Output, String) {
    let output = command.output().unwrap();
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    (output, stderr)
}

on_both! {
    banner_has_a_line_that_works
}

async fn banner_has_a_line_that_works(kind: Kind) {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::create(kind, false).await;
    let (running, banner) = start(folder.path(), &database.url());
    let made = paste(line_to_paste(&banner));
    assert!(made["token"].as_str().unwrap().starts_with("whsec_"), "{made}");
    assert!(!banner.contains("athook@"), "no user of the database in the banner: {banner}");
    assert!(running.terminate().success());

    // Again, on the database that is there now.
    let (running, banner) = start(folder.path(), &database.url());
    assert!(paste(line_to_paste(&banner))["token"].is_string());
    assert!(running.terminate().success());
}

#[test]
fn defaults_leave_everything_in_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = athook(folder.path())
        .args(["--gateway-listen", "127.0.0.1:0", "--core-listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = child.stdout.take().unwrap();
    let running = Running(child);
    paste(line_to_paste(&banner(output)));
    for name in ["athook.db", "athook.keys", "athook.dev"] {
        assert!(folder.path().join(name).exists(), "{name}");
    }
    assert!(running.terminate().success());
}

#[tokio::test]
async fn token_of_anybody_works_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite://{}/data.db?mode=rwc", folder.path().display());
    let (_running, banner) = start(folder.path(), &database);
    let origin = banner.split_whitespace().find(|word| word.starts_with("http://127.0.0.1:")).unwrap();
    let nsid = "place.stream.server.createWebhook";
    for did in [None, Some("did:web:someone.invalid"), Some("did:plc:someoneelse2222222222222")] {
        let mut command = athook(folder.path());
        command.args(["token", "--method", nsid, "--database-url", &database]);
        command.args(did.map(|did| ["--did", did]).into_iter().flatten());
        let token = String::from_utf8(command.output().unwrap().stdout).unwrap();
        let request = reqwest::Client::new().post(format!("{origin}/xrpc/{nsid}")).bearer_auth(token.trim());
        let answer = read(request.json(&json!({ "url": "https://10.0.0.1/", "events": ["chat"] }))).await;
        answer.error(400, "InvalidUrl");
    }
}

#[test]
fn services_run_apart() {
    let folder = tempfile::tempdir().unwrap();
    let (output, stderr) = ends(athook(folder.path()).args(["core-service", "--listen", "127.0.0.1:0"]));
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr.contains("--seal-keys-file"), "{stderr}");
    for service in ["gateway", "core-service"] {
        let output = athook(folder.path()).args([service, "--help"]).output().unwrap();
        assert!(
            output.status.success() && String::from_utf8(output.stdout).unwrap().contains("--shutdown-delay")
        );
    }
}

#[test]
fn settings_that_do_not_fit_are_told_all_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (output, stderr) = ends(
        athook(folder.path())
            .args([
                "--gateway-listen",
                "here",
                "--deadline",
                "8",
                "--max-secrets",
                "many",
                "--log-format",
                "xml",
            ])
            .env("PROBE", "sometimes")
            .env("ALLOW_HTTP", "perhaps"),
    );
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    for flag in ["--gateway-listen", "--deadline", "--max-secrets", "--log-format", "--probe", "--allow-http"]
    {
        assert!(stderr.contains(flag), "{flag} is not in {stderr}");
    }
}

#[test]
fn open_core_service_needs_protection() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("keys"), "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n").unwrap();
    let arguments = ["core-service", "--listen", "0.0.0.0:0", "--seal-keys-file", "keys"];
    let (output, stderr) = ends(athook(folder.path()).args(arguments));
    assert!(!output.status.success());
    assert!(stderr.contains("--core-token-file") && stderr.contains("--tls-client-ca"), "{stderr}");
    let (output, stderr) = ends(athook(folder.path()).args(["--core-listen", "0.0.0.0:0"]));
    assert!(!output.status.success() && stderr.contains("--core-token-file"), "{stderr}");
}

#[test]
fn migrations_run_by_themselves() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let (output, stderr) = ends(athook(folder.path()).args([
            "core-service",
            "migrate",
            "--database-url",
            "sqlite://new.db?mode=rwc",
        ]));
        assert!(output.status.success(), "{stderr}");
    }
    assert!(folder.path().join("new.db").exists());
}

#[test]
fn keys_are_private_files() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let (running, _) = start(folder.path(), "sqlite://athook.db?mode=rwc");
    for name in ["athook.keys", "athook.dev/signing.key"] {
        let mode = std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert!(running.terminate().success());
}
