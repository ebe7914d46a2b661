//! Deliveries as owners see them, and what owners may do with them.
//!
//! A delivery whose webhook is deleted has no owner.

use std::collections::HashMap;

use sea_orm::sea_query::Condition;
use sea_orm::{
    ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _, Select,
};
use uuid::Uuid;

use super::commit::Job;
use super::commit::states::{DELIVERED, FAILED, PENDING};
use super::table::{attempt, delivery, event, webhook, webhook_state};
use super::{Store, owned, row};
use crate::delivery::event::{Says, StoredEvent};
use crate::delivery::format::Format;
use crate::delivery::shown::{
    DeliveryDetails, DeliveryPage, DeliveryPageRequest, DeliveryState, ShownAttempt, ShownDelivery,
};
use crate::delivery::text::Texts;
use crate::domain::cursor::Cursor;
use crate::domain::did::Did;
use crate::domain::event_type::EventType;
use crate::error::Error;

/// Attempts of a delivery that its owner sees: the last ones.
const MAX_ATTEMPTS_SHOWN: u64 = 100;

impl Store {
    /// The deliveries of the webhook `id` of `owner` that `request` asks for, newest first.
    ///
    /// # Errors
    ///
    /// There is no such webhook, or the database fails.
    pub(crate) async fn deliveries_of(
        &self,
        owner: &Did,
        id: Uuid,
        request: &DeliveryPageRequest,
    ) -> Result<DeliveryPage, Error> {
        let reading = &self.database.reading;
        if !self.database.read(|| owned::has_webhook(reading, owner, id)).await? {
            return Err(Error::WebhookNotFound);
        }
        let Some(state) = self.states([id]).await?.remove(&id) else {
            // Nothing was ever delivered to it.
            return Ok(DeliveryPage { deliveries: Vec::new(), dropped: 0, next: None });
        };
        let mut rows = self.database.read(|| page_query(&state, request).all(reading)).await?;
        let limit = request.limit.get() as usize;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(|row| Cursor::behind(row.created_at_ms, row.id));
        let types = self.event_types(&rows).await?;
        let shown = rows.into_iter().map(|row| {
            let event_type = types.get(&row.event_id).cloned().unwrap_or_default();
            row::shown_delivery(row, &state, event_type)
        });
        Ok(DeliveryPage { deliveries: shown.collect(), dropped: state.dropped, next })
    }

    /// The types of the events of these deliveries.
    async fn event_types(&self, deliveries: &[delivery::Model]) -> Result<HashMap<Uuid, String>, Error> {
        let types = || {
            event::Entity::find()
                .select_only()
                .columns([event::Column::Id, event::Column::Type])
                .filter(event::Column::Id.is_in(deliveries.iter().map(|row| row.event_id)))
                .into_tuple::<(Uuid, String)>()
                .all(&self.database.reading)
        };
        Ok(self.database.read(types).await?.into_iter().collect())
    }

    /// The delivery `id` of a webhook of `owner`.
    ///
    /// # Errors
    ///
    /// There is none, its webhook can't be opened, or the database fails.
    pub(crate) async fn delivery(&self, owner: &Did, id: Uuid) -> Result<DeliveryDetails, Error> {
        let reading = &self.database.reading;
        let of_owner = || owned::delivery(owner, id).one(reading);
        let row = self.database.read(of_owner).await?.ok_or(Error::DeliveryNotFound)?;
        // None of a wh record. Each of the others may be deleted meanwhile.
        let webhook = || webhook::Entity::find_by_id(row.webhook_id).one(reading);
        let webhook = self.database.read(webhook).await?;
        let mut states = self.states([row.webhook_id]).await?;
        let state = states.remove(&row.webhook_id).ok_or(Error::DeliveryNotFound)?;
        let event = || event::Entity::find_by_id(row.event_id).one(reading);
        let event = self.database.read(event).await?.ok_or(Error::DeliveryNotFound)?;
        let attempts = || {
            attempt::Entity::find()
                .filter(attempt::Column::DeliveryId.eq(id))
                .order_by_desc(attempt::Column::Number)
                .limit(MAX_ATTEMPTS_SHOWN)
                .all(reading)
        };
        let attempts = self.database.read(attempts).await?;
        let event_type = event.r#type.clone();
        let body = self.body(&row, webhook.as_ref(), row::event(event))?;
        Ok(DeliveryDetails {
            delivery: row::shown_delivery(row, &state, event_type),
            attempts: attempts.into_iter().rev().map(shown_attempt).collect(),
            body,
        })
    }

