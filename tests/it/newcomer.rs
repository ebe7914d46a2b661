//! `athook` as somebody meets it who has not read the documents: what it says of wrong settings, and where
//! its log explains a refusal.

use std::fs::Permissions;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::harness::database::{Database, Kind};
use crate::harness::gateway::Gateway;
use crate::harness::identity::{Identity, Key};
use crate::harness::processes::{KEY, Service};
use crate::harness::program::{Program, athook};
use crate::harness::stack::{CREATE_WEBHOOK, LIST_SECRETS, read};
use crate::harness::table::Table;

/// What it prints on standard error, and its exit code.
fn says(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = athook(folder).args(arguments).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn settings_that_do_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(folder.path().join("cert"), certificate.cert.pem()).unwrap();
    std::fs::write(folder.path().join("key"), certificate.signing_key.serialize_pem()).unwrap();
    let open =
        "0.0.0.0:0 can be reached from outside, and nothing keeps strangers away: set --core-token-file";
    let url = "an http or https URL with a host and no user, such as";
    let mut table = Table::default();
    for (arguments, lines) in [
        (
            &["--gateway-listen", "8080"][..],
            vec!["--gateway-listen: \"8080\": an IP address and a port, such as 127.0.0.1:8080".to_owned()],
        ),
        (
            &["core-service", "--seal-keys-file", "keys", "--listen", "0.0.0.0"],
            vec![
                "--listen: \"0.0.0.0\": an IP address and a port, such as 0.0.0.0:50051".to_owned(),
                "--seal-keys-file: keys: No such file or directory (os error 2)".to_owned(),
            ],
        ),
        (&["--core-listen", "0.0.0.0:0"], vec![format!("--core-listen: {open}")]),
        (
            &[
                "core-service",
                "--database-url-file",
                "postgres://u:p@h/d",
                "--seal-keys-file",
                "postgres://u:p@h/d",
            ],
            vec![
                "--database-url-file: a URL, and not a path: No such file or directory (os error 2)"
                    .to_owned(),
                "--seal-keys-file: a URL, and not a path: No such file or directory (os error 2)".to_owned(),
            ],
        ),
        (
            &["dev", "--drain-limit", "postgres://u:p@h/d"],
            vec!["--drain-limit: a URL: a time with its unit, such as 8s, 500ms or 2m".to_owned()],
        ),
        (&["--prepared-statements", "yes"], vec!["--prepared-statements: \"yes\": on or off".to_owned()]),
        (
            &["dev", "--database-url", "sqlite://a.db?mode=rwc", "--database-url-file", "b"],
            vec!["--database-url: give this or --database-url-file, not both".to_owned()],
        ),
        (
            &["dev", "--database-url-file", "none"],
            vec!["--database-url-file: none: No such file or directory (os error 2)".to_owned()],
        ),
        (
            &["--public-url", "hooks", "--plc-url", "localhost:2582", "--otlp-endpoint", "a b"],
            vec![
                format!("--plc-url: {url} https://plc.directory"),
                "--otlp-endpoint: a URL with a scheme and a host, such as http://127.0.0.1:4317".to_owned(),
                format!("--public-url: {url} https://hooks.example"),
            ],
        ),
        (
            &["--tls-cert", "cert", "--tls-key", "key"],
            vec![
                "--tls-cert: the gateway in this process then needs TLS too: give --core-ca and an https \
                 --core-url, or run `athook core-service` and `athook gateway` apart"
                    .to_owned(),
            ],
        ),
        (
            &["--max-webhooks=-1", "--allow-http", "yes", "--log", "inof", "--drain-limit", "5"],
            vec![
                "--log: \"inof\": error, warn, info, debug, trace or off, or directives such as \
                 info,gateway=debug"
                    .to_owned(),
                "--drain-limit: \"5\": a time with its unit, such as 8s, 500ms or 2m".to_owned(),
                "--max-webhooks: \"-1\": a whole number".to_owned(),
                "--allow-http: \"yes\": true or false".to_owned(),
            ],
        ),
    ] {
        let lines: String = lines.iter().map(|line| format!("  {line}\n")).collect();
        let expected = (Some(2), format!("error: settings that do not fit:\n{lines}"));
        table.check(format!("{arguments:?}"), says(folder.path(), arguments), expected);
    }
    table.finish();
}

#[test]
fn athook_has_no_listen() {
    let folder = tempfile::tempdir().unwrap();
    for command in [&["--listen", "127.0.0.1:0"][..], &["dev", "--listen", "127.0.0.1:0"]] {
        let (code, told) = says(folder.path(), command);
        assert_eq!(code, Some(2));
        let flags = "athook listens on two addresses: give --gateway-listen (XRPC) or --core-listen (gRPC)";
        assert!(told.contains(flags) && !told.contains("tls"), "{told}");
    }
}

