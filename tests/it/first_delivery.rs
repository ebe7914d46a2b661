//! A first-time user gets to a verified delivery with the lines that the banner prints, and with those of the
//! README; and the lines of every tool do what the document says.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use prost::Message as _;

use crate::harness::machine::Machine;
use crate::harness::packages;
use crate::harness::program::Program;

const VERIFIED: &str = "verified: webhook-signature and X-Webhook-Signature\n";

/// Runs a line that ends by itself, and returns what it prints.
fn run(machine: &Machine, folder: &Path, lines: &str) -> String {
    let output = machine.shell(folder, lines).output().unwrap();
    assert!(output.status.success(), "{lines}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What listens has printed of the one delivery: its body, and that it is verified.
fn assert_verified(printed: &str, text: &str) {
    assert!(printed.contains("\nPOST /\n") && printed.contains(&format!("\"text\":\"{text}\"")), "{printed}");
    assert!(!printed.contains("not verified"), "{printed}");
}

/// The blocks of a document that are pasted into a shell.
fn blocks(document: &str) -> Vec<&str> {
    document.split("```sh\n").skip(1).map(|rest| rest.split_once("```").unwrap().0).collect()
}

#[tokio::test]
async fn lines_of_the_banner() {
    let machine = Machine::new();
    let elsewhere = machine.folder("elsewhere");
    let first = format!("{} dev", env!("CARGO_BIN_EXE_athook"));
    let mut dev = Program::start(&mut machine.shell(&elsewhere, &first));
    dev.printed("athook token").await;
    let [dev_line, listen_line, publish_line] = ["dev", "listen", "publish"].map(|name| dev.line(name));
    assert!(publish_line.ends_with("athook publish chat --text hi"), "{publish_line}");
    assert!(dev.end("TERM").success());

    let folder = machine.folder("here");
    let mut dev = Program::start(&mut machine.shell(&folder, &dev_line));
    dev.printed("athook token").await;
    let mut listen = Program::start(&mut machine.shell(&folder, &listen_line));
    listen.printed("athook listens on http://127.0.0.1:9100/").await;
    let published = run(&machine, &folder, &publish_line);
    assert!(published.starts_with("stored: msg_") && published.ends_with(", 1 delivery\n"), "{published}");
    assert_verified(&listen.printed(VERIFIED).await, "hi");
    assert!(listen.end("INT").success());
    let published = run(&machine, &folder, &publish_line);
    assert!(published.contains("no webhook of did:web:developer.athook.invalid"), "{published}");
    assert!(dev.end("INT").success());
}

#[tokio::test]
async fn lines_of_the_readme() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let blocks = blocks(&readme);
    // The first block has the two commands.
    let [_, dev, listen, publish, create_secret, create_webhook, grpc, _intake] = blocks[..] else {
        panic!("other blocks than this test runs: {blocks:#?}");
    };
    let machine = Machine::new();
    let folder = machine.folder("clone");
    let mut running = Program::start(&mut machine.shell(&folder, dev));
    running.printed("athook token").await;
    let mut listening = Program::start(&mut machine.shell(&folder, listen));
    listening.printed("athook listens on").await;
    run(&machine, &folder, publish);
    assert_verified(&listening.printed(VERIFIED).await, "hi");
    let secret: serde_json::Value = serde_json::from_str(&run(&machine, &folder, create_secret)).unwrap();
    assert_eq!(secret["name"], "deploys");
    let webhook: serde_json::Value = serde_json::from_str(&run(&machine, &folder, create_webhook)).unwrap();
    assert_eq!(webhook["webhook"]["secretId"], "deploys", "{webhook}");
    with_buf(&machine, &folder);
    assert_eq!(run(&machine, &folder, grpc), "{}\n", "nothing waits");
    assert!(listening.end("INT").success() && running.end("INT").success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_of_grpc() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/grpc.md");
    let document = std::fs::read_to_string(document).unwrap();
    let blocks = blocks(&document);
    let [dev, create_secret, list_backlogs, install, generate, publish] = blocks[..] else {
        panic!("other blocks than this test runs: {blocks:#?}");
    };
    let machine = Machine::new();
    let folder = machine.folder("clone");
    with_buf(&machine, &folder);
    let mut running = Program::start(&mut machine.shell(&folder, dev));
    running.printed("athook token").await;

    let secret: serde_json::Value = serde_json::from_str(&run(&machine, &folder, create_secret)).unwrap();
    assert_eq!(secret["name"], "deploys");
    let again = machine.shell(&folder, create_secret).output().unwrap();
    let told: serde_json::Value = serde_json::from_slice(&again.stderr).unwrap();
    assert_eq!(told["code"], "already_exists", "{told}");
    assert_eq!(reason(&told), "SECRET_EXISTS", "{told}");
    assert_eq!(run(&machine, &folder, list_backlogs), "{}\n");
    let unknown = create_secret.replace("$(cat core.token)", "another-token");
    let refused = machine.shell(&folder, &unknown).output().unwrap();
    let told: serde_json::Value = serde_json::from_slice(&refused.stderr).unwrap();
    assert_eq!(reason(&told), "SHARED_TOKEN_REQUIRED", "{told}");

    // The machine has no network: what `install` does is there already.
    assert!(install.ends_with("target/python/bin/pip install -r examples/requirements.txt\n"), "{install}");
    let python = tokio::task::spawn_blocking(|| packages::python("examples/requirements.txt")).await.unwrap();
    std::fs::create_dir_all(folder.join("target/python")).unwrap();
    let installed = python.parent().unwrap().parent().unwrap();
    for name in ["bin", "lib", "pyvenv.cfg"] {
        std::os::unix::fs::symlink(installed.join(name), folder.join("target/python").join(name)).unwrap();
    }
    run(&machine, &folder, generate);
    let printed = run(&machine, &folder, publish);
    assert!(printed.starts_with("OUTCOME_STORED ") && printed.ends_with(" with 0 deliveries\n"), "{printed}");
    let refused =
        machine.shell(&folder, &publish.replace("did:web:alice.example", "alice")).output().unwrap();
    let expected = "INVALID_ARGUMENT: events[0].streamer_did: must be a did:plc or did:web of at most 2048 bytes\n  \
         reason INVALID_FIELD of athook.v1\n  \
         field events[0].streamer_did: must be a did:plc or did:web of at most 2048 bytes\n";
    assert_eq!(String::from_utf8(refused.stderr).unwrap(), expected);
    assert!(running.end("INT").success());
}

/// The reason in what buf prints of a refusal.
fn reason(told: &serde_json::Value) -> String {
    assert_eq!(told["details"][0]["type"], "google.rpc.ErrorInfo", "{told}");
    let info = STANDARD_NO_PAD.decode(told["details"][0]["value"].as_str().unwrap()).unwrap();
    tonic_types::pb::ErrorInfo::decode(info.as_slice()).unwrap().reason
}

/// Puts buf onto the machine, and what it reads of the repository into the folder.
fn with_buf(machine: &Machine, folder: &Path) {
    let modules = packages::node("tests/it/first_delivery/package-lock.json");
    machine.install("buf", &modules.join("node_modules/.bin/buf"));
    for name in ["buf.yaml", "proto", "examples"] {
        let of_repository = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        std::os::unix::fs::symlink(of_repository, folder.join(name)).unwrap();
    }
}

#[tokio::test]
async fn lines_of_the_tools() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/delivery.md");
    let document = std::fs::read_to_string(document).unwrap();
    let blocks = blocks(document.split_once("## Tools").unwrap().1);
    let [dev, listen, publish, seen, token, signed] = blocks[..] else {
        panic!("other blocks than this test runs: {blocks:#?}");
    };
    let machine = Machine::new();
    let folder = machine.folder("clone");
    let mut running = Program::start(&mut machine.shell(&folder, dev));
    running.printed("athook token").await;
    let mut listening = Program::start(&mut machine.shell(&folder, listen));
    listening.printed("athook listens on").await;

    let published = run(&machine, &folder, publish);
    let published: Vec<&str> = published.lines().collect();
    let [chat, livestream, follows, file] = published[..] else { panic!("{published:#?}") };
    for one in [chat, livestream] {
        assert!(one.starts_with("stored: msg_") && one.ends_with(", 1 delivery"), "{one}");
    }
    assert_eq!(follows, "100 events: 100 stored, 0 seen, 0 in conflict; 100 deliveries");
    assert_eq!(file, "2 events: 2 stored, 0 seen, 0 in conflict; 2 deliveries");

    let seen = run(&machine, &folder, seen);
    let seen: Vec<&str> = seen.lines().collect();
    let [test, heading, newest, _, _, due] = seen[..] else { panic!("{seen:#?}") };
    assert!(test.starts_with("delivered: msg_") && test.contains(" ok, 204, "), "{test}");
    assert!(heading.starts_with("DELIVERY ") && newest.contains(" mention "), "{heading}\n{newest}");
    assert!(due.starts_with("due: msg_"), "{due}");
    listening.printed_times(106, VERIFIED).await;

    let secrets: serde_json::Value = serde_json::from_str(&run(&machine, &folder, token)).unwrap();
    assert_eq!(secrets["secrets"][0]["name"], "athook-listen");
    assert_eq!(run(&machine, &folder, signed), VERIFIED);
    assert!(listening.end("INT").success() && running.end("INT").success());
}
