//! The database schema of the core-service: numbered migrations, forward only, for SQLite and Postgres.
//!
//! Owns tables, constraints and indexes. The core-service's store owns the rows.
//!
//! A released migration is never edited. A change that the previous release can't work with takes two
//! releases: the first adds, the second removes. So a process may find a schema newer than its own, and uses
//! it unchanged.

mod m0001_accounts_secrets_webhooks;
mod m0002_previous_tokens;
mod m0003_webhooks_without_paging_index;
mod m0004_events_deliveries;
mod m0005_redeliveries;
mod m0006_operators;
mod m0007_event_traceparent;
mod m0008_url_form;
mod m0009_intake;
mod m0010_record_webhooks;
mod text;

use std::collections::HashSet;

use sea_orm_migration::sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, EntityTrait as _};
use sea_orm_migration::{
    IntoSchemaManagerConnection, MigrationTrait, MigratorTrait, SchemaManager, seaql_migrations,
};

/// The key of the Postgres advisory lock: "athook" in ASCII.
const ADVISORY_LOCK: i64 = 0x6174_686f_6f6b;

/// The table in which sea-orm-migration records the applied migrations.
const RECORD: &str = "seaql_migrations";

struct Migrations;

/// The schema of a database, compared with that of this release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaState {
    /// Migrations are missing: an older release made it, or there is none.
    Older,
    /// All migrations of this release are applied, and no others.
    Same,
    /// All migrations of this release are applied, and others that it does not know.
    Newer,
}

impl MigratorTrait for Migrations {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_accounts_secrets_webhooks::Initial),
            Box::new(m0002_previous_tokens::PreviousTokens),
            Box::new(m0003_webhooks_without_paging_index::WebhooksWithoutPagingIndex),
            Box::new(m0004_events_deliveries::EventsDeliveries),
            Box::new(m0005_redeliveries::Redeliveries),
            Box::new(m0006_operators::Operators),
            Box::new(m0007_event_traceparent::EventTraceparent),
            Box::new(m0008_url_form::UrlForm),
            Box::new(m0009_intake::IntakeTables),
            Box::new(m0010_record_webhooks::RecordWebhooks),
        ]
    }
}

/// Applies the missing migrations in `transaction`, under a lock until it ends: if several processes start on
/// one database, one migrates and the others wait for it. Where none is missing it only reads, so that a
/// role that may not change the schema can serve. On SQLite the transaction must have begun as `IMMEDIATE`:
/// no other process writes until the commit.
///
/// # Errors
///
/// A statement fails. Then nothing may be committed.
pub async fn run(transaction: &DatabaseTransaction) -> Result<(), DbErr> {
    if schema_state(transaction).await? != SchemaState::Older {
        return Ok(());
    }
    if transaction.get_database_backend() == DbBackend::Postgres {
        // Waiting for another process, or rewriting a table, may take longer than the limits for requests.
        for statement in [
            "SET LOCAL statement_timeout = 0",
            "SET LOCAL lock_timeout = 0",
            "SET LOCAL client_min_messages = warning",
            &format!("SELECT pg_advisory_xact_lock({ADVISORY_LOCK})"),
        ] {
            transaction.execute_unprepared(statement).await?;
        }
    }
    // Another process may have been here meanwhile.
    if schema_state(transaction).await? == SchemaState::Older {
        Migrations::up(transaction, None).await?;
    }
    Ok(())
}

/// Compares the schema of `database` with that of this release. Writes nothing.
///
/// # Errors
///
/// The database can't be read.
pub async fn schema_state<'c, C>(database: &'c C) -> Result<SchemaState, DbErr>
where
    C: ConnectionTrait,
    &'c C: IntoSchemaManagerConnection<'c>,
{
    if !SchemaManager::new(database).has_table(RECORD).await? {
        return Ok(SchemaState::Older);
    }
    let applied = seaql_migrations::Entity::find().all(database).await?;
    let applied: HashSet<String> = applied.into_iter().map(|model| model.version).collect();
    let known: HashSet<String> = Migrations::migrations().iter().map(|one| one.name().to_owned()).collect();
    if known.is_subset(&applied) {
        return Ok(if applied.is_subset(&known) { SchemaState::Same } else { SchemaState::Newer });
    }
    Ok(SchemaState::Older)
}
