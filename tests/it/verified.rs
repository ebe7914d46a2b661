//! Deliveries are verified by the libraries that receivers use: `standardwebhooks` of Rust, npm and PyPI.

use std::io::Write as _;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::harness::database::Kind;
use crate::harness::hook::{Hook, Received};
use crate::harness::packages;
use crate::harness::publisher::Publisher;
use crate::harness::stack::{CREATE_SECRET, CREATE_WEBHOOK, ROTATE_SECRET, Setup};

const FIRST: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const SECOND: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// A delivery as it arrived, and the token that a receiver verifies it with.
struct Case {
    token: &'static str,
    delivery: Received,
    is_verified: bool,
}

impl Case {
    fn of(delivery: &Received, token: &'static str, is_verified: bool) -> Self {
        Self { token, delivery: delivery.clone(), is_verified }
    }

    fn line(&self) -> String {
        let Received { path: _, headers, body } = &self.delivery;
        let headers: serde_json::Map<String, Value> = headers
            .iter()
            .map(|(name, value)| (name.to_string(), Value::from(value.to_str().unwrap())))
            .collect();
        json!({ "token": self.token, "headers": headers, "body": STANDARD.encode(body) }).to_string()
    }
}

/// What a script prints of these deliveries, one line each.
fn verdicts(command: &mut Command, cases: &[Case]) -> Vec<String> {
    command.current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut running = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let lines: Vec<String> = cases.iter().map(Case::line).collect();
    running.stdin.take().unwrap().write_all((lines.join("\n") + "\n").as_bytes()).unwrap();
    let output = running.wait_with_output().unwrap();
    assert!(output.status.success(), "{command:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_the_published_libraries() {
    let stack =
        Setup::on(Kind::Sqlite).core("--allow-http", "true").core("--rotation-overlap", "1h").start().await;
    let mut hook = Hook::start().await;
    stack.call(CREATE_SECRET, &json!({ "name": "deploys", "token": FIRST })).await.ok();
    let webhook = json!({ "url": hook.url("/"), "events": ["chat"], "active": true, "secretId": "deploys" });
    stack.call(CREATE_WEBHOOK, &webhook).await.ok();
    let publisher = Publisher::of(stack.core);
    publisher.chat(&stack.alice.did, "before", "héllo \u{1f534} \"\\\u{2028}").await;
    let before = hook.next().await;
    stack.call(ROTATE_SECRET, &json!({ "name": "deploys", "token": SECOND })).await.ok();
    publisher.chat(&stack.alice.did, "in the overlap", "hello").await;
    let overlap = hook.next().await;
    let mut altered = overlap.clone();
    altered.body = String::from_utf8(overlap.body.to_vec()).unwrap().replace("hello", "hallo").into();

    let cases = [
        Case::of(&before, FIRST, true),
        Case::of(&before, SECOND, false),
        Case::of(&overlap, FIRST, true),
        Case::of(&overlap, SECOND, true),
        Case::of(&overlap, OTHER, false),
        Case::of(&altered, FIRST, false),
        Case::of(&altered, SECOND, false),
    ];
    let expected: Vec<&str> = cases
        .iter()
        .map(|case| if case.is_verified { "verified" } else { "No matching signature found" })
        .collect();
    for (case, expected) in cases.iter().zip(&expected) {
        let verifier = standardwebhooks::Webhook::new(case.token).unwrap();
        let verdict = verifier.verify(&case.delivery.body, &case.delivery.headers);
        assert_eq!(verdict.is_ok(), case.is_verified, "{expected}");
    }
    let scripts = tokio::task::spawn_blocking(move || {
        let python = packages::python("tests/it/verified/requirements.txt");
        let node = packages::node("tests/it/verified/package-lock.json");
        let by_python = verdicts(Command::new(python).arg("tests/it/verified/verify.py"), &cases);
        let by_node = verdicts(Command::new("node").arg("tests/it/verified/verify.cjs").arg(node), &cases);
        [by_python, by_node]
    });
    assert_eq!(scripts.await.unwrap(), [expected.clone(), expected]);
}
