//! `athook dev` and the tools beside it: what it refuses, `athook publish`, `athook listen`.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::harness::program::{Program, athook, dev};

const VERIFIED: &str = "verified: webhook-signature and X-Webhook-Signature\n";

fn output(command: &mut Command) -> (Output, String) {
    let output = command.output().unwrap();
    let text = [&output.stdout[..], &output.stderr].concat();
    (output, String::from_utf8(text).unwrap())
}

/// Runs `athook publish` with these arguments at a running `athook dev`. The exit code, and the text.
fn publish(folder: &Path, dev: &Program, arguments: &[&str]) -> (i32, String) {
    let line = dev.line("publish");
    let url = line.split(' ').next_back().unwrap();
    let mut command = athook(folder);
    let (output, text) = output(command.arg("publish").args(arguments).args(["--core-url", url]));
    (output.status.code().unwrap(), text)
}

/// `athook listen` on a port: 0 is any.
async fn listen(folder: &Path, port: &str) -> (Program, String) {
    let mut program = Program::start(athook(folder).args(["listen", "--port", port]));
    let line = program.printed("athook listens on http://").await;
    let url = line.split(' ').find(|word| word.starts_with("http://")).unwrap().to_owned();
    (program, url)
}

#[test]
fn dev_listens_on_loopback_only() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--gateway-listen", "--core-listen", "--health-listen", "--metrics-listen"];
    for address in ["0.0.0.0:0", "192.0.2.1:0", "[::]:0"] {
        let arguments = flags.iter().flat_map(|flag| [*flag, address]);
        let (output, text) = output(athook(folder.path()).arg("dev").args(arguments));
        assert_eq!(output.status.code(), Some(2), "{text}");
        for flag in flags {
            assert!(
                text.contains(&format!("{flag}: `athook dev` listens on loopback only")),
                "{flag}: {text}"
            );
        }
    }
}

#[tokio::test]
async fn events_of_every_type_arrive_verified() {
    let folder = tempfile::tempdir().unwrap();
    let dev = dev(folder.path()).await;
    let (mut listening, _) = listen(folder.path(), "0").await;
    let me = "did:web:developer.athook.invalid";
    let cases: [(&[&str], Value); 5] = [
        (
            &[
                "chat",
                "--text",
                "hi",
                "--uri",
                "at://a/b/c",
                "--author-did",
                "did:plc:a",
                "--author-handle",
                "a.b",
            ],
            json!({ "author": { "did": "did:plc:a", "handle": "a.b" }, "text": "hi", "uri": "at://a/b/c" }),
        ),
        (
            &[
                "livestream",
                "--title",
                "T",
                "--url",
                "https://s.example/a",
                "--handle",
                "a.b",
                "--host",
                "s.example",
            ],
            json!({ "handle": "a.b", "title": "T", "url": "https://s.example/a", "host": "s.example" }),
        ),
        (
            &["follow", "--follower-did", "did:plc:b", "--follower-avatar-url", "https://a.example/b"],
            json!({ "follower": { "did": "did:plc:b", "avatarUrl": "https://a.example/b" } }),
        ),
        (&["mention", "--text", "hello"], json!({ "author": { "did": me }, "text": "hello", "uri": "" })),
        (&["stream.received"], json!({})),
    ];
    for (number, (arguments, mut data)) in (1..).zip(cases) {
        data["streamerDid"] = json!(me);
        let time = ["--occurred-at", "2026-11-21T12:00:00.5Z"];
        let (code, text) = publish(folder.path(), &dev, &[arguments, &time].concat());
        assert!(code == 0 && text.starts_with("stored: msg_") && text.ends_with(", 1 delivery\n"), "{text}");
        let printed = listening.printed_times(number, VERIFIED).await;
        let body = printed.lines().rfind(|line| line.starts_with('{')).unwrap();
        let body: Value = serde_json::from_str(body).unwrap();
        let expected = json!({ "type": arguments[0], "timestamp": "2026-11-21T12:00:00.500Z", "data": data });
        assert_eq!(body, expected);
    }
    assert!(listening.end("TERM").success());
}

