//! Redeliveries: what of a delivery was before the last one, and an index of what failed.

use sea_orm_migration::prelude::{
    ColumnDef, ConditionalStatement as _, DbErr, DeriveIden, DeriveMigrationName, Expr, ExprTrait as _,
    Index, MigrationTrait, SchemaManager, Table, async_trait,
};
use sea_orm_migration::sea_orm;

/// The state of a delivery that failed.
const FAILED: i16 = 2;

#[derive(DeriveIden)]
enum Delivery {
    Table,
    Id,
    WebhookId,
    State,
    RedeliveredAtMs,
    AttemptsBefore,
}

#[derive(DeriveMigrationName)]
pub(crate) struct Redeliveries;

#[async_trait::async_trait]
impl MigrationTrait for Redeliveries {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // When the owner last asked for it once more, and how many attempts there were until then: its
        // schedule and its age begin anew.
        for mut column in [
            ColumnDef::new(Delivery::RedeliveredAtMs).big_integer().take(),
            ColumnDef::new(Delivery::AttemptsBefore).integer().not_null().default(0).take(),
        ] {
            // SQLite adds one column in each statement.
            let table = Table::alter().table(Delivery::Table).add_column(&mut column).take();
            manager.alter_table(table).await?;
        }
        let failed = Index::create()
            .name("delivery_failed_idx")
            .table(Delivery::Table)
            .col(Delivery::WebhookId)
            .col(Delivery::Id)
            .and_where(Expr::col(Delivery::State).eq(FAILED))
            .take();
        manager.create_index(failed).await
    }
}
