//! Leases as they are stored.

use sea_orm::sea_query::OnConflict;
use sea_orm::{DatabaseTransaction, DbErr, EntityTrait as _};

use super::STATEMENT_ROWS;
use crate::store::table::delivery;

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
