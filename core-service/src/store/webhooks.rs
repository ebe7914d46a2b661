//! Reading, changing and deleting the webhooks of one owner.
//!
//! Every statement names the owner beside the id, so that a webhook of somebody else is one that does not exist:
//! nothing more is read for it, and the answer is the same. A row that can't be opened fails by itself.

use sea_orm::sea_query::{BinOper, Expr, ExprTrait as _};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, DbErr, EntityTrait as _, Iterable as _, ModelTrait as _, Order,
    QueryFilter as _, QueryOrder as _, QuerySelect as _, Select, SqlErr,
};
use uuid::Uuid;

use super::row::EVENT_SEPARATOR;
use super::table::{account, webhook};
use super::transaction::{begin, commit, lock_account};
use super::{Store, row};
use crate::domain::cursor::Cursor;
use crate::domain::did::Did;
use crate::domain::event_type::EventType;
use crate::domain::page::{Page, PageRequest};
use crate::domain::rule::Rule;
use crate::domain::webhook::Webhook;
use crate::domain::webhook_change::WebhookChange;
use crate::error::{Error, log_fault};
use crate::request_id::RequestId;
use crate::seal::Purpose;
use process::exit::chain;

impl Store {
    /// The webhook `id` of `owner`.
    ///
    /// # Errors
    ///
    /// There is none, its row can't be opened, or the database can't.
    pub(crate) async fn webhook(&self, owner: &Did, id: Uuid) -> Result<Webhook, Error> {
        let found = self.database.read(|| of_owner(owner, id).one(&self.database.reading)).await?;
        self.open_webhook(found.ok_or(Error::WebhookNotFound)?)
    }

    /// The webhooks of `owner` that `request` asks for, newest first. One that can't be opened is left out, and
    /// the next page goes on behind it all the same.
    ///
    /// # Errors
    ///
    /// The database can't.
    pub(crate) async fn webhooks(&self, owner: &Did, request: &PageRequest) -> Result<Page, Error> {
        let mut rows = self.database.read(|| page_query(owner, request).all(&self.database.reading)).await?;
        let limit = request.limit.get() as usize;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let last = rows.last().map(|row| Cursor::behind(row.created_at_ms, row.id));
        let mut webhooks = Vec::with_capacity(rows.len());
        for row in rows {
            match row::open_webhook(row, &self.keys) {
                Ok(webhook) => webhooks.push(webhook),
                Err(unreadable) => tracing::error!(
                    requests = ?[RequestId::current()],
                    causes = chain(&unreadable),
                    "a webhook is left out of a list"
                ),
            }
        }
        Ok(Page { webhooks, next: last.filter(|_| more) })
    }

    /// Makes `change` to the webhook `id` of `owner`, all of it or nothing, and gives what it is then. `at_ms` is
    /// the time of the change, in milliseconds since 1970-01-01T00:00:00Z.
    ///
    /// # Errors
    ///
    /// There is no such webhook, its owner has another one with the new URL, the secret that it is to name is
    /// not there, its row can't be opened, or the database can't.
    pub(crate) async fn update_webhook(
        &self,
        owner: &Did,
        id: Uuid,
        change: &WebhookChange,
        at_ms: i64,
    ) -> Result<Webhook, Error> {
        let updated = self.database.write(|| async {
            let transaction = begin(&self.database.writing).await?;
            lock_account(&transaction, owner).await?;
            let Some(before) = of_owner(owner, id).one(&transaction).await? else {
                return Ok(Err(Error::WebhookNotFound));
            };
            let (after, webhook) = match self.changed(before.clone(), change.clone(), at_ms) {
                Ok(changed) => changed,
                Err(error) => return Ok(Err(error)),
            };
            if let Err(error) = differences(before, &after).update(&transaction).await {
                let refused = refusal(&error).ok_or(error)?;
                return Ok(Err(refused));
            }
            commit(transaction).await?;
            Ok(Ok(webhook))
        });
        updated.await.unwrap_or_else(|failure| Err(failure.logged()))
    }