    /// The body of the delivery `row`: as it was sent, else as the webhook would send it now.
    fn body(
        &self,
        row: &delivery::Model,
        webhook: Option<&webhook::Model>,
        event: Option<StoredEvent>,
    ) -> Result<Option<String>, Error> {
        let bytes = match (&row.body, event) {
            (Some(body), _) => body.clone(),
            (None, Some(event)) => match (event.says(), webhook) {
                (Says::Record(json), _) => json.as_bytes().to_vec(),
                (Says::Message(message), Some(webhook)) => {
                    let config = self.sealer.open_webhook(webhook)?.config;
                    let format = Format::of(config.url.expose());
                    format.body(message, Texts::of(&config)).unwrap_or_default()
                }
                // Deleted meanwhile.
                (Says::Message(_), None) => return Err(Error::DeliveryNotFound),
            },
            (None, None) => Vec::new(),
        };
        Ok(String::from_utf8(bytes).ok().filter(|body| !body.is_empty()))
    }

    /// Makes the delivery `id` of a webhook of `owner` due at once.
    ///
    /// # Errors
    ///
    /// There is none, its body is no longer kept, or the database is overloaded or fails.
    pub(crate) async fn redeliver(&self, owner: &Did, id: Uuid) -> Result<ShownDelivery, Error> {
        Ok(*self.commits.submit(owner, |reply| Job::Redeliver { id, reply }).await?)
    }

    /// Makes deliveries of the webhook `webhook` of `owner` due at once that failed and were made at or after
    /// `since_ms` (milliseconds since 1970-01-01T00:00:00Z). Returns how many.
    ///
    /// # Errors
    ///
    /// There is no such webhook, or the database is overloaded or fails.
    pub(crate) async fn redeliver_failed(
        &self,
        owner: &Did,
        webhook: Uuid,
        since_ms: i64,
    ) -> Result<u32, Error> {
        self.commits.submit(owner, |reply| Job::RedeliverFailed { webhook, since_ms, reply }).await
    }

    /// Makes a delivery of a sample event for the webhook `webhook` of `owner`; of the first type that the
    /// webhook asks for, if `event_type` is `None`. Returns its id.
    ///
    /// # Errors
    ///
    /// There is no such webhook, it can't be opened, or the database is overloaded or fails.
    pub(crate) async fn send_test(
        &self,
        owner: &Did,
        webhook: Uuid,
        event_type: Option<EventType>,
    ) -> Result<Uuid, Error> {
        self.commits.submit(owner, |reply| Job::SendTest { webhook, event_type, reply }).await
    }
}

/// One row more than requested, to know whether there are more. The ids are in the order of their times.
fn page_query(state: &webhook_state::Model, request: &DeliveryPageRequest) -> Select<delivery::Entity> {
    let DeliveryPageRequest { limit, after, state: wanted } = *request;
    let mut query = delivery::Entity::find()
        .filter(delivery::Column::WebhookId.eq(state.webhook_id))
        .order_by_desc(delivery::Column::Id)
        .limit(u64::from(limit.get()) + 1);
    if let Some(after) = after {
        query = query.filter(delivery::Column::Id.lt(after.id()));
    }
    let pending = || Condition::all().add(delivery::Column::State.eq(PENDING));
    let current = delivery::Column::Generation.eq(state.generation);
    match wanted {
        None => query,
        Some(DeliveryState::Pending) => query.filter(pending().add(current)),
        Some(DeliveryState::Delivered) => query.filter(delivery::Column::State.eq(DELIVERED)),
        // Only while there are rows that do not say that they are cancelled: the index knows but those that
        // do.
        Some(DeliveryState::Failed) if state.cancelling_since_ms.is_some() => {
            let cancelled = pending().add(delivery::Column::Generation.ne(state.generation));
            query.filter(Condition::any().add(delivery::Column::State.eq(FAILED)).add(cancelled))
        }
        Some(DeliveryState::Failed) => query.filter(delivery::Column::State.eq(FAILED)),
    }
}

fn shown_attempt(row: attempt::Model) -> ShownAttempt {
    let attempt::Model {
        delivery_id: _,
        number: _,
        at_ms,
        duration_ms,
        outcome,
        status,
        response,
        next_at_ms: _,
    } = row;
    ShownAttempt { at_ms, duration_ms, outcome, status, response }
}
