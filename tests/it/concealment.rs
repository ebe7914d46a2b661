//! Tokens and webhook URLs are nowhere in clear: neither in the database nor in the logs.

use serde_json::json;

use crate::harness::database::{Database, Kind};
use crate::harness::logs;
use crate::harness::on_both;
use crate::harness::stack::{
    CREATE_SECRET, CREATE_WEBHOOK, GET_WEBHOOK, LIST_WEBHOOKS, ROTATE_SECRET, Setup, Stack, UPDATE_WEBHOOK,
};

on_both! { token_and_url_are_nowhere_in_clear }

async fn token_and_url_are_nowhere_in_clear(kind: Kind) {
    let mut stack = Setup::on(kind).core("--probe", "off").core("--rotation-overlap", "1h").start().await;
    let made = stack.create_secret("deploys").await.ok()["token"].as_str().unwrap().to_owned();
    let own = format!("own-token-{kind:?}-{}", "0123456789abcdef".repeat(2));
    stack.call(CREATE_SECRET, &json!({ "name": "own", "token": own })).await.ok();
    stack.call(CREATE_SECRET, &json!({ "name": "own", "token": own })).await.error(400, "AlreadyExists");
    let rotated = stack.call(ROTATE_SECRET, &json!({ "name": "deploys" })).await.ok();
    let rotated = rotated["token"].as_str().unwrap().to_owned();
    let next = format!("next-token-{kind:?}-{}", "0123456789abcdef".repeat(2));
    stack.call(ROTATE_SECRET, &json!({ "name": "own", "token": next })).await.ok();
    stack.call(ROTATE_SECRET, &json!({ "name": "none", "token": next })).await.error(400, "NotFound");
    stack.call(ROTATE_SECRET, &json!({ "name": ".", "token": next })).await.error(400, "InvalidRequest");
    let credential = format!("credential-in-the-path-{kind:?}");
    let input = json!({ "url": format!("https://hooks.example.com/{credential}"), "events": ["chat"] });
    let webhook = stack.call(CREATE_WEBHOOK, &input).await.ok()["webhook"].take();
    stack.call(CREATE_WEBHOOK, &input).await.error(400, "DuplicateWebhook");
    let refused =
        json!({ "url": format!("https://127.0.0.9.nip.invalid:22/{credential}"), "events": ["chat"] });
    stack.call(CREATE_WEBHOOK, &refused).await.error(400, "InvalidUrl");

    let other = format!("credential-after-an-update-{kind:?}");
    let change = json!({ "id": webhook["id"], "url": format!("https://hooks.example.com/{other}") });
    stack.call(UPDATE_WEBHOOK, &change).await.ok();
    stack.query(GET_WEBHOOK, &[("id", webhook["id"].as_str().unwrap())]).await.ok();
    stack.query(LIST_WEBHOOKS, &[]).await.ok();

    let bare = |token: &str| token.trim_start_matches("whsec_").to_owned();
    let hidden = [&made, &bare(&made), &rotated, &bare(&rotated), &own, &next, &credential, &other];
    let hidden = hidden.map(String::as_str);
    assert_hidden(&stored(&stack).await, &hidden, "the database");
    stack.stop_core().await;
    assert_hidden(&stored(&stack).await, &hidden, "the database after a stop");
    assert_hidden(logs::text().as_bytes(), &hidden, "the logs");
}

#[tokio::test]
async fn bearer_tokens_are_not_logged() {
    let stack = Stack::start(Kind::Sqlite).await;
    let token = stack.alice.token(crate::harness::stack::SERVICE, CREATE_SECRET);
    let signature = token.rsplit('.').next().unwrap().to_owned();
    stack.call_with(&token, CREATE_SECRET, &json!({ "name": "a" })).await.ok();
    stack.call_with(&token, CREATE_WEBHOOK, &json!({})).await.error(401, "AuthenticationRequired");
    assert_hidden(logs::text().as_bytes(), &[&token, &signature], "the logs");
}

/// Every byte of a SQLite database's files, or every row of a Postgres database as text.
async fn stored(stack: &Stack) -> Vec<u8> {
    match &stack.database {
        Database::Sqlite { .. } => {
            let files = stack.database.files();
            assert!(!files.is_empty());
            files.iter().flat_map(|file| std::fs::read(file).unwrap()).collect()
        }
        Database::Postgres { .. } => {
            let mut rows = String::new();
            for table in ["account", "secret", "webhook", "index_key"] {
                rows.push_str(&stack.database.rows_as_text(table).await);
            }
            assert!(rows.contains("deploys"), "the search finds what is not sealed: {rows}");
            // Postgres shows bytes in hexadecimal.
            let bytes: Vec<u8> = rows
                .split("\\x")
                .skip(1)
                .flat_map(|hex| {
                    let digits: Vec<u8> = hex.bytes().take_while(u8::is_ascii_hexdigit).collect();
                    digits
                        .chunks_exact(2)
                        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
                        .collect::<Vec<_>>()
                })
                .collect();
            [rows.into_bytes(), bytes].concat()
        }
    }
}

fn assert_hidden(bytes: &[u8], hidden: &[&str], place: &str) {
    assert!(!bytes.is_empty());
    for text in hidden {
        let found = bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(!found, "{place} has {text}");
    }
}
