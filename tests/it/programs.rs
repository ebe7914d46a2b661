//! The binary as an operator runs it: both services in one process or each alone, the line of the banner,
//! wrong settings, the modes of files, and shutdown.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use serde_json::json;

use crate::harness::database::{Database, Kind};
use crate::harness::on_both;
use crate::harness::program::Program;
use crate::harness::stack::read;

/// The `athook` binary, without this process's environment: a variable could be a setting.
fn athook(folder: &Path) -> Command {
    athook_under(&[], folder)
}

/// The same, run by another command.
fn athook_under(command: &[&str], folder: &Path) -> Command {
    let words = [command, &[env!("CARGO_BIN_EXE_athook")]].concat();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
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

/// Starts `athook dev` on free ports and reads its banner.
fn start(folder: &Path, database: &str) -> (Running, String) {
    let mut child = athook(folder)
        .args(["dev", "--gateway-listen", "127.0.0.1:0", "--core-listen", "127.0.0.1:0"])
        .args(["--database-url", database])
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
        .args(["dev", "--gateway-listen", "127.0.0.1:0", "--core-listen", "127.0.0.1:0"])
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

#[tokio::test]
async fn small_installation_has_no_development_identity() {
    const NSID: &str = "place.stream.server.createWebhook";
    let folder = tempfile::tempdir().unwrap();
    let token = athook(folder.path()).args(["token", "--method", NSID]).output().unwrap();
    assert!(String::from_utf8(token.stderr).unwrap().contains("at a running `athook dev`"));
    let token = String::from_utf8(token.stdout).unwrap();
    let start = |flags: &[&str]| {
        let listen = ["--gateway-listen", "127.0.0.1:0", "--core-listen", "127.0.0.1:0"];
        Program::start(athook(folder.path()).args(listen).args(flags))
    };
    let create = async |program: &mut Program, url: &str| {
        let banner = program.printed("The development identity has moved to `athook dev`").await;
        let origin = banner.split(' ').find(|word| word.starts_with("http://127.0.0.1:")).unwrap();
        let request = reqwest::Client::new().post(format!("{origin}/xrpc/{NSID}")).bearer_auth(token.trim());
        read(request.json(&json!({ "url": url, "events": ["chat"] }))).await
    };
    let mut running = start(&["--dns-servers", "127.0.0.1:9"]);
    create(&mut running, "https://a.example/").await.error(401, "AuthenticationRequired");
    assert!(running.end("TERM").success());
    // The operator can make any identity known; that opens no way to anything private.
    let mut running = start(&["--did-documents", "athook.dev"]);
    for (url, message) in [
        ("http://127.0.0.1:9100/", "input.url: must be https"),
        ("https://127.0.0.1:9100/", "input.url: the address can't be reached"),
        ("https://[::1]:9100/", "input.url: the address can't be reached"),
    ] {
        let answer = create(&mut running, url).await.error(400, "InvalidUrl");
        assert_eq!(answer, message, "{url}");
    }
    assert!(running.end("TERM").success());
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
fn passwords_in_urls_are_not_told() {
    let folder = tempfile::tempdir().unwrap();
    for (command, flags) in [
        (&["gateway"][..], &["--public-url", "--plc-url", "--core-url", "--otlp-endpoint"][..]),
        (&["core-service"], &["--public-url", "--otlp-endpoint"]),
        (&["dev"], &["--public-url", "--plc-url", "--otlp-endpoint"]),
        (&["token", "--method", "a.b.c"], &["--public-url"]),
        (&["publish", "chat", "--text", "hi"], &["--core-url"]),
        (&["listen"], &["--forward"]),
    ] {
        for flag in flags {
            for url in
                ["http://me:secret@a.example", "ftp://me:secret@a.example", "http://me:secret@a.example:port"]
            {
                let (output, stderr) = ends(athook(folder.path()).args(command).args([flag, url]));
                assert_eq!(output.status.code(), Some(2), "{command:?} {flag} {url}: {stderr}");
                assert!(stderr.contains(&format!("{flag}: ")) && !stderr.contains("secret"), "{stderr}");
            }
        }
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

/// The modes of all files and folders in `folder`, by their paths in it.
fn modes(folder: &Path) -> BTreeMap<PathBuf, u32> {
    let mut modes = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let name = PathBuf::from(entry.file_name());
        let metadata = entry.metadata().unwrap();
        if metadata.is_dir() {
            modes.extend(self::modes(&entry.path()).into_iter().map(|(path, mode)| (name.join(path), mode)));
        }
        modes.insert(name, metadata.permissions().mode());
    }
    modes
}

#[test]
fn files_are_private_whatever_the_umask() {
    for umask in ["000", "022", "777"] {
        let folder = tempfile::tempdir().unwrap();
        let under = |arguments: &[&str]| {
            let mut command = athook_under(&["sh", "-c", "umask $0; exec \"$@\"", umask], folder.path());
            command.args(arguments);
            command
        };
        let listen = ["dev", "--gateway-listen", "127.0.0.1:0", "--core-listen", "127.0.0.1:0"];
        let mut child = under(&listen).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let output = child.stdout.take().unwrap();
        let running = Running(child);
        paste(line_to_paste(&banner(output)));
        let token = ["token", "--method", "place.wisp.v2.secret.list", "--did", "did:web:someone.invalid"];
        let export = ["core-service", "export", "--to", "rows"];
        let import =
            ["core-service", "import", "--from", "rows", "--database-url", "sqlite://new.db?mode=rwc"];
        let migrate = ["core-service", "migrate", "--database-url", "sqlite://other.db?mode=rwc"];
        for command in [&token[..], &export, &import, &migrate] {
            let (output, stderr) = ends(&mut under(command));
            assert!(output.status.success(), "{stderr}");
        }
        let modes = modes(folder.path());
        for name in ["athook.db", "athook.db-wal", "athook.db-shm", "athook.keys", "athook.dev/signing.key"] {
            assert!(modes.contains_key(Path::new(name)), "{name}: {modes:?}");
        }
        assert!(modes.len() >= 11, "{modes:?}");
        for (path, mode) in modes {
            let private = if folder.path().join(&path).is_dir() { 0o700 } else { 0o600 };
            assert_eq!(mode & 0o777, private, "{path:?} with the umask {umask}");
        }
        assert!(running.terminate().success());
    }
}

#[test]
fn keys_that_others_can_read_are_warned_of() {
    const WARNING: &str = "others can read or write a file with a secret";
    let folder = tempfile::tempdir().unwrap();
    let set = |name: &str, mode| {
        std::fs::set_permissions(folder.path().join(name), Permissions::from_mode(mode)).unwrap();
    };
    std::fs::write(folder.path().join("token"), "a-token-of-some-length").unwrap();
    std::fs::write(folder.path().join("url"), "sqlite://athook.db?mode=rwc").unwrap();
    let files = ["athook.keys", "token", "url", "athook.dev/signing.key"];
    let warnings = || {
        let mut child = athook(folder.path())
            .args(["dev", "--gateway-listen", "127.0.0.1:0", "--core-listen", "127.0.0.1:0"])
            .args(["--core-token-file", "token", "--database-url-file", "url"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (output, log) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let running = Running(child);
        paste(line_to_paste(&banner(output)));
        assert!(running.terminate().success());
        let lines = BufReader::new(log).lines().map(Result::unwrap);
        lines.filter(|line| line.contains(WARNING)).collect::<Vec<String>>()
    };
    for name in ["token", "url"] {
        set(name, 0o600);
    }
    assert_eq!(warnings(), [""; 0]);
    for name in files {
        set(name, 0o644);
        let warnings = warnings();
        assert!(warnings.len() == 1 && warnings[0].contains(name), "{warnings:?}");
        set(name, 0o600);
    }
    set("url", 0o640);
    let (output, stderr) =
        ends(athook(folder.path()).args(["core-service", "migrate", "--database-url-file", "url"]));
    assert!(output.status.success() && stderr.matches(WARNING).count() == 1, "{stderr}");
}
