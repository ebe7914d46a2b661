//! The job that ends all leases, for a database that one process delivers from: at its start their holders
//! are gone.

use sea_orm::sea_query::{Condition, Expr};
use sea_orm::{
    ColumnTrait as _, DatabaseTransaction, DbErr, EntityTrait as _, QueryFilter as _, QuerySelect as _,
    QueryTrait as _,
};

use super::event_batch::Now;
use crate::store::table::{delivery, webhook_state};

/// Makes every leased delivery due now. The next claim writes that its attempt was lost.
pub(in crate::store) async fn end_leases(transaction: &DatabaseTransaction, now: Now) -> Result<(), DbErr> {
    let leased = delivery::Entity::find()
        .select_only()
        .column(delivery::Column::WebhookId)
        .filter(delivery::Column::Lease.is_not_null())
        .filter(delivery::Column::NextAtMs.is_not_null())
        .into_query();
    webhook_state::Entity::update_many()
        .col_expr(webhook_state::Column::DueAtMs, Expr::val(now.ms))
        .filter(webhook_state::Column::WebhookId.in_subquery(leased))
        .filter(webhook_state::Column::Paused.eq(false))
        .filter(webhook_state::Column::OriginPaused.eq(false))
        .filter(
            Condition::any()
                .add(webhook_state::Column::HeldUntilMs.is_null())
                .add(webhook_state::Column::HeldUntilMs.lte(now.ms)),
        )
        .exec(transaction)
        .await?;
    delivery::Entity::update_many()
        .col_expr(delivery::Column::NextAtMs, Expr::val(now.ms))
        .filter(delivery::Column::Lease.is_not_null())
        .filter(delivery::Column::NextAtMs.is_not_null())
        .exec(transaction)
        .await
        .map(drop)
}
