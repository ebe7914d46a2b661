//! What is stored survives a restart of the core-service.

use serde_json::{Value, json};

use crate::harness::commands;
use crate::harness::database::{Database, Kind};
use crate::harness::on_both;
use crate::harness::processes::Service;
use crate::harness::sealed::{self, StoredSecret};
use crate::harness::stack::{
    CREATE_WEBHOOK, DELETE_SECRET, LIST_SECRETS, LIST_WEBHOOKS, ROTATE_SECRET, Setup, Stack,
};
use crate::harness::webhook::{made_whole, url};

on_both! { everything_is_as_before }

/// What a client is shown, and two secrets as they are stored.
async fn state(stack: &Stack) -> (Value, Value, [Option<StoredSecret>; 2]) {
    let stored = async |name: &str| sealed::secret(&stack.database, &stack.alice.did, name).await;
    let secrets = [stored("rotated").await, stored("deleted").await];
    (stack.query(LIST_SECRETS, &[]).await.ok(), stack.query(LIST_WEBHOOKS, &[]).await.ok(), secrets)
}

async fn everything_is_as_before(kind: Kind) {
    let setup = Setup::on(kind).core("--probe", "off").core("--rotation-overlap", "1h");
    let mut stack = setup.start().await;
    made_whole(&stack).await;
    for name in ["rotated", "deleted"] {
        stack.create_secret(name).await.ok();
    }
    stack.call(ROTATE_SECRET, &json!({ "name": "rotated" })).await.ok();
    assert_eq!(stack.call(DELETE_SECRET, &json!({ "name": "deleted" })).await.status, 200);
    let before = state(&stack).await;
    assert!(before.2[0].as_ref().is_some_and(|secret| secret.previous_token.is_some()));

    stack.stop_core().await;
    stack.start_core().await;
    stack.until_ready(200).await;
    assert_eq!(state(&stack).await, before);
    stack.create_secret("deploys").await.error(400, "AlreadyExists");
    stack.create_secret("deleted").await.ok();
    stack.call(ROTATE_SECRET, &json!({ "name": "rotated" })).await.ok();
    let webhook = json!({ "url": url("whole?a=b"), "events": ["chat"] });
    stack.call(CREATE_WEBHOOK, &webhook).await.error(400, "DuplicateWebhook");
}

#[tokio::test]
async fn second_process_on_one_sqlite_file() {
    let database = Database::create(Kind::Sqlite, false).await;
    let url = database.url();
    let first = Service::core_service(&url).start().await;
    let refused = Service::core_service(&url).fails().await;
    assert!(refused.contains("is served by another process; an SQLite file has room for one"), "{refused}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rows").display().to_string();
    commands::run(&["export", "--database-url", &url, "--to", &file]).await.ok();
    let imported = commands::run(&["import", "--database-url", &url, "--from", &file]).await;
    assert!(imported.failed(1).contains("stop the core-service first"), "{}", imported.failed(1));
    first.kill();
    let _second = Service::core_service(&url).start().await;
}
