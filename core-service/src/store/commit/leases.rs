//! Leases as they are stored, and what is read of leased deliveries.

use std::collections::{BTreeSet, HashMap};

use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait as _, DatabaseTransaction, DbErr, EntityTrait as _, QueryFilter as _};
use uuid::Uuid;

use super::STATEMENT_ROWS;
use super::locks::locked;
use crate::delivery::event::StoredEvent;
use crate::store::row;
use crate::store::table::{delivery, event};

/// Stores the leases, due times and bodies of deliveries whose webhooks are locked.
pub(super) async fn store_leases(
    transaction: &DatabaseTransaction,
    rows: Vec<delivery::Model>,
) -> Result<(), DbErr> {
    let replace = OnConflict::column(delivery::Column::Id)
        .update_columns([delivery::Column::Lease, delivery::Column::NextAtMs, delivery::Column::Body])
        .to_owned();
    for some in rows.chunks(STATEMENT_ROWS) {
        let rows = some.iter().cloned().map(delivery::ActiveModel::from);
        let insert = delivery::Entity::insert_many(rows).on_conflict(replace.clone());
        insert.exec_without_returning(transaction).await?;
    }
    Ok(())
}

/// The deliveries with these ids, locked.
pub(super) async fn locked_deliveries(
    transaction: &DatabaseTransaction,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, delivery::Model>, DbErr> {
    let mut rows = HashMap::new();
    for some in ids.chunks(STATEMENT_ROWS) {
        let query = delivery::Entity::find().filter(delivery::Column::Id.is_in(some.iter().copied()));
        let found = locked(transaction, query).all(transaction).await?;
        rows.extend(found.into_iter().map(|row| (row.id, row)));
    }
    Ok(rows)
}

/// The events with these ids.
pub(super) async fn events(
    transaction: &DatabaseTransaction,
    ids: BTreeSet<Uuid>,
) -> Result<HashMap<Uuid, StoredEvent>, DbErr> {
    let ids: Vec<Uuid> = ids.into_iter().collect();
    let mut events = HashMap::new();
    for some in ids.chunks(STATEMENT_ROWS) {
        let found = event::Entity::find().filter(event::Column::Id.is_in(some.iter().copied()));
        let rows = found.all(transaction).await?;
        events.extend(rows.into_iter().filter_map(|row| Some((row.id, row::event(row)?))));
    }
    Ok(events)
}
