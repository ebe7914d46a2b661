//! Events, their deliveries with one row for each attempt, the delivery state of webhooks, and holds of
//! hosts.

use sea_orm_migration::prelude::{
    ColumnDef, ConditionalStatement as _, DbErr, DeriveIden, DeriveMigrationName, Expr, ExprTrait as _,
    Index, MigrationTrait, SchemaManager, Table, async_trait,
};
use sea_orm_migration::sea_orm;

use crate::text::Texts;

#[derive(DeriveIden)]
enum Event {
    Table,
    Id,
    Publisher,
    IdempotencyKey,
    ContentHash,
    StreamerDid,
    Type,
    OccurredAtMs,
    Payload,
    Deliveries,
    CreatedAtMs,
}

#[derive(DeriveIden)]
enum WebhookState {
    Table,
    WebhookId,
    Generation,
    Origin,
    DueAtMs,
    HeldUntilMs,
    HeldForSecret,
    Discord,
    Pending,
    Dropped,
    LastFailed,
    ErrorCount,
    FailingSinceMs,
    LastTriggeredAtMs,
    DisabledReason,
    DisabledAtMs,
    CancellingSinceMs,
}

#[derive(DeriveIden)]
enum Delivery {
    Table,
    Id,
    EventId,
    WebhookId,
    Generation,
    State,
    NextAtMs,
    Lease,
    Retried,
    Attempts,
    Body,
    LastOutcome,
    LastStatus,
    LastAttemptAtMs,
    EndedAtMs,
    CreatedAtMs,
}

#[derive(DeriveIden)]
enum Attempt {
    Table,
    DeliveryId,
    Number,
    AtMs,
    DurationMs,
    Outcome,
    Status,
    Response,
    NextAtMs,
}

#[derive(DeriveIden)]
enum HostHold {
    Table,
    Host,
    HeldUntilMs,
}

#[derive(DeriveMigrationName)]
pub(crate) struct EventsDeliveries;

#[async_trait::async_trait]
impl MigrationTrait for EventsDeliveries {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let text = Texts(manager.get_database_backend());

        // A published event. The unique key finds repeats, `content_hash` tells whether a repeat has other
        // content, and `deliveries` is the answer to the first publication. `payload` is JSON, and null once
        // it is no longer needed.
        let event = Table::create()
            .table(Event::Table)
            .col(ColumnDef::new(Event::Id).uuid().not_null())
            .col(text.bytewise(Event::Publisher).not_null())
            .col(text.bytewise(Event::IdempotencyKey).not_null())
            .col(ColumnDef::new(Event::ContentHash).binary().not_null())
            .col(text.bytewise(Event::StreamerDid).not_null())
            .col(ColumnDef::new(Event::Type).text().not_null())
            .col(ColumnDef::new(Event::OccurredAtMs).big_integer().not_null())
            .col(ColumnDef::new(Event::Payload).text())
            .col(ColumnDef::new(Event::Deliveries).integer().not_null())
            .col(ColumnDef::new(Event::CreatedAtMs).big_integer().not_null())
            .primary_key(Index::create().name("event_pkey").col(Event::Id))
            .index(
                Index::create()
                    .unique()
                    .name("event_publisher_idempotency_key_key")
                    .col(Event::Publisher)
                    .col(Event::IdempotencyKey),
            )
            .take();
        manager.create_table(event).await?;

        // What deliveries know of a webhook. There is no row before its first delivery. `due_at_ms` is the
        // earliest `next_at_ms` of its pending deliveries, null if it has none; `held_until_ms` keeps all of
        // them back. `origin` is an HMAC of scheme, host and port, under the index key. Deliveries of an
        // older generation are cancelled; `cancelling_since_ms` is set while some of their rows do not say
        // so.
        let webhook_state = Table::create()
            .table(WebhookState::Table)
            .col(ColumnDef::new(WebhookState::WebhookId).uuid().not_null())
            .col(ColumnDef::new(WebhookState::Generation).integer().not_null())
            .col(ColumnDef::new(WebhookState::Origin).binary().not_null())
            .col(ColumnDef::new(WebhookState::Discord).boolean().not_null())
            .col(ColumnDef::new(WebhookState::DueAtMs).big_integer())
            .col(ColumnDef::new(WebhookState::HeldUntilMs).big_integer())
            .col(ColumnDef::new(WebhookState::HeldForSecret).boolean().not_null())
            .col(ColumnDef::new(WebhookState::Pending).integer().not_null())
            .col(ColumnDef::new(WebhookState::Dropped).big_integer().not_null())
            .col(ColumnDef::new(WebhookState::LastFailed).boolean().not_null())
            .col(ColumnDef::new(WebhookState::ErrorCount).integer().not_null())
            .col(ColumnDef::new(WebhookState::FailingSinceMs).big_integer())
            .col(ColumnDef::new(WebhookState::LastTriggeredAtMs).big_integer())
            .col(ColumnDef::new(WebhookState::DisabledReason).text())
            .col(ColumnDef::new(WebhookState::DisabledAtMs).big_integer())
            .col(ColumnDef::new(WebhookState::CancellingSinceMs).big_integer())
            .primary_key(Index::create().name("webhook_state_pkey").col(WebhookState::WebhookId))
            .take();
        manager.create_table(webhook_state).await?;
        let due = Index::create()
            .name("webhook_state_due_at_ms_idx")
            .table(WebhookState::Table)
            .col(WebhookState::DueAtMs)
            .and_where(Expr::col(WebhookState::DueAtMs).is_not_null())
            .take();
        manager.create_index(due).await?;
        let cancelling = Index::create()
            .name("webhook_state_cancelling_since_ms_idx")
            .table(WebhookState::Table)
            .col(WebhookState::CancellingSinceMs)
            .and_where(Expr::col(WebhookState::CancellingSinceMs).is_not_null())
            .take();
        manager.create_index(cancelling).await?;

