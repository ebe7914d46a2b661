//! `core-service reseal`: everything under the first key, beside a service that writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use sea_orm::{
    ConnectionTrait as _, DatabaseTransaction, SqliteTransactionMode, Statement, TransactionOptions,
    TransactionTrait as _,
};
use tonic::Code;

use crate::harness::commands::{self, Ended, Running};
use crate::harness::database::{Database, Kind};
use crate::harness::direct::Direct;
use crate::harness::on_both;
use crate::harness::processes::{KEY as OLD, Service, Setup};

const NEW: &str = "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=";
const ALICE: &str = "did:plc:alice2222222222222222222";
const BOB: &str = "did:plc:bob222222222222222222222";
/// Of each kind: more than a batch, which is 250.
const ROWS: usize = 300;

fn core(database: &Database, keys: &[&str]) -> Setup {
    let setup = Service::core_service_with(&database.url(), keys);
    setup.flag("--max-secrets", "1000000").flag("--max-webhooks", "1000000")
}

fn url(number: usize) -> String {
    format!("https://hooks.example.com/{number}")
}

/// A database with secrets and webhooks of alice's under the old key.
async fn filled(kind: Kind) -> Database {
    let database = Database::create(kind, false).await;
    let service = core(&database, &[OLD]).start().await;
    let client = Direct::to(service.address).await;
    let client = &client;
    let secrets = (0..ROWS).map(async |number| client.create_secret(ALICE, &format!("s{number}")).await);
    assert!(join_all(secrets).await.iter().all(Result::is_ok));
    let webhooks = (0..ROWS).map(async |number| client.create_webhook(ALICE, &url(number), Some("s1")).await);
    assert!(join_all(webhooks).await.iter().all(Result::is_ok));
    let (status, log) = service.terminate().await;
    assert!(status.success(), "{log}");
    database
}

/// The command's arguments, and the file of keys among them.
struct Reseal {
    arguments: Vec<String>,
    _folder: tempfile::TempDir,
}

impl Reseal {
    fn of(database: &Database, keys: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys");
        std::fs::write(&file, keys.join("\n")).unwrap();
        let file = file.display().to_string();
        let arguments = ["reseal", "--database-url", &database.url(), "--seal-keys-file", &file];
        Self { arguments: arguments.map(str::to_owned).to_vec(), _folder: folder }
    }

    fn arguments(&self) -> Vec<&str> {
        self.arguments.iter().map(String::as_str).collect()
    }

    async fn run(&self) -> Ended {
        commands::run(&self.arguments()).await
    }
}

/// What the report at the end says: resealed, already current, changed meanwhile, unopenable.
fn report(ended: &Ended) -> [u64; 4] {
    let reports = ended.logged("resealed");
    let [report] = &reports[..] else { panic!("{}", ended.log) };
    ["resealed", "already_current", "changed_meanwhile", "unopenable"]
        .map(|field| report[field].as_u64().unwrap())
}

/// A transaction that blocks all other writers until it is dropped.
async fn lock(database: &Database) -> DatabaseTransaction {
    let connection = database.connect().await;
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..Default::default()
    };
    let transaction = connection.begin_with_options(options).await.unwrap();
    if matches!(database, Database::Postgres { .. }) {
        transaction.execute_unprepared("LOCK TABLE secret IN EXCLUSIVE MODE").await.unwrap();
    }
    transaction
}

on_both! {
    beside_a_service_that_writes, stopped_and_run_again, value_of_another_owner_is_left,
    keys_of_another_database
}

async fn beside_a_service_that_writes(kind: Kind) {
    let database = filled(kind).await;
    let service = core(&database, &[NEW, OLD]).start().await;
    let client = Direct::to(service.address).await;
    let ended = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn({
        let (client, ended) = (client.clone(), Arc::clone(&ended));
        async move {
            let mut written = 0;
            while !ended.load(Ordering::SeqCst) {
                client.create_secret(BOB, &format!("s{written}")).await.unwrap();
                client.create_webhook(BOB, &url(written), None).await.unwrap();
                written += 1;
            }
            written
        }
    });
    let reseal = Reseal::of(&database, &[NEW, OLD]);
    let first = reseal.run().await.ok();
    ended.store(true, Ordering::SeqCst);
    let written = writing.await.unwrap();
    assert!(written > 0);

    let moved = 2 * ROWS as u64 + 1;
    let [resealed, current, changed, unopenable] = report(&first);
    assert_eq!((resealed, changed, unopenable), (moved, 0, 0), "{}", first.log);
    assert!(current <= 2 * written as u64);
    let progress = first.logged("resealing");
    assert!(progress.len() >= 4, "{}", first.log);
    let done: Vec<u64> = progress.iter().filter_map(|line| line["done"].as_u64()).collect();
    assert!(done[0] == 250 && done.is_sorted(), "{done:?}");
    assert!(progress.iter().all(|line| line["total"].as_u64().is_some_and(|total| total >= moved)));
    assert_eq!(first.logged("every sealed value is under the first key").len(), 1);
    let (status, log) = service.terminate().await;
    assert!(status.success(), "{log}");

    // The old key can be removed: every value opens without it, and duplicate URLs are still noticed.
    let again = Reseal::of(&database, &[NEW]).run().await.ok();
    assert_eq!(report(&again), [0, moved + 2 * written as u64, 0, 0]);
    core(&database, &[OLD]).fails().await;
    let service = core(&database, &[NEW]).start().await;
    let client = Direct::to(service.address).await;
    assert_eq!(client.create_webhook(ALICE, &url(7), None).await, Err(Code::AlreadyExists));
    assert_eq!(client.create_webhook(BOB, &url(0), None).await, Err(Code::AlreadyExists));
    assert_eq!(client.create_webhook(ALICE, &url(ROWS), Some("s299")).await, Ok(()));
}

