//! Intake: who reads the network and how far, mirrors of what events are judged by, webhooks that are
//! records.

use sea_orm_migration::prelude::{
    ColumnDef, ConditionalStatement as _, DbErr, DeriveIden, DeriveMigrationName, Expr, ExprTrait as _,
    Index, MigrationTrait, SchemaManager, Table, async_trait,
};
use sea_orm_migration::sea_orm;

use crate::text::Texts;

#[derive(DeriveIden)]
enum Webhook {
    Table,
    SinceUs,
}

#[derive(DeriveIden)]
enum WebhookState {
    Table,
    WebhookId,
    Paused,
    OriginPaused,
    OwnerPaused,
}

#[derive(DeriveIden)]
enum Event {
    Table,
    Id,
    IntakeAtMs,
}

#[derive(DeriveIden)]
enum Intake {
    Table,
    Name,
    Holder,
    Epoch,
    UntilMs,
    Host,
    Wire,
    Cursor,
    TimeUs,
    StartedAtUs,
}

#[derive(DeriveIden)]
enum IntakeGap {
    Table,
    Id,
    Host,
    FromUs,
    ToUs,
    FoundAtMs,
    HealedAtMs,
}

#[derive(DeriveIden)]
enum IntakeSync {
    Table,
    Did,
    Rev,
    AtMs,
}

#[derive(DeriveIden)]
enum IntakeUnreadable {
    Table,
    Hash,
    Reason,
    AtMs,
}

#[derive(DeriveIden)]
enum Mirror {
    Table,
    Did,
    Collection,
    Rkey,
    Rev,
    Subject,
    Detail,
}

#[derive(DeriveIden)]
enum MirroredOwner {
    Table,
    Did,
    Collection,
    ListedAtMs,
}

#[derive(DeriveIden)]
enum OnAir {
    Table,
    StreamerDid,
    TimeUs,
}

#[derive(DeriveIden)]
enum RecentFollow {
    Table,
    StreamerDid,
    FollowerDid,
    TimeUs,
}

#[derive(DeriveIden)]
enum OwnerStatus {
    Table,
    Did,
    Status,
    TimeUs,
}

#[derive(DeriveMigrationName)]
pub(crate) struct IntakeTables;

#[async_trait::async_trait]
impl MigrationTrait for IntakeTables {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        change_tables(manager).await?;
        create_stream_tables(manager).await?;
        create_mirrors(manager).await
    }
}

async fn change_tables(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    // From when on events are the webhook's, in the time of the stream.
    let mut since = ColumnDef::new(Webhook::SinceUs).big_integer().take();
    manager.alter_table(Table::alter().table(Webhook::Table).add_column(&mut since).take()).await?;
    // Whether the deliveries wait since the owner's account is not active.
    let mut paused = ColumnDef::new(WebhookState::OwnerPaused).boolean().not_null().default(false).take();
    manager.alter_table(Table::alter().table(WebhookState::Table).add_column(&mut paused).take()).await?;
    manager.drop_index(Index::drop().name("webhook_state_paused_idx").to_owned()).await?;
    let is_paused = Expr::col(WebhookState::Paused)
        .or(Expr::col(WebhookState::OriginPaused))
        .or(Expr::col(WebhookState::OwnerPaused));
    let paused = Index::create()
        .name("webhook_state_paused_idx")
        .table(WebhookState::Table)
        .col(WebhookState::WebhookId)
        .and_where(is_paused)
        .take();
    manager.create_index(paused).await?;
    // When intake stored the event, null for all others: its id is a hash, so that ids have no order.
    let mut intake = ColumnDef::new(Event::IntakeAtMs).big_integer().take();
    manager.alter_table(Table::alter().table(Event::Table).add_column(&mut intake).take()).await?;
    let by_time = Index::create()
        .name("event_intake_at_ms_id_idx")
        .table(Event::Table)
        .col(Event::IntakeAtMs)
        .col(Event::Id)
        .and_where(Expr::col(Event::IntakeAtMs).is_not_null())
        .take();
    manager.create_index(by_time).await
}

