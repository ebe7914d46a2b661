//! What operators need: the events of an account, to be purged, and webhooks and origins that are paused.

use sea_orm_migration::prelude::{
    ColumnDef, ConditionalStatement as _, DbErr, DeriveIden, DeriveMigrationName, Expr, ExprTrait as _,
    Index, MigrationTrait, SchemaManager, Table, async_trait,
};
use sea_orm_migration::sea_orm;

#[derive(DeriveIden)]
enum Event {
    Table,
    Id,
    StreamerDid,
}

#[derive(DeriveIden)]
enum WebhookState {
    Table,
    WebhookId,
    Paused,
    OriginPaused,
}

#[derive(DeriveIden)]
enum PausedOrigin {
    Table,
    Origin,
    PausedAtMs,
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
        manager.create_index(of_account).await?;

        // Whether an operator keeps back the deliveries of the webhook, or of all webhooks of its origin.
        // Then `due_at_ms` is null, so that no claim looks at it.
        for column in [WebhookState::Paused, WebhookState::OriginPaused] {
            let mut column = ColumnDef::new(column).boolean().not_null().default(false).take();
            // SQLite adds one column in each statement.
            let table = Table::alter().table(WebhookState::Table).add_column(&mut column).take();
            manager.alter_table(table).await?;
        }
        let is_paused = Expr::col(WebhookState::Paused).or(Expr::col(WebhookState::OriginPaused));
        let paused = Index::create()
            .name("webhook_state_paused_idx")
            .table(WebhookState::Table)
            .col(WebhookState::WebhookId)
            .and_where(is_paused)
            .take();
        manager.create_index(paused).await?;

        // The origins of which all webhooks are paused. `origin` is hashed as in `webhook_state`.
        let paused_origin = Table::create()
            .table(PausedOrigin::Table)
            .col(ColumnDef::new(PausedOrigin::Origin).binary().not_null())
            .col(ColumnDef::new(PausedOrigin::PausedAtMs).big_integer().not_null())
            .primary_key(Index::create().name("paused_origin_pkey").col(PausedOrigin::Origin))
            .take();
        manager.create_table(paused_origin).await
    }
}
