//! How much waits to be delivered, for the metrics.

use process::clock::Clock;
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QuerySelect as _};

use super::Store;
use super::commit::event_batch::Now;
use super::commit::holds::discord_is_held;
use super::table::webhook_state;
use super::told::Told;
use crate::delivery::metrics::QueueDepth;

impl Store {
    /// How much waits now. It looks at the webhooks that have something pending, along the index by which
    /// claims find them, and at no delivery.
    ///
    /// # Errors
    ///
    /// The database fails.
    pub(crate) async fn queue_depth(&self, clock: &Clock) -> Result<QueueDepth, Told> {
        let reading = &self.database.reading;
        let now = Now::of(reading, clock).await?;
        // What is paused has no due time.
        let is_paused =
            Expr::col(webhook_state::Column::Paused).or(Expr::col(webhook_state::Column::OriginPaused));
        let pending: Option<Option<i64>> = webhook_state::Entity::find()
            .select_only()
            .column_as(webhook_state::Column::Pending.sum(), "pending")
            .filter(webhook_state::Column::DueAtMs.is_not_null().or(is_paused))
            .into_tuple()
            .one(reading)
            .await?;
        // What is held is due later, but for the hold that all webhooks of Discord share.
        let mut due = webhook_state::Entity::find()
            .select_only()
            .column_as(webhook_state::Column::DueAtMs.min(), "due_at_ms")
            .filter(webhook_state::Column::DueAtMs.lte(now.ms));
        if discord_is_held(reading, now).await? {
            due = due.filter(webhook_state::Column::Discord.eq(false));
        }
        let oldest: Option<Option<i64>> = due.into_tuple().one(reading).await?;
        Ok(QueueDepth {
            pending: u64::try_from(pending.flatten().unwrap_or(0)).unwrap_or(0),
            oldest_due: oldest.flatten().map(|at_ms| now.since(at_ms)).unwrap_or_default(),
        })
    }
}
