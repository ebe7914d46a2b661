//! The trace that an event was published in.

use sea_orm_migration::prelude::{
    ColumnDef, DbErr, DeriveIden, DeriveMigrationName, MigrationTrait, SchemaManager, Table, async_trait,
};
use sea_orm_migration::sea_orm;

#[derive(DeriveIden)]
enum Event {
    Table,
    Traceparent,
}

#[derive(DeriveMigrationName)]
pub(crate) struct EventTraceparent;

#[async_trait::async_trait]
impl MigrationTrait for EventTraceparent {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // The span of the call that published the event, in the form of W3C Trace Context; null unless it was
        // sampled.
        let mut column = ColumnDef::new(Event::Traceparent).text().take();
        let table = Table::alter().table(Event::Table).add_column(&mut column).take();
        manager.alter_table(table).await
    }
}
