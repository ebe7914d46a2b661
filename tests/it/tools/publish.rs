//! `athook publish` of many events: samples, files, repeats.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use super::{VERIFIED, publish, tool};
use crate::harness::program::{Program, athook, dev};
use crate::harness::table::Table;

/// `athook listen`, and the webhook that it made.
async fn listen(folder: &Path) -> (Program, String) {
    let (mut program, _) = super::listen(folder, "0").await;
    let printed = program.printed(" has the webhook ").await;
    let (_, rest) = printed.split_once(" has the webhook ").unwrap();
    let (webhook, _) = rest.split_once(' ').unwrap();
    (program, webhook.to_owned())
}

/// The bodies of the requests that were printed.
fn bodies(printed: &str) -> Vec<Value> {
    let lines = printed.lines().filter(|line| line.starts_with('{'));
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Lines of events with the keys `k0`, `k1`, …
fn file(folder: &Path, name: &str, events: usize) -> String {
    let line = |number: usize| json!({ "idempotencyKey": format!("k{number}"), "streamReceived": {} });
    let lines: String = (0..events).map(|number| format!("{}\n", line(number))).collect();
    std::fs::write(folder.join(name), lines).unwrap();
    name.to_owned()
}

#[tokio::test]
async fn examples_are_the_samples_of_tests() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let dev = dev(folder).await;
    let (mut listening, webhook) = listen(folder).await;
    let types = ["chat", "livestream", "follow", "mention", "stream.received"];
    for (number, name) in (0..).zip(types) {
        let (code, text) = publish(folder, &dev, &[name, "--example"]);
        assert!(code == 0 && text.ends_with(", 1 delivery\n"), "{text}");
        listening.printed_times(2 * number + 1, VERIFIED).await;
        let (code, text) = tool(folder, &["test", &webhook, "--event", name]);
        assert_eq!(code, 0, "{text}");
        let printed = listening.printed_times(2 * number + 2, VERIFIED).await;
        let [.., example, sample] = &bodies(&printed)[..] else { panic!("{printed}") };
        assert_eq!((&example["type"], &example["data"]), (&json!(name), &sample["data"]));
    }
    let odd = ["mention", "--example", "--text", "hi", "--streamer", "did:plc:s", "--author-handle", "a.b"];
    let (code, text) = publish(folder, &dev, &odd);
    assert!(code == 0 && text.ends_with(", and no webhook of did:plc:s asks for it\n"), "{text}");
    assert_eq!(tool(folder, &["publish", "chat"]).0, 2);
    assert!(listening.end("TERM").success());
}

#[tokio::test]
async fn repeats_are_events_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let dev = dev(folder).await;
    let (mut listening, _) = listen(folder).await;
    let (code, text) = publish(folder, &dev, &["chat", "--text", "hi", "--repeat", "3"]);
    assert_eq!((code, text.as_str()), (0, "3 events: 3 stored, 0 seen, 0 in conflict; 3 deliveries\n"));
    let printed = listening.printed_times(3, VERIFIED).await;
    assert_eq!(bodies(&printed).len(), 3);
    let (code, text) = publish(folder, &dev, &["chat", "--text", "hi", "--repeat", "1500", "--json"]);
    let keys: BTreeSet<String> = text
        .lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            assert_eq!((&line["outcome"], &line["deliveries"]), (&json!("STORED"), &json!(1)));
            line["idempotencyKey"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!((code, keys.len()), (0, 1500));
    for wrong in
        [["--repeat", "0"].as_slice(), &["--repeat", "2", "--idempotency-key", "k"], &["--file", "a"]]
    {
        assert_eq!(publish(folder, &dev, &[&["chat", "--text", "hi"], wrong].concat()).0, 2, "{wrong:?}");
    }
}

