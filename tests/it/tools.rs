//! `athook dev` and the tools beside it: what it refuses, `athook publish`, `athook listen`.

mod doctor;
mod installed;
mod output;
mod publish;

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

/// Runs a tool in the folder. The exit code, and the text.
fn tool(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let (output, text) = output(athook(folder).args(arguments));
    (output.status.code().unwrap(), text)
}

#[tokio::test]
async fn deliveries_are_seen_and_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (code, text) = tool(folder, &["deliveries", "x"]);
    assert_eq!((code, text.as_str()), (1, "error: no `athook dev` runs in this folder\n"));
    let dev = dev(folder).await;
    let mut listening = Program::start(
        athook(folder).args(["listen", "--port", "0", "--fail", "1", "--status", "400", "--json"]),
    );
    let listed = || {
        let (code, text) =
            tool(folder, &["call", "place.stream.server.listWebhooks", "{\"limit\": 1}", "--json"]);
        assert_eq!(code, 0, "{text}");
        serde_json::from_str::<Value>(&text).unwrap()
    };
    let made = async {
        while listed()["webhooks"][0].is_null() {
            tokio::task::yield_now().await;
        }
        listed()["webhooks"][0]["id"].as_str().unwrap().to_owned()
    };
    let webhook = tokio::time::timeout(std::time::Duration::from_secs(20), made).await.unwrap();
    let (_, text) = tool(folder, &["deliveries", &webhook]);
    assert_eq!(text, "no deliveries\n");

    let (code, text) = tool(folder, &["test", &webhook, "--event", "follow"]);
    assert!(code == 1 && text.starts_with("failed: msg_") && text.contains(" http, 400, "), "{text}");
    assert!(text.ends_with("error: the test did not arrive\n"), "{text}");
    let (code, text) = tool(folder, &["test", &webhook]);
    assert!(code == 0 && text.starts_with("delivered: msg_") && text.contains(" ok, 204, "), "{text}");

    for (arguments, flag) in [
        (["test", &webhook, "--event", "nope"], "--event"),
        (["listen", "--port", "0", "--events=chat,nope"], "--events"),
    ] {
        let (code, text) = tool(folder, &arguments);
        let expected =
            format!("{flag}: \"nope\": one of chat, livestream, follow, mention, stream.received\n");
        assert!(code == 2 && text.ends_with(&expected), "{text}");
    }

    let (_, table) = tool(folder, &["deliveries", &webhook]);
    assert!(table.starts_with("DELIVERY ") && table.lines().count() == 3, "{table}");
    let newest = table.lines().nth(1).unwrap().split_whitespace().nth(1).unwrap();
    assert!(text.starts_with(&format!("delivered: {newest} ")), "{table}");
    let (_, failed) = tool(folder, &["deliveries", &webhook, "--failed", "--json"]);
    let failed: Value = serde_json::from_str(&failed).unwrap();
    assert_eq!((&failed["type"], &failed["lastStatus"]), (&json!("follow"), &json!(400)));
    let (code, text) = tool(folder, &["redeliver", failed["id"].as_str().unwrap()]);
    assert_eq!((code, text), (0, format!("due: msg_{}\n", failed["eventId"].as_str().unwrap())));
    listening.printed_times(3, "\"verified\":true").await;
    assert_eq!(tool(folder, &["redeliver", "x"]).0, 1);
    let (code, text) = tool(folder, &["redeliver", "msg_x"]);
    let told = "DELIVERY: \"msg_x\": the id of an event, as receivers see it; ";
    assert!(code == 2 && text.contains(told), "{text}");
    assert_eq!(tool(folder, &["call", "place.stream.server.getWebhook", "[]"]).0, 2);
    let (code, text) = tool(folder, &["call", "place.wisp.v2.secret.delete", r#"{"name":"x","name":"y"}"#]);
    assert!(code == 2 && text.contains("\"name\" is given twice"), "{text}");
    let (code, text) = tool(folder, &["call", "place.wisp.v2.secret.delete", "{\"name\": \"none\"}"]);
    assert!(code == 1 && text.contains("NotFound: there is no secret with this name"), "{text}");
    assert!(listening.end("TERM").success() && dev.end("TERM").success());
}

#[tokio::test]
async fn requests_are_passed_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut other = crate::harness::hook::Hook::answering(|_, _| {
        axum::response::IntoResponse::into_response((http::StatusCode::IM_A_TEAPOT, "short and stout"))
    })
    .await;
    let to = other.url("/hook?a=b");
    let start =
        |to: &str| Program::start(athook(folder.path()).args(["listen", "--port", "0", "--forward", to]));
    let mut listening = start(&to);
    let line = listening.printed("athook listens on http://").await;
    let url = line.split(' ').find(|word| word.starts_with("http://")).unwrap().to_owned();
    let answer = reqwest::Client::new().post(&url).header("webhook-id", "msg_1").body("{\"type\":\"chat\"}");
    let answer = answer.send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (418, "short and stout"));
    let passed_on = other.next().await;
    assert_eq!((passed_on.path.as_str(), passed_on.header("webhook-id")), ("/hook?a=b", "msg_1"));
    assert_eq!(passed_on.header("host"), other.address.to_string());
    listening.printed("--> chat [msg_1] signature not verified\nPOST /\n").await;
    listening.printed("<-- 418 POST / ").await;

    let mut alone = start("http://127.0.0.1:1/");
    let line = alone.printed("athook listens on http://").await;
    let url = line.split(' ').find(|word| word.starts_with("http://")).unwrap().to_owned();
    assert_eq!(reqwest::Client::new().post(&url).send().await.unwrap().status(), 502);
    let cause = "no answer: client error (Connect): tcp connect error: Connection refused";
    let line = alone.printed(cause).await;
    assert!(line.contains("<-- 502 POST / "), "{line}");
    assert_eq!(tool(folder.path(), &["listen", "--forward", "https://a.example/"]).0, 2);
}

