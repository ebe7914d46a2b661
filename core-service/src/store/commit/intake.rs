//! What intake writes: who reads, how far, and what the events caused, all in one transaction.

use sea_orm::{DatabaseTransaction, DbErr, EntityTrait as _};

use crate::store::table::intake;

/// The name of the one row of the table `intake`.
pub(in crate::store) const STREAM: &str = "network";

/// The time of the last event that was read, in microseconds since 1970; none before the first.
pub(super) async fn stream_time_us(transaction: &DatabaseTransaction) -> Result<Option<i64>, DbErr> {
    let row = intake::Entity::find_by_id(STREAM).one(transaction).await?;
    Ok(row.and_then(|row| row.time_us))
}
