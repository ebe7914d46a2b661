//! Standard output that nobody reads any more, or that is full.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use super::{listen, publish, tool};
use crate::harness::program::{athook, dev};
use crate::harness::table::Table;

/// How long a listener may take to end.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs a tool with this standard output. The exit code, and what it wrote to standard error.
fn written_to(output: impl Into<Stdio>, folder: &Path, arguments: &[&str]) -> (i32, String) {
    let output = athook(folder).args(arguments).stdout(output).stderr(Stdio::piped()).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test]
async fn full_output_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let dev = dev(folder).await;
    let (_listening, _) = listen(folder, "0").await;
    let (_, listed) = tool(folder, &["call", "place.stream.server.listWebhooks", "--json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let webhook = listed["webhooks"][0]["id"].as_str().unwrap();
    let (_, tested) = tool(folder, &["test", webhook, "--json"]);
    let tested: serde_json::Value = serde_json::from_str(&tested).unwrap();
    let delivery = tested["delivery"]["id"].as_str().unwrap();
    let url = dev.line("publish");
    let url = url.split(' ').next_back().unwrap();
    let error =
        |more: &str| (1, format!("error: standard output: No space left on device (os error 28){more}\n"));
    let mut table = Table::default();
    for (arguments, more) in [
        (["sign", "--secret", "s"].as_slice(), ""),
        (&["sign", "--secret", "s", "--json"], ""),
        (&["verify", "--secret", "s"], ""),
        (&["token", "--method", "a.b.c"], ""),
        (&["call", "place.stream.server.listWebhooks"], ""),
        (&["deliveries", webhook], ""),
        (&["deliveries", webhook, "--json"], ""),
        (&["test", webhook], ""),
        (&["redeliver", delivery], ""),
        (&["publish", "chat", "--text", "x", "--core-url", url], "; 1 event is published"),
        (&["publish", "follow", "--example", "--repeat", "3", "--core-url", url], "; 3 events are published"),
        (&["core-service", "purge", "--did", "did:plc:a", "--database-url", "sqlite://athook.db"], ""),
    ] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        table.check(arguments.join(" "), written_to(full, folder, arguments), error(more));
    }
    table.finish();
}

#[tokio::test]
async fn closed_output_ends_a_publication() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let dev = dev(folder).await;
    let url = dev.line("publish");
    let url = url.split(' ').next_back().unwrap();
    let (_, closed) = std::io::pipe().unwrap();
    let arguments = ["publish", "chat", "--text", "x", "--repeat", "3000", "--json", "--core-url", url];
    let expected =
        "error: standard output: Broken pipe (os error 32); 1000 events are published\n".to_owned();
    assert_eq!(written_to(closed, folder, &arguments), (1, expected));
}

#[tokio::test]
async fn closed_output_ends_a_listener() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let dev = dev(folder).await;
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = athook(folder);
    let mut listening =
        command.args(["listen", "--port", "0"]).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    drop(command);
    let mut first = String::new();
    BufReader::new(reader).read_line(&mut first).unwrap();
    assert!(first.contains(" has the webhook "), "{first}");
    let (_, text) = publish(folder, &dev, &["chat", "--text", "hi"]);
    assert!(text.ends_with(", 1 delivery\n"), "{text}");
    let ended = async {
        while listening.try_wait().unwrap().is_none() {
            tokio::task::yield_now().await;
        }
    };
    let ended = tokio::time::timeout(LIMIT, ended).await;
    listening.kill().unwrap();
    assert!(ended.is_ok(), "it goes on");
    let output = listening.wait_with_output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        (output.status.code(), error.as_str()),
        (Some(1), "error: standard output: Broken pipe (os error 32)\n")
    );
    let (_, text) = publish(folder, &dev, &["chat", "--text", "hi"]);
    assert!(text.contains("no webhook of"), "{text}");
}
