//! Queries for one row of an owner. They name the owner beside the id, so that a row of somebody else is one
//! that does not exist.

use sea_orm::{
    ColumnTrait as _, EntityTrait as _, QueryFilter as _, QuerySelect as _, QueryTrait as _, Select,
};
use uuid::Uuid;

use super::table::{delivery, webhook};
use crate::domain::did::Did;

/// The webhook `id`, if it is one of `owner`.
pub(super) fn webhook(owner: &Did, id: Uuid) -> Select<webhook::Entity> {
    webhook::Entity::find_by_id(id).filter(webhook::Column::OwnerDid.eq(owner.as_str()))
}

/// The delivery `id`, if its webhook is one of `owner`.
pub(super) fn delivery(owner: &Did, id: Uuid) -> Select<delivery::Entity> {
    let webhooks = webhook::Entity::find()
        .select_only()
        .column(webhook::Column::Id)
        .filter(webhook::Column::OwnerDid.eq(owner.as_str()))
        .into_query();
    delivery::Entity::find_by_id(id).filter(delivery::Column::WebhookId.in_subquery(webhooks))
}
