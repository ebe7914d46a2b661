//! What an import does to deliveries once all rows are there.

use sea_orm::sea_query::{Condition, Expr, ExprTrait as _, Query};
use sea_orm::{
    ColumnTrait as _, DatabaseTransaction, DbErr, EntityTrait as _, QueryFilter as _, QuerySelect as _,
    QueryTrait as _,
};
use uuid::Uuid;

use crate::store::table::{delivery, webhook_state};

/// Ends all leases, whose holders deliver from another database: their deliveries are due at `now_ms`. Counts
/// anew what is pending at each webhook.
pub(super) async fn settle(transaction: &DatabaseTransaction, now_ms: i64) -> Result<(), DbErr> {
    let leased = delivery::Entity::find()
        .select_only()
        .column(delivery::Column::WebhookId)
        .filter(delivery::Column::Lease.is_not_null())
        .filter(delivery::Column::NextAtMs.is_not_null())
        .into_query();
    webhook_state::Entity::update_many()
        .col_expr(webhook_state::Column::DueAtMs, Expr::val(now_ms))
        .filter(webhook_state::Column::WebhookId.in_subquery(leased))
        .filter(webhook_state::Column::Paused.eq(false))
        .filter(webhook_state::Column::OriginPaused.eq(false))
        .filter(
            Condition::any()
                .add(webhook_state::Column::HeldUntilMs.is_null())
                .add(webhook_state::Column::HeldUntilMs.lte(now_ms)),
        )
        .exec(transaction)
        .await?;
    delivery::Entity::update_many()
        .col_expr(delivery::Column::NextAtMs, Expr::val(now_ms))
        .filter(delivery::Column::Lease.is_not_null())
        .filter(delivery::Column::NextAtMs.is_not_null())
        .exec(transaction)
        .await?;
    delivery::Entity::update_many()
        .col_expr(delivery::Column::Lease, Expr::val(None::<Uuid>))
        .filter(delivery::Column::Lease.is_not_null())
        .exec(transaction)
        .await?;
    count_pending(transaction).await
}

async fn count_pending(transaction: &DatabaseTransaction) -> Result<(), DbErr> {
    let of_state = |column: delivery::Column, state: webhook_state::Column| {
        Expr::col((delivery::Entity, column)).equals((webhook_state::Entity, state))
    };
    let pending = Query::select()
        .expr(Expr::col((delivery::Entity, delivery::Column::Id)).count())
        .from(delivery::Entity)
        .and_where(of_state(delivery::Column::WebhookId, webhook_state::Column::WebhookId))
        .and_where(of_state(delivery::Column::Generation, webhook_state::Column::Generation))
        .and_where(Expr::col((delivery::Entity, delivery::Column::NextAtMs)).is_not_null())
        .take();
    webhook_state::Entity::update_many()
        .col_expr(webhook_state::Column::Pending, Expr::from(pending.clone()))
        .filter(Expr::col((webhook_state::Entity, webhook_state::Column::Pending)).ne(pending))
        .exec(transaction)
        .await
        .map(drop)
}
