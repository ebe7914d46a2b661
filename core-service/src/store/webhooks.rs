//! Webhooks: created, read, listed, changed and deleted.
//!
//! Every statement names the owner beside the id, so that a webhook of somebody else is one that does not
//! exist: no other row is read for it, and the answer is the same. A row that can't be opened fails by
//! itself.

use std::collections::HashMap;

use sea_orm::sea_query::{BinOper, Expr, ExprTrait as _};
use sea_orm::{
    ColumnTrait as _, EntityTrait as _, Order, QueryFilter as _, QueryOrder as _, QuerySelect as _,
    QueryTrait as _, Select,
};
use uuid::Uuid;

use super::commit::Job;
use super::commit::update_webhook::WebhookUpdate;
use super::row::EVENT_SEPARATOR;
use super::table::{webhook, webhook_state};
use super::{Store, owned, row};
use crate::domain::cursor::Cursor;
use crate::domain::did::Did;
use crate::domain::event_type::EventType;
use crate::domain::page::{Page, PageRequest};
use crate::domain::webhook::Webhook;
use crate::domain::webhook_change::WebhookChange;
use crate::error::Error;
use crate::request_id::RequestId;
use process::exit::chain;

impl Store {
    /// Stores a webhook, its URL sealed.
    ///
    /// # Errors
    ///
    /// The owner has a webhook with that URL, the limit is reached, the secret that it names does not exist,
    /// or the database is overloaded or fails.
    pub(crate) async fn create_webhook(&self, new: &Webhook) -> Result<(), Error> {
        let row = Box::new(self.sealer.webhook(new)?);
        self.commits.submit(&new.owner, |reply| Job::CreateWebhook { row, reply }).await
    }

    /// The webhook `id` of `owner`.
    ///
    /// # Errors
    ///
    /// There is none, its row can't be opened, or the database fails.
    pub(crate) async fn webhook(&self, owner: &Did, id: Uuid) -> Result<Webhook, Error> {
        let of_owner = || owned::webhook(owner, id).one(&self.database.reading);
        let row = self.database.read(of_owner).await?;
        let webhook = self.sealer.open_webhook(&row.ok_or(Error::WebhookNotFound)?)?;
        let states = self.states([id]).await?;
        Ok(match states.get(&id) {
            Some(state) => row::with_state(webhook, state),
            None => webhook,
        })
    }

    /// The delivery states of these webhooks. Those to which nothing was delivered have none.
    pub(super) async fn states(
        &self,
        webhooks: impl IntoIterator<Item = Uuid>,
    ) -> Result<HashMap<Uuid, webhook_state::Model>, Error> {
        let ids: Vec<Uuid> = webhooks.into_iter().collect();
        let states = || {
            let query = webhook_state::Entity::find()
                .filter(webhook_state::Column::WebhookId.is_in(ids.iter().copied()));
            query.all(&self.database.reading)
        };
        let states = self.database.read(states).await?;
        Ok(states.into_iter().map(|state| (state.webhook_id, state)).collect())
    }

    /// The webhooks of `owner` that `request` asks for, newest first. One that can't be opened is left out;
    /// the next page starts behind it all the same.
    ///
    /// # Errors
    ///
    /// The database fails.
    pub(crate) async fn webhooks(&self, owner: &Did, request: &PageRequest) -> Result<Page, Error> {
        let mut rows = self.database.read(|| page_query(owner, request).all(&self.database.reading)).await?;
        let limit = request.limit.get() as usize;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let last = rows.last().map(|row| Cursor::behind(row.created_at_ms, row.id));
        let states = self.states(rows.iter().map(|row| row.id)).await?;
        let mut webhooks = Vec::with_capacity(rows.len());
        for row in rows {
            match row::open_webhook(&row, &self.sealer.keys) {
                Ok(webhook) => webhooks.push(match states.get(&webhook.id) {
                    Some(state) => row::with_state(webhook, state),
                    None => webhook,
                }),
                Err(unreadable) => process::once_a_second!(
                    error,
                    requests = ?[RequestId::current()],
                    causes = chain(&unreadable),
                    "a webhook is left out of a list"
                ),
            }
        }
        Ok(Page { webhooks, next: last.filter(|_| more) })
    }

    /// Makes `change` to the webhook `id` of `owner`, all of it or nothing, and returns the webhook after it.
    /// `at_ms` is the time of the change, in milliseconds since 1970-01-01T00:00:00Z.
    ///
    /// # Errors
    ///
    /// There is no such webhook, its owner has another one with the new URL, the secret that it is to name
    /// does not exist, its row can't be opened, or the database is overloaded or fails.
    pub(crate) async fn update_webhook(
        &self,
        owner: &Did,
        id: Uuid,
        change: &WebhookChange,
        at_ms: i64,
    ) -> Result<Webhook, Error> {
        let update = Box::new(WebhookUpdate { id, change: change.clone(), at_ms });
        Ok(*self.commits.submit(owner, |reply| Job::UpdateWebhook { update, reply }).await?)
    }

    /// Deletes the webhook `id` of `owner`.
    ///
    /// # Errors
    ///
    /// There is none, or the database is overloaded or fails.
    pub(crate) async fn delete_webhook(&self, owner: &Did, id: Uuid) -> Result<(), Error> {
        self.commits.submit(owner, |reply| Job::DeleteWebhook { id, reply }).await
    }
}

/// One row more than requested, to know whether there are more. The database reads all rows of the owner,
/// which the limit keeps few, and sorts them: an index in that order would cost every creation more
/// (migration m0003).
pub(super) fn page_query(owner: &Did, request: &PageRequest) -> Select<webhook::Entity> {
    let PageRequest { limit, after, active, event } = *request;
    let mut query = webhook::Entity::find()
        .filter(webhook::Column::OwnerDid.eq(owner.as_str()))
        .order_by(webhook::Column::CreatedAtMs, Order::Desc)
        .order_by(webhook::Column::Id, Order::Desc)
        .limit(u64::from(limit.get()) + 1);
    if let Some(after) = after {
        let columns = [webhook::Column::CreatedAtMs, webhook::Column::Id].map(Expr::col);
        let cursor = [Expr::val(after.created_at_ms()), Expr::val(after.id())];
        query = query.filter(Expr::tuple(columns).lt(Expr::tuple(cursor)));
    }
    if let Some(active) = active {
        let turned_off = webhook_state::Entity::find()
            .select_only()
            .column(webhook_state::Column::WebhookId)
            .filter(webhook_state::Column::DisabledAtMs.is_not_null())
            .filter(
                Expr::col((webhook_state::Entity, webhook_state::Column::WebhookId))
                    .equals((webhook::Entity, webhook::Column::Id)),
            )
            .into_query();
        let is_active = webhook::Column::Active.eq(true).and(Expr::exists(turned_off).not());
        query = query.filter(if active { is_active } else { is_active.not() });
    }
    if let Some(event) = event {
        query = query.filter(asks_for(event));
    }
    query
}

/// Whether `event` is one of the comma-separated types. No type has a character that is special in LIKE.
fn asks_for(event: EventType) -> Expr {
    let join = || BinOper::Custom("||");
    let types = Expr::val(EVENT_SEPARATOR)
        .binary(join(), Expr::col(webhook::Column::Events))
        .binary(join(), Expr::val(EVENT_SEPARATOR));
    types.like(format!("%{EVENT_SEPARATOR}{event}{EVENT_SEPARATOR}%"))
}