#[tokio::test]
async fn events_of_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let dev = dev(folder).await;
    let events = file(folder, "events", 2500);
    let from_file = || publish(folder, &dev, &["--file", &events, "--occurred-at", "2026-11-21T12:00:00Z"]);
    let (code, text) = from_file();
    assert_eq!((code, text.as_str()), (0, "2500 events: 2500 stored, 0 seen, 0 in conflict; 0 deliveries\n"));
    let (code, text) = from_file();
    assert_eq!((code, text.as_str()), (0, "2500 events: 0 stored, 2500 seen, 0 in conflict; 0 deliveries\n"));

    // From standard input: one line has a key whose event differs.
    let url = dev.line("publish");
    let url = url.split(' ').next_back().unwrap();
    let mut command = athook(folder);
    let command = command.args(["publish", "--file", "-", "--streamer", "did:plc:s", "--core-url", url]);
    let mut piped =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = "{\"streamReceived\":{}}\n\n{\"idempotencyKey\":\"k7\",\"streamReceived\":{}}\n";
    piped.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = piped.wait_with_output().unwrap();
    let (text, error) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    let (first, second) = text.split_once('\n').unwrap();
    assert!(first.starts_with("line 3: conflict: msg_") && first.ends_with(" has this key"), "{first}");
    assert_eq!(second, "2 events: 1 stored, 0 seen, 1 in conflict; 0 deliveries\n");
    assert_eq!(error, "error: the idempotency keys of some belong to events with other content\n");
    assert_eq!(output.status.code(), Some(1));
}

#[tokio::test]
async fn byte_order_mark_is_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let dev = dev(folder).await;
    let name = file(folder, "events", 2);
    let text = std::fs::read_to_string(folder.join(&name)).unwrap();
    std::fs::write(folder.join(&name), format!("\u{feff}{text}")).unwrap();
    let published = publish(folder, &dev, &["--file", &name]);
    let sum = "2 events: 2 stored, 0 seen, 0 in conflict; 0 deliveries\n";
    assert_eq!(published, (0, sum.to_owned()));
}

#[tokio::test]
async fn interrupt_says_how_many_went() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let dev = dev(folder).await;
    let (mut listening, _) = listen(folder).await;
    let line = dev.line("publish");
    let core = line.split(' ').next_back().unwrap();
    let child = athook(folder)
        .args(["publish", "chat", "--text", "hi", "--repeat", "1000000000", "--core-url", core])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The second request has begun: the first, of 1,000 events, is answered.
    listening.printed_times(1001, VERIFIED).await;
    let sent = std::process::Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
    let ended = child.wait_with_output().unwrap();
    let told = String::from_utf8(ended.stderr).unwrap();
    let count = told.strip_prefix("error: interrupted; ").and_then(|rest| {
        rest.strip_suffix(" events are published, and perhaps some after them\n")?.parse::<u32>().ok()
    });
    assert!(ended.status.code() == Some(1) && count.is_some_and(|count| count >= 1000), "{told}");
}

#[tokio::test]
async fn bad_lines_and_how_far_it_got() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let dev = dev(folder).await;
    let lines = |name: &str, events: usize, bad: usize, line: &str| {
        let name = file(folder, name, events);
        let text = std::fs::read_to_string(folder.join(&name)).unwrap();
        let text: Vec<&str> =
            (1..).zip(text.lines()).map(|(number, good)| if number == bad { line } else { good }).collect();
        std::fs::write(folder.join(&name), text.join("\n")).unwrap();
        name
    };
    let stranger = r#"{"streamerDid":"alice","streamReceived":{}}"#;
    let rule = "streamerDid: must be a did:plc or did:web of at most 2048 bytes";
    let mut table = Table::default();
    for (case, name, expected) in [
        (
            "not JSON",
            lines("a", 1200, 1100, "{"),
            "line 1100: column 1: EOF while parsing an object".to_owned(),
        ),
        (
            "a rule of the core-service",
            lines("b", 1200, 1100, stranger),
            format!(
                "the core-service refuses: InvalidArgument: line 1100: {rule}; the events up to line 1000 are published"
            ),
        ),
        (
            "the same in the first request",
            lines("c", 10, 5, stranger),
            format!("the core-service refuses: InvalidArgument: line 5: {rule}"),
        ),
        ("no file", "none".to_owned(), "none: No such file or directory (os error 2)".to_owned()),
    ] {
        table.check(case, publish(folder, &dev, &["--file", &name]), (1, format!("error: {expected}\n")));
    }
    table.finish();
    // Nothing was published of the first one, and the first thousand of the second.
    let name = file(folder, "events", 1200);
    let (_, text) = publish(folder, &dev, &["--file", &name, "--json"]);
    let stored = text.lines().filter(|line| line.contains("STORED")).count();
    assert_eq!(stored, 200, "the others are known, with another time");
}