    /// Deletes the webhook `id` of `owner`, and counts it off.
    ///
    /// # Errors
    ///
    /// There is none, or the database can't.
    pub(crate) async fn delete_webhook(&self, owner: &Did, id: Uuid) -> Result<(), Error> {
        let deleted = self.database.write(|| async {
            let transaction = begin(&self.database.writing).await?;
            lock_account(&transaction, owner).await?;
            let row = webhook::Entity::delete_by_id(id).filter(webhook::Column::OwnerDid.eq(owner.as_str()));
            if row.exec(&transaction).await?.rows_affected == 0 {
                return Ok(Err(Error::WebhookNotFound));
            }
            let one_less = Expr::col(account::Column::Webhooks).sub(1);
            account::Entity::update_many()
                .col_expr(account::Column::Webhooks, one_less)
                .filter(account::Column::Did.eq(owner.as_str()))
                .exec(&transaction)
                .await?;
            commit(transaction).await?;
            Ok(Ok(()))
        });
        deleted.await.unwrap_or_else(|failure| Err(failure.logged()))
    }

    fn open_webhook(&self, row: webhook::Model) -> Result<Webhook, Error> {
        row::open_webhook(row, &self.keys).map_err(|unreadable| log_fault(Error::Internal, &unreadable))
    }

    /// The row after `change`, and the webhook that it is. A URL that stays is not sealed again.
    fn changed(
        &self,
        before: webhook::Model,
        change: WebhookChange,
        at_ms: i64,
    ) -> Result<(webhook::Model, Webhook), Error> {
        let (mut sealed_url, mut url_hash) = (before.sealed_url.clone(), before.url_hash.clone());
        let webhook = self.open_webhook(before)?;
        let old_url = webhook.config.url.clone();
        let webhook = change.apply(webhook, at_ms);
        let Webhook { id, owner, config, .. } = &webhook;
        if config.url != old_url {
            let purpose = Purpose::Url { owner, webhook: *id };
            sealed_url = self.seal(purpose, config.url.expose().as_str())?;
            url_hash = self.index_key.hash(&config.url);
        }
        Ok((row::webhook(&webhook, sealed_url, url_hash), webhook))
    }
}

fn of_owner(owner: &Did, id: Uuid) -> Select<webhook::Entity> {
    webhook::Entity::find_by_id(id).filter(webhook::Column::OwnerDid.eq(owner.as_str()))
}

/// One row more than is asked for, to know whether there are more. It reads all of the owner's, as many as the limit lets
/// there be, and puts them in order: an index in that order costs every creation more (migration m0003).
pub(super) fn page_query(owner: &Did, request: &PageRequest) -> Select<webhook::Entity> {
    let PageRequest { limit, after, active, event } = *request;
    let mut query = webhook::Entity::find()
        .filter(webhook::Column::OwnerDid.eq(owner.as_str()))
        .order_by(webhook::Column::CreatedAtMs, Order::Desc)
        .order_by(webhook::Column::Id, Order::Desc)
        .limit(u64::from(limit.get()) + 1);
    if let Some(after) = after {
        let place = [webhook::Column::CreatedAtMs, webhook::Column::Id].map(Expr::col);
        let read = [Expr::val(after.created_at_ms()), Expr::val(after.id())];
        query = query.filter(Expr::tuple(place).lt(Expr::tuple(read)));
    }
    if let Some(active) = active {
        query = query.filter(webhook::Column::Active.eq(active));
    }
    if let Some(event) = event {
        query = query.filter(asks_for(event));
    }
    query
}

/// Whether `event` is one of the comma-separated types. No type has a character that means something to LIKE.
fn asks_for(event: EventType) -> Expr {
    let join = || BinOper::Custom("||");
    let types = Expr::val(EVENT_SEPARATOR)
        .binary(join(), Expr::col(webhook::Column::Events))
        .binary(join(), Expr::val(EVENT_SEPARATOR));
    types.like(format!("%{EVENT_SEPARATOR}{event}{EVENT_SEPARATOR}%"))
}

/// What to write so that `before` becomes `after`: only columns that differ, for others may have changed since.
fn differences(before: webhook::Model, after: &webhook::Model) -> webhook::ActiveModel {
    let mut differences = webhook::ActiveModel::from(before);
    for column in webhook::Column::iter() {
        differences.set_if_not_equals(column, after.get(column));
    }
    differences
}

/// What a constraint says to an update: another row has the URL, or no row has the secret's name.
fn refusal(error: &DbErr) -> Option<Error> {
    match error.sql_err()? {
        SqlErr::UniqueConstraintViolation(_) => Some(Error::WebhookExists),
        SqlErr::ForeignKeyConstraintViolation(_) => Some(Rule::UnknownSecret.at("input.secretId").into()),
        _ => None,
    }
}