/// A URL or a token in the place of a command or another argument.
#[test]
fn secrets_in_the_wrong_place() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        &["core-service", "postgres://guarded:letmein@db.example/t"][..],
        &["core-service", "migrate", "--database-url", "x", "postgres://guarded:letmein@db.example/t"],
        &["gateway", "--databaseurl=postgres://guarded:letmein@db.example/t"],
        &["postgres://guarded:letmein@db.example/t"],
        &["token", "--secret", "whsec_letmein"],
    ] {
        let (code, told) = says(folder.path(), arguments);
        assert_eq!(code, Some(2), "{told}");
        assert!(told.starts_with("error: ") && !told.contains("letmein"), "{told}");
    }
}

#[test]
fn address_that_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let advice = "another program listens there, perhaps another athook";
    let told = format!("error: --gateway-listen {address}: Address already in use (os error 98); {advice}\n");
    assert_eq!(says(folder.path(), &["--gateway-listen", &address]), (Some(1), told));
}

#[test]
fn nothing_is_made_before_the_database_opens() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let free = ["--gateway-listen", "127.0.0.1:0", "--core-listen", "127.0.0.1:0"];
    for arguments in [
        [&free[..], &["--database-url", "sqlite://none/a.db?mode=rwc"]].concat(),
        [&free[..], &["--database-url", "sqlite://missing.db"]].concat(),
        vec!["--gateway-listen", &taken],
        [&free[..], &["--rate-limit", "many"]].concat(),
    ] {
        for command in [&["dev"][..], &[]] {
            let folder = tempfile::tempdir().unwrap();
            let output = athook(folder.path()).args(command).args(&arguments).output().unwrap();
            assert!(!output.status.success() && output.stdout.is_empty(), "{arguments:?}: {output:?}");
            let made: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
            assert!(made.is_empty(), "{arguments:?}: {made:?}");
        }
    }
}

#[test]
fn databases_that_can_not_be_used() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("text.db"), "this is no database, but a text of some length\n")
        .unwrap();
    let mut table = Table::default();
    for (database, problem) in [
        ("sqlite://none/a.db?mode=rwc", "SQLite file none/a.db: there is no folder none"),
        (
            "sqlite://missing.db",
            "SQLite file missing.db: (code: 14) unable to open database file; is it there, and may this \
             user write it and its folder? With ?mode=rwc it is made",
        ),
        ("sqlite://text.db", "SQLite file text.db: (code: 26) file is not a database"),
    ] {
        let listen = ["--gateway-listen", "127.0.0.1:0", "--core-listen", "127.0.0.1:0"];
        let (code, told) = says(folder.path(), &[&listen[..], &["--database-url", database]].concat());
        let last = told.lines().last().map(str::to_owned);
        let expected = format!("error: the store can't be opened: the database can't be used: {problem}");
        table.check(database, (code, last), (Some(1), Some(expected)));
    }
    table.finish();
}

#[test]
fn folder_that_can_not_be_written() {
    let (code, told) =
        says(Path::new("/sys"), &["--gateway-listen", "127.0.0.1:0", "--core-listen", "127.0.0.1:0"]);
    assert!(code == Some(1) && told.contains("athook.db") && !told.contains("--seal-keys-file"), "{told}");
}

#[test]
fn banner_waits_for_the_database() {
    // It takes connections and says nothing, like a server behind a bad network.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://athook@{}/hooks", silent.local_addr().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let mut child = athook(folder.path())
        .args(["dev", "--gateway-listen", "127.0.0.1:0", "--core-listen", "127.0.0.1:0"])
        .args(["--database-url", &url])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let waiting = log.find(|line| line.contains("waiting for the database: Postgres 127.0.0.1:"));
    assert!(waiting.is_some());
    child.kill().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// The names of all files in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn keys_are_beside_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let start = async |database: &str| {
        let mut running = Program::start(athook(folder.path()).args([
            "--gateway-listen",
            "127.0.0.1:0",
            "--core-listen",
            "127.0.0.1:0",
            "--database-url",
            database,
        ]));
        running.printed("The development identity has moved").await;
        running
    };
    for _ in 0..2 {
        let running = start("sqlite://data/a.db?mode=rwc").await;
        assert!(running.end("TERM").success());
        assert_eq!(
            (names(&data), names(folder.path())),
            (vec!["a.db".into(), "a.keys".into()], vec!["data".into()])
        );
    }
    // Where an earlier release left its keys, they are found.
    std::fs::rename(data.join("a.keys"), folder.path().join("athook.keys")).unwrap();
    let running = start("sqlite://data/a.db?mode=rwc").await;
    assert!(running.end("TERM").success());
    assert_eq!(names(&data), ["a.db"]);
}