#[test]
fn signed_and_verified_without_a_service() {
    const TOKEN: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("body"), "{\"test\": 2432232314}").unwrap();
    let of_vector =
        ["--secret", TOKEN, "--id", "msg_p5jXN8AQM9LWM0D4loKWxJek", "--timestamp", "1614265330", "body"];
    let (code, text) = tool(folder, &[&["sign"], &of_vector[..]].concat());
    let expected = "webhook-id: msg_p5jXN8AQM9LWM0D4loKWxJek\nwebhook-timestamp: 1614265330\n\
                    webhook-signature: v1,O4Gjv1HqPqsMrjmczoggs/sWA8gZD0VyHG+fLh4+ktI=\n\
                    X-Webhook-Signature: sha256=4685c9d16f64a759d47846eae0e4f6c75bedef25470e9a0e099c5a56f2f5571f\n";
    assert_eq!((code, text.as_str()), (0, expected));
    let fields: Vec<&str> = expected.lines().flat_map(|line| ["-H", line]).collect();
    let verify = |token: &str, at: &str, body: &str| {
        let own = ["verify", "--secret", token, "--at", at, body];
        tool(folder, &[&own[..], &fields].concat())
    };
    std::fs::write(folder.join("edited"), "{\"test\": 2432232314}\n").unwrap();
    std::fs::write(folder.join("other"), "{}").unwrap();
    let (code, text) = tool(folder, &["verify", "--secret", TOKEN, "body"]);
    let wrong = "wrong: a header field: webhook-signature is missing; X-Webhook-Signature is missing\n";
    assert!(code == 1 && text.contains(wrong), "{text}");
    for (token, at, body, code, said) in [
        (TOKEN, "1614265330", "body", 0, "verified: webhook-signature and X-Webhook-Signature\n"),
        (TOKEN, "1614265999", "body", 1, "wrong: the time\n"),
        (TOKEN, "1614265330", "other", 1, "wrong: the body or the key\n"),
        (TOKEN, "1614265330", "edited", 1, "wrong: the body: the line feed at its end was not signed\n"),
        ("another", "1614265330", "body", 1, "wrong: the body or the key\n"),
        (TOKEN, "soon", "body", 2, "--at: "),
    ] {
        let (got, text) = verify(token, at, body);
        assert!(got == code && text.contains(said), "{body} {at}: {got} {text}");
    }
}

#[test]
fn what_can_not_be_signed_or_verified() {
    let folder = tempfile::tempdir().unwrap();
    let fields = ["webhook-id", "webhook-timestamp", "webhook-signature", "X-Webhook-Signature"];
    let twice = fields.map(|name| (format!("{name}: a"), format!("{}: b", name.to_uppercase()), name));
    let mut cases: Vec<(Vec<&str>, String)> = vec![
        (vec!["sign", "--secret", ""], "--secret: is empty".to_owned()),
        (vec!["verify", "--secret", ""], "--secret: is empty".to_owned()),
        (vec!["listen", "--events", "nope", "--secret", ""], "--secret: is empty".to_owned()),
        (vec!["sign", "--secret", "s", "--id", "a\nb: c"], "--id: has a control character".to_owned()),
    ];
    for (first, second, name) in &twice {
        let arguments = vec!["verify", "--secret", "s", "-H", first, "-H", second];
        cases.push((arguments, format!("--header: {name} is given twice")));
    }
    for (arguments, said) in cases {
        let (code, text) = tool(folder.path(), &arguments);
        assert!(code == 2 && text.contains(&said), "{arguments:?}: {code} {text}");
    }
}
