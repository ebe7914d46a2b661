//! Queries for one row of an owner. They name the owner beside the id, so that a row of somebody else is one
//! that does not exist.

use sea_orm::sea_query::Condition;
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait as _, PaginatorTrait as _, QueryFilter as _,
    QuerySelect as _, QueryTrait as _, Select,
};
use uuid::Uuid;

use super::row_of_record::DELETED;
use super::table::{delivery, record_webhook, webhook};
use crate::domain::did::Did;

/// The webhook `id`, if it is one of `owner`.
pub(super) fn webhook(owner: &Did, id: Uuid) -> Select<webhook::Entity> {
    webhook::Entity::find_by_id(id).filter(webhook::Column::OwnerDid.eq(owner.as_str()))
}

/// The wh records of `owner`.
pub(super) fn records(owner: &Did) -> Select<record_webhook::Entity> {
    record_webhook::Entity::find()
        .filter(record_webhook::Column::OwnerDid.eq(owner.as_str()))
        .filter(record_webhook::Column::State.ne(DELETED))
}

/// The wh record `id`, if it is one of `owner`.
pub(super) fn record(owner: &Did, id: Uuid) -> Select<record_webhook::Entity> {
    records(owner).filter(record_webhook::Column::Id.eq(id))
}

/// The delivery `id`, if its webhook is one of `owner`.
pub(super) fn delivery(owner: &Did, id: Uuid) -> Select<delivery::Entity> {
    let webhooks = webhook::Entity::find()
        .select_only()
        .column(webhook::Column::Id)
        .filter(webhook::Column::OwnerDid.eq(owner.as_str()))
        .into_query();
    let records = records(owner).select_only().column(record_webhook::Column::Id).into_query();
    let of_owner = Condition::any()
        .add(delivery::Column::WebhookId.in_subquery(webhooks))
        .add(delivery::Column::WebhookId.in_subquery(records));
    delivery::Entity::find_by_id(id).filter(of_owner)
}

/// Whether `id` is a webhook of `owner`: one that was created, or a wh record.
pub(super) async fn has_webhook(
    connection: &impl ConnectionTrait,
    owner: &Did,
    id: Uuid,
) -> Result<bool, DbErr> {
    Ok(webhook(owner, id).count(connection).await? > 0 || record(owner, id).count(connection).await? > 0)
}
