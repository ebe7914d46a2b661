//! Migrations on an SQLite file. The tests of the root package run them on Postgres.

use std::path::Path;

use migrations::SchemaState;
use sea_orm_migration::sea_orm::{
    ConnectionTrait as _, Database, DatabaseConnection, DbErr, SqliteTransactionMode, TransactionOptions,
    TransactionTrait as _,
};

async fn connect(folder: &Path) -> DatabaseConnection {
    let url = format!("sqlite://{}?mode=rwc", folder.join("test.db").display());
    Database::connect(url).await.expect("a new file is a database")
}

async fn run(database: &DatabaseConnection) -> Result<(), DbErr> {
    let options = TransactionOptions {
        isolation_level: None,
        access_mode: None,
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
    };
    let transaction = database.begin_with_options(options).await?;
    migrations::run(&transaction).await?;
    transaction.commit().await
}

async fn schema(database: &DatabaseConnection) -> Vec<String> {
    let sql = "SELECT coalesce(sql, name) AS sql FROM sqlite_schema ORDER BY name";
    let statement = sea_orm_migration::sea_orm::Statement::from_string(database.get_database_backend(), sql);
    let rows = database.query_all_raw(statement).await.expect("the schema is readable");
    rows.iter().map(|row| row.try_get("", "sql").expect("each entry has its SQL")).collect()
}

#[tokio::test]
async fn second_run_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder for tests");
    let database = connect(folder.path()).await;
    assert_eq!(migrations::schema_state(&database).await, Ok(SchemaState::Older), "an empty database");
    run(&database).await.expect("the first run");
    assert_eq!(migrations::schema_state(&database).await, Ok(SchemaState::Same));
    let first = schema(&database).await;
    for constraint in [
        "account_pkey",
        "secret_owner_did_name_key",
        "webhook_owner_did_url_hash_key",
        // On SQLite sea-query gives foreign keys no name, and SQLite's errors would not show it.
        r#"FOREIGN KEY ("owner_did", "secret_name") REFERENCES "secret" ("owner_did", "name") ON DELETE RESTRICT"#,
    ] {
        assert!(first.iter().any(|sql| sql.contains(constraint)), "{constraint} in {first:#?}");
    }
    run(&database).await.expect("the second run");
    assert_eq!(schema(&database).await, first);
}

#[tokio::test]
async fn two_runs_at_once() {
    for _ in 0..5 {
        let folder = tempfile::tempdir().expect("a folder for tests");
        let (one, other) = (connect(folder.path()).await, connect(folder.path()).await);
        let (first, second) = tokio::join!(run(&one), run(&other));
        first.expect("one of two runs");
        second.expect("the other of two runs");
    }
}

#[tokio::test]
async fn rows_of_the_first_schema_are_kept() {
    let folder = tempfile::tempdir().expect("a folder for tests");
    let database = connect(folder.path()).await;
    run(&database).await.expect("the first run");
    let newest = schema(&database).await;
    for statement in [
        "ALTER TABLE secret DROP COLUMN previous_sealed_token",
        "ALTER TABLE secret DROP COLUMN previous_until_ms",
        "CREATE INDEX webhook_owner_did_created_at_ms_id_idx ON webhook (owner_did, created_at_ms, id)",
        "ALTER TABLE index_key DROP COLUMN url_form",
        "DROP TABLE event",
        "DROP TABLE webhook_state",
        "DROP TABLE delivery",
        "DROP TABLE attempt",
        "DROP TABLE host_hold",
        "DROP TABLE paused_origin",
        "DROP TABLE intake",
        "DROP TABLE intake_gap",
        "DROP TABLE intake_sync",
        "DROP TABLE intake_unreadable",
        "DROP TABLE mirror",
        "DROP TABLE mirrored_owner",
        "DROP TABLE on_air",
        "DROP TABLE recent_follow",
        "DROP TABLE owner_status",
        "DROP TABLE record_webhook",
        "DROP TABLE reference",
        "ALTER TABLE webhook DROP COLUMN since_us",
        "DELETE FROM seaql_migrations WHERE version <> 'm0001_accounts_secrets_webhooks'",
        "INSERT INTO account VALUES ('did:plc:a', 1, 0)",
        "INSERT INTO secret VALUES (x'01', 'did:plc:a', 'n', x'02', 3, NULL)",
    ] {
        database.execute_unprepared(statement).await.expect("the first schema, with a row");
    }
    run(&database).await.expect("the second run");
    assert_eq!(schema(&database).await, newest);
    let sql = "SELECT hex(sealed_token) AS token FROM secret \
               WHERE name = 'n' AND previous_sealed_token IS NULL AND previous_until_ms IS NULL";
    let statement = sea_orm_migration::sea_orm::Statement::from_string(database.get_database_backend(), sql);
    let row =
        database.query_one_raw(statement).await.expect("the columns are there").expect("the row is there");
    assert_eq!(row.try_get::<String>("", "token").expect("text"), "02");
}

#[tokio::test]
async fn newer_schema_is_left_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder for tests");
    let database = connect(folder.path()).await;
    run(&database).await.expect("the first run");
    database
        .execute_unprepared("INSERT INTO seaql_migrations VALUES ('m9999_from_the_future', 0)")
        .await
        .expect("a record of a newer release");
    assert_eq!(migrations::schema_state(&database).await, Ok(SchemaState::Newer));
    run(&database).await.expect("a run of the older release");
    database
        .execute_unprepared("DELETE FROM seaql_migrations WHERE version LIKE 'm0001%'")
        .await
        .expect("a record of neither");
    assert_eq!(migrations::schema_state(&database).await, Ok(SchemaState::Older));
}