async fn create_stream_tables(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let text = Texts(manager.get_database_backend());

    // Who reads the stream: `holder` until `until_ms`, and `epoch` counts the holders. `cursor` of `host` on
    // `wire` (1 or 2) is the last event whose consequences are stored, `time_us` its time; all null before
    // the first one, and `started_at_us` is where reading begins then.
    let intake = Table::create()
        .table(Intake::Table)
        .col(text.bytewise(Intake::Name).not_null())
        .col(ColumnDef::new(Intake::Holder).uuid())
        .col(ColumnDef::new(Intake::Epoch).big_integer().not_null())
        .col(ColumnDef::new(Intake::UntilMs).big_integer())
        .col(text.bytewise(Intake::Host))
        .col(ColumnDef::new(Intake::Wire).small_integer())
        .col(ColumnDef::new(Intake::Cursor).big_integer())
        .col(ColumnDef::new(Intake::TimeUs).big_integer())
        .col(ColumnDef::new(Intake::StartedAtUs).big_integer().not_null())
        .primary_key(Index::create().name("intake_pkey").col(Intake::Name))
        .take();
    manager.create_table(intake).await?;

    // Parts of the stream that were no longer there when they should have been read.
    let intake_gap = Table::create()
        .table(IntakeGap::Table)
        .col(ColumnDef::new(IntakeGap::Id).uuid().not_null())
        .col(text.bytewise(IntakeGap::Host).not_null())
        .col(ColumnDef::new(IntakeGap::FromUs).big_integer().not_null())
        .col(ColumnDef::new(IntakeGap::ToUs).big_integer())
        .col(ColumnDef::new(IntakeGap::FoundAtMs).big_integer().not_null())
        .col(ColumnDef::new(IntakeGap::HealedAtMs).big_integer())
        .primary_key(Index::create().name("intake_gap_pkey").col(IntakeGap::Id))
        .take();
    manager.create_table(intake_gap).await?;

    // After a sync the stream sends all records of the repository with this `rev` once more.
    let intake_sync = Table::create()
        .table(IntakeSync::Table)
        .col(text.bytewise(IntakeSync::Did).not_null())
        .col(text.bytewise(IntakeSync::Rev).not_null())
        .col(ColumnDef::new(IntakeSync::AtMs).big_integer().not_null())
        .primary_key(Index::create().name("intake_sync_pkey").col(IntakeSync::Did).col(IntakeSync::Rev))
        .take();
    manager.create_table(intake_sync).await?;
    let index =
        Index::create().name("intake_sync_at_ms_idx").table(IntakeSync::Table).col(IntakeSync::AtMs).take();
    manager.create_index(index).await?;

    // SHA-256 of a frame that can't be read, and why.
    let intake_unreadable = Table::create()
        .table(IntakeUnreadable::Table)
        .col(ColumnDef::new(IntakeUnreadable::Hash).binary().not_null())
        .col(text.bytewise(IntakeUnreadable::Reason).not_null())
        .col(ColumnDef::new(IntakeUnreadable::AtMs).big_integer().not_null())
        .primary_key(Index::create().name("intake_unreadable_pkey").col(IntakeUnreadable::Hash))
        .take();
    manager.create_table(intake_unreadable).await?;
    let index = Index::create()
        .name("intake_unreadable_at_ms_idx")
        .table(IntakeUnreadable::Table)
        .col(IntakeUnreadable::AtMs)
        .take();
    manager.create_index(index).await?;
    Ok(())
}

async fn create_mirrors(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let text = Texts(manager.get_database_backend());

    // A delete names no subject, so the subjects of blocks, access rules and verifications are kept by record
    // key.
    let mirror = Table::create()
        .table(Mirror::Table)
        .col(text.bytewise(Mirror::Did).not_null())
        .col(text.bytewise(Mirror::Collection).not_null())
        .col(text.bytewise(Mirror::Rkey).not_null())
        .col(text.bytewise(Mirror::Rev).not_null())
        .col(text.bytewise(Mirror::Subject))
        .col(text.bytewise(Mirror::Detail))
        .primary_key(
            Index::create().name("mirror_pkey").col(Mirror::Did).col(Mirror::Collection).col(Mirror::Rkey),
        )
        .take();
    manager.create_table(mirror).await?;
    let index = Index::create()
        .name("mirror_did_collection_subject_idx")
        .table(Mirror::Table)
        .col(Mirror::Did)
        .col(Mirror::Collection)
        .col(Mirror::Subject)
        .take();
    manager.create_index(index).await?;

    // Whose records were listed for the mirror.
    let mirrored_owner = Table::create()
        .table(MirroredOwner::Table)
        .col(text.bytewise(MirroredOwner::Did).not_null())
        .col(text.bytewise(MirroredOwner::Collection).not_null())
        .col(ColumnDef::new(MirroredOwner::ListedAtMs).big_integer().not_null())
        .primary_key(
            Index::create()
                .name("mirrored_owner_pkey")
                .col(MirroredOwner::Did)
                .col(MirroredOwner::Collection),
        )
        .take();
    manager.create_table(mirrored_owner).await?;

    // When a streamer was last on the air.
    let on_air = Table::create()
        .table(OnAir::Table)
        .col(text.bytewise(OnAir::StreamerDid).not_null())
        .col(ColumnDef::new(OnAir::TimeUs).big_integer().not_null())
        .primary_key(Index::create().name("on_air_pkey").col(OnAir::StreamerDid))
        .take();
    manager.create_table(on_air).await?;

    // Who followed a streamer within a day.
    let recent_follow = Table::create()
        .table(RecentFollow::Table)
        .col(text.bytewise(RecentFollow::StreamerDid).not_null())
        .col(text.bytewise(RecentFollow::FollowerDid).not_null())
        .col(ColumnDef::new(RecentFollow::TimeUs).big_integer().not_null())
        .primary_key(
            Index::create()
                .name("recent_follow_pkey")
                .col(RecentFollow::StreamerDid)
                .col(RecentFollow::FollowerDid),
        )
        .take();
    manager.create_table(recent_follow).await?;
    let index = Index::create()
        .name("recent_follow_time_us_idx")
        .table(RecentFollow::Table)
        .col(RecentFollow::TimeUs)
        .take();
    manager.create_index(index).await?;

    // `status` is null for an active account.
    let owner_status = Table::create()
        .table(OwnerStatus::Table)
        .col(text.bytewise(OwnerStatus::Did).not_null())
        .col(text.bytewise(OwnerStatus::Status))
        .col(ColumnDef::new(OwnerStatus::TimeUs).big_integer().not_null())
        .primary_key(Index::create().name("owner_status_pkey").col(OwnerStatus::Did))
        .take();
    manager.create_table(owner_status).await?;
    Ok(())
}