        // One event for one webhook. `next_at_ms` is when a pending one is due or its lease ends, and null
        // for all others. `body` is what is sent, made for the first attempt. `retried` is whether there
        // was one: first attempts go first.
        let delivery = Table::create()
            .table(Delivery::Table)
            .col(ColumnDef::new(Delivery::Id).uuid().not_null())
            .col(ColumnDef::new(Delivery::EventId).uuid().not_null())
            .col(ColumnDef::new(Delivery::WebhookId).uuid().not_null())
            .col(ColumnDef::new(Delivery::Generation).integer().not_null())
            .col(ColumnDef::new(Delivery::State).small_integer().not_null())
            .col(ColumnDef::new(Delivery::NextAtMs).big_integer())
            .col(ColumnDef::new(Delivery::Lease).uuid())
            .col(ColumnDef::new(Delivery::Retried).boolean().not_null())
            .col(ColumnDef::new(Delivery::Attempts).integer().not_null())
            .col(ColumnDef::new(Delivery::Body).binary())
            .col(ColumnDef::new(Delivery::LastOutcome).text())
            .col(ColumnDef::new(Delivery::LastStatus).integer())
            .col(ColumnDef::new(Delivery::LastAttemptAtMs).big_integer())
            .col(ColumnDef::new(Delivery::EndedAtMs).big_integer())
            .col(ColumnDef::new(Delivery::CreatedAtMs).big_integer().not_null())
            .primary_key(Index::create().name("delivery_pkey").col(Delivery::Id))
            .take();
        manager.create_table(delivery).await?;
        let pending = Index::create()
            .name("delivery_pending_idx")
            .table(Delivery::Table)
            .col(Delivery::WebhookId)
            .col(Delivery::Generation)
            .col(Delivery::Retried)
            .col(Delivery::NextAtMs)
            .and_where(Expr::col(Delivery::NextAtMs).is_not_null())
            .take();
        manager.create_index(pending).await?;
        let listed = Index::create()
            .name("delivery_webhook_id_id_idx")
            .table(Delivery::Table)
            .col(Delivery::WebhookId)
            .col(Delivery::Id)
            .take();
        manager.create_index(listed).await?;
        let of_event = Index::create()
            .name("delivery_event_id_idx")
            .table(Delivery::Table)
            .col(Delivery::EventId)
            .take();
        manager.create_index(of_event).await?;

        let ended = Index::create()
            .name("delivery_ended_at_ms_id_idx")
            .table(Delivery::Table)
            .col(Delivery::EndedAtMs)
            .col(Delivery::Id)
            .and_where(Expr::col(Delivery::EndedAtMs).is_not_null())
            .take();
        manager.create_index(ended).await?;

        // One HTTP request of a delivery.
        let attempt = Table::create()
            .table(Attempt::Table)
            .col(ColumnDef::new(Attempt::DeliveryId).uuid().not_null())
            .col(ColumnDef::new(Attempt::Number).integer().not_null())
            .col(ColumnDef::new(Attempt::AtMs).big_integer().not_null())
            .col(ColumnDef::new(Attempt::DurationMs).integer().not_null())
            .col(ColumnDef::new(Attempt::Outcome).text().not_null())
            .col(ColumnDef::new(Attempt::Status).integer())
            .col(ColumnDef::new(Attempt::Response).text())
            .col(ColumnDef::new(Attempt::NextAtMs).big_integer())
            .primary_key(Index::create().name("attempt_pkey").col(Attempt::DeliveryId).col(Attempt::Number))
            .take();
        manager.create_table(attempt).await?;

        // A host to which nothing is sent until then, whatever the webhook: Discord's global rate limit.
        let host_hold = Table::create()
            .table(HostHold::Table)
            .col(ColumnDef::new(HostHold::Host).text().not_null())
            .col(ColumnDef::new(HostHold::HeldUntilMs).big_integer().not_null())
            .primary_key(Index::create().name("host_hold_pkey").col(HostHold::Host))
            .take();
        manager.create_table(host_hold).await
    }
}
