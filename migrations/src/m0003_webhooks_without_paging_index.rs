//! Webhooks are no longer indexed in the order of their pages.
//!
//! An owner has at most `--max-webhooks` of them, which the unique key finds together: to put those in order costs a
//! list less than the index cost every creation, which had to change a page of it at some other place each time. A
//! process of the release before lives without it.

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
