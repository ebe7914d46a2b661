//! The first schema: accounts with their counts, secrets, webhooks, and the index key.
//!
//! Times are milliseconds since 1970-01-01T00:00:00Z. Text columns that are compared or ordered have the
//! collation "C" on Postgres, which orders by bytes as SQLite does.

use sea_orm_migration::prelude::{
    ColumnDef, DbErr, DeriveIden, DeriveMigrationName, ForeignKey, ForeignKeyAction, Index, MigrationTrait,
    SchemaManager, Table, async_trait,
};
use sea_orm_migration::sea_orm;

use crate::text::Texts;

#[derive(DeriveIden)]
enum Account {
    Table,
    Did,
    Secrets,
    Webhooks,
}

#[derive(DeriveIden)]
enum Secret {
    Table,
    Id,
    OwnerDid,
    Name,
    SealedToken,
    CreatedAtMs,
    LastRotatedAtMs,
}

#[derive(DeriveIden)]
enum Webhook {
    Table,
    Id,
    OwnerDid,
    SealedUrl,
    UrlHash,
    Events,
    Active,
    Name,
    Description,
    Prefix,
    Suffix,
    Rewrite,
    MuteWords,
    StreamplaceFormat,
    SecretName,
    CreatedAtMs,
    UpdatedAtMs,
    LastTriggeredAtMs,
    ErrorCount,
}

#[derive(DeriveIden)]
enum IndexKey {
    Table,
    Id,
    SealedKey,
}

#[derive(DeriveMigrationName)]
pub(crate) struct Initial;

#[async_trait::async_trait]
impl MigrationTrait for Initial {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let text = Texts(manager.get_database_backend());

        // One row for each owner, with the counts that are checked against the limits. A transaction locks it
        // before it changes anything of that owner.
        let account = Table::create()
            .table(Account::Table)
            .col(text.bytewise(Account::Did).not_null())
            .col(ColumnDef::new(Account::Secrets).integer().not_null())
            .col(ColumnDef::new(Account::Webhooks).integer().not_null())
            .primary_key(Index::create().name("account_pkey").col(Account::Did))
            .take();
        manager.create_table(account).await?;

        // A signing secret. Its token is encrypted, with the owner and the name as associated data.
        let secret = Table::create()
            .table(Secret::Table)
            .col(ColumnDef::new(Secret::Id).uuid().not_null())
            .col(text.bytewise(Secret::OwnerDid).not_null())
            .col(text.bytewise(Secret::Name).not_null())
            .col(ColumnDef::new(Secret::SealedToken).binary().not_null())
            .col(ColumnDef::new(Secret::CreatedAtMs).big_integer().not_null())
            .col(ColumnDef::new(Secret::LastRotatedAtMs).big_integer())
            .primary_key(Index::create().name("secret_pkey").col(Secret::Id))
            .index(
                Index::create()
                    .unique()
                    .name("secret_owner_did_name_key")
                    .col(Secret::OwnerDid)
                    .col(Secret::Name),
            )
            .foreign_key(
                ForeignKey::create()
                    .name("secret_owner_did_fkey")
                    .from(Secret::Table, Secret::OwnerDid)
                    .to(Account::Table, Account::Did)
                    .on_delete(ForeignKeyAction::Restrict),
            )
            .take();
        manager.create_table(secret).await?;

        // A webhook. Its URL is encrypted, with the owner and the id as associated data; `url_hash` is an
        // HMAC of the URL under the index key, so that a unique constraint can find duplicates. `events` is
        // comma-separated; `rewrite` is a JSON array of [from, to], `mute_words` a JSON array of strings.
        let webhook = Table::create()
            .table(Webhook::Table)
            .col(ColumnDef::new(Webhook::Id).uuid().not_null())
            .col(text.bytewise(Webhook::OwnerDid).not_null())
            .col(ColumnDef::new(Webhook::SealedUrl).binary().not_null())
            .col(ColumnDef::new(Webhook::UrlHash).binary().not_null())
            .col(ColumnDef::new(Webhook::Events).text().not_null())
            .col(ColumnDef::new(Webhook::Active).boolean().not_null())
            .col(ColumnDef::new(Webhook::Name).text())
            .col(ColumnDef::new(Webhook::Description).text())
            .col(ColumnDef::new(Webhook::Prefix).text())
            .col(ColumnDef::new(Webhook::Suffix).text())
            .col(ColumnDef::new(Webhook::Rewrite).text().not_null())
            .col(ColumnDef::new(Webhook::MuteWords).text().not_null())
            .col(ColumnDef::new(Webhook::StreamplaceFormat).boolean().not_null())
            .col(text.bytewise(Webhook::SecretName))
            .col(ColumnDef::new(Webhook::CreatedAtMs).big_integer().not_null())
            .col(ColumnDef::new(Webhook::UpdatedAtMs).big_integer())
            .col(ColumnDef::new(Webhook::LastTriggeredAtMs).big_integer())
            .col(ColumnDef::new(Webhook::ErrorCount).integer().not_null())
            .primary_key(Index::create().name("webhook_pkey").col(Webhook::Id))
            .index(
                Index::create()
                    .unique()
                    .name("webhook_owner_did_url_hash_key")
                    .col(Webhook::OwnerDid)
                    .col(Webhook::UrlHash),
            )
            .foreign_key(
                ForeignKey::create()
                    .name("webhook_owner_did_fkey")
                    .from(Webhook::Table, Webhook::OwnerDid)
                    .to(Account::Table, Account::Did)
                    .on_delete(ForeignKeyAction::Restrict),
            )
            // A secret that a webhook uses can't be deleted.
            .foreign_key(
                ForeignKey::create()
                    .name("webhook_secret_fkey")
                    .from(Webhook::Table, (Webhook::OwnerDid, Webhook::SecretName))
                    .to(Secret::Table, (Secret::OwnerDid, Secret::Name))
                    .on_delete(ForeignKeyAction::Restrict),
            )
            .take();
        manager.create_table(webhook).await?;

        // Keyset paging of one owner's webhooks.
        let paging = Index::create()
            .name("webhook_owner_did_created_at_ms_id_idx")
            .table(Webhook::Table)
            .col(Webhook::OwnerDid)
            .col(Webhook::CreatedAtMs)
            .col(Webhook::Id)
            .take();
        manager.create_index(paging).await?;

        // The key of `url_hash`, encrypted. One row, with the id 1.
        let index_key = Table::create()
            .table(IndexKey::Table)
            .col(ColumnDef::new(IndexKey::Id).integer().not_null())
            .col(ColumnDef::new(IndexKey::SealedKey).binary().not_null())
            .primary_key(Index::create().name("index_key_pkey").col(IndexKey::Id))
            .take();
        manager.create_table(index_key).await
    }
}
