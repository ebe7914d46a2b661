//! `core-service export` and `import`: one database into another, of either kind.

mod delivered;
mod rows;

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;
use tonic::Code;

use self::rows::{EACH, seed};
use crate::harness::commands::{self, Ended};
use crate::harness::database::{Database, Kind};
use crate::harness::direct::Direct;
use crate::harness::on_both;
use crate::harness::processes::{KEY, Service};
use crate::harness::rows::all_rows;

const ALICE: &str = "did:plc:alice2222222222222222222";
const URL: &str = "https://hooks.example.com/1";

fn other(kind: Kind) -> Kind {
    match kind {
        Kind::Sqlite => Kind::Postgres,
        Kind::Postgres => Kind::Sqlite,
    }
}

/// A database with what alice made through the core-service: two secrets, and two webhooks of which one names
/// a secret.
async fn filled(kind: Kind) -> Database {
    let database = Database::create(kind, false).await;
    let service = Service::core_service(&database.url()).start().await;
    let client = Direct::to(service.address).await;
    for name in ["deploys", "Deploys"] {
        client.create_secret(ALICE, name).await.unwrap();
    }
    client.create_webhook(ALICE, URL, Some("deploys")).await.unwrap();
    client.create_webhook(ALICE, "https://hooks.example.com/2", None).await.unwrap();
    assert!(service.terminate().await.0.success());
    database
}

async fn export_import(from: &Database, to: &Database) -> [Ended; 2] {
    let (from, to) = (from.url(), to.url());
    commands::pipe(&["export", "--database-url", &from], &["import", "--database-url", &to]).await
}

/// An export in a file of its own.
struct File(tempfile::TempDir);

impl File {
    async fn of(database: &Database) -> Self {
        let file = Self(tempfile::tempdir().unwrap());
        commands::run(&["export", "--database-url", &database.url(), "--to", &file.path()]).await.ok();
        file
    }

    fn path(&self) -> String {
        self.0.path().join("rows").display().to_string()
    }

    fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path()).unwrap();
        text.split_inclusive('\n').map(str::to_owned).collect()
    }

    fn write(&self, lines: &[String]) {
        std::fs::write(self.path(), lines.concat()).unwrap();
    }

    async fn import(&self, into: &Database) -> Ended {
        commands::run(&["import", "--from", &self.path(), "--database-url", &into.url()]).await
    }
}

/// The numbers of rows in the progress lines of a command, in order.
fn progress(ended: &Ended, message: &str) -> Vec<u64> {
    ended.logged(message).iter().filter_map(|line: &Value| line["rows"].as_u64()).collect()
}

on_both! {
    ten_thousand_of_each, sealed_values_open_after_the_move, export_beside_a_service_that_writes,
    target_that_is_not_empty, input_that_is_wrong
}

async fn ten_thousand_of_each(from: Kind) {
    let source = filled(from).await;
    seed(&source).await;
    let target = Database::create(other(from), false).await;
    let [exported, imported] = export_import(&source, &target).await;
    let (exported, imported) = (exported.ok(), imported.ok());

    for ended in
        [(&exported, "exported"), (&imported, "imported")].map(|(ended, message)| ended.logged(message))
    {
        let [line] = &ended[..] else { panic!("{ended:?}") };
        let counts = ["accounts", "secrets", "webhooks"].map(|table| line[table].as_u64().unwrap());
        assert_eq!(counts, [101, EACH + 2, EACH + 2]);
    }
    let thousands: Vec<u64> = (1..=20).map(|thousand| thousand * 1_000).collect();
    assert_eq!(progress(&exported, "exporting"), thousands);
    assert_eq!(progress(&imported, "importing"), thousands);
    assert_eq!(exported.logged("exporting")[1]["total"], 2 * EACH + 4 + 101 + 1);

    let (before, after) = (all_rows(&source).await, all_rows(&target).await);
    for ((table, before), (_, after)) in before.iter().zip(&after) {
        assert_eq!(before.len(), after.len(), "{table}");
        for (before, after) in before.iter().zip(after) {
            assert_eq!(before, after, "{table}");
        }
    }

    // The index key was exported too: duplicate URLs, names and limits still work.
    let service = Service::core_service(&target.url()).flag("--max-secrets", "3").start().await;
    let client = Direct::to(service.address).await;
    assert_eq!(client.create_webhook(ALICE, URL, None).await, Err(Code::AlreadyExists));
    assert_eq!(client.create_webhook(ALICE, "https://hooks.example.com/3", Some("Deploys")).await, Ok(()));
    assert_eq!(client.create_secret(ALICE, "deploys").await, Err(Code::AlreadyExists));
    assert_eq!(client.create_secret(ALICE, "third").await, Ok(()));
    assert_eq!(client.create_secret(ALICE, "fourth").await, Err(Code::ResourceExhausted));
}

