//! Webhooks that are records, and what records refer to.

use sea_orm_migration::prelude::{
    ColumnDef, DbErr, DeriveIden, DeriveMigrationName, Index, MigrationTrait, SchemaManager, Table,
    async_trait,
};
use sea_orm_migration::sea_orm;

use crate::text::Texts;

#[derive(DeriveIden)]
enum RecordWebhook {
    Table,
    Id,
    OwnerDid,
    Rkey,
    Rev,
    State,
    Reason,
    WithheldState,
    WithheldReason,
    SealedUrl,
    Scope,
    Backlinks,
    Events,
    SecretName,
    SealedSecret,
    SinceUs,
    IndexedAtMs,
}

#[derive(DeriveIden)]
enum Reference {
    Table,
    Did,
    Collection,
    Rkey,
    Target,
    StoredAtMs,
}

#[derive(DeriveMigrationName)]
pub(crate) struct RecordWebhooks;

#[async_trait::async_trait]
impl MigrationTrait for RecordWebhooks {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let text = Texts(manager.get_database_backend());

        // `state` is active, disabled, invalid, over_limit or deleted. The row of a deleted record stays for
        // a while, so that a late event does not bring it back. `withheld_state` is what keeps an active one
        // from being read, if anything does. The id is in the order of first sight.
        let record_webhook = Table::create()
            .table(RecordWebhook::Table)
            .col(ColumnDef::new(RecordWebhook::Id).uuid().not_null())
            .col(text.bytewise(RecordWebhook::OwnerDid).not_null())
            .col(text.bytewise(RecordWebhook::Rkey).not_null())
            .col(text.bytewise(RecordWebhook::Rev).not_null())
            .col(text.bytewise(RecordWebhook::State).not_null())
            .col(text.bytewise(RecordWebhook::Reason))
            .col(text.bytewise(RecordWebhook::WithheldState))
            .col(text.bytewise(RecordWebhook::WithheldReason))
            .col(ColumnDef::new(RecordWebhook::SealedUrl).binary())
            .col(text.bytewise(RecordWebhook::Scope))
            .col(ColumnDef::new(RecordWebhook::Backlinks).boolean().not_null())
            .col(text.bytewise(RecordWebhook::Events).not_null())
            .col(text.bytewise(RecordWebhook::SecretName))
            .col(ColumnDef::new(RecordWebhook::SealedSecret).binary())
            .col(ColumnDef::new(RecordWebhook::SinceUs).big_integer())
            .col(ColumnDef::new(RecordWebhook::IndexedAtMs).big_integer().not_null())
            .primary_key(Index::create().name("record_webhook_pkey").col(RecordWebhook::Id))
            .index(
                Index::create()
                    .unique()
                    .name("record_webhook_owner_did_rkey_key")
                    .col(RecordWebhook::OwnerDid)
                    .col(RecordWebhook::Rkey),
            )
            .take();
        manager.create_table(record_webhook).await?;
        let index = Index::create()
            .name("record_webhook_state_id_idx")
            .table(RecordWebhook::Table)
            .col(RecordWebhook::State)
            .col(RecordWebhook::Id)
            .take();
        manager.create_index(index).await?;

        // What records refer to, for webhooks that want backlinks.
        let reference = Table::create()
            .table(Reference::Table)
            .col(text.bytewise(Reference::Did).not_null())
            .col(text.bytewise(Reference::Collection).not_null())
            .col(text.bytewise(Reference::Rkey).not_null())
            .col(text.bytewise(Reference::Target).not_null())
            .col(ColumnDef::new(Reference::StoredAtMs).big_integer().not_null())
            .primary_key(
                Index::create()
                    .name("reference_pkey")
                    .col(Reference::Did)
                    .col(Reference::Collection)
                    .col(Reference::Rkey)
                    .col(Reference::Target),
            )
            .take();
        manager.create_table(reference).await?;
        let index = Index::create()
            .name("reference_stored_at_ms_idx")
            .table(Reference::Table)
            .col(Reference::StoredAtMs)
            .take();
        manager.create_index(index).await?;
        Ok(())
    }
}
