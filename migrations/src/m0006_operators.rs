//! What operators need: an account's events are found, to be purged.

use sea_orm_migration::prelude::{
    DbErr, DeriveIden, DeriveMigrationName, Index, MigrationTrait, SchemaManager, async_trait,
};
use sea_orm_migration::sea_orm;

#[derive(DeriveIden)]
enum Event {
    Table,
    Id,
    StreamerDid,
}

#[derive(DeriveMigrationName)]
pub(crate) struct Operators;

#[async_trait::async_trait]
impl MigrationTrait for Operators {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let of_account = Index::create()
            .name("event_streamer_did_id_idx")
            .table(Event::Table)
            .col(Event::StreamerDid)
            .col(Event::Id)
            .take();
        manager.create_index(of_account).await
    }
}
