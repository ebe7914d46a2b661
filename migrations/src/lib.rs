//! The database schema of the core-service: numbered migrations, forward only, for SQLite and Postgres.
//!
//! Owns tables, constraints and indexes. Reads and writes no row of them: that is the core-service's store.
//!
//! A migration that has been released is never edited. A change that the release before can't live with takes
//! two releases: the first adds, the second removes. So a process may find a schema that is newer than it
//! knows, and leaves it as it is.

mod m0001_accounts_secrets_webhooks;
mod m0002_previous_tokens;
mod m0003_webhooks_without_paging_index;

use std::collections::HashSet;

use sea_orm_migration::sea_orm::{
    ConnectionTrait as _, DatabaseConnection, DbBackend, DbErr, EntityTrait as _, SqliteTransactionMode,
    TransactionOptions, TransactionTrait as _,
};
use sea_orm_migration::{MigrationTrait, MigratorTrait, SchemaManager, seaql_migrations};

/// The key of the Postgres advisory lock: "athook" in ASCII.
const ADVISORY_LOCK: i64 = 0x6174_686f_6f6b;

/// The table in which sea-orm-migration keeps what was applied.
const RECORD: &str = "seaql_migrations";

struct Migrations;

/// How the schema of a database stands to the one that this release makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Something is missing: it was made by an older release, or not at all.
    Older,
    /// It is the same.
    Same,
    /// All is there, and more that this release knows nothing of.
    Newer,
}

impl MigratorTrait for Migrations {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_accounts_secrets_webhooks::Initial),
            Box::new(m0002_previous_tokens::PreviousTokens),
            Box::new(m0003_webhooks_without_paging_index::WebhooksWithoutPagingIndex),
        ]
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

/// How the schema of `database` stands to the one that [`run`] makes. Writes nothing.
///
/// # Errors
///
/// The database does not answer.
pub async fn standing(database: &DatabaseConnection) -> Result<Standing, DbErr> {
    if !SchemaManager::new(database).has_table(RECORD).await? {
        return Ok(Standing::Older);
    }
    let applied = seaql_migrations::Entity::find().all(database).await?;
    let applied: HashSet<String> = applied.into_iter().map(|model| model.version).collect();
    let known: HashSet<String> = Migrations::migrations().iter().map(|one| one.name().to_owned()).collect();
    if known.is_subset(&applied) {
        return Ok(if applied.is_subset(&known) { Standing::Same } else { Standing::Newer });
    }
    Ok(Standing::Older)
}
