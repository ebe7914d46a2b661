//! Whether the origin of a webhook is paused, looked up where a state learns its origin.

use std::collections::HashSet;

use sea_orm::{
    ColumnTrait as _, DatabaseTransaction, DbErr, EntityTrait as _, QueryFilter as _, QuerySelect as _,
};

use super::STATEMENT_ROWS;
use crate::store::table::{paused_origin, webhook_state};

/// Notes in `rows`, whose origins are new, whether these are paused. Call it while the states of the webhooks
/// are locked, or were found missing.
pub(super) async fn look_up(
    transaction: &DatabaseTransaction,
    rows: impl IntoIterator<Item = &mut webhook_state::Model>,
) -> Result<(), DbErr> {
    let mut rows: Vec<&mut webhook_state::Model> = rows.into_iter().collect();
    for some in rows.chunks_mut(STATEMENT_ROWS) {
        let origins: HashSet<Vec<u8>> = some.iter().map(|row| row.origin.clone()).collect();
        let paused: Vec<Vec<u8>> = paused_origin::Entity::find()
            .select_only()
            .column(paused_origin::Column::Origin)
            .filter(paused_origin::Column::Origin.is_in(origins))
            .into_tuple()
            .all(transaction)
            .await?;
        for row in some {
            row.origin_paused = paused.contains(&row.origin);
        }
    }
    Ok(())
}
