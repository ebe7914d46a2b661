//! Removal of everything that a DID owns, by rpc and by command.

mod events;

use sea_orm::{ConnectionTrait as _, Statement};
use tokio::task::JoinSet;
use tonic::Code;

use crate::harness::commands;
use crate::harness::database::{Database, Kind};
use crate::harness::direct::Direct;
use crate::harness::on_both;
use crate::harness::processes::Service;

const ALICE: &str = "did:plc:alice2222222222222222222";
const BOB: &str = "did:plc:bob222222222222222222222";

async fn started(kind: Kind) -> (Database, Service, Direct) {
    let database = Database::create(kind, false).await;
    let service = Service::core_service(&database.url()).start().await;
    let client = Direct::to(service.address).await;
    (database, service, client)
}

/// Two secrets, and three webhooks, of which one names a secret.
async fn fill(client: &Direct, did: &str) {
    for name in ["a", "b"] {
        client.create_secret(did, name).await.unwrap();
    }
    for (number, secret) in [(1, Some("a")), (2, None), (3, None)] {
        client.create_webhook(did, &format!("https://example.com/{number}"), secret).await.unwrap();
    }
}

/// What the account row of `did` says, if there is one, and what is there: secrets and webhooks.
async fn counts(database: &Database, did: &str) -> (Option<(i32, i32)>, (i64, i64)) {
    let connection = database.connect().await;
    let backend = connection.get_database_backend();
    let ask =
        async |sql: String| connection.query_one_raw(Statement::from_string(backend, sql)).await.unwrap();
    let account = ask(format!("SELECT secrets, webhooks FROM account WHERE did = '{did}'")).await;
    let account =
        account.map(|row| (row.try_get("", "secrets").unwrap(), row.try_get("", "webhooks").unwrap()));
    let count = async |table| {
        let row = ask(format!("SELECT count(*) AS rows FROM {table} WHERE owner_did = '{did}'")).await;
        row.unwrap().try_get::<i64>("", "rows").unwrap()
    };
    (account, (count("secret").await, count("webhook").await))
}

/// Creates three secrets and two webhooks of alice's, one after the other.
async fn create_five(client: Direct, round: usize, task: usize) {
    for number in 0..5 {
        let name = format!("{round}-{task}-{number}");
        let created = match number % 2 {
            0 => client.create_secret(ALICE, &name).await,
            _ => client.create_webhook(ALICE, &format!("https://example.com/{name}"), None).await,
        };
        assert_eq!(created, Ok(()));
    }
}

/// What alice's account row says, and what is there, at one moment.
async fn settled(database: &Database) -> ((i64, i64), (i64, i64)) {
    let connection = database.connect().await;
    let sql = format!(
        "SELECT coalesce((SELECT secrets FROM account WHERE did = '{ALICE}'), 0) AS secrets,
                coalesce((SELECT webhooks FROM account WHERE did = '{ALICE}'), 0) AS webhooks,
                (SELECT count(*) FROM secret WHERE owner_did = '{ALICE}') AS secret_rows,
                (SELECT count(*) FROM webhook WHERE owner_did = '{ALICE}') AS webhook_rows"
    );
    let statement = Statement::from_string(connection.get_database_backend(), sql);
    let row = connection.query_one_raw(statement).await.unwrap().unwrap();
    let number =
        |name| row.try_get::<i64>("", name).or_else(|_| row.try_get::<i32>("", name).map(i64::from)).unwrap();
    ((number("secrets"), number("webhooks")), (number("secret_rows"), number("webhook_rows")))
}

on_both! {
    everything_of_one_did, text_that_is_no_did, racing_fifty_creations, by_command
}

async fn everything_of_one_did(kind: Kind) {
    let (database, _service, client) = started(kind).await;
    fill(&client, ALICE).await;
    fill(&client, BOB).await;
    let removed = client.purge(ALICE).await.unwrap();
    assert_eq!((removed.secrets, removed.webhooks), (2, 3));
    assert_eq!(counts(&database, ALICE).await, (None, (0, 0)));
    assert_eq!(counts(&database, BOB).await, (Some((2, 3)), (2, 3)));

    // Repeating it changes nothing, nor does a purge of an unknown DID.
    for did in [ALICE, "did:web:nobody.example"] {
        let removed = client.purge(did).await.unwrap();
        assert_eq!((removed.secrets, removed.webhooks), (0, 0));
    }
    fill(&client, ALICE).await;
    assert_eq!(counts(&database, ALICE).await, (Some((2, 3)), (2, 3)));
}

async fn text_that_is_no_did(kind: Kind) {
    let (_database, _service, client) = started(kind).await;
    for did in ["", "alice", "did:plc:", "did:plc:a b"] {
        let refused = client.purge(did).await.unwrap_err();
        assert_eq!(
            (refused.code(), refused.message()),
            (Code::InvalidArgument, "did: must be a DID of at most 2048 bytes")
        );
    }
}

async fn racing_fifty_creations(kind: Kind) {
    let (database, _service, client) = started(kind).await;
    for round in 0..8 {
        let mut creations: JoinSet<_> =
            (0..10).map(|task| create_five(client.clone(), round, task)).collect();
        // One purge after the other, until the last creation has ended.
        let mut removed = Vec::new();
        while !creations.is_empty() {
            removed.push(client.purge(ALICE).await.unwrap());
            while let Some(ended) = creations.try_join_next() {
                ended.unwrap();
            }
            let (account, there) = settled(&database).await;
            assert_eq!(account, there);
        }
        // Each was removed once, or is there still.
        let (_, there) = settled(&database).await;
        let last = client.purge(ALICE).await.unwrap();
        assert_eq!((i64::from(last.secrets), i64::from(last.webhooks)), there);
        let all = removed.iter().chain([&last]);
        let sums = all.fold((0, 0), |sums, one| (sums.0 + one.secrets, sums.1 + one.webhooks));
        assert_eq!(sums, (30, 20));
        assert_eq!(settled(&database).await, ((0, 0), (0, 0)));
    }
}

async fn by_command(kind: Kind) {
    let (database, _service, client) = started(kind).await;
    fill(&client, ALICE).await;
    fill(&client, BOB).await;
    let url = database.url();
    let purge = async || commands::run(&["purge", "--did", ALICE, "--database-url", &url]).await.ok().output;
    assert_eq!(
        purge().await,
        format!("removed of {ALICE}: 2 secrets, 3 webhooks, 0 events, 0 deliveries, 0 attempts\n")
    );
    assert_eq!(
        purge().await,
        format!("removed of {ALICE}: 0 secrets, 0 webhooks, 0 events, 0 deliveries, 0 attempts\n")
    );
    assert_eq!(counts(&database, ALICE).await, (None, (0, 0)));
    assert_eq!(counts(&database, BOB).await, (Some((2, 3)), (2, 3)));
}

#[tokio::test]
async fn command_that_is_told_something_else() {
    let folder = tempfile::tempdir().unwrap();
    let missing = format!("sqlite://{}/none.db?mode=rwc", folder.path().display());
    let ended = commands::run(&["purge", "--did", "alice", "--database-url", &missing]).await;
    assert_eq!(ended.failed(2).trim(), r#"--did: "alice": must be a DID of at most 2048 bytes"#);
    assert_eq!(commands::run(&["purge", "--database-url", &missing]).await.status.code(), Some(2));
    let ended = commands::run(&["purge", "--did", ALICE, "--database-url", &missing]).await;
    assert!(ended.failed(1).starts_with("error: there is no database: SQLite file"), "{}", ended.log);
    assert!(!folder.path().join("none.db").exists());
}
