//! The job that writes `cancelled` to deliveries of webhooks that were turned off or deleted.
//!
//! They are cancelled from the moment their webhook's generation is over; their rows say so a batch at a
//! time.

use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{
    ColumnTrait as _, DatabaseTransaction, DbErr, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _, QueryTrait as _,
};

use uuid::Uuid;

use super::event_batch::Now;
use super::locks::locked_if_free;
use super::states::FAILED;
use crate::delivery::outcome::Outcome;
use crate::store::row_of_record::DELETED;
use crate::store::table::{delivery, record_webhook, webhook, webhook_state};

/// Rows that one transaction rewrites.
const ROWS: u64 = 500;

/// Rewrites some rows of one webhook. Returns whether there may be more.
pub(super) async fn write_cancelled(transaction: &DatabaseTransaction, now: Now) -> Result<bool, DbErr> {
    let query = webhook_state::Entity::find()
        .filter(webhook_state::Column::CancellingSinceMs.is_not_null())
        .order_by_asc(webhook_state::Column::CancellingSinceMs)
        .limit(1);
    // Outcomes lock the state before the deliveries, too.
    let found = locked_if_free(transaction, query).one(transaction).await?;
    let Some(state) = found else { return Ok(false) };
    let some = delivery::Entity::find()
        .select_only()
        .column(delivery::Column::Id)
        .filter(delivery::Column::WebhookId.eq(state.webhook_id))
        .filter(delivery::Column::Generation.lt(state.generation))
        .filter(delivery::Column::NextAtMs.is_not_null())
        .limit(ROWS)
        .into_query();
    // A lease stays: if its attempt succeeds, the delivery is delivered after all.
    let rewritten = delivery::Entity::update_many()
        .col_expr(delivery::Column::State, Expr::val(FAILED))
        .col_expr(delivery::Column::NextAtMs, Expr::val(None::<i64>))
        .col_expr(delivery::Column::LastOutcome, Expr::val(Outcome::Cancelled.to_string()))
        .col_expr(delivery::Column::EndedAtMs, Expr::val(now.ms))
        .filter(delivery::Column::Id.in_subquery(some))
        .exec(transaction)
        .await?;
    if rewritten.rows_affected == ROWS {
        return Ok(true);
    }
    // Unless the next generation is over meanwhile.
    let done = webhook_state::Column::WebhookId
        .eq(state.webhook_id)
        .and(webhook_state::Column::Generation.eq(state.generation));
    let id = state.webhook_id;
    let is_there = webhook::Entity::find_by_id(id).one(transaction).await?.is_some()
        || is_record(transaction, id).await?;
    if is_there {
        webhook_state::Entity::update_many()
            .col_expr(webhook_state::Column::CancellingSinceMs, Expr::val(None::<i64>))
            .filter(done)
            .exec(transaction)
            .await?;
    } else {
        webhook_state::Entity::delete_many().filter(done).exec(transaction).await?;
    }
    Ok(true)
}

/// Whether the webhook is a record that is not deleted.
async fn is_record(transaction: &DatabaseTransaction, id: Uuid) -> Result<bool, DbErr> {
    let row = record_webhook::Entity::find_by_id(id).one(transaction).await?;
    Ok(row.is_some_and(|row| row.state != DELETED))
}
