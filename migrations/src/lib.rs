//! The database schema of the core-service: numbered migrations, forward only, for SQLite and Postgres.
//!
//! Owns tables, constraints and indexes. Reads and writes no row of them: that is the core-service's store.
//!
//! A migration that has been released is never edited. A change that the release before can't live with takes
//! two releases: the first adds, the second removes. So a process may find a schema that is newer than it
//! knows, and leaves it as it is.

mod m0001_accounts_secrets_webhooks;

use std::collections::HashSet;

use sea_orm_migration::MigrationTrait;
use sea_orm_migration::MigratorTrait;
use sea_orm_migration::sea_orm::{
    ConnectionTrait as _, DatabaseConnection, DbBackend, DbErr, SqliteTransactionMode, TransactionOptions,
    TransactionTrait as _,
};

/// The key of the Postgres advisory lock: "athook" in ASCII.
const ADVISORY_LOCK: i64 = 0x6174_686f_6f6b;

struct Migrations;

impl MigratorTrait for Migrations {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(m0001_accounts_secrets_webhooks::Initial)]
    }
}

/// Brings the schema up to date, in one transaction and under a lock: of processes that start at the same
/// time on one database, one migrates and the others wait for it.
///
/// # Errors
///
/// Whatever the database refuses. Nothing is changed then.
pub async fn run(database: &DatabaseConnection) -> Result<(), DbErr> {
    let transaction = database
        .begin_with_options(TransactionOptions {
            isolation_level: None,
            access_mode: None,
            // SQLite's lock: no other process writes until the commit.
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        })
        .await?;
    if transaction.get_database_backend() == DbBackend::Postgres {
        // Waiting for another process and rewriting a table may both take longer than a request may.
        for statement in [
            "SET LOCAL statement_timeout = 0",
            "SET LOCAL lock_timeout = 0",
            "SET LOCAL client_min_messages = warning",
            &format!("SELECT pg_advisory_xact_lock({ADVISORY_LOCK})"),
        ] {
            transaction.execute_unprepared(statement).await?;
        }
    }
    let applied: HashSet<String> = Migrations::get_migration_models(&transaction)
        .await?
        .into_iter()
        .map(|model| model.version)
        .collect();
    let up_to_date = Migrations::migrations().iter().all(|migration| applied.contains(migration.name()));
    if !up_to_date {
        Migrations::up(&transaction, None).await?;
    }
    transaction.commit().await
}
