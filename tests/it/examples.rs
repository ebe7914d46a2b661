//! The example clients of `EventService`: what they publish arrives.

use std::path::{Path, PathBuf};
use std::process::Command;

use proto::athook::Outcome;
use serde_json::{Value, json};

use crate::harness::database::Kind;
use crate::harness::hook::Hook;
use crate::harness::packages;
use crate::harness::stack::{CREATE_WEBHOOK, Setup, Stack};

#[path = "../../examples/publish.rs"]
#[expect(dead_code, unreachable_pub, reason = "main is for whoever runs the example")]
mod publish;

const TOKEN: &str = "a-token-of-the-example";

/// A core-service that asks for a token, and a receiver of alice's chat messages.
async fn setup(folder: &Path) -> (Stack, Hook, PathBuf) {
    let file = folder.join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    let path = file.display().to_string();
    let stack = Setup::on(Kind::Sqlite)
        .core("--allow-http", "true")
        .core("--core-token-file", &path)
        .gateway("--core-token-file", &path)
        .start()
        .await;
    let hook = Hook::start().await;
    let webhook = json!({ "url": hook.url("/"), "events": ["chat"], "active": true });
    stack.call(CREATE_WEBHOOK, &webhook).await.ok();
    (stack, hook, file)
}

fn data(stack: &Stack, text: &str) -> Value {
    json!({
        "streamerDid": stack.alice.did,
        "author": { "did": "did:plc:z72i7hdynmk6r22z27h6tvur", "handle": "carol.example" },
        "text": text,
        "uri": "at://did:plc:z72i7hdynmk6r22z27h6tvur/place.stream.chat.message/3m6k2xq7v2c2a",
    })
}

#[tokio::test]
async fn rust() {
    let folder = tempfile::tempdir().unwrap();
    let (stack, mut hook, _) = setup(folder.path()).await;
    let url = format!("http://{}", stack.core);
    let event = publish::chat(&stack.alice.did, "k", "hi").unwrap();
    let twice = vec![event.clone(), event.clone()];
    let results = publish::publish(&url, Some(TOKEN), twice).await.unwrap();
    let outcomes: Vec<_> = results.iter().map(|one| (one.outcome(), one.deliveries)).collect();
    assert_eq!(outcomes, [(Outcome::Stored, 1), (Outcome::Seen, 1)]);
    assert_eq!(hook.next().await.json()["data"], data(&stack, "hi"));
    let refused = publish::publish(&url, None, vec![event]).await.unwrap_err();
    assert!(refused.to_string().contains("authentication"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python() {
    let folder = tempfile::tempdir().unwrap();
    let (stack, mut hook, file) = setup(folder.path()).await;
    let python = tokio::task::spawn_blocking(|| packages::python("examples/requirements.txt")).await.unwrap();
    let run = |program: &Path, arguments: &[&str]| {
        let output = Command::new(program)
            .args(arguments)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env_clear()
            .env("PYTHONPATH", folder.path())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let out = folder.path().display();
    let (types, client) = (format!("--python_out={out}"), format!("--grpc_python_out={out}"));
    let protoc = ["-m", "grpc_tools.protoc", "-I", "proto", &types, &client, "athook/v1/event.proto"];
    run(&python, &protoc);
    let (address, file) = (stack.core.to_string(), file.display().to_string());
    let printed = run(&python, &["examples/publish.py", &address, &stack.alice.did, "hällo", &file]);
    assert!(printed.starts_with("OUTCOME_STORED ") && printed.ends_with(" with 1 deliveries\n"), "{printed}");
    assert_eq!(hook.next().await.json()["data"], data(&stack, "hällo"));
}
