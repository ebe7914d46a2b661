//! The job that removes what the intake no longer needs.

use std::time::Duration;

use sea_orm::{
    ColumnTrait as _, DatabaseTransaction, DbErr, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
};

use crate::intake::derive::FOLLOWS_AGAIN;
use crate::intake::syncs::MAX_SYNCS;
use crate::store::commit::event_batch::Now;
use crate::store::row_of_record::DELETED;
use crate::store::table::{
    intake_gap, intake_sync, intake_unreadable, recent_follow, record_webhook, reference,
};

/// How long the revision of a sync is known: as long as hosts keep their stream.
const SYNC_RETENTION: Duration = Duration::from_hours(36);
/// How long the row of a deleted record stays, and the hash of a frame that can't be read.
const TRACE_RETENTION: Duration = Duration::from_hours(7 * 24);
/// How long it is known what a record refers to, and that there was a gap.
const REFERENCE_RETENTION: Duration = Duration::from_hours(30 * 24);
/// The most references that are known; the oldest go first.
const MAX_REFERENCES: u64 = 1_000_000;

/// Removes what is too old.
pub(in crate::store::commit) async fn expire_intake(
    transaction: &DatabaseTransaction,
    now: Now,
) -> Result<(), DbErr> {
    let before = |kept: Duration| now.ms.saturating_sub(i64::try_from(kept.as_millis()).unwrap_or(i64::MAX));
    let oldest: Option<i64> = intake_sync::Entity::find()
        .select_only()
        .column(intake_sync::Column::AtMs)
        .order_by_desc(intake_sync::Column::AtMs)
        .offset(MAX_SYNCS as u64)
        .limit(1)
        .into_tuple()
        .one(transaction)
        .await?;
    let oldest = oldest.unwrap_or(i64::MIN).max(before(SYNC_RETENTION));
    intake_sync::Entity::delete_many()
        .filter(intake_sync::Column::AtMs.lte(oldest))
        .exec(transaction)
        .await?;
    intake_unreadable::Entity::delete_many()
        .filter(intake_unreadable::Column::AtMs.lt(before(TRACE_RETENTION)))
        .exec(transaction)
        .await?;
    intake_gap::Entity::delete_many()
        .filter(intake_gap::Column::FoundAtMs.lt(before(REFERENCE_RETENTION)))
        .exec(transaction)
        .await?;
    record_webhook::Entity::delete_many()
        .filter(record_webhook::Column::State.eq(DELETED))
        .filter(record_webhook::Column::IndexedAtMs.lt(before(TRACE_RETENTION)))
        .exec(transaction)
        .await?;
    // In the time of the stream, which may be hours behind: twice as long is never too short.
    recent_follow::Entity::delete_many()
        .filter(recent_follow::Column::TimeUs.lt(before(FOLLOWS_AGAIN * 2).saturating_mul(1000)))
        .exec(transaction)
        .await?;
    let oldest: Option<i64> = reference::Entity::find()
        .select_only()
        .column(reference::Column::StoredAtMs)
        .order_by_desc(reference::Column::StoredAtMs)
        .offset(MAX_REFERENCES)
        .limit(1)
        .into_tuple()
        .one(transaction)
        .await?;
    let oldest = oldest.unwrap_or(i64::MIN).max(before(REFERENCE_RETENTION));
    reference::Entity::delete_many()
        .filter(reference::Column::StoredAtMs.lte(oldest))
        .exec(transaction)
        .await
        .map(drop)
}
