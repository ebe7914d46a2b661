//! Drops the index in the order in which webhooks are listed.
//!
//! An owner has at most `--max-webhooks` webhooks, and the unique key finds them. Sorting them costs a list
//! less than the index cost each creation, which had to change a random page of it. The previous release
//! works without it.

use sea_orm_migration::prelude::{
    DbErr, DeriveIden, DeriveMigrationName, Index, MigrationTrait, SchemaManager, async_trait,
};
use sea_orm_migration::sea_orm;

#[derive(DeriveIden)]
enum Webhook {
    Table,
}

#[derive(DeriveMigrationName)]
pub(crate) struct WebhooksWithoutPagingIndex;

#[async_trait::async_trait]
impl MigrationTrait for WebhooksWithoutPagingIndex {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let paging =
            Index::drop().name("webhook_owner_did_created_at_ms_id_idx").table(Webhook::Table).to_owned();
        manager.drop_index(paging).await
    }
}