#[tokio::test]
async fn outcomes_of_a_publication() {
    let folder = tempfile::tempdir().unwrap();
    let dev = dev(folder.path()).await;
    let same = ["--idempotency-key", "k", "--occurred-at", "2026-11-21T12:00:00Z", "--json"];
    let chat = |text| [&["chat", "--text", text], &same[..]].concat();
    let outcome = |text: &str| {
        let (line, rest) = text.split_once('\n').unwrap();
        (serde_json::from_str::<Value>(line).unwrap(), rest.to_owned())
    };
    let (code, text) = publish(folder.path(), &dev, &chat("hi"));
    let (mut first, rest) = outcome(&text);
    let id = first["eventId"].as_str().unwrap().to_owned();
    let expected =
        |outcome: &str| json!({ "eventId": id, "outcome": outcome, "deliveries": 0, "idempotencyKey": "k" });
    assert_eq!((code, first.take(), rest.as_str()), (0, expected("STORED"), ""));
    let (code, text) = publish(folder.path(), &dev, &chat("hi"));
    assert_eq!((code, outcome(&text)), (0, (expected("SEEN"), String::new())));
    let (code, text) = publish(folder.path(), &dev, &chat("other"));
    let error = "error: the idempotency key belongs to an event with other content\n".to_owned();
    assert_eq!((code, outcome(&text)), (1, (expected("CONFLICT"), error)));

    let refused = "error: the core-service refuses: InvalidArgument: events[0].streamer_did: ";
    let (code, text) = publish(folder.path(), &dev, &["chat", "--text", "hi", "--streamer", "alice"]);
    assert!(code == 1 && text.starts_with(refused), "{text}");
    let of_somebody = ["stream.received", "--streamer", "did:plc:somebody"];
    let (code, text) = publish(folder.path(), &dev, &of_somebody);
    assert!(code == 0 && text.ends_with(", and no webhook of did:plc:somebody asks for it\n"), "{text}");
}

#[test]
fn publications_that_reach_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let publish = |arguments: &[&str]| {
        let mut command = athook(folder.path());
        let (output, text) = output(command.args(["publish", "chat", "--text", "hi"]).args(arguments));
        (output.status.code().unwrap(), text)
    };
    let (code, text) = publish(&["--core-url", "http://127.0.0.1:1"]);
    assert!(code == 1 && text.starts_with("error: no core-service at http://127.0.0.1:1: "), "{text}");
    let wrong = ["--core-url", "https://a.example", "--occurred-at", "now", "--core-token-file", "none"];
    let (code, text) = publish(&wrong);
    assert_eq!(code, 2, "{text}");
    for flag in ["--core-url: https needs --core-ca", "--occurred-at: ", "--core-token-file: none: "] {
        assert!(text.contains(flag), "{flag}: {text}");
    }
}

#[tokio::test]
async fn listener_takes_up_what_a_killed_one_left() {
    let folder = tempfile::tempdir().unwrap();
    let dev = dev(folder.path()).await;
    let (killed, url) = listen(folder.path(), "0").await;
    killed.kill();
    let port = url.trim_end_matches('/').rsplit(':').next().unwrap().to_owned();
    let (mut listening, again) = listen(folder.path(), &port).await;
    assert_eq!(again, url);
    let (_, text) = publish(folder.path(), &dev, &["chat", "--text", "hi"]);
    assert!(text.ends_with(", 1 delivery\n"), "{text}");
    listening.printed(VERIFIED).await;
    assert!(listening.end("TERM").success());
    let (_, text) = publish(folder.path(), &dev, &["chat", "--text", "hi"]);
    assert!(text.contains("no webhook of"), "{text}");
}

#[tokio::test]
async fn listener_elsewhere_has_the_token_that_it_is_given() {
    const TOKEN: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let folder = tempfile::tempdir().unwrap();
    // An `athook dev` that was killed has left its file behind.
    dev(folder.path()).await.kill();
    let (mut unknowing, url) = listen(folder.path(), "0").await;
    let post = async |url: &str| {
        let request = reqwest::Client::new().post(url).header("x-webhook-signature", "sha256=00").body("{}");
        assert_eq!(request.send().await.unwrap().status(), 204);
    };
    post(&url).await;
    let text = unknowing.printed("not verified").await;
    assert!(text.contains("verifies nothing: no `athook dev` runs in this folder"), "{text}");
    unknowing.printed("not verified: there is no token (--secret TOKEN)\n").await;

    let mut given = Program::start(athook(folder.path()).args(["listen", "--port", "0", "--secret", TOKEN]));
    let line = given.printed("verifies with the token of --secret").await;
    let url = line.split(' ').find(|word| word.starts_with("http://")).unwrap().to_owned();
    post(&url).await;
    given.printed("\nPOST /\nx-webhook-signature: sha256=00\naccept: */*\nhost: ").await;
    let reason =
        "not verified: webhook-signature is missing; X-Webhook-Signature was not made with this token";
    given.printed(reason).await;
    assert!(given.end("TERM").success() && unknowing.end("INT").success());
}
