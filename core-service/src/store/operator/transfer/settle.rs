//! What an import checks and does of deliveries once all rows are there.

use sea_orm::sea_query::{Expr, ExprTrait as _, Query};
use sea_orm::{ColumnTrait as _, DatabaseTransaction, DbErr, EntityTrait, QueryFilter as _};
use uuid::Uuid;

use crate::store::commit::end_leases::end_leases;
use crate::store::commit::event_batch::Now;
use crate::store::table::{attempt, delivery, event, webhook_state};

/// A row that belongs to none: no purge and no job would ever find it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Astray {
    #[error("an attempt has no delivery")]
    Delivery,
    #[error("a delivery has no event")]
    Event,
    #[error("a pending delivery has no webhook_state, or one of an older generation")]
    Webhook,
}

/// Looks for rows that belong to none.
pub(super) async fn find_astray(transaction: &DatabaseTransaction) -> Result<Option<Astray>, DbErr> {
    let of_attempt = Expr::col((delivery::Entity, delivery::Column::Id))
        .equals((attempt::Entity, attempt::Column::DeliveryId));
    let attempts = attempt::Entity::find().filter(exists(delivery::Entity, of_attempt).not());
    if attempts.one(transaction).await?.is_some() {
        return Ok(Some(Astray::Delivery));
    }
    let of_delivery =
        Expr::col((event::Entity, event::Column::Id)).equals((delivery::Entity, delivery::Column::EventId));
    let deliveries = delivery::Entity::find().filter(exists(event::Entity, of_delivery).not());
    if deliveries.one(transaction).await?.is_some() {
        return Ok(Some(Astray::Event));
    }
    let generation = Expr::col((webhook_state::Entity, webhook_state::Column::Generation))
        .gte(Expr::col((delivery::Entity, delivery::Column::Generation)));
    let of_pending = of_state(delivery::Column::WebhookId, webhook_state::Column::WebhookId).and(generation);
    let pending = delivery::Entity::find()
        .filter(delivery::Column::NextAtMs.is_not_null())
        .filter(exists(webhook_state::Entity, of_pending).not());
    Ok(pending.one(transaction).await?.map(|_| Astray::Webhook))
}

/// Whether `table` has a row that fits.
fn exists(table: impl EntityTrait, fits: Expr) -> Expr {
    Expr::exists(Query::select().expr(Expr::val(1)).from(table.table_ref()).and_where(fits).take())
}

/// Ends all leases, whose holders deliver from another database: their deliveries are due at `now_ms`. Counts
/// anew what is pending at each webhook.
pub(super) async fn settle(transaction: &DatabaseTransaction, now_ms: i64) -> Result<(), DbErr> {
    end_leases(transaction, Now { ms: now_ms }).await?;
    delivery::Entity::update_many()
        .col_expr(delivery::Column::Lease, Expr::val(None::<Uuid>))
        .filter(delivery::Column::Lease.is_not_null())
        .exec(transaction)
        .await?;
    count_pending(transaction).await
}

async fn count_pending(transaction: &DatabaseTransaction) -> Result<(), DbErr> {
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

fn of_state(column: delivery::Column, state: webhook_state::Column) -> Expr {
    Expr::col((delivery::Entity, column)).equals((webhook_state::Entity, state))
}