async fn sealed_values_open_after_the_move(from: Kind) {
    let source = filled(from).await;
    let target = Database::create(other(from), false).await;
    for ended in export_import(&source, &target).await {
        ended.ok();
    }
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys").display().to_string();
    std::fs::write(&keys, KEY).unwrap();
    // Reseal decrypts every value.
    let reseal = ["reseal", "--database-url", &target.url(), "--seal-keys-file", &keys];
    let report = &commands::run(&reseal).await.ok().logged("resealed")[0];
    assert_eq!((report["already_current"].as_u64(), report["unopenable"].as_u64()), (Some(5), Some(0)));
    let refused =
        Service::core_service_with(&target.url(), &["YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE="]);
    refused.fails().await;
}

async fn export_beside_a_service_that_writes(from: Kind) {
    let source = filled(from).await;
    let service = Service::core_service(&source.url()).flag("--max-secrets", "1000000").start().await;
    let client = Direct::to(service.address).await;
    let target = Database::create(other(from), false).await;
    let (writing, written) = tokio::sync::watch::channel(0);
    let load = tokio::spawn(async move {
        // Each creates an account and a secret: an export that is not a snapshot could have one without the
        // other.
        for number in 0_u32.. {
            client.create_secret(&format!("did:plc:{number}"), "a").await.unwrap();
            if writing.send(number).is_err() {
                return number + 1;
            }
        }
        0
    });
    let mut started = written.clone();
    started.wait_for(|number| *number > 20).await.unwrap();
    let [exported, imported] = export_import(&source, &target).await;
    drop((written, started));
    exported.ok();
    imported.ok();
    let (written, moved) = (u64::from(load.await.unwrap()), all_rows(&target).await);
    let moved = moved.iter().find(|(table, _)| *table == "account").unwrap().1.len() as u64;
    assert!((22..=written + 1).contains(&moved), "{moved} of {written}");
}

async fn target_that_is_not_empty(kind: Kind) {
    let source = filled(kind).await;
    let target = Database::create(kind, false).await;
    let service = Service::core_service(&target.url()).start().await;
    assert!(service.terminate().await.0.success());
    let before = all_rows(&target).await;
    let file = File::of(&source).await;
    let ended = file.import(&target).await;
    assert!(ended.failed(1).starts_with("error: the database is not empty"), "{}", ended.log);
    assert_eq!(all_rows(&target).await, before);
}

async fn input_that_is_wrong(kind: Kind) {
    let source = filled(kind).await;
    let file = File::of(&source).await;
    let lines = file.lines();
    let [header, index_key, account, secret, ..] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!(lines.len(), 8);
    let target = Database::create(other(kind), false).await;
    let replaced = |number: usize, line: String| {
        let mut lines = lines.clone();
        lines[number - 1] = line;
        lines
    };
    let half = secret[..secret.len() / 2].to_owned();
    for (lines, message) in [
        (lines[..7].to_vec(), "error: the input ends early, in or after line 7: it was cut off"),
        (
            vec![header.clone(), index_key.clone(), account.clone(), half],
            "error: the input ends early, in or after line 4: it was cut off",
        ),
        (Vec::new(), "error: line 1: not the header of an athook export"),
        (replaced(4, "garbage\n".to_owned()), "error: line 4: broken JSON at column 1"),
        (replaced(5, secret.clone()), "error: the database refuses lines 4 to 5: "),
        (
            replaced(3, account.replace("\"secrets\":2", "\"secrets\":1")),
            "error: the counts of account did:plc:alice",
        ),
        (
            replaced(1, header.replace("\"version\":3", "\"version\":4")),
            "error: line 1: version 4 of the format",
        ),
    ] {
        file.write(&lines);
        let ended = file.import(&target).await;
        let last = ended.failed(1);
        assert!(last.starts_with(message), "{last}");
        assert!(!last.contains("sealed") && !last.contains("garbage"), "{last}");
    }
    // None of that was written: the target is still empty.
    file.write(&lines);
    file.import(&target).await.ok();
    assert_eq!(all_rows(&target).await, all_rows(&source).await);
}

#[tokio::test]
async fn file_is_private_and_new() {
    let source = filled(Kind::Sqlite).await;
    let file = File::of(&source).await;
    let mode = std::fs::metadata(file.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let before = file.lines();
    let again = commands::run(&["export", "--database-url", &source.url(), "--to", &file.path()]).await;
    assert!(again.failed(1).starts_with("error: --to ") && again.log.contains("exists"), "{}", again.log);
    assert_eq!(file.lines(), before);
}

#[tokio::test]
async fn export_of_nothing() {
    let file = File(tempfile::tempdir().unwrap());
    let missing = format!("sqlite://{}/none.db?mode=rwc", file.0.path().display());
    let ended = commands::run(&["export", "--database-url", &missing, "--to", &file.path()]).await;
    assert!(ended.failed(1).starts_with("error: there is no database: SQLite file"), "{}", ended.log);
    // Neither the database nor the file is left behind, and an import at the end of a pipe takes nothing.
    assert_eq!(std::fs::read_dir(file.0.path()).unwrap().count(), 0);
    let target = Database::create(Kind::Sqlite, false).await;
    let [_, imported] =
        commands::pipe(&["export", "--database-url", &missing], &["import", "--database-url", &target.url()])
            .await;
    assert_eq!(imported.failed(1), "error: line 1: not the header of an athook export");
}