/// An address that was free a moment ago, and that no other test gets: they take those of 127.0.0.1.
fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.55.66.77:0").unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn public_url_has_the_port() {
    let folder = tempfile::tempdir().unwrap();
    let (address, listen) = (free_address(), "127.0.0.1:0");
    let (port, address) = (address.port(), address.to_string());
    let mut running = Program::start(athook(folder.path()).args([
        "dev",
        "--gateway-listen",
        &address,
        "--core-listen",
        listen,
    ]));
    let banner = running.printed("athook token").await;
    let did = format!("did:web:localhost%3A{port}");
    assert!(banner.contains(&format!("XRPC   http://{address} as {did}\n")), "{banner}");
    let token = athook(folder.path()).args(["token", "--method", LIST_SECRETS]).output().unwrap();
    let token = String::from_utf8(token.stdout).unwrap();
    let url = format!("http://{address}/xrpc/{LIST_SECRETS}");
    read(reqwest::Client::new().get(url).bearer_auth(token.trim())).await.ok();
    assert!(running.end("TERM").success());
}

#[test]
fn token_of_a_new_identity_or_an_unknown_method() {
    let folder = tempfile::tempdir().unwrap();
    let says = |method: &str| {
        let (code, told) = says(folder.path(), &["token", "--method", method]);
        assert_eq!(code, Some(0), "{told}");
        told
    };
    let good = "good for an hour at a running `athook dev` whose keys are in athook.dev\n";
    let made = "made a new development identity in athook.dev: an `athook dev` that runs in another folder does \
                not take this token\n";
    assert_eq!(says(LIST_SECRETS), format!("{made}{good}"));
    assert_eq!(says(LIST_SECRETS), good);
    let unknown = "athook serves no method com.example.nothing; the token is good for it only where --lexicons \
                   has it\n";
    assert_eq!(says("com.example.nothing"), format!("{unknown}{good}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_says_why_a_url_is_unreachable() {
    let database = Database::create(Kind::Sqlite, false).await;
    let mut core = Service::core_service_that_tries(&database.url(), &[KEY], "connect")
        .flag("--allow-http", "true")
        .flag("--allow-private-ranges", "127.0.0.0/8")
        .start()
        .await;
    let gateway = Gateway::before(core.address).start().await;
    let alice = Identity::new("did:plc:alice2222222222222222222", Key::k256());
    gateway.knows(&alice);
    // Taken, and nobody listens there.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let nobody = socket.local_addr().unwrap();
    let url = format!("http://{nobody}/a-secret-path");
    let answer = gateway.call(&alice, CREATE_WEBHOOK, &json!({ "url": url, "events": ["chat"] })).await;
    let request = answer.header("x-request-id").to_owned();
    answer.error(400, "InvalidUrl");
    core.logged("a webhook URL can't be reached").await;
    let log = core.log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let why: Vec<Value> = lines.filter(|line| line["message"] == "a webhook URL can't be reached").collect();
    let [why] = &why[..] else { panic!("{log}") };
    assert_eq!((&why["level"], &why["request"]), (&json!("INFO"), &json!(format!("{request:?}"))));
    assert!(why["causes"].as_str().unwrap().contains("Connection refused"), "{why}");
    assert!(!log.contains("a-secret-path"), "{log}");
}

/// Colours are for terminals, and only for those of people who want them (<https://no-color.org>).
#[test]
fn log_without_colours() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("url");
    std::fs::write(&file, format!("sqlite://{}/a.db?mode=rwc", folder.path().display())).unwrap();
    std::fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    let url = file.display();
    let logged = |variable: Option<&str>| {
        // Its standard error is a terminal, and a file that others can read is warned of.
        let command =
            format!("{} core-service migrate --database-url-file {url}", env!("CARGO_BIN_EXE_athook"));
        let mut script = Command::new("script");
        script.args(["--quiet", "--command", &command, "/dev/null"]).env_remove("NO_COLOR");
        script.envs(variable.map(|value| ("NO_COLOR", value)));
        String::from_utf8(script.output().unwrap().stdout).unwrap()
    };
    for (variable, colours) in [(None, true), (Some(""), true), (Some("1"), false), (Some("0"), false)] {
        let logged = logged(variable);
        assert!(logged.contains("WARN"), "{logged}");
        assert_eq!(logged.contains('\u{1b}'), colours, "{variable:?}: {logged:?}");
    }
}