async fn stopped_and_run_again(kind: Kind) {
    let database = filled(kind).await;
    let reseal = Reseal::of(&database, &[NEW, OLD]);
    let lock = lock(&database).await;
    let mut running = Running::start(&reseal.arguments());
    // It is in its first batch, and waits for the lock.
    running.logged("resealing");
    running.terminate();
    running.logged("stopping");
    lock.rollback().await.unwrap();
    let stopped = running.ended();
    assert_eq!(stopped.failed(1), "error: stopped before the end; run it again to go on");
    assert_eq!(report(&stopped), [250, 0, 0, 0]);
    // While values need the old key, a core-service without it does not start.
    core(&database, &[NEW]).fails().await;

    let again = reseal.run().await.ok();
    assert_eq!(report(&again), [2 * ROWS as u64 + 1 - 250, 250, 0, 0]);
    core(&database, &[NEW]).start().await;
}

async fn value_of_another_owner_is_left(kind: Kind) {
    let database = filled(kind).await;
    let service = core(&database, &[OLD]).start().await;
    Direct::to(service.address).await.create_secret(BOB, "s1").await.unwrap();
    service.terminate().await;
    let connection = database.connect().await;
    let of_bob = || async {
        let sql = format!("SELECT id, sealed_token FROM secret WHERE owner_did = '{BOB}'");
        let statement = Statement::from_string(connection.get_database_backend(), sql);
        let row = connection.query_one_raw(statement).await.unwrap().unwrap();
        let sealed: Vec<u8> = row.try_get("", "sealed_token").unwrap();
        (row.try_get::<uuid::Uuid>("", "id").unwrap(), sealed)
    };
    let moving = format!(
        "UPDATE secret SET sealed_token = (SELECT sealed_token FROM secret WHERE owner_did = '{ALICE}' AND name = 's1')
         WHERE owner_did = '{BOB}'"
    );
    connection.execute_unprepared(&moving).await.unwrap();
    let (id, moved) = of_bob().await;

    let ended = Reseal::of(&database, &[NEW, OLD]).run().await;
    assert!(ended.failed(1).starts_with("error: 1 sealed values do not open"), "{}", ended.log);
    assert_eq!(report(&ended), [2 * ROWS as u64 + 1, 0, 0, 1]);
    let lines = ended.logged("a value does not open; it is left as it is");
    assert_eq!(lines.len(), 1);
    assert_eq!(
        (lines[0]["id"].as_str(), lines[0]["column"].as_str()),
        (Some(id.to_string().as_str()), Some("secret.sealed_token"))
    );
    assert_eq!(of_bob().await, (id, moved));
    // The others are served without the old key.
    let service = core(&database, &[NEW]).start().await;
    let client = Direct::to(service.address).await;
    assert_eq!(client.create_webhook(ALICE, &url(7), None).await, Err(Code::AlreadyExists));
}

async fn keys_of_another_database(kind: Kind) {
    let database = filled(kind).await;
    let ended = Reseal::of(&database, &[NEW]).run().await;
    let values = 2 * ROWS as u64 + 1;
    assert!(ended.failed(1).starts_with(&format!("error: {values} sealed values do not open")));
    assert_eq!(report(&ended), [0, 0, 0, values]);
    core(&database, &[OLD]).start().await;
}

#[tokio::test]
async fn settings_that_do_not_fit() {
    let ended = commands::run(&["reseal", "--database-url", "mysql://here"]).await;
    assert_eq!(ended.status.code(), Some(2));
    assert!(ended.log.contains("--database-url:") && ended.log.contains("--seal-keys-file: required"));
}
