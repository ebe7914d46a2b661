//! What operators see of deliveries, and what they pause.

use std::collections::HashMap;

use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _};
use uuid::Uuid;

use super::Store;
use super::commit::Job;
use super::commit::pauses::Paused;
use super::commit::states::earliest_pending;
use super::table::{delivery, record_webhook, webhook, webhook_state};
use crate::delivery::backlog::Backlog;
use crate::domain::origin::Origin;
use crate::error::Error;

impl Store {
    /// The `limit` webhooks with the most pending deliveries, those with the most first.
    ///
    /// # Errors
    ///
    /// The database fails.
    pub(crate) async fn backlogs(&self, limit: u32) -> Result<Vec<Backlog>, Error> {
        let reading = &self.database.reading;
        let largest = || {
            webhook_state::Entity::find()
                .filter(webhook_state::Column::Pending.gt(0))
                .order_by_desc(webhook_state::Column::Pending)
                .order_by_asc(webhook_state::Column::WebhookId)
                .limit(u64::from(limit))
                .all(reading)
        };
        let states = self.database.read(largest).await?;
        let ids: Vec<Uuid> = states.iter().map(|state| state.webhook_id).collect();
        let owners = || {
            webhook::Entity::find()
                .select_only()
                .columns([webhook::Column::Id, webhook::Column::OwnerDid])
                .filter(webhook::Column::Id.is_in(ids.iter().copied()))
                .into_tuple::<(Uuid, String)>()
                .all(reading)
        };
        let mut owners: HashMap<Uuid, String> = self.database.read(owners).await?.into_iter().collect();
        let of_records = || {
            record_webhook::Entity::find()
                .select_only()
                .columns([record_webhook::Column::Id, record_webhook::Column::OwnerDid])
                .filter(record_webhook::Column::Id.is_in(ids.iter().copied()))
                .into_tuple::<(Uuid, String)>()
                .all(reading)
        };
        owners.extend(self.database.read(of_records).await?);
        let earliest = || {
            webhook_state::Entity::find()
                .select_only()
                .column(webhook_state::Column::WebhookId)
                .expr_as(earliest_pending(false), "first")
                .expr_as(earliest_pending(true), "retried")
                .filter(webhook_state::Column::WebhookId.is_in(ids.iter().copied()))
                .into_tuple::<(Uuid, Option<i64>, Option<i64>)>()
                .all(reading)
        };
        let earliest: HashMap<Uuid, Option<i64>> = self
            .database
            .read(earliest)
            .await?
            .into_iter()
            .map(|(id, first, retried)| (id, first.into_iter().chain(retried).min()))
            .collect();
        let mut backlogs = Vec::new();
        for state in states {
            // Deleted meanwhile, if it has no owner.
            let Some(owner) = owners.remove(&state.webhook_id) else { continue };
            let last_outcome = self.last_outcome(&state).await?;
            backlogs.push(Backlog {
                webhook: state.webhook_id,
                owner,
                pending: state.pending.cast_unsigned(),
                oldest_due_ms: earliest.get(&state.webhook_id).copied().flatten(),
                last_outcome,
                error_count: state.error_count.cast_unsigned(),
                held_until_ms: state.held_until_ms,
                paused: state.paused,
                origin_paused: state.origin_paused,
            });
        }
        Ok(backlogs)
    }

    /// The last outcome of that delivery to be attempted again which is due first.
    async fn last_outcome(&self, state: &webhook_state::Model) -> Result<Option<String>, Error> {
        let found = || {
            delivery::Entity::find()
                .select_only()
                .column(delivery::Column::LastOutcome)
                .filter(delivery::Column::WebhookId.eq(state.webhook_id))
                .filter(delivery::Column::Generation.eq(state.generation))
                .filter(delivery::Column::Retried.eq(true))
                .filter(delivery::Column::NextAtMs.is_not_null())
                .order_by_asc(delivery::Column::NextAtMs)
                .into_tuple::<Option<String>>()
                .one(&self.database.reading)
        };
        Ok(self.database.read(found).await?.flatten())
    }

    /// Pauses the webhook `id`, or resumes it.
    ///
    /// # Errors
    ///
    /// There is no such webhook; the database is overloaded or fails.
    pub(crate) async fn pause_webhook(&self, id: Uuid, paused: bool) -> Result<(), Error> {
        self.pause(Paused::Webhook(id), paused).await.map(drop)
    }

    /// Pauses all webhooks of `origin`, those to come too, or resumes them. Returns how many there are that
    /// have had a delivery.
    ///
    /// # Errors
    ///
    /// The database is overloaded or fails.
    pub(crate) async fn pause_origin(&self, origin: &Origin, paused: bool) -> Result<u64, Error> {
        let hash = self.sealer.index_key.hash_of_origin(origin.as_str());
        self.pause(Paused::Origin(hash), paused).await
    }

    async fn pause(&self, what: Paused, paused: bool) -> Result<u64, Error> {
        self.commits.submit_delivery(&"pause", |reply| Job::Pause { what, paused, reply }).await
    }
}
